"""Named arenas: who else may look at one, which are left over, and what is in them.

    /dev/shm/shmkret.<16 hexadecimal digits>        or in the folder that SHMKRET_SHM_DIR names

Live      while any process holds a lock of flock(2) on it: its creator and its workers do from the first moment, and whoever
          attaches. The kernel drops the lock when the last of them dies, however it dies.
Left over when nobody does. Only such a one is ever removed, and only while we hold the exclusive lock.
Looking   at a copy: a live arena changes meanwhile, so lists may seem torn that are not.
Ours      alone is looked into, root or not. A header has no file run: a path in it is shown, and what the lock's words are the
          header tells itself. What is run is what is built in, installed, or given by hand.
Who       holds a lock is what the lock's word says, if its file can read it: holder(lock, i). Else the CPUs that are inside the
          probe path may. CPU i's process is the one that recovery.pid names, or else the i-th child of the arena's creator that
          maps it.

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from shmkret import arena as arenas
from shmkret import atomics, layout
from shmkret.arena import NAME_PREFIX, SHM, Arena
from shmkret.audit import audit, inside
from shmkret.errors import ArenaError, PluginError, ShmkretError
from shmkret.plain import PlainMachine, locks_of
from shmkret.plugin_calls import blamed
from shmkret.registry import LOCK, SCHEME, Kind, Plugin, find, is_path
from shmkret.repair import repair

NAME = re.compile(re.escape(NAME_PREFIX) + "[0-9a-f]{16}")
HALF_BUILT_S = 60.0
"""An arena without a magic is being built, if it is younger than this."""
PROBES = 5
"""How often a lock is tried that another may hold for a moment: who lists arenas, too, takes it to see whether it can."""
LOOKS = 5
"""Copies of a live arena that an audit takes before it says that it moves."""
LIVE, LEFT_OVER, NO_ARENA = "live", "left over", "not an arena"
FILE_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFLNK: "a symbolic link"}


class Named(NamedTuple):
    """An arena in /dev/shm. state: live, left over, or why that cannot be told. size in bytes; pid: its creator's."""

    name: str
    state: str
    size: int
    pid: int
    summary: str


class Held(NamedTuple):
    """A lock that is not free, such as locks[3]. cpu, and pid of its process: who holds it; None where that cannot be told."""

    lock: str
    cpu: int | None
    pid: int | None


class Locks(NamedTuple):
    """The locks of an arena that are not free; None, and why in `doubt`, where that cannot be told."""

    held: list[Held] | None
    doubt: str = ""


class Audit(NamedTuple):
    """What is wrong with an arena, in sentences; doubt: why what looked wrong is no finding."""

    findings: list[str]
    doubt: str = ""


class _Lock(NamedTuple):
    """The record class of an arena's locks, and their file where it may be run; doubt: why it may not."""

    record: type
    plugin: Plugin | None
    doubt: str = ""


def names() -> list[str]:
    """The names in /dev/shm that are arenas' names, in order."""
    return sorted(path.name for path in SHM.glob(f"{NAME_PREFIX}*") if NAME.fullmatch(path.name))


def listing() -> list[Named]:
    """Every named arena, whoever it belongs to."""
    return [named for named in map(_look, names()) if named is not None]


def newest_live() -> str:
    """The name of the live arena that was made last. Raises ArenaError when there is none."""
    live = [one.name for one in listing() if one.state == LIVE and one.pid]
    if not live:
        raise ArenaError(
            "no arena is live: start a run with `shmkret bench --named --seconds 20`, or see `shmkret list arenas`"
        )
    return max(live, key=lambda name: (SHM / name).stat().st_mtime_ns)


