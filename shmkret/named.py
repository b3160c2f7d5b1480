"""Named arenas: who else may look at one, which are left over, and what is in them.

    /dev/shm/shmkret.<16 hexadecimal digits>

Live      while any process holds a lock of flock(2) on it: its creator and its workers do from the first moment, and whoever
          attaches. The kernel drops the lock when the last of them dies, however it dies.
Left over when nobody does. Only such a one is ever removed, and only while we hold the exclusive lock.
Looking   at a copy: a live arena changes meanwhile, so lists may seem torn that are not.

Source    flock(2), shm_overview(7)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from shmkret import atomics, layout
from shmkret.arena import NAME_PREFIX, SHM, Arena
from shmkret.errors import ArenaError, ShmkretError, UnknownName
from shmkret.kernel import LOCK_SECTIONS
from shmkret.plain import PlainMachine, column
from shmkret.registry import LOCK, find

NAME = re.compile(re.escape(NAME_PREFIX) + "[0-9a-f]{16}")
HALF_BUILT_S = 60.0
"""An arena without a magic is being built, if it is younger than this."""
LIVE, LEFT_OVER = "live", "left over"


class Named(NamedTuple):
    """An arena in /dev/shm. state: live, left over, or why that cannot be told. size in bytes; pid: its creator's."""

    name: str
    state: str
    size: int
    pid: int
    summary: str


def names() -> list[str]:
    """The names in /dev/shm that are arenas' names, in order."""
    return sorted(path.name for path in SHM.glob(f"{NAME_PREFIX}*") if NAME.fullmatch(path.name))


def listing() -> list[Named]:
    """Every named arena, whoever it belongs to."""
    return [named for named in map(_look, names()) if named is not None]


def attach(name: str) -> Arena:
    """Map a live or left-over arena by its name; it counts as live as long as the result is open.

    Raises: ArenaError, with the reason: no such name, not an arena, another version, another user's, truncated, or sizes
            that do not add up; UnknownName for a lock that this shmkret does not have.
    """
    fd = _open(name, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        return Arena.attach(fd, lock=_lock_class(fd))
    except BaseException:
        os.close(fd)
        raise


@contextmanager
def copied(name: str) -> Iterator[Arena]:
    """A private copy of an arena, for looking at. Raises as attach()."""
    fd = _open(name, os.O_RDONLY)
    try:
        lock = _lock_class(fd)
        copy = os.memfd_create("shmkret-copy", os.MFD_CLOEXEC)
        try:
            _copy(fd, copy)
            arena = Arena.attach(copy, lock=lock)
        except BaseException:
            os.close(copy)
            raise
    finally:
        os.close(fd)
    with arena:
        yield arena


def held_locks(arena: Arena) -> list[str]:
    """Which locks of a copied arena are not free, such as locks[3]; empty for a lock that cannot say."""
    header = arena.header[0]
    lock = find(LOCK, header["lock"].decode("ascii", "replace"))
    is_free = getattr(lock.module, "is_free", None)
    if is_free is None:
        return []
    held = []
    with atomics.use(PlainMachine(None)):
        for name in LOCK_SECTIONS:
            section = arena.sections[name]
            locks = lock.record(*[column(arena, name, field) for field in layout.fields_of(section.record)])
            held += [f"{name}[{i}]" for i in range(section.nr) if not is_free(locks, i)]
    return held


def clean() -> list[str]:
    """Remove what is left over and ours; the names of it. A live arena is never touched."""
    removed = []
    for name in names():
        with contextlib.suppress(OSError, ArenaError):
            fd = _open(name, os.O_RDWR)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_uid == os.geteuid() and not _half_built(fd):
                    (SHM / name).unlink()
                    removed.append(name)
            finally:
                os.close(fd)
    return removed


def _look(name: str) -> Named | None:
    try:
        fd = _open(name, os.O_RDONLY)
    except (OSError, ArenaError) as error:
        return Named(name, f"unknown: {error}", 0, 0, "")
    try:
        status = os.fstat(fd)
        state = LEFT_OVER if _is_left_over(fd) else LIVE
        header = np.frombuffer(os.pread(fd, layout.HEADER.itemsize, 0).ljust(layout.HEADER.itemsize, b"\0"), layout.HEADER)[0]
        if header["magic"] != layout.MAGIC:
            return Named(name, state, status.st_size, 0, "half built")
        words = " ".join(header[kind].decode("ascii", "replace") for kind in ("scheme", "lock", "arch"))
        return Named(name, state, status.st_size, int(header["creator_pid"]), words)
    finally:
        os.close(fd)


def _is_left_over(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(fd, fcntl.LOCK_UN)
    return True


def _half_built(fd: int) -> bool:
    return os.pread(fd, len(layout.MAGIC), 0) != layout.MAGIC and time.time() - os.fstat(fd).st_mtime < HALF_BUILT_S


def _open(name: str, flags: int) -> int:
    name = name.removeprefix(f"{SHM}/").removeprefix("/")
    if not NAME.fullmatch(name):
        raise ArenaError(
            f"{name!r} is no arena's name: those are {NAME_PREFIX} and 16 hexadecimal digits; see `shmkret list arenas`"
        )
    try:
        return os.open(SHM / name, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise ArenaError(f"{SHM / name}: {error.strerror}; see `shmkret list arenas`") from error


def _lock_class(fd: int) -> type:
    """The record class of the arena's locks, by the name in its header, which attach() checks afterwards."""
    head = os.pread(fd, layout.HEADER.itemsize, 0)
    if len(head) < layout.HEADER.itemsize or not head.startswith(layout.MAGIC):
        raise ArenaError(f"not an arena: it begins with {head[:8]!r}, not with {layout.MAGIC!r}")
    name = np.frombuffer(head, layout.HEADER)[0]["lock"].decode("ascii", "replace")
    try:
        return find(LOCK, name).record
    except UnknownName:
        raise
    except ShmkretError as error:
        raise ArenaError(f"the arena's lock {name!r} cannot be loaded: {error}") from error


def _copy(source: int, target: int) -> None:
    size = os.fstat(source).st_size
    place = 0
    while place < size:
        copied_bytes = os.sendfile(target, source, place, size - place)
        if not copied_bytes:
            raise ArenaError("the arena was truncated while it was read")
        place += copied_bytes
