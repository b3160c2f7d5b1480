"""How a lock is taken in a recoverable run, and how it is freed when its holder is dead.

    Survived    the lock says that its owner died (RECOVERY "robust"), or somebody takes it over ("owner")
    Gated       nothing says who holds a lock ("gate"): while locks are repaired, every other CPU is parked at the gate

A lock of "gate" is held if a live CPU, parked, says so, and else free. Only a bucket lock can be held by who parks: the others
are innermost. It says so when it begins to wait, so that taking a free lock costs no store more.

A recoverer, which nobody else could free from waiting for a dead CPU, gives up as soon as a death is announced, frees the locks
of the dead, and tries again.

Source    the robust-futex protocol of Linux; the gate is a stop_machine() of the willing
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.records import RUNQUEUE_LOCKS, Kernel
from shmkret.locks import (
    acquire,
    acquire_robust,
    acquire_unless,
    release,
    reset,
    take_over,
    try_acquire,
    try_acquire_robust,
    wake_all,
)
from shmkret.moves.intents import PROBE, SYSTEM, TABLE, lock_name, recovers
from shmkret.recovery.redo import inherit, named_lock, redo
from shmkret.text.atomics import exchange, futex_wait, futex_wake, load_acquire, monotonic_ns, store_ordered, store_release
from shmkret.text.libc import OWNER_DIED, REFUSED, kick
from shmkret.text.marks import inline, outline

EMPTY, LIVE, DEAD, DYING, BURIED = range(5)
"""States of a slot: see shmkret.recovery."""
EVERYBODY = 1 << 30


class Survived(NamedTuple):
    """Locks that can be taken from a dead owner."""

    unused: int

    def take(self, k: Kernel, cpu: int, locks: object, i: int, section: int, outer: int) -> None:
        if recovers(k.mode.recovery, "robust"):
            if acquire_robust(locks, i, cpu) == OWNER_DIED:
                inherit(k, cpu, lock_name(i, section))
        elif not try_acquire(locks, i, cpu):
            wait_for(k, cpu, locks, i)

    def give(self, k: Kernel, cpu: int, locks: object, i: int, section: int) -> None:
        release(locks, i)
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

    def take(self, k: Kernel, cpu: int, locks: object, i: int, section: int, outer: int) -> None:
        # Who need not wait does not look at the gate: nothing is repaired before this CPU has parked, here or after its batch.
        if not try_acquire(locks, i, cpu):
            wait_at_gate(k, cpu, locks, i, outer)

    def give(self, k: Kernel, cpu: int, locks: object, i: int, section: int) -> None:
        release(locks, i)
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


@outline
def park(k: Kernel, cpu: int) -> None:
    """Wait until the gate is open. It may close again at once: whoever comes from here looks again."""
    exchange(k.recovery.parked, cpu, 1)
    futex_wake(k.recovery.parked, cpu, 1)
    while load_acquire(k.run.gate, 0) != 0:
        futex_wait(k.run.gate, 0, 1)
    exchange(k.recovery.parked, cpu, 0)


@outline
def wait_for(k: Kernel, cpu: int, locks: object, i: int) -> None:
    """Take a lock that was not free."""
    if cpu < k.nr_cpus:
        acquire(locks, i, cpu)
    else:
        take_as_recoverer(k, cpu, locks, i)


@outline
def wait_at_gate(k: Kernel, cpu: int, locks: object, i: int, outer: int) -> None:
    """Take a lock that was not free, or while locks are being repaired, and publish what this CPU holds meanwhile."""
    store_ordered(k.recovery.held, cpu, outer + 1)
    if cpu < k.nr_cpus:
        while load_acquire(k.run.gate, 0) != 0 or not acquire_unless(locks, i, k.run.gate, cpu):
            park(k, cpu)
    else:
        take_as_recoverer(k, cpu, locks, i)
    store_ordered(k.recovery.held, cpu, 0)


@inline
def take_as_recoverer(k: Kernel, me: int, locks: object, i: int) -> None:
    """Take a lock whose holder may have died without anybody but us to free it."""
    while not acquire_unless(locks, i, k.run.deaths, me):
        free_locks(k, me)


@outline
def free_locks(k: Kernel, me: int) -> None:
    """Free the locks of every CPU whose death has been announced, and finish its move; then it is DYING."""
    exchange(k.run.deaths, 0, 0)
    if recovers(k.mode.recovery, "gate"):
        repair_locks(k, me)
    else:
        mark_dying(k)
        if recovers(k.mode.recovery, "owner"):
            take_over_locks(k, me)
        else:
            sweep(k, me)
    for dead in range(k.nr_slots):
        if is_dying(k, dead):
            store_release(k.recovery.since_ns, dead, monotonic_ns())


@inline
def mark_dying(k: Kernel) -> None:
    """Those whose death has been announced by now; for who dies later there is another round."""
    for cpu in range(k.nr_slots):
        if load_acquire(k.recovery.life, cpu) == DEAD:
            store_release(k.recovery.life, cpu, DYING)


@inline
def is_dying(k: Kernel, cpu: int) -> bool:
    """Whether its locks are free, or about to be, and what it had is not yet taken back."""
    return load_acquire(k.recovery.life, cpu) == DYING


@inline
def repair_locks(k: Kernel, me: int) -> None:
    """RECOVERY = "gate"."""
    if not recovers(k.mode.recovery, "no-gate"):
        close_gate(k, me)
    mark_dying(k)
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if is_dying(k, dead) and intent != 0:
            redo(k, me, dead, intent)
    for i in range(NR_BUCKETS):
        reset(k.scheme.table, i, is_held(k, i))
    for i in range(k.nr_locks):
        reset(k.scheme.locks, i, False)
    for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
        reset(k.system_locks, i, False)
    if not recovers(k.mode.recovery, "no-gate"):
        exchange(k.run.gate, 0, 0)
        futex_wake(k.run.gate, 0, EVERYBODY)


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
def is_held(k: Kernel, bucket: int) -> bool:
    """Whether a live CPU, parked, has that bucket lock."""
    for cpu in range(k.nr_slots):
        if load_acquire(k.recovery.life, cpu) == LIVE and load_acquire(k.recovery.held, cpu) == bucket + 1:
            return True
    return False


@inline
def take_over_locks(k: Kernel, me: int) -> None:
    """RECOVERY = "owner". First every lock, so that a move is finished with all of its locks in one hand."""
    for dead in range(k.nr_slots):
        if is_dying(k, dead):
            for i in range(NR_BUCKETS):
                take_over(k.scheme.table, i, dead, me)
            for i in range(k.nr_locks):
                take_over(k.scheme.locks, i, dead, me)
            for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
                take_over(k.system_locks, i, dead, me)
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if is_dying(k, dead) and intent != 0:
            redo(k, me, dead, intent)
    for i in range(NR_BUCKETS):
        let_go(k.scheme.table, i, me)
    for i in range(k.nr_locks):
        let_go(k.scheme.locks, i, me)
    for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
        let_go(k.system_locks, i, me)


@inline
def let_go(locks: object, i: int, me: int) -> None:
    """Release what was taken over; and one may have died between releasing a lock and waking who waits for it."""
    if take_over(locks, i, me, me):
        release(locks, i)
    wake_all(locks, i)


@inline
def sweep(k: Kernel, me: int) -> None:
    """RECOVERY = "robust": take each lock that a dead CPU held, which finishes its move."""
    for i in range(NR_BUCKETS):
        sweep_lock(k, me, k.scheme.table, i, TABLE)
    for i in range(k.nr_locks):
        sweep_lock(k, me, k.scheme.locks, i, PROBE)
    for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
        sweep_lock(k, me, k.system_locks, i, SYSTEM)
    for dead in range(k.nr_slots):
        if is_dying(k, dead):
            # Whoever has that lock now is finishing the move.
            intent = load_acquire(k.recovery.intent, dead)
            while intent != 0:
                visit(k, me, named_lock(k, intent))
                intent = load_acquire(k.recovery.intent, dead)


@inline
def sweep_lock(k: Kernel, me: int, locks: object, i: int, section: int) -> None:
    """If a dead CPU has it."""
    status = try_acquire_robust(locks, i, me)
    if status == OWNER_DIED:
        inherit(k, me, lock_name(i, section))
    if status != REFUSED:
        release(locks, i)


@inline
def visit(k: Kernel, me: int, name: int) -> None:
    """Take a robust lock, which finishes what a dead holder left, and release it."""
    i = name // 3
    if name % 3 == TABLE:
        visit_lock(k, me, k.scheme.table, i, name)
    elif name % 3 == PROBE:
        visit_lock(k, me, k.scheme.locks, i, name)
    else:
        visit_lock(k, me, k.system_locks, i, name)


@inline
def visit_lock(k: Kernel, me: int, locks: object, i: int, name: int) -> None:
    """One array of visit()."""
    if acquire_robust(locks, i, me) == OWNER_DIED:
        inherit(k, me, name)
    release(locks, i)
