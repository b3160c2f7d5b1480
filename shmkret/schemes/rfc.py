"""The seed: a lock a bucket and a lock a probe, bug for bug as the RFC of May 2008 had it.

    table lock b    kretprobe_table_locks[b], packed: several to a cache line
    lock rp         rp->lock

The split is that of `hashed`, which has what was mended since. The trampolines go through helpers that take a task and hash it
twice, at the lock and again at the unlock; entry and unregistering open-code the lock of a bucket. Two liberties: flushing goes
through the helpers here, and kp.nmissed is atomic, which it never was in any kernel (--bug racy-nmissed).

Order     bucket
            +-- probe    "we never grab a per-hash-list lock while holding a kretprobe lock"
Dies      an entry handler that refuses unlocks rp->lock twice and loses the instance: after maxactive refusals every call is
          missed
Source    Srinivasa D S, "[RFC] [PATCH] To improve kretprobe scalability", linux-kernel, 21 May 2008
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from shmkret.moves import (
    IN_ONE_PLACE,
    NIL,
    NR_BUCKETS,
    PER_BUCKET,
    PER_PROBE,
    Kernel,
    Locks,
    drain,
    first,
    give,
    hash_ptr,
    inline,
    irqrestore_held,
    irqsave_held,
    lock_bucket,
    lock_table,
    next,
    push_bucket,
    retire,
    ri_of,
    rp_of,
    unlock_table,
)
from shmkret.schemes.hashed import always, obtain, refuse, take

__all__ = ["always", "drain", "first", "give", "next", "obtain", "refuse", "retire", "ri_of", "rp_of", "take"]

BUGS = frozenset(
    {
        "double-unlock",
        "leak-on-refusal",
        "late-list-init",
        "packed-table-locks",
        "probeable-helpers",
        "unmarked-cleanup",
        "unmarked-flush",
        "unmarked-walk",
        "early-reset",
    }
)


ALWAYS = IN_ONE_PLACE


class Rfc(NamedTuple):
    """The buckets' locks, and the probes'."""

    table: Annotated[Locks, PER_BUCKET]
    locks: Annotated[Locks, PER_PROBE]


def push(scheme: Rfc, k: Kernel, cpu: int, ri: int, task: int) -> None:
    bucket = hash_ptr(k.tasks.address[task], k.hash_multiplier)
    lock_open_coded(scheme, k, cpu, bucket)
    push_bucket(k, cpu, ri, bucket)
    unlock_open_coded(scheme, k, cpu, bucket)


def begin_walk(scheme: Rfc, k: Kernel, cpu: int, task: int) -> int:
    """get_kretprobe_hash_lock()."""
    bucket = hash_ptr(k.tasks.address[task], k.hash_multiplier)
    irqsave_held(k.mode.irq, k, cpu)
    lock_table(k, cpu, scheme.table, bucket)
    return bucket


def end_walk(scheme: Rfc, k: Kernel, cpu: int, where: int, task: int) -> None:
    """put_kretprobe_hash_lock(): it has the task, and hashes it again."""
    unlock_open_coded(scheme, k, cpu, hash_ptr(k.tasks.address[task], k.hash_multiplier))


def orphan(scheme: Rfc, k: Kernel, cpu: int, rp: int) -> None:
    for bucket in range(NR_BUCKETS):
        lock_open_coded(scheme, k, cpu, bucket)
        ri = k.buckets.first[bucket]
        while ri != NIL:
            if k.instances.rp[ri] == rp:
                k.instances.rp[ri] = NIL
            ri = k.instances.next[ri]
        unlock_open_coded(scheme, k, cpu, bucket)


@inline
def lock_open_coded(scheme: Rfc, k: Kernel, cpu: int, bucket: int) -> None:
    irqsave_held(k.mode.irq, k, cpu)
    lock_bucket(k, cpu, scheme.table, bucket)


@inline
def unlock_open_coded(scheme: Rfc, k: Kernel, cpu: int, bucket: int) -> None:
    unlock_table(k, cpu, scheme.table, bucket)
    irqrestore_held(k.mode.irq, k, cpu)
