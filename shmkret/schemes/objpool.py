"""No lock at all on the path: a list a task, and for each probe a ring a CPU. The kernel from 6.7 on.

    list     a task's instances in flight, the newest first; only who runs the task touches it
    ring     head   the next to take               head <= last <= tail <= head + size
             last   from here on nothing is there yet
             tail   the next place to put one into
    pool     of a probe: which incarnation it is; each instance keeps that of the pool that it came from

Moves     pop     slot[head] read, then head -> head + 1     by cmpxchg, on the CPU's own ring first, then on the others'
          push    tail -> tail + 1 by cmpxchg, slot[tail] = ri, last = tail + 1     on the CPU's own ring, interrupts masked
          gone    pool -> pool + 1     under kprobe_mutex: every instance in flight has lost its probe, none is looked for
Always    an instance is in one ring, on one list, on the slab, or in the hands of one CPU
Order     push's store_release(last) pairs with pop's load of it; an instance is read before head moves past it
Dies      between taking and hanging an instance: it goes along; in push(): a hole that stops the ring
Source    lib/objpool.c, Linux commit b4edb8d2d464 ("lib: objpool added: ring-array based lockless MPMC"); kernel/kprobes.c,
          Linux 6.7
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from shmkret.moves import (  # isort: skip
    FREE, HUNG, IN_ONE_PLACE, KRETPROBE, NIL, OF_TASK, OWN, PER_INSTANCE, PER_PROBE, PER_PROBE_PER_CPU, PER_RING_WORD,
    PER_TASK, REGISTERED, RING_WORDS, Arena, Chain, Kernel, Ring, SPAN, Words, cmpxchg, fetch_add, in_flight_of, inline,
    irqrestore, irqsave, load_acquire, load_relaxed, next, ri_of, store_relaxed, store_release, told, walked, with_one,
)  # fmt: skip

__all__ = ["next", "ri_of"]

LISTS = (Ring(FREE, "scheme.ring", "scheme.slot"), Chain(HUNG, "scheme.list", "first", OF_TASK))


class List(NamedTuple):
    """A task's instances in flight."""

    first: Words


class Ends(NamedTuple):
    """Where a ring begins and ends."""

    head: Words
    tail: Words
    last: Words


class Slot(NamedTuple):
    """A place of a ring."""

    word: Words


class Pool(NamedTuple):
    """Which incarnation of its pool a probe has, or an instance is of."""

    incarnation: Words


class ObjPool(NamedTuple):
    """The tasks' lists, the rings, the pools."""

    list: Annotated[List, PER_TASK]
    ring: Annotated[Ends, PER_PROBE_PER_CPU]
    slot: Annotated[Slot, PER_RING_WORD]
    pool: Annotated[Pool, PER_PROBE]
    of: Annotated[Pool, PER_INSTANCE]
    size: Annotated[int, RING_WORDS]


def obtain(scheme: ObjPool, k: Kernel, cpu: int, rp: int) -> int:
    flags = irqsave(k.mode.irq, k, cpu)
    ri = pop_any(scheme, k, cpu, rp)
    irqrestore(k.mode.irq, k, cpu, flags)
    if ri == NIL:
        fetch_add(k.probes.nmissed, rp, 1)
    return ri


def refuse(scheme: ObjPool, k: Kernel, cpu: int, rp: int, ri: int) -> None:
    push_own(scheme, k, cpu, rp, ri)


def push(scheme: ObjPool, k: Kernel, cpu: int, ri: int, task: int) -> None:
    k.instances.next[ri] = scheme.list.first[task]
    scheme.list.first[task] = ri


def begin_walk(scheme: ObjPool, k: Kernel, cpu: int, task: int) -> int:
    return task


def first(scheme: ObjPool, k: Kernel, where: int) -> int:
    return scheme.list.first[where]


@inline
def rp_of(scheme: ObjPool, k: Kernel, ri: int) -> int:
    """get_kretprobe()."""
    rp = k.instances.rp[ri]
    return rp if load_acquire(scheme.pool.incarnation, rp) == scheme.of.incarnation[ri] else NIL


def take(scheme: ObjPool, k: Kernel, cpu: int, where: int, prev: int, ri: int, why: int) -> bool:
    if prev == NIL:
        scheme.list.first[where] = k.instances.next[ri]
    else:
        k.instances.next[prev] = k.instances.next[ri]
    rp = rp_of(scheme, k, ri)
    if rp != NIL:
        push_own(scheme, k, cpu, rp, ri)
    return rp == NIL


def end_walk(scheme: ObjPool, k: Kernel, cpu: int, where: int, task: int) -> None:
    pass


def give(scheme: ObjPool, k: Kernel, cpu: int, ri: int, rp: int) -> bool:
    """Every ring must have room for all instances of its probe: whoever returns has no lock to wait for room with."""
    if nr_free(scheme, k, rp) == scheme.size:
        return False
    scheme.of.incarnation[ri] = load_acquire(scheme.pool.incarnation, rp)
    push_to(scheme, k, rp, ri % k.nr_cpus, ri)
    return True


@inline
def nr_free(scheme: ObjPool, k: Kernel, rp: int) -> int:
    """How many free instances a probe has that nobody can find."""
    found = 0
    for place in range(rp * k.nr_slots, (rp + 1) * k.nr_slots):
        found += load_acquire(scheme.ring.tail, place) - load_acquire(scheme.ring.head, place)
    return found


