"""One lock for everything, taken at entry and at return: the kernel up to 2.6.26, and the seed's baseline.

    lock 0   kretprobe_lock

An instance leaves the free list only when the call is certain, and stands on a second list of its probe, `used`, while the
call runs; unregister needs it.

Always    0 <= instances on free + instances on used == maxactive, for each probe
Source    pre_handler_kretprobe(), recycle_rp_inst(), kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.arena.chains import buckets
from shmkret.arena.hashing import hash_ptr
from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.locks import release
from shmkret.moves.bugs import has_bug
from shmkret.moves.intents import (
    HANG,
    NOTHING,
    ORPHAN,
    PROBE,
    REFUSED,
    commit,
    finish,
    intent_of,
    lock_name,
    new_count,
    put,
    recovers,
    set_count,
)
from shmkret.moves.irqflags import irqrestore_held, irqsave_held
from shmkret.moves.lists import count_missed, hung, pop_free, push, push_back, push_bucket, take_out, unlink_bucket
from shmkret.moves.locking import lock_probe, unlock_probe
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline

RECOVERABLE = True
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
        count_missed(k, cpu, rp)
        drop_kretprobe_lock(scheme, k, cpu)
    return ri


def refuse(scheme: Global, k: Kernel, cpu: int, rp: int, ri: int) -> None:
    # It has not left the free list.
    if has_bug(k.mode.bugs, "leak-on-refusal"):
        pop_free(k, cpu, ri, rp)
    if recovers(k.mode.recovery, "moves"):
        set_count(k, cpu, REFUSED, new_count(k, cpu, REFUSED))
    drop_kretprobe_lock(scheme, k, cpu)
    if has_bug(k.mode.bugs, "double-unlock"):
        release(scheme.locks, KRETPROBE_LOCK)


def hang(scheme: Global, k: Kernel, cpu: int, ri: int, task: int) -> None:
    rp = k.instances.rp[ri]
    bucket = hash_ptr(k.tasks.address[task], k.hash_multiplier)
    pop_free(k, cpu, ri, rp)
    if recovers(k.mode.recovery, "moves"):
        # Two lists, one move: what both need is prepared before the commit.
        hits = k.cpus.hits[cpu] + 1
        intent = intent_of(HANG, NOTHING, hits, ri, NIL)
        k.instances.used_next[ri] = k.probes.used[rp]
        k.instances.used_prev[ri] = NIL
        push(k, cpu, intent, ri, k.buckets.first, bucket)
        finish_hang(scheme, k, ri)
        hung(k, cpu, ri, hits)
    else:
        push_used(k, ri, rp)
        push_bucket(k, cpu, ri, bucket)
    drop_kretprobe_lock(scheme, k, cpu)


def lock_bucket(scheme: Global, k: Kernel, cpu: int, task: int) -> int:
    take_kretprobe_lock(scheme, k, cpu)
    return hash_ptr(k.tasks.address[task], k.hash_multiplier)


def unlock_bucket(scheme: Global, k: Kernel, cpu: int, bucket: int, task: int) -> None:
    drop_kretprobe_lock(scheme, k, cpu)


def recycle(scheme: Global, k: Kernel, cpu: int, bucket: int, prev: int, ri: int, why: int) -> None:
    rp = k.instances.rp[ri]
    if recovers(k.mode.recovery, "moves"):
        take_out(k, cpu, ri, prev, bucket, why)
    else:
        unlink_bucket(k, ri, prev, bucket)
    unlink_used(k, ri, rp)
    push_back(k, cpu, ri, rp, why)


def orphan(scheme: Global, k: Kernel, cpu: int, rp: int) -> None:
    take_kretprobe_lock(scheme, k, cpu)
    commit(k, cpu, intent_of(ORPHAN, NOTHING, 0, rp, NIL))
    finish_orphan(scheme, k, rp)
    finish(k, cpu)
    drop_kretprobe_lock(scheme, k, cpu)


@inline
def take_kretprobe_lock(scheme: Global, k: Kernel, cpu: int) -> None:
    irqsave_held(k.mode.irq, k, cpu)
    lock_probe(k, cpu, scheme.locks, KRETPROBE_LOCK)


@inline
def drop_kretprobe_lock(scheme: Global, k: Kernel, cpu: int) -> None:
    unlock_probe(k, cpu, scheme.locks, KRETPROBE_LOCK)
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


def rebuild(arena: Arena) -> list[str]:
    """The used lists anew, from the instances in buckets, where they are not what audit() wants."""
    wrong = audit(arena)
    if not wrong:
        return []
    instances, probes = arena.records("instances"), arena.records("probes")
    probes["used"] = NIL
    for order in buckets(arena):
        for ri in reversed(order):
            rp = int(instances["rp"][ri])
            if 0 <= rp < len(probes):
                first = int(probes["used"][rp])
                instances["used_next"][ri], instances["used_prev"][ri] = first, NIL
                if first != NIL:
                    instances["used_prev"][first] = ri
                probes["used"][rp] = ri
    return ["the used lists were rebuilt"]


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
    """Twice is harmless: the links of `ri` itself stay."""
    after = k.instances.used_next[ri]
    before = k.instances.used_prev[ri]
    if before == NIL:
        put(k, k.probes.used, rp, after)
    else:
        put(k, k.instances.used_next, before, after)
    if after != NIL:
        put(k, k.instances.used_prev, after, before)


def lock_free(scheme: Global, k: Kernel, cpu: int, rp: int) -> None:
    lock_probe(k, cpu, scheme.locks, KRETPROBE_LOCK)


def unlock_free(scheme: Global, k: Kernel, cpu: int, rp: int) -> None:
    unlock_probe(k, cpu, scheme.locks, KRETPROBE_LOCK)


def lock_of(scheme: Global, k: Kernel, op: int, ri: int) -> int:
    return lock_name(KRETPROBE_LOCK, PROBE)


@inline
def finish_hang(scheme: Global, k: Kernel, ri: int) -> None:
    rp = k.instances.rp[ri]
    first = k.instances.used_next[ri]
    if first != NIL:
        put(k, k.instances.used_prev, first, ri)
    put(k, k.probes.used, rp, ri)


@inline
def finish_remove(scheme: Global, k: Kernel, ri: int) -> None:
    rp = k.instances.rp[ri]
    if rp != NIL:
        unlink_used(k, ri, rp)


@inline
def finish_orphan(scheme: Global, k: Kernel, rp: int) -> None:
    ri = k.probes.used[rp]
    while ri != NIL:
        put(k, k.instances.rp, ri, NIL)
        ri = k.instances.used_next[ri]
    put(k, k.probes.used, rp, NIL)
