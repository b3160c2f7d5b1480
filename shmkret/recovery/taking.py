"""How a lock is taken in a recoverable run, and how it is freed when its holder is dead.

    Survived    the lock says that its owner died (robust), or somebody takes it over (owner)
    Gated       nothing says who holds a lock (gate): while locks are repaired, every other CPU is parked at the gate

A lock of the family `gate` is held if a live CPU, parked, says so, and else free. A CPU says what it holds when it begins to
wait for another lock, so that taking a free lock costs no store more.

A recoverer, which nobody else could free from waiting for a dead CPU, gives up as soon as a death is announced, frees the locks
of the dead, and tries again. What it holds itself meanwhile stays its own.

Source    the robust-futex protocol of Linux; the gate is stop_machine(), for which each CPU stops itself
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arena.records import Kernel
from shmkret.locks import (
    acquire,
    acquire_robust,
    acquire_unless,
    release,
    reset,
    reset_cpu,
    take_over,
    try_acquire,
    try_acquire_robust,
    wake_all,
)
from shmkret.moves.intents import number_of, recovers
from shmkret.recovery.all_locks import every, one
from shmkret.recovery.redo import inherit, lock_under, redo
from shmkret.text.atomics import NIL, exchange, futex_wait, futex_wake, load_acquire, monotonic_ns, store_ordered, store_release
from shmkret.text.libc import OWNER_DIED, REFUSED, kick
from shmkret.text.marks import inline, outline
from shmkret.text.verbs import has_verb

EMPTY, LIVE, DEAD, UNLOCKED, BURIED = range(5)
"""States of a slot: see shmkret.recovery.recoverer."""
EVERYBODY = 1 << 30


class Survived(NamedTuple):
    """Locks that can be taken from a dead owner."""

    unused: int

    def take_lock(self, k: Kernel, cpu: int, locks: object, i: int, array: int, outer: int) -> None:
        if recovers(k.mode.recovery, "robust"):
            if acquire_robust(locks, i, cpu) == OWNER_DIED:
                inherit(k, cpu, number_of(k, array, i))
        elif not try_to_acquire(locks, i, cpu):
            wait_for(k, cpu, locks, i, array, outer)

    def give_lock(self, k: Kernel, cpu: int, locks: object, i: int, array: int) -> None:
        release(locks, i, cpu)
        if recovers(k.mode.recovery, "early-unlock"):
            store_ordered(k.recovery.intent, cpu, 0)

    def pass_gate(self, k: Kernel, cpu: int) -> None:
        pass

    def begin_wait(self, k: Kernel, cpu: int) -> None:
        pass

    def end_wait(self, k: Kernel, cpu: int) -> None:
        pass


class Gated(NamedTuple):
    """Locks that nobody can be asked about."""

    unused: int

    def take_lock(self, k: Kernel, cpu: int, locks: object, i: int, array: int, outer: int) -> None:
        # Who need not wait does not look at the gate: nothing is repaired before this CPU has parked, here or after its batch.
        if not try_to_acquire(locks, i, cpu):
            wait_at_gate(k, cpu, locks, i, outer)

    def give_lock(self, k: Kernel, cpu: int, locks: object, i: int, array: int) -> None:
        release(locks, i, cpu)
        if recovers(k.mode.recovery, "early-unlock"):
            store_ordered(k.recovery.intent, cpu, 0)

    def pass_gate(self, k: Kernel, cpu: int) -> None:
        while load_acquire(k.run.gate, 0) != 0:
            park(k, cpu)

    def begin_wait(self, k: Kernel, cpu: int) -> None:
        exchange(k.recovery.parked, cpu, 1)
        futex_wake(k.recovery.parked, cpu, 1)

    def end_wait(self, k: Kernel, cpu: int) -> None:
        # Locks may be being repaired by now, because we counted as parked.
        exchange(k.recovery.parked, cpu, 0)
        while load_acquire(k.run.gate, 0) != 0:
            park(k, cpu)


@inline
def held_word(number: int) -> int:
    """What a CPU publishes that holds the lock of that number, or none (NIL)."""
    return number + 1


@inline
def held_number(word: int) -> int:
    """The lock that a published word names; NIL: none."""
    return word - 1


@inline
def try_to_acquire(locks: object, i: int, cpu: int) -> bool:
    """try_acquire() of a lock that has it; of one that has not, every acquire goes the long way."""
    taken = False
    if has_verb(locks, "try_acquire"):
        taken = try_acquire(locks, i, cpu)
    return taken


@outline
def park(k: Kernel, cpu: int) -> None:
    """Wait until the gate is open. It may close again at once: whoever comes from here looks again."""
    exchange(k.recovery.parked, cpu, 1)
    futex_wake(k.recovery.parked, cpu, 1)
    while load_acquire(k.run.gate, 0) != 0:
        futex_wait(k.run.gate, 0, 1)
    exchange(k.recovery.parked, cpu, 0)


@outline
def wait_for(k: Kernel, cpu: int, locks: object, i: int, array: int, outer: int) -> None:
    """Take a lock that was not free, and publish for which this CPU waits meanwhile."""
    if cpu < k.nr_cpus:
        store_ordered(k.recovery.held, cpu, held_word(number_of(k, array, i)))
        acquire(locks, i, cpu)
        store_ordered(k.recovery.held, cpu, 0)
    else:
        take_as_recoverer(k, cpu, locks, i, outer)


@outline
def wait_at_gate(k: Kernel, cpu: int, locks: object, i: int, outer: int) -> None:
    """Take a lock that was not free, or while locks are being repaired, and publish what this CPU holds meanwhile."""
    store_ordered(k.recovery.held, cpu, held_word(outer))
    if cpu < k.nr_cpus:
        while load_acquire(k.run.gate, 0) != 0 or not acquire_unless(locks, i, k.run.gate, cpu):
            park(k, cpu)
    else:
        take_as_recoverer(k, cpu, locks, i, outer)
    store_ordered(k.recovery.held, cpu, 0)


@inline
def take_as_recoverer(k: Kernel, me: int, locks: object, i: int, outer: int) -> None:
    """Take a lock whose holder may have died without anybody but us to free it. outer: as of take_lock()."""
    while not acquire_unless(locks, i, k.run.deaths, me):
        free_locks(k, me, outer)


@outline
def free_locks(k: Kernel, me: int, outer: int) -> None:
    """Free the locks of every CPU whose death has been announced, and finish its move; then it is UNLOCKED.

    outer: the number of the lock that the recoverer holds itself, and keeps, or NIL.
    """
    exchange(k.run.deaths, 0, 0)
    if recovers(k.mode.recovery, "gate"):
        repair_locks(k, me)
    else:
        mark_unlocked(k)
        if recovers(k.mode.recovery, "owner"):
            take_over_locks(k, me, outer)
        else:
            sweep(k, me)
    for dead in range(k.nr_slots):
        if is_unlocked(k, dead):
            store_release(k.recovery.since_ns, dead, monotonic_ns())


@inline
def mark_unlocked(k: Kernel) -> None:
    """Those whose death has been announced by now; for who dies later there is another round."""
    for cpu in range(k.nr_slots):
        if load_acquire(k.recovery.life, cpu) == DEAD:
            store_release(k.recovery.life, cpu, UNLOCKED)


@inline
def is_unlocked(k: Kernel, cpu: int) -> bool:
    """Whether its locks are free, or about to be, and what it had is not yet taken back."""
    return load_acquire(k.recovery.life, cpu) == UNLOCKED


@inline
def repair_locks(k: Kernel, me: int) -> None:
    """Of the family `gate`."""
    if not recovers(k.mode.recovery, "no-gate"):
        close_gate(k, me)
    mark_unlocked(k)
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if is_unlocked(k, dead) and intent != 0:
            redo(k, me, dead, intent)
    for cpu in range(k.nr_slots):
        reset_records(k.system_locks, cpu)
        reset_records(k.table_locks, cpu)
        reset_records(k.other_locks, cpu)
    every(Reset(0), k, me, NIL)
    if not recovers(k.mode.recovery, "no-gate"):
        exchange(k.run.gate, 0, 0)
        futex_wake(k.run.gate, 0, EVERYBODY)


@inline
def reset_records(locks: object, cpu: int) -> None:
    """What a CPU has in the tables of an array."""
    if has_verb(locks, "reset_cpu"):
        reset_cpu(locks, cpu)


class Reset(NamedTuple):
    """A lock is held by the live CPU that says so, or free."""

    unused: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        reset(locks, i, owner_of(k, number))


@inline
def close_gate(k: Kernel, me: int) -> None:
    """And wait until every live CPU is parked; one that dies meanwhile is not waited for."""
    exchange(k.run.gate, 0, 1)
    for cpu in range(k.nr_slots):
        if cpu != me and load_acquire(k.recovery.life, cpu) == LIVE:
            kick(load_acquire(k.recovery.pid, cpu))
    for cpu in range(k.nr_slots):
        while cpu != me and load_acquire(k.recovery.life, cpu) == LIVE and load_acquire(k.recovery.parked, cpu) == 0:
            futex_wait(k.recovery.parked, cpu, 0)


@inline
def owner_of(k: Kernel, number: int) -> int:
    """The live CPU, parked, that has the lock of that number; NIL: none."""
    for cpu in range(k.nr_slots):
        if load_acquire(k.recovery.life, cpu) == LIVE and held_number(load_acquire(k.recovery.held, cpu)) == number:
            return cpu
    return NIL


@inline
def take_over_locks(k: Kernel, me: int, outer: int) -> None:
    """Of the family `owner`. First every lock, so that a move is finished with all of its locks in one hand."""
    for dead in range(k.nr_slots):
        if is_unlocked(k, dead):
            every(TakeOver(0), k, me, dead)
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if is_unlocked(k, dead) and intent != 0:
            redo(k, me, dead, intent)
    every(LetGo(outer), k, me, NIL)
    # One may have died between releasing a lock and waking who waits for it: who still does, has said so before.
    for cpu in range(k.nr_cpus):
        awaited = held_number(load_acquire(k.recovery.held, cpu))
        if awaited != NIL:
            one(Wake(0), k, me, awaited, NIL)


class TakeOver(NamedTuple):
    """What the dead CPU has is the recoverer's."""

    unused: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        take_over(locks, i, dead, me)


