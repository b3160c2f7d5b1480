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
from shmkret.bugs import has_bug
from shmkret.hash import hash_ptr
from shmkret.irqflags import irqrestore_held, irqsave_held
from shmkret.layout import Kernel
from shmkret.lists import push_bucket, push_free, unlink_bucket
from shmkret.locking import lock_probe, unlock
from shmkret.locks import release
from shmkret.text import inline

KRETPROBE_LOCK = 0


class Global(NamedTuple):
    """The bucket locks, which it does not use, and one other."""

    table: Any
    locks: Any


BUGS = frozenset({"probeable-helpers", "unmarked-cleanup", "unmarked-flush", "unmarked-walk", "early-reset"})


def nr_locks(nr_probes: int) -> int:
    return 1


def obtain(scheme: Global, k: Kernel, cpu: int, rp: int) -> int:
    # The lock is kept until hang() or refuse(): entry handlers run under it.
    take_kretprobe_lock(scheme, k, cpu)
    ri = k.probes.free[rp]
    if ri == NIL:
        k.probes.nmissed[rp] += 1
        drop_kretprobe_lock(scheme, k, cpu)
    return ri


def refuse(scheme: Global, k: Kernel, cpu: int, rp: int, ri: int) -> None:
    # It has not left the free list.
    if has_bug(k.mode.bugs, "leak-on-refusal"):
        k.probes.free[rp] = k.instances.next[ri]
    drop_kretprobe_lock(scheme, k, cpu)
    if has_bug(k.mode.bugs, "double-unlock"):
        release(scheme.locks, KRETPROBE_LOCK)


def hang(scheme: Global, k: Kernel, cpu: int, ri: int, task: int) -> None:
    rp = k.instances.rp[ri]
    k.probes.free[rp] = k.instances.next[ri]
    push_used(k, ri, rp)
    push_bucket(k, ri, hash_ptr(k.tasks.address[task], k.hash_multiplier))
    drop_kretprobe_lock(scheme, k, cpu)


def lock_bucket(scheme: Global, k: Kernel, cpu: int, task: int) -> int:
    take_kretprobe_lock(scheme, k, cpu)
    return hash_ptr(k.tasks.address[task], k.hash_multiplier)


def unlock_bucket(scheme: Global, k: Kernel, cpu: int, bucket: int, task: int) -> None:
    drop_kretprobe_lock(scheme, k, cpu)


def recycle(scheme: Global, k: Kernel, cpu: int, bucket: int, prev: int, ri: int) -> None:
    rp = k.instances.rp[ri]
    unlink_bucket(k, ri, prev, bucket)
    unlink_used(k, ri, rp)
    push_free(k, ri, rp)


def orphan(scheme: Global, k: Kernel, cpu: int, rp: int) -> None:
    take_kretprobe_lock(scheme, k, cpu)
    ri = k.probes.used[rp]
    while ri != NIL:
        k.instances.rp[ri] = NIL
        ri = k.instances.used_next[ri]
    k.probes.used[rp] = NIL
    drop_kretprobe_lock(scheme, k, cpu)


@inline
def take_kretprobe_lock(scheme: Global, k: Kernel, cpu: int) -> None:
    irqsave_held(k.mode.irq, k, cpu)
    lock_probe(k, cpu, scheme.locks, KRETPROBE_LOCK)


@inline
def drop_kretprobe_lock(scheme: Global, k: Kernel, cpu: int) -> None:
    unlock(k, cpu, scheme.locks, KRETPROBE_LOCK)
    irqrestore_held(k.mode.irq, k, cpu)


def audit(arena: Arena) -> list[str]:
    """The used list of each probe holds its instances in flight, linked both ways."""
    instances, used = arena.records("instances"), arena.records("probes")["used"].tolist()
    after, before = instances["used_next"].tolist(), instances["used_prev"].tolist()
    # Orphans have left their probe's list.
    in_flight = sorted(ri for order in buckets(arena) for ri in order if instances["rp"][ri] != NIL)
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
