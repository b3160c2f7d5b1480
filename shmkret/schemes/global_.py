"""One lock for everything, taken at entry and at return: the kernel up to 2.6.26, and the seed's baseline.

    lock 0   kretprobe_lock

An instance leaves the free list only when the call is certain, and stands on a second list of its probe, `used`, while the
call runs; unregister needs it.

Always    instances on free + instances on used == maxactive, for each registered probe, or one less while the lock is held:
          one is in hand; none is on both
Source    pre_handler_kretprobe(), recycle_rp_inst(), kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from shmkret.moves import (
    HAND,
    HANG,
    IN_ONE_PLACE,
    NIL,
    NOTHING,
    ONE,
    ORPHAN,
    OWN,
    PER_INSTANCE,
    PER_PROBE,
    PROBE,
    REFUSAL,
    REGISTERED,
    Arena,
    Kernel,
    Locks,
    Words,
    commit,
    count_missed,
    drain,
    finish,
    first,
    give,
    has_bug,
    hash_ptr,
    hung,
    in_flight_of,
    in_one_place,
    inline,
    intent_of,
    irqrestore_held,
    irqsave_held,
    lock_probe,
    new_count,
    new_hits,
    next,
    number_of,
    pop_free,
    push_back,
    push_bucket,
    push_in_front,
    put,
    recovers,
    release,
    retire,
    ri_of,
    rp_of,
    set_count,
    take_orphan,
    take_out,
    told,
    unlink_bucket,
    unlock_probe,
)

__all__ = ["drain", "first", "give", "next", "retire", "ri_of", "rp_of"]

KRETPROBE_LOCK = 0


class Used(NamedTuple):
    """The used list of a probe."""

    first: Words


class Link(NamedTuple):
    """Where an instance stands on it."""

    next: Words
    prev: Words


class Global(NamedTuple):
    """One lock; the used lists."""

    locks: Annotated[Locks, ONE]
    used: Annotated[Used, PER_PROBE]
    link: Annotated[Link, PER_INSTANCE]


CHECKED = (("used", "first", "always"), ("link", "next", "flying"), ("link", "prev", "flying"))
SYMMETRIC = True
BUGS = frozenset({"probeable-helpers", "unmarked-cleanup", "unmarked-flush", "unmarked-walk", "early-reset"})


def obtain(scheme: Global, k: Kernel, cpu: int, rp: int) -> int:
    # The lock is kept until push() or refuse(): entry handlers run under it.
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
    set_count(k, cpu, REFUSAL, new_count(k, cpu, REFUSAL, rp), rp)
    drop_kretprobe_lock(scheme, k, cpu)
    if has_bug(k.mode.bugs, "double-unlock"):
        release(scheme.locks, KRETPROBE_LOCK, cpu)


def push(scheme: Global, k: Kernel, cpu: int, ri: int, task: int) -> None:
    rp = k.instances.rp[ri]
    bucket = hash_ptr(k.tasks.address[task], k.hash_multiplier)
    pop_free(k, cpu, ri, rp)
    if recovers(k.mode.recovery, "moves"):
        # Two lists, one move: what both need is prepared before the commit.
        hits = new_hits(k, cpu, rp)
        intent = intent_of(HANG, NOTHING, hits, ri, NIL)
        scheme.link.next[ri] = scheme.used.first[rp]
        scheme.link.prev[ri] = NIL
        push_in_front(k, cpu, intent, ri, k.buckets.first, bucket)
        finish_push(scheme, k, ri)
        hung(k, cpu, ri, hits, rp)
    else:
        push_used(scheme, ri, rp)
        push_bucket(k, cpu, ri, bucket)
    drop_kretprobe_lock(scheme, k, cpu)


def begin_walk(scheme: Global, k: Kernel, cpu: int, task: int) -> int:
    take_kretprobe_lock(scheme, k, cpu)
    return hash_ptr(k.tasks.address[task], k.hash_multiplier)


def end_walk(scheme: Global, k: Kernel, cpu: int, where: int, task: int) -> None:
    drop_kretprobe_lock(scheme, k, cpu)


def take(scheme: Global, k: Kernel, cpu: int, where: int, prev: int, ri: int, why: int) -> bool:
    rp = k.instances.rp[ri]
    if rp == NIL:
        return take_orphan(k, cpu, where, prev, ri, why)
    if recovers(k.mode.recovery, "moves"):
        take_out(k, cpu, ri, prev, where, why)
    else:
        unlink_bucket(k, ri, prev, where)
    unlink_used(scheme, k, ri, rp)
    push_back(k, cpu, ri, rp, why)
    return False


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


ALWAYS = (*IN_ONE_PLACE, "the used list of probe {} leads to what is no instance, or does not end", "probe {} lacks instances")
BROKEN, LACKS = OWN, OWN + 1


def always(scheme: Global, k: Kernel) -> int:
    wrong = in_one_place(k)
    for rp in range(k.nr_probes):
        if wrong == 0 and k.probes.registered[rp] == REGISTERED:
            wrong = few(scheme, k, rp)
    return wrong


@inline
def few(scheme: Global, k: Kernel, rp: int) -> int:
    """What is wrong with the instances that a probe has; its free list is a chain that ends.

    One may be on its way, under the lock. Others are in the hands of those that have died on that way.
    """
    nr = 0
    if recovers(k.mode.recovery, "moves"):
        for ri in range(k.nr_instances):
            nr += 1 if k.instances.state[ri] >= HAND and k.instances.rp[ri] == rp else 0
    left = k.probes.maxactive[rp]
    ri = k.probes.free[rp]
    while ri != NIL:
        nr += 1
        left -= 1
        ri = k.instances.next[ri]
    ri = scheme.used.first[rp]
    while ri != NIL:
        if ri < 0 or ri >= k.nr_instances or left == 0:
            return told(BROKEN, rp)
        nr += 1
        left -= 1
        ri = scheme.link.next[ri]
    return told(LACKS, rp) if nr < k.probes.maxactive[rp] - 1 else 0


def audit(arena: Arena) -> list[str]:
    """The used list of each probe holds its instances in flight, linked both ways."""
    owners, link = arena.records("instances")["rp"], arena.records("scheme.link")
    after, before = link["next"].tolist(), link["prev"].tolist()
    # Orphans have left their probe's list.
    in_flight = sorted(ri for order in in_flight_of(arena) for ri in order if owners[ri] != NIL)
    seen: list[int] = []
    for rp, head in enumerate(arena.records("scheme.used")["first"].tolist()):
        ri, previous = head, NIL
        while ri != NIL:
            if not 0 <= ri < len(after) or before[ri] != previous or len(seen) > len(after):
                return [f"the used list of probe {rp} is broken at {ri}"]
            seen.append(ri)
            ri, previous = after[ri], ri
    return [] if sorted(seen) == in_flight else [f"{len(seen)} instances are on used lists, {len(in_flight)} in buckets"]


def rebuild(arena: Arena) -> list[str]:
    """The used lists anew, from the instances in buckets, where they are not what audit() wants."""
    if not audit(arena):
        return []
    owners, link, used = arena.records("instances")["rp"], arena.records("scheme.link"), arena.records("scheme.used")["first"]
    used[:] = NIL
    for order in in_flight_of(arena):
        for ri in reversed(order):
            rp = int(owners[ri])
            if 0 <= rp < len(used):
                head = int(used[rp])
                link["next"][ri], link["prev"][ri] = head, NIL
                if head != NIL:
                    link["prev"][head] = ri
                used[rp] = ri
    return ["the used lists were rebuilt"]


def populate(arena: Arena) -> None:
    arena.records("scheme.used")["first"] = NIL


@inline
def push_used(scheme: Global, ri: int, rp: int) -> None:
    first = scheme.used.first[rp]
    scheme.link.next[ri] = first
    scheme.link.prev[ri] = NIL
    if first != NIL:
        scheme.link.prev[first] = ri
    scheme.used.first[rp] = ri


@inline
def unlink_used(scheme: Global, k: Kernel, ri: int, rp: int) -> None:
    """Twice is harmless: the links of `ri` itself stay."""
    after = scheme.link.next[ri]
    before = scheme.link.prev[ri]
    if before == NIL:
        put(k, scheme.used.first, rp, after)
    else:
        put(k, scheme.link.next, before, after)
    if after != NIL:
        put(k, scheme.link.prev, after, before)


def lock_free(scheme: Global, k: Kernel, cpu: int, rp: int) -> None:
    lock_probe(k, cpu, scheme.locks, KRETPROBE_LOCK)


def unlock_free(scheme: Global, k: Kernel, cpu: int, rp: int) -> None:
    unlock_probe(k, cpu, scheme.locks, KRETPROBE_LOCK)


def lock_of(scheme: Global, k: Kernel, op: int, ri: int) -> int:
    return number_of(k, PROBE, KRETPROBE_LOCK)


@inline
def finish_push(scheme: Global, k: Kernel, ri: int) -> None:
    rp = k.instances.rp[ri]
    first = scheme.link.next[ri]
    if first != NIL:
        put(k, scheme.link.prev, first, ri)
    put(k, scheme.used.first, rp, ri)


@inline
def finish_take(scheme: Global, k: Kernel, ri: int) -> None:
    rp = k.instances.rp[ri]
    if rp != NIL:
        unlink_used(scheme, k, ri, rp)


@inline
def finish_orphan(scheme: Global, k: Kernel, rp: int) -> None:
    ri = scheme.used.first[rp]
    while ri != NIL:
        put(k, k.instances.rp, ri, NIL)
        ri = scheme.link.next[ri]
    put(k, scheme.used.first, rp, NIL)
