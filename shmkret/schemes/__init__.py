"""Schemes: how each generation of the kernel keeps free and used instances, and under which locks. One a file.

A file defines a NamedTuple class with two fields, `table` (the 64 bucket locks) and `locks` (as many others as it wants), and
these functions on it. The probe path (shmkret.probes) calls them in this order, per probed call:

    entry     obtain(scheme, k, cpu, rp) -> ri      an instance of probe rp, or NIL and rp's nmissed counted
              refuse(scheme, k, cpu, rp, ri)        the entry handler said no: ri is free again
              hang(scheme, k, cpu, ri, task)        or else ri, filled in, is now task's
    return    lock_bucket(scheme, k, cpu, task)     the instances of task are ours; returns the bucket
              recycle(scheme, k, cpu, bucket, prev, ri, why)   ri, which follows prev (or NIL) in it, is free again
              unlock_bucket(scheme, k, cpu, bucket, task)
    unregister
              orphan(scheme, k, cpu, rp)            every instance of rp in flight has no rp any more

and, outside the text,

    nr_locks(nr_probes) -> int                 how many locks it takes beside the bucket locks
    RECOVERABLE = True                         optional: the moves are those of shmkret.lists, in their order, and there are
        lock_free(scheme, k, cpu, rp)          the lock that protects the free list of rp
        unlock_free(scheme, k, cpu, rp)
        lock_of(scheme, k, op, ri) -> name     the lock that a move of ri is made under (shmkret.intents)
        finish_hang(scheme, k, ri)             do again what hang() and recycle() do to lists that only this scheme keeps
        finish_remove(scheme, k, ri)
        finish_orphan(scheme, k, rp)
    audit(arena) -> list of str                optional: what is wrong with lists that only this scheme keeps; in sentences
    BUGS                                       optional: the historical bugs that it has by nature (shmkret.bugs)

Locks are taken through shmkret.locking, interrupts masked through shmkret.irqflags.
"""

from __future__ import annotations

from typing import Any

from shmkret.text.verbs import generic, optional


@generic
def obtain(scheme: Any, k: Any, cpu: int, rp: int) -> int:
    """Take an instance of probe `rp` for a call; NIL when there is none, which is counted in nmissed."""
    raise NotImplementedError


@generic
def refuse(scheme: Any, k: Any, cpu: int, rp: int, ri: int) -> None:
    """The entry handler refuses the call for which `ri` was obtained: give it back."""
    raise NotImplementedError


@generic
def hang(scheme: Any, k: Any, cpu: int, ri: int, task: int) -> None:
    """Hang `ri` into the bucket of `task`, in front."""
    raise NotImplementedError


@generic
def lock_bucket(scheme: Any, k: Any, cpu: int, task: int) -> int:
    """Make the bucket of `task` ours, interrupts masked; returns its index."""
    raise NotImplementedError


@generic
def unlock_bucket(scheme: Any, k: Any, cpu: int, bucket: int, task: int) -> None:
    """Give the bucket of `task` back."""
    raise NotImplementedError


@generic
def recycle(scheme: Any, k: Any, cpu: int, bucket: int, prev: int, ri: int, why: int) -> None:
    """recycle_rp_inst(): take `ri`, which follows `prev` (NIL: is the first), out of the bucket and free it.

    why: what a recoverable run counts it as; RETURNED or FLUSHED, of shmkret.intents.
    """
    raise NotImplementedError


@generic
def orphan(scheme: Any, k: Any, cpu: int, rp: int) -> None:
    """cleanup_rp_inst(): let every instance of `rp` in flight have no rp; who finds it on its way out frees it."""
    raise NotImplementedError


@optional
def lock_free(scheme: Any, k: Any, cpu: int, rp: int) -> None:
    """Take the lock that protects the free list of probe `rp`."""


@optional
def unlock_free(scheme: Any, k: Any, cpu: int, rp: int) -> None:
    """Give it back."""


@optional
def lock_of(scheme: Any, k: Any, op: int, ri: int) -> int:
    """The name of the lock that a move of instance `ri` is made under: POP, PUSH, HANG or REM; ORPHAN: of probe `ri`."""
    return 0


@optional
def finish_hang(scheme: Any, k: Any, ri: int) -> None:
    """Do again what hang() does to lists that only this scheme keeps, from what it prepared."""


@optional
def finish_remove(scheme: Any, k: Any, ri: int) -> None:
    """Do again what recycle() does to them."""


@optional
def finish_orphan(scheme: Any, k: Any, rp: int) -> None:
    """Do again what orphan() does under one lock."""
