"""What is in a named arena, live or left over: attached, copied, audited, repaired.

Looking   at a copy: a live arena changes meanwhile, so lists may seem torn that are not.
Ours      alone is looked into, root or not. A header has no file run: a path in it is shown, and what the lock's words are the
          header tells itself. What is run is what is built in, installed, or given by hand.
Lists     are where the arena's scheme says. Where its file is not run, nothing is said of what is on them, and they stay as
          they are.
Who       holds a lock is what the lock's word says, if its file can read it: holder(lock, i). Else the CPUs that are inside the
          probe path may. CPU i's process is the one that recovery.pid names, or else the i-th child of the arena's creator that
          maps it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from shmkret.arena import layout, segment
from shmkret.arena.fields import described_record
from shmkret.arena.named import copy_bytes, is_live, open_arena, plain_name, read_header
from shmkret.arena.segment import Arena
from shmkret.audit.checks import audit, inside, not_given_back
from shmkret.audit.findings import sentences
from shmkret.audit.repair import repair, says
from shmkret.errors import ArenaError, PluginError, ShmkretError
from shmkret.locks import LOCK
from shmkret.machines.plain import PlainMachine, lock_arrays, locks_of
from shmkret.machines.world import NotFree
from shmkret.plugins.calls import blamed
from shmkret.plugins.contract import Contract
from shmkret.plugins.registry import Plugin, find, is_path
from shmkret.schemes import SCHEME
from shmkret.text import atomics

LOOKS = 5
"""Copies of a live arena that an audit takes before it says that it moves."""


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
    """What is wrong with an arena, in sentences; doubt: why what looked wrong is no finding, or what was not looked at."""

    findings: list[str]
    doubt: str = ""


class _Lock(NamedTuple):
    """The record class of an arena's locks, and their file where it may be run; doubt: why it may not."""

    record: type
    plugin: Plugin | None
    doubt: str = ""


class _Scheme(NamedTuple):
    """The record class of an arena's scheme, if one was named, and its file where it may be run; doubt: why its lists are not
    known.
    """

    record: type | None
    plugin: Plugin | None
    doubt: str = ""