class LetGo(NamedTuple):
    """Release what was taken over.

    outer: the number of a lock that the recoverer had before, which is no other's, or NIL.
    """

    outer: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        if number != self.outer and take_over(locks, i, me, me):
            release(locks, i, me)


class Wake(NamedTuple):
    """Whoever sleeps looks again."""

    unused: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        wake_all(locks, i)


@inline
def sweep(k: Kernel, me: int) -> None:
    """Of the family `robust`: take each lock that a dead CPU held, which finishes its move."""
    every(Sweep(0), k, me, NIL)
    for dead in range(k.nr_slots):
        if is_unlocked(k, dead):
            # Whoever has that lock now is finishing the move.
            intent = load_acquire(k.recovery.intent, dead)
            while intent != 0:
                one(Visit(0), k, me, lock_under(k, intent), NIL)
                intent = load_acquire(k.recovery.intent, dead)


class Sweep(NamedTuple):
    """Take a lock if a dead CPU has it, and release it."""

    unused: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        status = try_acquire_robust(locks, i, me)
        if status == OWNER_DIED:
            inherit(k, me, number)
        if status != REFUSED:
            release(locks, i, me)


class Visit(NamedTuple):
    """Take a lock, which finishes what a dead holder left, and release it."""

    unused: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        if acquire_robust(locks, i, me) == OWNER_DIED:
            inherit(k, me, number)
        release(locks, i, me)
