"""Named arenas: which there are, which of them are left over, and the file of one, opened and copied.

    /dev/shm/shmkret.<16 hexadecimal digits>        or in the folder that SHMKRET_SHM_DIR names

Live      while any process holds a lock of flock(2) on it: its creator and its workers do from the first moment, and whoever
          attaches. The kernel drops the lock when the last of them dies, however it dies.
Left over when nobody does. Only such a one is ever removed, and only while we hold the exclusive lock.
Ours      alone is opened, root or not. The list shows the header of any.
CPU i     is the process that recovery.pid names, or else the i-th child of the arena's creator that maps it.

Source    flock(2), shm_overview(7), proc(5)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import re
import stat
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from shmkret.arena import header, memory, segment
from shmkret.arena.segment import NAME_PREFIX, SHM, Arena
from shmkret.errors import ArenaError

NAME = re.compile(re.escape(NAME_PREFIX) + "[0-9a-f]{16}")

HALF_BUILT_S = 60.0
"""An arena without a magic is being built, if it is younger than this."""

LOCK_TRIES = 5
"""How often a lock is tried that another may hold for a moment: who lists arenas, too, takes it to see whether it can."""

THOSE_THERE_ARE = "`shmkret.arena.named.listing()`"

IN_USE, LEFT_OVER, NO_ARENA = "live", "left over", "not an arena"

FILE_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a symbolic link"}


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


def newest_live() -> str:
    """The name of the live arena that was made last. Raises ArenaError when there is none."""
    live = [one.name for one in listing() if one.state == IN_USE and one.pid]
    if not live:
        raise ArenaError("no arena is live")
    return max(live, key=lambda name: (SHM / name).stat().st_mtime_ns)


def pids_of(name: str, arena: Arena) -> list[int] | None:
    """The process of each CPU of a live arena; None when they have gone, or are not all to be seen."""
    try:
        status = (SHM / plain_name(name)).stat()
        told: list[int] = arena.records("recovery")["pid"][: arena.geometry.nr_cpus].tolist()
        if all(pid > 0 and maps(pid, status) for pid in told):
            return told
        children = psutil.Process(int(arena.header["creator_pid"][0])).children()
        workers = [child for child in children if maps(child.pid, status)]
        order = [child.pid for child in sorted(workers, key=lambda child: (child.create_time(), child.pid))]
    except (psutil.Error, OSError, ValueError):
        return None
    return order if len(order) == arena.geometry.nr_cpus else None


def maps(pid: int, status: os.stat_result) -> bool:
    """Whether a process has that file in its memory."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    lines = (line.split(None, 5) for line in Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines())
    return any(line[3:5] == [device, str(status.st_ino)] for line in lines)


def clean() -> list[str]:
    """Remove what is left over and ours; the names of it. A live arena is never touched."""
    removed = []
    for name in names():
        with contextlib.suppress(OSError, ArenaError):
            fd = open_arena(name, os.O_RDWR)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _half_built(fd):
                    (SHM / name).unlink()
                    removed.append(name)
            finally:
                os.close(fd)
    return removed


def _look(name: str) -> Named | None:
    """What is to be said of a name; None when it is gone by now."""
    try:
        fd = os.open(SHM / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Named(name, f"unknown: {error.strerror}", 0, 0, "")
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return Named(name, NO_ARENA, 0, 0, _file_kind(status))
        state = IN_USE if _is_held(fd) else LEFT_OVER
        said = np.frombuffer(os.pread(fd, header.HEADER.itemsize, 0).ljust(header.HEADER.itemsize, b"\0"), header.HEADER)[0]
        if not said["magic"]:
            return Named(name, state, status.st_size, 0, "half built")
        if said["magic"] != header.MAGIC:
            return Named(name, NO_ARENA, status.st_size, 0, f"it begins with {bytes(said['magic'])!r}")
        words = " ".join(os.fsdecode(said[kind]) for kind in ("scheme", "lock", "arch"))
        return Named(name, state, status.st_size, int(said["creator_pid"]), words)
    finally:
        os.close(fd)


def is_live(name: str) -> bool:
    """Whether a process has it."""
    fd = open_arena(name, os.O_RDONLY)
    try:
        return _is_held(fd)
    finally:
        os.close(fd)


def _is_held(fd: int) -> bool:
    """Whether a process has the lock. LOCK_SH would not tell; LOCK_EX meets others who ask the same, hence several times."""
    for _ in range(LOCK_TRIES):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _pause()
        else:
            fcntl.flock(fd, fcntl.LOCK_UN)
            return False
    return True


def _pause() -> None:
    time.sleep(random.uniform(0.0002, 0.002))  # noqa: S311


def _half_built(fd: int) -> bool:
    return os.pread(fd, len(header.MAGIC), 0) != header.MAGIC and time.time() - os.fstat(fd).st_mtime < HALF_BUILT_S


def plain_name(name: str) -> str:
    """The name without its folder. Raises ArenaError for no arena's name."""
    name = str(name).removeprefix(f"{SHM}/").removeprefix("/")
    if not NAME.fullmatch(name):
        words = f"those are {NAME_PREFIX} and 16 hexadecimal digits; see {THOSE_THERE_ARE}"
        raise ArenaError(f"{name!r} is no arena's name: {words}")
    return name


def open_arena(name: str, flags: int) -> int:
    """An arena of ours, open. Raises ArenaError; without O_NONBLOCK, a FIFO of that name would make us wait for ever."""
    name = plain_name(name)
    try:
        fd = os.open(SHM / name, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise ArenaError(f"{SHM / name}: {error.strerror}; see {THOSE_THERE_ARE}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ArenaError(f"{SHM / name}: not an arena: it is {_file_kind(status)}")
        segment.require_ours(status)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _file_kind(status: os.stat_result) -> str:
    return FILE_KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")


def read_header(fd: int) -> np.void:
    """A copy of the header. Raises ArenaError when there is none."""
    head = os.pread(fd, header.HEADER.itemsize, 0)
    if len(head) < header.HEADER.itemsize or not head.startswith(header.MAGIC):
        raise ArenaError(f"not an arena: it begins with {head[:8]!r}, not with {header.MAGIC!r}")
    said: np.void = np.frombuffer(head, header.HEADER)[0]
    return said


def copy_bytes(source: int, target: int, size: int) -> None:
    """Copy the first `size` bytes from one file to another. Raises ArenaError when there are fewer."""
    memory.require_memory(size, "a copy of the arena")
    place = 0
    while place < size:
        copied_bytes = os.sendfile(target, source, place, size - place)
        if not copied_bytes:
            raise ArenaError("the arena was truncated while it was read")
        place += copied_bytes
