"""A lock a bucket and a lock a probe: the seed's split, as merged in 2.6.27.

    lock 0 ... 63     kretprobe_table_locks, one a bucket
    lock 64 + rp      rp->lock

Order     bucket
            +-- probe    recycle() takes it inside the bucket's; never the other way round
Limbo     between obtain() and hang() an instance is on no list, and no lock is held
Always    0 <= instances on free <= maxactive, for each probe
Source    Linux commit ef53d9c5e4da ("kprobes: improve kretprobe scalability with hashed locking")
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.atomics import NIL
from shmkret.hash import NR_BUCKETS, hash_ptr
from shmkret.layout import Kernel
from shmkret.lists import push_bucket, push_free, unlink_bucket
from shmkret.locks import acquire, release
from shmkret.text import inline


class Hashed(NamedTuple):
    """The array of locks: the buckets', then the probes'."""

    locks: Any


def nr_locks(nr_probes: int) -> int:
    return NR_BUCKETS + nr_probes


def obtain(scheme: Hashed, k: Kernel, rp: int) -> int:
    acquire(scheme.locks, NR_BUCKETS + rp)
    ri = k.probes.free[rp]
    if ri == NIL:
        k.probes.nmissed[rp] += 1
    else:
        k.probes.free[rp] = k.instances.next[ri]
    release(scheme.locks, NR_BUCKETS + rp)
    return ri


def hang(scheme: Hashed, k: Kernel, ri: int, task: int) -> None:
    bucket = lock_bucket(scheme, k, task)
    push_bucket(k, ri, bucket)
    unlock_bucket(scheme, k, bucket)


@inline
def lock_bucket(scheme: Hashed, k: Kernel, task: int) -> int:
    bucket = hash_ptr(k.tasks.address[task], k.hash_multiplier)
    acquire(scheme.locks, bucket)
    return bucket


@inline
def unlock_bucket(scheme: Hashed, k: Kernel, bucket: int) -> None:
    release(scheme.locks, bucket)


def recycle(scheme: Hashed, k: Kernel, bucket: int, prev: int, ri: int) -> None:
    rp = k.instances.rp[ri]
    unlink_bucket(k, ri, prev, bucket)
    acquire(scheme.locks, NR_BUCKETS + rp)
    push_free(k, ri, rp)
    release(scheme.locks, NR_BUCKETS + rp)