def retire(scheme: ObjPool, k: Kernel, cpu: int, rp: int) -> None:
    """rcu_assign_pointer(rp->rph->rp, NULL): who is on its way out may still find it, and is waited for."""
    store_release(scheme.pool.incarnation, rp, load_acquire(scheme.pool.incarnation, rp) + 1)


def orphan(scheme: ObjPool, k: Kernel, cpu: int, rp: int) -> None:
    pass


def drain(scheme: ObjPool, k: Kernel, cpu: int, rp: int) -> int:
    return pop_any(scheme, k, cpu, rp)


@inline
def pop_any(scheme: ObjPool, k: Kernel, cpu: int, rp: int) -> int:
    """objpool_pop(): from the CPU's own ring, or else from the next that has one; NIL when none has."""
    for at in range(cpu, cpu + k.nr_slots):
        ri = pop(scheme, k, rp * k.nr_slots + (at if at < k.nr_slots else at - k.nr_slots))
        if ri != NIL:
            return ri
    return NIL


@inline
def pop(scheme: ObjPool, k: Kernel, place: int) -> int:
    """objpool_try_get_slot(): the first of a ring, or NIL."""
    head = load_acquire(scheme.ring.head, place)
    last = load_acquire(scheme.ring.last, place)
    while head != last:
        # Another may have moved head on, and last with it: then what was read is of different times.
        if 0 < last - head <= scheme.size:
            ri = load_relaxed(scheme.slot.word, place * scheme.size + (head & (scheme.size - 1)))
            if cmpxchg(scheme.ring.head, place, head, head + 1) == head:
                return ri
        head = load_acquire(scheme.ring.head, place)
        last = load_acquire(scheme.ring.last, place)
    return NIL


@inline
def push_own(scheme: ObjPool, k: Kernel, cpu: int, rp: int, ri: int) -> None:
    """objpool_push(): into the CPU's own ring. No interrupt comes between, so that nobody else fills it."""
    flags = irqsave(k.mode.irq, k, cpu)
    push_to(scheme, k, rp, cpu, ri)
    irqrestore(k.mode.irq, k, cpu, flags)


@inline
def push_to(scheme: ObjPool, k: Kernel, rp: int, cpu: int, ri: int) -> None:
    """objpool_try_add_slot(): every ring has room for all instances of its probe."""
    place = rp * k.nr_slots + cpu
    tail = load_relaxed(scheme.ring.tail, place)
    while cmpxchg(scheme.ring.tail, place, tail, tail + 1) != tail:
        tail = load_relaxed(scheme.ring.tail, place)
    store_relaxed(scheme.slot.word, place * scheme.size + (tail & (scheme.size - 1)), ri)
    store_release(scheme.ring.last, place, tail + 1)


ALWAYS = (*IN_ONE_PLACE, "ring {} is not in order: head <= last <= tail <= head + size", "ring {} holds what is no instance")
OUT_OF_ORDER, NO_INSTANCE = OWN, OWN + 1


def always(scheme: ObjPool, k: Kernel) -> int:
    for base in range(0, k.nr_instances, SPAN):
        seen = walked(k, k.registry.slab[0], 0, base)
        for task in range(k.nr_tasks):
            if seen >= 0:
                seen = walked(k, scheme.list.first[task], seen, base)
        for place in range(k.nr_probes * k.nr_slots):
            if seen >= 0:
                seen = ring_walked(scheme, k, place, seen, base)
        if seen < 0:
            return -seen
    return 0


@inline
def ring_walked(scheme: ObjPool, k: Kernel, place: int, seen: int, base: int) -> int:
    """As walked(), from head to last."""
    head = scheme.ring.head[place]
    last = scheme.ring.last[place]
    tail = scheme.ring.tail[place]
    if last < head or tail < last or tail > head + scheme.size:
        return -told(OUT_OF_ORDER, place)
    while head != last and seen >= 0:
        ri = scheme.slot.word[place * scheme.size + (head & (scheme.size - 1))]
        seen = with_one(seen, ri, base) if 0 <= ri < k.nr_instances else -told(NO_INSTANCE, place)
        head += 1
    return seen


def audit(arena: Arena) -> list[str]:
    """An instance in flight is of a pool that is, or was: of one that is, its probe is registered, and has, with those in its
    rings, as many as its maxactive says.
    """
    probes, ends, now = (arena.records(name) for name in ("probes", "scheme.ring", "scheme.pool"))
    pools, owners = now["incarnation"].tolist(), arena.records("instances")["rp"]
    of, found = arena.records("scheme.of")["incarnation"], []
    free = (ends["last"] - ends["head"]).reshape(len(pools), -1).sum(axis=1)
    flying = [0] * len(pools)
    for ri in sorted(ri for order in in_flight_of(arena) for ri in order):
        rp, pool = int(owners[ri]), int(of[ri])
        if not 0 <= rp < len(pools) or pool > pools[rp]:
            found.append(f"instance {ri} is of pool {pool} of probe {rp}")
        elif pool == pools[rp]:
            flying[rp] += 1
    for rp, (kind, state, most) in enumerate(probes[["kind", "registered", "maxactive"]].tolist()):
        wanted = most if kind == KRETPROBE and state == REGISTERED else 0
        if 0 <= state <= REGISTERED and free[rp] + flying[rp] != wanted:
            found.append(f"probe {rp} has {free[rp]} instances in its rings and {flying[rp]} in flight, not {wanted}")
    return found
