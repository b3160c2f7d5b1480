"""One lock for everything, taken at entry and at return: the kernel up to 2.6.26, and the seed's baseline.

    lock 0   kretprobe_lock

An instance leaves the free list only when the call is certain, and stands on a second list of its probe, `used`, while the
call runs; unregister needs it.

Always    0 <= instances on free + instances on used == maxactive, for each probe
Source    pre_handler_kretprobe(), recycle_rp_inst(), kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.arena import Arena, buckets
from shmkret.atomics import NIL
from shmkret.hash import hash_ptr
from shmkret.layout import Kernel
from shmkret.lists import push_bucket, push_free, unlink_bucket
from shmkret.locks import acquire, release
from shmkret.text import inline

KRETPROBE_LOCK = 0


class Global(NamedTuple):
    """The array of locks; there is one."""

    locks: Any


def nr_locks(nr_probes: int) -> int:
    return 1


def obtain(scheme: Global, k: Kernel, rp: int) -> int:
    # The lock is kept until hang(): entry handlers run under it.
    acquire(scheme.locks, KRETPROBE_LOCK)
    ri = k.probes.free[rp]
    if ri == NIL:
        k.probes.nmissed[rp] += 1
        release(scheme.locks, KRETPROBE_LOCK)
    return ri


def hang(scheme: Global, k: Kernel, ri: int, task: int) -> None:
    rp = k.instances.rp[ri]
    k.probes.free[rp] = k.instances.next[ri]
    push_used(k, ri, rp)
    push_bucket(k, ri, hash_ptr(k.tasks.address[task], k.hash_multiplier))
    release(scheme.locks, KRETPROBE_LOCK)


def lock_bucket(scheme: Global, k: Kernel, task: int) -> int:
    acquire(scheme.locks, KRETPROBE_LOCK)
    return hash_ptr(k.tasks.address[task], k.hash_multiplier)


def unlock_bucket(scheme: Global, k: Kernel, bucket: int) -> None:
    release(scheme.locks, KRETPROBE_LOCK)


def recycle(scheme: Global, k: Kernel, bucket: int, prev: int, ri: int) -> None:
    rp = k.instances.rp[ri]
    unlink_bucket(k, ri, prev, bucket)
    unlink_used(k, ri, rp)
    push_free(k, ri, rp)


def audit(arena: Arena) -> list[str]:
    """The used list of each probe holds its instances in flight, linked both ways."""
    instances, used = arena.records("instances"), arena.records("probes")["used"].tolist()
    after, before = instances["used_next"].tolist(), instances["used_prev"].tolist()
    in_flight = sorted(ri for order in buckets(arena) for ri in order)
    seen: list[int] = []
    for rp, first in enumerate(used):
        ri, previous = first, NIL
        while ri != NIL:
            if not 0 <= ri < len(after) or before[ri] != previous or len(seen) > len(after):
                return [f"the used list of probe {rp} is broken at {ri}"]
            seen.append(ri)
            ri, previous = after[ri], ri
    return [] if sorted(seen) == in_flight else [f"{len(seen)} instances are on used lists, {len(in_flight)} in buckets"]


@inline
def push_used(k: Kernel, ri: int, rp: int) -> None:
    first = k.probes.used[rp]
    k.instances.used_next[ri] = first
    k.instances.used_prev[ri] = NIL
    if first != NIL:
        k.instances.used_prev[first] = ri
    k.probes.used[rp] = ri


@inline
def unlink_used(k: Kernel, ri: int, rp: int) -> None:
    after = k.instances.used_next[ri]
    before = k.instances.used_prev[ri]
    if before == NIL:
        k.probes.used[rp] = after
    else:
        k.instances.used_next[before] = after
    if after != NIL:
        k.instances.used_prev[after] = before
