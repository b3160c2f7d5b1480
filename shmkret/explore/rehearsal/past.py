"""Locks that have a past: really taken and given back, as often as asked, before a trial begins with them.

A lock that counts may be right for its first 65,536 turns alone. Here CPUs take their turns one after the other, so that
nobody waits: a turn is what the trial does, with the functions that it is about.
"""

from __future__ import annotations

from collections.abc import Callable

from shmkret import locks
from shmkret.explore.greenlets.bounded import guarded, watched
from shmkret.explore.greenlets.cpu import WaitsForever
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.rehearsal.alone import Alone, Past
from shmkret.explore.rehearsal.trials import TRIALS, Adding
from shmkret.explore.scenario import Broken
from shmkret.plugins.registry import Plugin
from shmkret.text import atomics
from shmkret.text.atomics import Words
from shmkret.text.libc import OWNER_DIED


def grown_old(plugin: Plugin, trial: str, age: int, nr_locks: int, cpus: int, takers: int) -> Past:
    """Locks of a trial of `cpus` CPUs after `age` turns at each: of `takers` CPUs, one after the other.

    Raises: Broken, RunsOn; what the lock raises.
    """
    machine = ExploredMachine()

    def lives() -> Past:
        alone = Alone(plugin, machine, nr_locks, cpus + TRIALS[trial].bystanders, set())
        once, never = ONCE[trial], alone.words("never")
        for n in range(age):
            machine.begin_call()
            for i in range(nr_locks):
                try:
                    once(alone, i, n % takers, never)
                except WaitsForever as wait:
                    raise Broken(f"turn {n:,} at lock {i}: cpu {n % takers} waits for ever: {wait}") from wait
        past, wrong = alone.past(), alone.wrong()
        if wrong:
            raise Broken("; ".join(wrong))
        return past

    with atomics.use(machine), watched():
        return guarded(lives)


def _takes(alone: Alone, i: int, cpu: int, _: Words) -> None:
    locks.acquire(alone.locks, i, cpu)
    locks.release(alone.locks, i, cpu)


def _tries(alone: Alone, i: int, cpu: int, _: Words) -> None:
    if not locks.try_acquire(alone.locks, i, cpu):
        raise Broken(f"cpu {cpu} tries for lock {i}, which is free, and does not get it")
    locks.release(alone.locks, i, cpu)


def _shares(alone: Alone, i: int, cpu: int, _: Words) -> None:
    locks.acquire_shared(alone.locks, i, cpu)
    locks.release_shared(alone.locks, i, cpu)


def _writes_and_reads(alone: Alone, i: int, cpu: int, _: Words) -> None:
    _takes(alone, i, cpu, _)
    if locks.read_retry(alone.locks, i, locks.read_begin(alone.locks, i)):
        raise Broken(f"cpu {cpu} has read under lock {i}, to which nobody wrote, and must read again")


def _adds(alone: Alone, i: int, cpu: int, _: Words) -> None:
    locks.apply(alone.locks, i, cpu, Adding(alone.counter), None, i)


def _waits(alone: Alone, i: int, cpu: int, never: Words) -> None:
    if not locks.acquire_unless(alone.locks, i, never, cpu):
        raise Broken(f"cpu {cpu} waits for lock {i}, is not told to stop, and gives up")
    locks.release(alone.locks, i, cpu)


def _asks(alone: Alone, i: int, cpu: int, _: Words) -> None:
    if locks.acquire_robust(alone.locks, i, cpu) == OWNER_DIED:
        raise Broken(f"cpu {cpu} has lock {i}, of which it is said that its owner died; nobody has")
    locks.release(alone.locks, i, cpu)


ONCE: dict[str, Callable[[Alone, int, int, Words], None]] = {
    "acquire": _takes,
    "try": _tries,
    "shared": _shares,
    "sequence": _writes_and_reads,
    "combine": _adds,
    "give up": _waits,
    "gate": _waits,
    "repair": _waits,
    "take over": _takes,
    "robust": _asks,
}
"""One turn of a CPU at a lock, by trial; the last argument is a word that tells nobody to stop."""
