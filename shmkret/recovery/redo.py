"""How the move of a dead CPU is finished.

An intent says which lock its move is made under. It is finished only by whoever holds that lock now, or while everybody is
parked; so two survivors never finish one move. What is finished are the words of the dead CPU itself, its intent cleared last:
who dies in between leaves the same work to the next.

    hashed, dead in REM      bucket and probe lock are both its own; the bucket's new holder waits for the probe's
    hashed, dead in PUSH     the second half of the same move: the probe lock's new holder ends it

Source    the robust-futex protocol of Linux, whose list_op_pending closes the same window
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arena.hashing import hash_ptr
from shmkret.arena.records import RUNQUEUE_LOCKS, SLAB_LOCK, Kernel
from shmkret.kernel.sched import link, unlink
from shmkret.locks import acquire_robust, release
from shmkret.moves.intents import (
    AT_REST,
    DEQUEUE,
    ENQUEUE,
    HAND,
    HANG,
    IN_FLIGHT,
    NOTHING,
    ORPHAN,
    POP,
    PUSH,
    REFUSAL,
    REM,
    RETURNED,
    SLAB_POP,
    SLAB_PUSH,
    SYSTEM,
    book_of,
    count_of,
    counted,
    instance_of,
    intent_of,
    number_of,
    op_of,
    other_of,
    recovers,
    set_count,
    why_of,
)
from shmkret.recovery.all_locks import one
from shmkret.schemes import finish_orphan, finish_push, finish_take, lock_of
from shmkret.text.atomics import NIL, load_acquire, store_ordered
from shmkret.text.libc import OWNER_DIED
from shmkret.text.marks import inline, outline


@outline
def inherit(k: Kernel, cpu: int, number: int) -> None:
    """`cpu` has the lock of that number from a CPU that died in it: finish the move that was made under it."""
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if dead != cpu and intent != 0 and is_under(k, dead, intent, number):
            redo(k, cpu, dead, intent)


@inline
def is_under(k: Kernel, dead: int, intent: int, number: int) -> bool:
    """Whether that is still the intent of the CPU, and of that lock. A live CPU may have ended its move while we looked at the
    instance, which another has by now; no live one has a move under a lock that is ours.
    """
    return lock_under(k, intent) == number and load_acquire(k.recovery.intent, dead) == intent


@outline
def lock_under(k: Kernel, intent: int) -> int:
    """The lock that a move is made under."""
    op = op_of(intent)
    ri = instance_of(intent)
    if op == SLAB_POP or op == SLAB_PUSH:  # noqa: SIM109 (the text has no containers)
        return number_of(k, SYSTEM, SLAB_LOCK)
    if op == ENQUEUE or op == DEQUEUE:  # noqa: SIM109
        return number_of(k, SYSTEM, RUNQUEUE_LOCKS + load_acquire(k.entities.cpu, ri))
    return lock_of(k.scheme, k, op, ri)


@outline
def redo(k: Kernel, cpu: int, dead: int, intent: int) -> None:
    """Finish the move that `dead` has committed. Each store is absolute, or is left out where it shows that it was made."""
    op = op_of(intent)
    ri = instance_of(intent)
    if op == HANG:
        redo_hang(k, dead, intent, ri)
    elif op == REM:
        redo_remove(k, cpu, dead, intent, ri)
    elif op == POP:
        # It may have been done long ago, and the lock be another's: then `ri` is in hand, and first on no list.
        rp = k.instances.rp[ri]
        if load_acquire(k.probes.free, rp) == ri:
            store_ordered(k.probes.free, rp, k.instances.next[ri])
        end_move(k, dead, ri, HAND + dead)
    elif op == PUSH:
        redo_push(k, dead, intent, ri)
    elif op == SLAB_POP:
        if k.registry.slab[0] == ri:
            store_ordered(k.registry.slab, 0, k.instances.next[ri])
        end_move(k, dead, ri, HAND + dead)
    elif op == SLAB_PUSH:
        store_ordered(k.registry.slab, 0, ri)
        end_move(k, dead, ri, AT_REST)
    elif op == ENQUEUE:
        link(k, ri, other_of(intent))
        store_ordered(k.recovery.intent, dead, 0)
    elif op == DEQUEUE:
        unlink(k, dead, ri)
        store_ordered(k.recovery.intent, dead, 0)
    elif op == ORPHAN:
        finish_orphan(k.scheme, k, ri)
        store_ordered(k.recovery.intent, dead, 0)


@inline
def end_move(k: Kernel, dead: int, ri: int, state: int) -> None:
    """The last two stores of a move."""
    store_ordered(k.instances.state, ri, state)
    store_ordered(k.recovery.intent, dead, 0)


@inline
def redo_hang(k: Kernel, dead: int, intent: int, ri: int) -> None:
    """Into the bucket."""
    bucket = hash_ptr(k.tasks.address[k.instances.task[ri]], k.hash_multiplier)
    store_ordered(k.buckets.first, bucket, ri)
    finish_push(k.scheme, k, ri)
    book = book_of(k, dead, k.instances.rp[ri])
    store_ordered(k.books.hits, book, counted(count_of(intent), k.books.hits[book]))
    end_move(k, dead, ri, IN_FLIGHT)


@inline
def redo_push(k: Kernel, dead: int, intent: int, ri: int) -> None:
    """Onto the free list."""
    store_ordered(k.probes.free, k.instances.rp[ri], ri)
    count_again(k, dead, intent, k.instances.rp[ri])
    end_move(k, dead, ri, AT_REST)


@inline
def count_again(k: Kernel, dead: int, intent: int, rp: int) -> None:
    """Let the count be what the intent says."""
    why = why_of(intent)
    if why == RETURNED:
        seen = k.cpus.returns[dead]
    elif why == REFUSAL:
        seen = k.books.refused[book_of(k, dead, rp)]
    else:
        seen = k.cpus.flushed[dead]
    if why != NOTHING:
        set_count(k, dead, why, counted(count_of(intent), seen), rp)


@inline
def redo_remove(k: Kernel, cpu: int, dead: int, intent: int, ri: int) -> None:
    """Out of the bucket; then, if it still has a probe, onto its free list, in the words of the dead CPU."""
    bucket = hash_ptr(k.tasks.address[k.instances.task[ri]], k.hash_multiplier)
    prev = other_of(intent)
    if prev == NIL:
        if k.buckets.first[bucket] == ri:
            store_ordered(k.buckets.first, bucket, k.instances.next[ri])
    elif k.instances.next[prev] == ri:
        store_ordered(k.instances.next, prev, k.instances.next[ri])
    finish_take(k.scheme, k, ri)
    rp = k.instances.rp[ri]
    if rp == NIL:
        count_again(k, dead, intent, NIL)
        end_move(k, dead, ri, HAND + dead)
    else:
        lock_inner(k, cpu, ri)
        if k.probes.free[rp] != ri:
            store_ordered(k.instances.next, ri, k.probes.free[rp])
        pushed = intent_of(PUSH, why_of(intent), count_of(intent), ri, NIL)
        store_ordered(k.recovery.intent, dead, pushed)
        redo_push(k, dead, pushed, ri)
        unlock_inner(k, cpu, ri)


@inline
def lock_inner(k: Kernel, cpu: int, ri: int) -> None:
    """The lock of the free list, where it is another one and may have gone to somebody else."""
    if recovers(k.mode.recovery, "robust"):
        outer, inner = lock_of(k.scheme, k, REM, ri), lock_of(k.scheme, k, PUSH, ri)
        if inner != outer:
            one(LockInner(0), k, cpu, inner, NIL)


@inline
def unlock_inner(k: Kernel, cpu: int, ri: int) -> None:
    """The end of lock_inner()."""
    if recovers(k.mode.recovery, "robust"):
        outer, inner = lock_of(k.scheme, k, REM, ri), lock_of(k.scheme, k, PUSH, ri)
        if inner != outer:
            one(UnlockInner(0), k, cpu, inner, NIL)


class LockInner(NamedTuple):
    """Take it; what a dead holder left is finished."""

    unused: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        if acquire_robust(locks, i, me) == OWNER_DIED:
            inherit_inner(k, me, number)


class UnlockInner(NamedTuple):
    """Give it back."""

    unused: int

    def to_lock(self, k: Kernel, me: int, locks: object, i: int, number: int, dead: int) -> None:
        release(locks, i, me)


@inline
def inherit_inner(k: Kernel, cpu: int, number: int) -> None:
    """As inherit(), of a lock under which only free lists change."""
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if dead != cpu and intent != 0 and is_under(k, dead, intent, number):
            ri = instance_of(intent)
            if op_of(intent) == PUSH:
                redo_push(k, dead, intent, ri)
            elif op_of(intent) == POP:
                rp = k.instances.rp[ri]
                if k.probes.free[rp] == ri:
                    store_ordered(k.probes.free, rp, k.instances.next[ri])
                end_move(k, dead, ri, HAND + dead)
