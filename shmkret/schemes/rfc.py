"""The seed: a lock a bucket and a lock a probe, bug for bug as the RFC of May 2008 had it.

    table lock b    kretprobe_table_locks[b], packed: several to a cache line
    lock rp         rp->lock

The split is that of `hashed`, which has what was mended since. The seed's own helpers take a task and hash it twice, at the
lock and again at the unlock; the places that have no task open-code the lock of a bucket, as the patch does.

Order     bucket
            +-- probe    "we never grab a per-hash-list lock while holding a kretprobe lock"
Dies      an entry handler that refuses unlocks rp->lock twice and loses the instance: after maxactive refusals every call is
          missed
Source    Srinivasa D S, "[RFC] [PATCH] To improve kretprobe scalability", linux-kernel, 21 May 2008
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.hash import hash_ptr
from shmkret.irqflags import irqrestore_held, irqsave_held
from shmkret.layout import Kernel
from shmkret.lists import push_bucket
from shmkret.locking import lock_table, unlock
from shmkret.schemes.hashed import nr_locks, obtain, orphan, recycle, refuse
from shmkret.text import inline

__all__ = ["Rfc", "hang", "lock_bucket", "nr_locks", "obtain", "orphan", "recycle", "refuse", "unlock_bucket"]

BUGS = frozenset(
    {
        "double-unlock",
        "leak-on-refusal",
        "late-list-init",
        "packed-table-locks",
        "probeable-helpers",
        "unmarked-flush",
        "unmarked-walk",
        "early-reset",
    }
)


class Rfc(NamedTuple):
    """The buckets' locks, and the probes'."""

    table: Any
    locks: Any


def hang(scheme: Rfc, k: Kernel, cpu: int, ri: int, task: int) -> None:
    bucket = get_kretprobe_hash_lock(scheme, k, cpu, task)
    push_bucket(k, ri, bucket)
    put_kretprobe_hash_lock(scheme, k, cpu, task)


def lock_bucket(scheme: Rfc, k: Kernel, cpu: int, task: int) -> int:
    return get_kretprobe_hash_lock(scheme, k, cpu, task)


@inline
def unlock_bucket(scheme: Rfc, k: Kernel, cpu: int, bucket: int) -> None:
    unlock(k, cpu, scheme.table, bucket)
    irqrestore_held(k.mode.irq, k, cpu)


@inline
def get_kretprobe_hash_lock(scheme: Rfc, k: Kernel, cpu: int, task: int) -> int:
    bucket = hash_ptr(k.tasks.address[task], k.hash_multiplier)
    irqsave_held(k.mode.irq, k, cpu)
    lock_table(k, cpu, scheme.table, bucket)
    return bucket


@inline
def put_kretprobe_hash_lock(scheme: Rfc, k: Kernel, cpu: int, task: int) -> None:
    unlock_bucket(scheme, k, cpu, hash_ptr(k.tasks.address[task], k.hash_multiplier))
