"""What a scheme has whose free lists and buckets are chained: the walk, and how instances come and go with their probe.

A file of such a scheme imports these functions as its own; the caller of the walk holds the bucket's lock.
"""

from __future__ import annotations

from typing import Any

from shmkret.arena.chains import IN_BUCKETS as LISTS
from shmkret.arena.records import Kernel
from shmkret.moves.intents import NOTHING, recovers
from shmkret.moves.lists import pop_free, push_free, take_in_hand, take_out
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline
from shmkret.text.verbs import generic

__all__ = ["LISTS", "drain", "first", "give", "next", "retire", "ri_of", "rp_of", "take_orphan"]


@generic
def lock_free(scheme: Any, k: Any, cpu: int, rp: int) -> None:
    """Take the lock that protects the free list of probe `rp`."""
    raise NotImplementedError


@generic
def unlock_free(scheme: Any, k: Any, cpu: int, rp: int) -> None:
    """Give it back."""
    raise NotImplementedError


def first(scheme: Any, k: Kernel, where: int) -> int:
    """The cursor is the instance itself."""
    return k.buckets.first[where]


def next(scheme: Any, k: Kernel, at: int) -> int:
    """The instance behind it."""
    return k.instances.next[at]


def ri_of(scheme: Any, k: Kernel, at: int) -> int:
    """Itself."""
    return at


def rp_of(scheme: Any, k: Kernel, ri: int) -> int:
    """Its own word says it; orphan() clears it."""
    return k.instances.rp[ri]


def retire(scheme: Any, k: Kernel, cpu: int, rp: int) -> None:
    """Nothing: orphan() finds the instances after the grace period."""


def give(scheme: Any, k: Kernel, cpu: int, ri: int, rp: int) -> bool:
    """Onto the free list of `rp`, which has room for all; a list that nobody can find needs its lock only for recovery."""
    if recovers(k.mode.recovery, "moves"):
        lock_free(scheme, k, cpu, rp)
    push_free(k, cpu, ri, rp, NOTHING)
    if recovers(k.mode.recovery, "moves"):
        unlock_free(scheme, k, cpu, rp)
    return True


def drain(scheme: Any, k: Kernel, cpu: int, rp: int) -> int:
    """The first of the free list of a probe that no CPU can find, taken off it; or NIL."""
    ri = k.probes.free[rp]
    if ri != NIL:
        if recovers(k.mode.recovery, "moves"):
            lock_free(scheme, k, cpu, rp)
        pop_free(k, cpu, ri, rp)
        if recovers(k.mode.recovery, "moves"):
            unlock_free(scheme, k, cpu, rp)
    return ri


@inline
def take_orphan(k: Kernel, cpu: int, where: int, prev: int, ri: int, why: int) -> bool:
    """take() of an instance that has no probe any more: out of the bucket, into the hands of this CPU."""
    take_out(k, cpu, ri, prev, where, why)
    take_in_hand(k, cpu, ri, why)
    return True