def attach(name: str, lock: str | None = None) -> Arena:
    """Map a live or left-over arena by its name; it counts as live as long as the result is open.

    Args:    lock: the name or the file of its lock, where the arena itself cannot tell its words.
    Raises:  ArenaError, with the reason: no such name, not an arena, another version, another user's, truncated, or sizes that
             do not add up; UnknownName and PluginError for a lock that was given.
    """
    fd = _open(name, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        return Arena.attach(fd, lock=_lock_of(_header(fd), lock).record, name=_plain_name(name))
    except BaseException:
        os.close(fd)
        raise


@contextmanager
def copied(name: str, lock: str | None = None) -> Iterator[Arena]:
    """A private copy of an arena, for looking at. Arguments and errors as attach()."""
    fd = _open(name, os.O_RDONLY)
    try:
        record = _lock_of(_header(fd), lock).record
        _, placed = arenas.checked(fd, record)  # before the copy: of a file that is none, not a byte is taken
        copy = os.memfd_create("shmkret-copy", os.MFD_CLOEXEC)
        try:
            _copy(fd, copy, layout.arena_bytes(placed))
            arena = Arena.attach(copy, lock=record)
        except BaseException:
            os.close(copy)
            raise
    finally:
        os.close(fd)
    with arena:
        yield arena


def held_locks(arena: Arena, lock: str | None = None, pids: list[int] | None = None) -> Locks:
    """Which locks of a copied arena are not free, and who holds them.

    Args:    lock: as for attach(). pids: the process of each CPU, if that is known.
    Raises:  PluginError when the lock's is_free() or holder() raises.
    """
    plugin, doubt = _lock_of(arena.header[0], lock)[1:]
    if plugin is None:
        return Locks(None, doubt)
    is_free = getattr(plugin.module, "is_free", None)
    if is_free is None:
        return Locks(None, f"the lock {plugin.name} has no is_free()")
    if not getattr(plugin.module, "ATTACHABLE", True):
        return Locks(None, f"the words of the lock {plugin.name} mean nothing outside the run's own processes")
    held = []
    with atomics.use(PlainMachine(None)), blamed([plugin.path], "is_free() or holder()"):
        for name, locks, i in locks_of(arena, plugin.record):
            if not is_free(locks, i):
                cpu = _holder(plugin, locks, i, arena.geometry.nr_cpus)
                held.append(Held(f"{name}[{i}]", cpu, pids[cpu] if pids and cpu is not None else None))
    return Locks(held)


def _holder(lock: Plugin, locks: Any, i: int, nr_cpus: int) -> int | None:
    """The CPU that holds a lock, as its word has it; None when the lock cannot say, or its word names no CPU."""
    ask = getattr(lock.module, "holder", None)
    if ask is None:
        return None
    cpu = ask(locks, i)
    if not isinstance(cpu, int) or isinstance(cpu, bool):
        raise PluginError(f"{lock.path}: holder() returned {cpu!r}: give a CPU's number, or -1 where the lock does not say")
    return cpu if 0 <= cpu < nr_cpus else None


def audited(name: str, lock: str | None = None) -> Audit:
    """What the audit says of an arena, and on one that is left over, of its locks: nobody is there to give them back.

    A live arena moves, and a CPU that is inside has an instance in hand: what looks wrong then is no finding.
    """
    found = Audit([])
    for _ in range(LOOKS):
        is_live = _is_live(name)
        with copied(name, lock) as arena, copied(name, lock) as again:
            found = Audit(audit(arena, _loadable(SCHEME, os.fsdecode(arena.header[0]["scheme"]))[0], at_rest=False))
            if not is_live:
                return Audit(found.findings + _abandoned(held_locks(arena, lock)))
            busy = inside(arena)
            moves = any((arena.records(section) != again.records(section)).any() for section in arena.sections)
        if not found.findings or not (moves or busy):
            return found
    why = "it moves" if moves else f"cpu {', '.join(map(str, busy))} is inside"
    return Audit([], f"{why}, not a finding: {found.findings[0]}")


def repaired(name: str, lock: str | None = None) -> tuple[list[str], list[str]]:
    """Repair an arena that is left over (shmkret.repair): what was done, and what the audit says afterwards.

    Raises: ArenaError for one that is live, or whose run was not recoverable; and as attach().
    """
    fd = _open(name, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        header = _header(fd)
        record, plugin, doubt = _lock_of(header, lock)
        arena = Arena.attach(fd, lock=record, name=_plain_name(name))
    except BlockingIOError as error:
        os.close(fd)
        raise ArenaError(f"{name} is live: what its CPUs are doing cannot be repaired from outside") from error
    except BaseException:
        os.close(fd)
        raise
    with arena:
        scheme = _loadable(SCHEME, os.fsdecode(header["scheme"]))[0]
        is_ours = plugin is not None and getattr(plugin.module, "ATTACHABLE", True)
        done = repair(arena, scheme, plugin if is_ours else None)
        left = audit(arena, scheme, at_rest=False)
        if plugin is None or not is_ours:
            left.append(f"the locks stay as they are: {doubt or 'their words mean nothing outside the processes of the run'}")
        return done, left


def _abandoned(locks: Locks) -> list[str]:
    return [f"{len(locks.held)} locks are not free, such as {locks.held[0].lock}, and nobody is alive"] if locks.held else []


def pids_of(name: str, arena: Arena) -> list[int] | None:
    """The process of each CPU of a live arena; None when they have gone, or are not all to be seen."""
    try:
        status = (SHM / _plain_name(name)).stat()
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
            fd = _open(name, os.O_RDWR)
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
        state = LIVE if _is_held(fd) else LEFT_OVER
        header = np.frombuffer(os.pread(fd, layout.HEADER.itemsize, 0).ljust(layout.HEADER.itemsize, b"\0"), layout.HEADER)[0]
        if not header["magic"]:
            return Named(name, state, status.st_size, 0, "half built")
        if header["magic"] != layout.MAGIC:
            return Named(name, NO_ARENA, status.st_size, 0, f"it begins with {bytes(header['magic'])!r}")
        words = " ".join(os.fsdecode(header[kind]) for kind in ("scheme", "lock", "arch"))
        return Named(name, state, status.st_size, int(header["creator_pid"]), words)
    finally:
        os.close(fd)


def _is_live(name: str) -> bool:
    fd = _open(name, os.O_RDONLY)
    try:
        return _is_held(fd)
    finally:
        os.close(fd)


def _is_held(fd: int) -> bool:
    """Whether a process has the lock. LOCK_SH would not tell; LOCK_EX meets others who ask the same, hence several times."""
    for _ in range(PROBES):
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
    return os.pread(fd, len(layout.MAGIC), 0) != layout.MAGIC and time.time() - os.fstat(fd).st_mtime < HALF_BUILT_S


def _plain_name(name: str) -> str:
    name = str(name).removeprefix(f"{SHM}/").removeprefix("/")
    if not NAME.fullmatch(name):
        raise ArenaError(
            f"{name!r} is no arena's name: those are {NAME_PREFIX} and 16 hexadecimal digits; see `shmkret list arenas`"
        )
    return name


def _open(name: str, flags: int) -> int:
    """An arena of ours, open. Raises ArenaError; without O_NONBLOCK, a FIFO of that name would make us wait for ever."""
    name = _plain_name(name)
    try:
        fd = os.open(SHM / name, flags | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise ArenaError(f"{SHM / name}: {error.strerror}; see `shmkret list arenas`") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ArenaError(f"{SHM / name}: not an arena: it is {_file_kind(status)}")
        arenas.require_ours(status)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _file_kind(status: os.stat_result) -> str:
    return FILE_KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")


def _header(fd: int) -> np.void:
    """A copy of the header. Raises ArenaError when there is none."""
    head = os.pread(fd, layout.HEADER.itemsize, 0)
    if len(head) < layout.HEADER.itemsize or not head.startswith(layout.MAGIC):
        raise ArenaError(f"not an arena: it begins with {head[:8]!r}, not with {layout.MAGIC!r}")
    header: np.void = np.frombuffer(head, layout.HEADER)[0]
    return header


def _lock_of(header: np.void, by_hand: str | None) -> _Lock:
    """The lock that a header tells of, or the one given by hand. arenas.checked() compares its words with the header's."""
    if by_hand:
        plugin = find(LOCK, by_hand)
        return _Lock(plugin.record, plugin)
    found, doubt = _loadable(LOCK, os.fsdecode(header["lock"]))
    if found is not None:
        return _Lock(found.record, found)
    try:
        return _Lock(layout.described_record(header["lock_record"].decode()), None, f"{doubt}; give its file with --lock")
    except (ValueError, TypeError) as error:
        raise ArenaError(f"the arena does not say what its locks look like, and {doubt}; give its file with --lock") from error


def _loadable(kind: Kind, name: str) -> tuple[Plugin | None, str]:
    """The plug-in of a header's name if it is built in or installed; else None, and why. A header has no file run."""
    if not name:
        return None, f"the arena does not say which {kind.name} it has"
    if is_path(name):
        return None, f"{name} is not run because an arena says so"
    try:
        return find(kind, name), ""
    except ShmkretError as error:
        return None, str(error)


def _copy(source: int, target: int, size: int) -> None:
    arenas.require_memory(size, "a copy of the arena")
    place = 0
    while place < size:
        copied_bytes = os.sendfile(target, source, place, size - place)
        if not copied_bytes:
            raise ArenaError("the arena was truncated while it was read")
        place += copied_bytes