def attach(name: str, lock: str | None = None) -> Arena:
    """Map a live or left-over arena by its name; it counts as live as long as the result is open.

    Args:    lock: the name or the file of its lock, where the arena itself cannot tell its words.
    Raises:  ArenaError, with the reason: no such name, not an arena, another version, another user's, truncated, or sizes that
             do not add up; UnknownName and PluginError for a lock that was given.
    """
    fd = open_arena(name, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        header = read_header(fd)
        scheme = _scheme_of(header)
        arena = Arena.attach(fd, lock=_lock_of(header, lock).record, scheme=scheme.record, name=plain_name(name))
        return _with_lists(arena, scheme)
    except BaseException:
        os.close(fd)
        raise


@contextmanager
def copied(name: str, lock: str | None = None) -> Iterator[Arena]:
    """A private copy of an arena, for looking at. Arguments and errors as attach()."""
    fd = open_arena(name, os.O_RDONLY)
    try:
        header = read_header(fd)
        record, scheme = _lock_of(header, lock).record, _scheme_of(header)
        _, placed = segment.checked(fd, record, scheme.record)  # before the copy: of a file that is none, not a byte is taken
        copy = os.memfd_create("shmkret-copy", os.MFD_CLOEXEC)
        try:
            copy_bytes(fd, copy, layout.arena_bytes(placed))
            arena = _with_lists(Arena.attach(copy, lock=record, scheme=scheme.record), scheme)
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
    is_free = plugin.own("is_free")
    if is_free is None:
        return Locks(None, f"the lock {plugin.name} has no is_free()")
    if not plugin.constants.attachable:
        return Locks(None, f"the words of the lock {plugin.name} mean nothing outside the run's own processes")
    held = []
    with atomics.use(PlainMachine(None)), blamed([plugin.path], "is_free() or holder()"):
        for name, locks, i in locks_of(arena, plugin.record):
            if not says(is_free, locks, i):
                cpu = _holder(plugin, locks, i, arena.geometry.nr_cpus)
                held.append(Held(f"{name}[{i}]", cpu, pids[cpu] if pids and cpu is not None else None))
    return Locks(held)


def _holder(lock: Plugin, locks: Any, i: int, nr_cpus: int) -> int | None:
    """The CPU that holds a lock, as its word has it; None when the lock cannot say, or its word names no CPU."""
    ask = lock.own("holder")
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
        live = is_live(name)
        with copied(name, lock) as arena, copied(name, lock) as again:
            scheme = _scheme_of(arena.header[0])
            doubt = f"where its instances are cannot be told: {scheme.doubt}" if scheme.doubt else ""
            found = Audit(sentences(audit(arena, scheme.plugin, at_rest=False)), doubt)
            if not live:
                return found._replace(findings=found.findings + _abandoned(arena, lock))
            busy = inside(arena)
            moves = any((arena.records(section) != again.records(section)).any() for section in arena.sections)
        if not found.findings or not (moves or busy):
            return found
    why = "it moves" if moves else f"cpu {', '.join(map(str, busy))} is inside"
    return Audit([], f"{why}, not a finding: {found.findings[0]}")


def repaired(name: str, lock: str | None = None) -> tuple[list[str], list[str]]:
    """Repair an arena that is left over (shmkret.audit.repair): what was done, and what the audit says afterwards.

    Raises: ArenaError for one that is live, or whose run was not recoverable; and as attach().
    """
    fd = open_arena(name, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        header = read_header(fd)
        record, plugin, doubt = _lock_of(header, lock)
        scheme = _scheme_of(header)
        arena = _with_lists(Arena.attach(fd, lock=record, scheme=scheme.record, name=plain_name(name)), scheme)
    except BlockingIOError as error:
        os.close(fd)
        raise ArenaError(f"{name} is live: what its CPUs are doing cannot be repaired from outside") from error
    except BaseException:
        os.close(fd)
        raise
    with arena:
        is_ours = plugin is not None and plugin.constants.attachable
        done = repair(arena, scheme.plugin, plugin if is_ours else None)
        left = sentences(audit(arena, scheme.plugin, at_rest=False))
        if scheme.doubt:
            left.append(f"the lists and the counts stay as they are: {scheme.doubt}")
        if plugin is None or not is_ours:
            left.append(f"the locks stay as they are: {doubt or 'their words mean nothing outside the processes of the run'}")
        return done, left


def _abandoned(arena: Arena, lock: str | None) -> list[str]:
    """What nobody is there to give back: locks, and places in their queues."""
    locks = [held.lock for held in held_locks(arena, lock).held or ()]
    return sentences(not_given_back(NotFree(locks, [] if locks else _queued(arena, lock)), "nobody is alive"))


def _queued(arena: Arena, lock: str | None) -> list[tuple[int, str]]:
    """The CPUs that are not idle in an array of locks; none where the lock cannot say, or its file is not run."""
    plugin = _lock_of(arena.header[0], lock).plugin
    is_idle = plugin.own("is_idle") if plugin is not None and plugin.constants.attachable else None
    if plugin is None or is_idle is None:
        return []
    slots, arrays = range(arena.geometry.nr_slots), lock_arrays(arena, plugin.record)
    with atomics.use(PlainMachine(None)), blamed([plugin.path], "is_idle()"):
        return [(cpu, name) for name, locks in arrays for cpu in slots if not says(is_idle, locks, cpu)]


def _lock_of(header: np.void, by_hand: str | None) -> _Lock:
    """The lock that a header tells of, or the one given by hand. segment.checked() compares its words with the header's."""
    if by_hand:
        plugin = find(LOCK, by_hand)
        return _Lock(plugin.record, plugin)
    found, doubt = _loadable(LOCK, os.fsdecode(header["lock"]))
    if found is not None:
        return _Lock(found.record, found)
    try:
        return _Lock(described_record(header["lock_record"].decode()), None, f"{doubt}; give its file with `lock`")
    except (ValueError, TypeError) as error:
        raise ArenaError(f"the arena does not say what its locks look like, and {doubt}; give its file with `lock`") from error


def _scheme_of(header: np.void) -> _Scheme:
    """The scheme that a header tells of."""
    described = header["scheme_record"].decode(errors="replace")
    found, doubt = _loadable(SCHEME, os.fsdecode(header["scheme"]))
    if not described or found is not None:
        return _Scheme(found.record if found is not None and described else None, found)
    try:
        return _Scheme(described_record(described), None, doubt)
    except (ValueError, TypeError) as error:
        raise ArenaError(f"the arena does not say what its scheme looks like: {error}") from error


def _with_lists(arena: Arena, scheme: _Scheme) -> Arena:
    """Tell an arena that has been attached where its scheme keeps instances; where that is not known, it has no lists."""
    if scheme.doubt:
        arena.lists = ()
    elif scheme.plugin is not None and scheme.record is not None:
        arena.lists = scheme.plugin.constants.lists
    return arena


def _loadable(kind: Contract, name: str) -> tuple[Plugin | None, str]:
    """The plug-in of a header's name if it is built in or installed; else None, and why. A header has no file run."""
    if not name:
        return None, f"the arena does not say which {kind.name} it has"
    if is_path(name):
        return None, f"{name} is not run because an arena says so"
    try:
        return find(kind, name), ""
    except ShmkretError as error:
        return None, str(error)
