"""The list moves that the schemes share. The caller holds the lock that protects the list.

Each follows the order of shmkret.moves.intents: prepare, commit, apply, clear. Where a run is not recoverable, what remains
is the plain stores of the kernel's hlist functions.
"""

from __future__ import annotations

from shmkret.arena.records import Kernel
from shmkret.moves.intents import (
    AT_REST,
    HAND,
    HANG,
    IN_FLIGHT,
    NOTHING,
    POP,
    PUSH,
    REM,
    apply_to,
    book_of,
    commit,
    count_in_book,
    finish,
    intent_of,
    new_count,
    new_hits,
    put,
    recovers,
    set_count,
    set_hits,
    settle,
)
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline


@inline
def pop_free(k: Kernel, cpu: int, ri: int, rp: int) -> None:
    """Take `ri`, the first of the free list of `rp`.

    The intent stays until the next move of this CPU, which is made with `ri`, takes its place: doing a pop again that was done
    changes nothing. Where the next holder of the lock finishes moves, and not the recoverer alone, it must not see it.
    """
    # The count tells this pop from an earlier one of `ri`, for those who look at live CPUs.
    count = k.books.calls[book_of(k, cpu, rp)] if recovers(k.mode.recovery, "robust") else 0
    apply_to(k, cpu, intent_of(POP, NOTHING, count, ri, NIL), k.probes.free, rp, k.instances.next[ri])
    settle(k, cpu, ri, HAND + cpu)
    if recovers(k.mode.recovery, "robust"):
        finish(k, cpu)


@inline
def push(k: Kernel, cpu: int, intent: int, ri: int, slot: object, j: int) -> None:
    """hlist_add_head(): `ri`, which is on no list, in front of slot[j]."""
    if recovers(k.mode.recovery, "late-next"):
        commit(k, cpu, intent)
        put(k, k.instances.next, ri, slot[j])  # type: ignore[index]
        put(k, slot, j, ri)
    else:
        k.instances.next[ri] = slot[j]  # type: ignore[index]
        apply_to(k, cpu, intent, slot, j, ri)


@inline
def push_free(k: Kernel, cpu: int, ri: int, rp: int, why: int) -> None:
    """hlist_add_head(&ri->hlist, &rp->free_instances). why: what it counts as."""
    count = new_count(k, cpu, why, rp)
    push(k, cpu, intent_of(PUSH, why, count, ri, NIL), ri, k.probes.free, rp)
    settle(k, cpu, ri, AT_REST)
    set_count(k, cpu, why, count, rp)
    finish(k, cpu)


@inline
def push_back(k: Kernel, cpu: int, ri: int, rp: int, why: int) -> None:
    """push_free() of what take_out() has just taken: one move with it, whose intent says both halves.

    Where the next holder of a lock finishes moves, and not the recoverer alone with all of them in hand, it must see its half.
    """
    if recovers(k.mode.recovery, "moves") and not recovers(k.mode.recovery, "robust"):
        put(k, k.instances.next, ri, k.probes.free[rp])
        put(k, k.probes.free, rp, ri)
        count = new_count(k, cpu, why, rp)
        settle(k, cpu, ri, AT_REST)
        set_count(k, cpu, why, count, rp)
        finish(k, cpu)
    else:
        push_free(k, cpu, ri, rp, why)


@inline
def push_bucket(k: Kernel, cpu: int, ri: int, bucket: int) -> None:
    """hlist_add_head(&ri->hlist, &kretprobe_inst_table[bucket])."""
    rp = k.instances.rp[ri] if recovers(k.mode.recovery, "moves") else NIL
    hits = new_hits(k, cpu, rp)
    push(k, cpu, intent_of(HANG, NOTHING, hits, ri, NIL), ri, k.buckets.first, bucket)
    hung(k, cpu, ri, hits, rp)


@inline
def hung(k: Kernel, cpu: int, ri: int, hits: int, rp: int) -> None:
    """The end of a move into a bucket."""
    settle(k, cpu, ri, IN_FLIGHT)
    set_hits(k, cpu, hits, rp)
    finish(k, cpu)


@inline
def unlink_bucket(k: Kernel, ri: int, prev: int, bucket: int) -> None:
    """hlist_del(&ri->hlist); the walk knows what stands before `ri`, so that no back link is kept."""
    if prev == NIL:
        put(k, k.buckets.first, bucket, k.instances.next[ri])
    else:
        put(k, k.instances.next, prev, k.instances.next[ri])


@inline
def take_out(k: Kernel, cpu: int, ri: int, prev: int, bucket: int, why: int) -> None:
    """unlink_bucket(), where push_back() or take_in_hand() ends the move. A recoverable run has both locks by now."""
    intent = intent_of(REM, why, new_count(k, cpu, why, NIL), ri, prev)
    if prev == NIL:
        apply_to(k, cpu, intent, k.buckets.first, bucket, k.instances.next[ri])
    else:
        apply_to(k, cpu, intent, k.instances.next, prev, k.instances.next[ri])


@inline
def take_in_hand(k: Kernel, cpu: int, ri: int, why: int) -> None:
    """The end of a move out of a bucket whose instance has no probe any more."""
    count = new_count(k, cpu, why, NIL)
    settle(k, cpu, ri, HAND + cpu)
    set_count(k, cpu, why, count, NIL)
    finish(k, cpu)


@inline
def count_missed(k: Kernel, cpu: int, rp: int) -> None:
    """rp->nmissed++. A recoverable run keeps it for each CPU apart, so that it is one store."""
    if recovers(k.mode.recovery, "moves"):
        count_in_book(k, k.books.nmissed, cpu, rp)
    else:
        k.probes.nmissed[rp] += 1
