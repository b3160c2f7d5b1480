"""The lists of an arena, and walks over them: every index is checked, since an arena may hold anything.

    Chain    instances, one leading to the next: a free list, a bucket, the list of a task, the slab
    Ring     the slots of a ring for each CPU of each probe, from head to tail

A scheme says in LISTS where it keeps instances. Audit, repair, damage and statistics read that, and know no scheme.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.fields import fields_of, parts_of
from shmkret.arena.layout import GEOMETRY_FIELDS, own_sections
from shmkret.text.atomics import NIL
from shmkret.text.domains import PER_BUCKET, PER_PROBE, PER_PROBE_PER_CPU, PER_RING_WORD, PER_TASK, Domain, name_of

FREE, HUNG, SLAB = "free", "hung", "slab"
"""What it means for an instance to be on a list: no call has it, a call that will return has it, no probe has it."""
OF_PROBE, OF_BUCKET, OF_TASK, OF_NOBODY = "probe", "bucket", "task", ""
"""Whose list it is: list i holds the instances of probe i, of the tasks of bucket i, of task i; or all that there are."""


class Chain(NamedTuple):
    """Lists chained by instances.next: one for each record of a section, which holds the first instance, or NIL."""

    kind: str
    section: str
    field: str
    of: str


class Ring(NamedTuple):
    """Rings of free instances: slot `words * (rp * nr_slots + cpu) + n % words` holds the n-th, head <= n < tail.

    The records of section `ends` have the words head, tail and last; at rest last is tail.
    """

    kind: str
    ends: str
    slots: str


Words = NDArray[np.int64]
Listed = Chain | Ring
FREE_LISTS = Chain(FREE, "probes", "free", OF_PROBE)
BUCKETS = Chain(HUNG, "buckets", "first", OF_BUCKET)
THE_SLAB = Chain(SLAB, "registry", "slab", OF_NOBODY)
IN_BUCKETS: tuple[Listed, ...] = (FREE_LISTS, BUCKETS)
"""The lists of the generations that hash tasks into buckets."""


OWNERS = {
    (FREE, OF_PROBE): PER_PROBE,
    (HUNG, OF_BUCKET): PER_BUCKET,
    (HUNG, OF_TASK): PER_TASK,
}
"""The chains that a scheme may have: of which kind, whose they are, and the domain of the section that begins them."""
OWNER_NAMES = {OF_PROBE: "OF_PROBE", OF_BUCKET: "OF_BUCKET", OF_TASK: "OF_TASK"}
END_WORDS = ("head", "tail", "last")


def wrong_lists(lists: tuple[Listed, ...], scheme: type) -> str:
    """Why these cannot be the lists of a scheme with that class, in a sentence; empty: they can."""
    for i, listed in enumerate(lists):
        words = _wrong_ring(listed, scheme) if isinstance(listed, Ring) else _wrong_chain(listed, scheme)
        if words:
            return f"LISTS[{i}]: {words}"
    if sum(listed.kind == FREE for listed in lists) != 1:
        return "LISTS has one list of the kind FREE: a Chain OF_PROBE, or a Ring"
    of = [listed.of for listed in lists if isinstance(listed, Chain) and listed.kind == HUNG]
    if not of or len(of) != len(set(of)):
        return "LISTS has one list of the kind HUNG at least, and one OF_TASK and one OF_BUCKET at most"
    return ""


def _wrong_chain(chain: Chain, scheme: type) -> str:
    if (chain.kind, chain.of) not in OWNERS:
        return f"a chain of kind {chain.kind!r} and of {chain.of!r}: give FREE, OF_PROBE; or HUNG, OF_TASK or OF_BUCKET"
    whose = f"lists {OWNER_NAMES[chain.of]}"
    return _wrong_section(chain.section, OWNERS[chain.kind, chain.of], (chain.field,), whose, scheme)


def _wrong_ring(ring: Ring, scheme: type) -> str:
    if ring.kind != FREE:
        return f"a ring of kind {ring.kind!r}: give FREE"
    return _wrong_section(ring.ends, PER_PROBE_PER_CPU, END_WORDS, "the ends of rings", scheme) or _wrong_section(
        ring.slots, PER_RING_WORD, ("word",), "the slots of rings", scheme
    )


def _wrong_section(name: str, per: Domain, fields: tuple[str, ...], what: str, scheme: type) -> str:
    """Unless it is there, with a record for each of `per` that has these words."""
    own = {section.name: (section.record, section.place.per) for section in own_sections()}
    sections = own | {f"scheme.{field}": (table.record, table.per) for field, table in parts_of(scheme).tables.items()}
    if name not in sections:
        there = sorted(section for section, (_, domain) in sections.items() if domain == per) or ["no section of the kind"]
        return f"{name!r} is no section: for {what}, {name_of(per)}, there is {' or '.join(there)}"
    record, domain = sections[name]
    if domain != per:
        return f"{name!r} has its records {name_of(domain)}: {what} are {name_of(per)}"
    missing = [field for field in fields if field not in fields_of(record)]
    return f"{record.__name__} of {name!r} has no word {missing[0]!r}: it has {', '.join(fields_of(record))}" if missing else ""


class Walked(NamedTuple):
    """One list: its number, its instances in order, int64, and what stopped the walk early (empty: nothing)."""

    listed: Listed
    number: int
    order: Words
    flaw: str

    @property
    def name(self) -> str:
        """For a sentence."""
        return list_name(self.listed, self.number)


def list_name(listed: Listed, number: int) -> str:
    """The name of list `number`, for a sentence."""
    if isinstance(listed, Ring):
        return f"the rings of probe {number}"
    names = {
        OF_PROBE: f"the free list of probe {number}",
        OF_BUCKET: f"bucket {number}",
        OF_TASK: f"the list of task {number}",
    }
    return names.get(listed.of, "the slab")


def walk(arena: Any, listed: Listed) -> Iterator[Walked]:
    """Every list of that kind; each probe's rings count as one list."""
    if isinstance(listed, Ring):
        yield from _walk_rings(arena, listed)
        return
    orders, flaws = _walk_chains(arena.records("instances")["next"], arena.records(listed.section)[listed.field])
    for number, order in enumerate(orders):
        yield Walked(listed, number, order, flaws.get(number, ""))


def walk_all(arena: Any) -> Iterator[Walked]:
    """Every list of an arena, the slab included."""
    for listed in (*arena.lists, THE_SLAB):
        yield from walk(arena, listed)


def instances_on(lists: Iterable[Walked]) -> Words:
    """The instances of all these lists, one after the other."""
    return np.concatenate([np.zeros(0, np.int64), *(one.order for one in lists if len(one.order))])


FEW, MOST_STEPS = 32, 1_000_000
"""As few lists are walked one by one; all together, so many steps and eight for each instance."""
TOO_MANY = "is not walked: so many lists before it lead through the same instances"


def _walk_chains(following: Words, firsts: Words) -> tuple[list[Words], dict[int, str]]:
    """All lists at once, a step at a time: the instances of each, and what stopped the walk of those that are not whole.

    A walk that comes to its end has come to no instance twice. Lists that come to what is no instance, or to no end while all
    together have made more steps than two for each instance, are walked again, by themselves; and where many such lead through
    the same instances, not all of them.
    """
    following = np.ascontiguousarray(following)
    numbers = np.flatnonzero(firsts != NIL)
    at = firsts[numbers]
    steps: list[tuple[Words, Words]] = []
    again: list[int] = []
    nr_steps = 0
    while len(numbers) > FEW and nr_steps <= 2 * len(following):
        strange = (at < 0) | (at >= len(following))
        if strange.any():
            again += numbers[strange].tolist()
            numbers, at = numbers[~strange], at[~strange]
        steps.append((numbers, at))
        nr_steps += len(at)
        at = following[at]
        goes_on = at != NIL
        numbers, at = numbers[goes_on], at[goes_on]
    again += numbers.tolist()
    orders = _gathered(steps, len(firsts))
    flaws: dict[int, str] = {}
    one_by_one = following.tolist() if again else []
    for number in again:
        first = int(firsts[number])
        order = _straight(one_by_one, first) if len(again) <= FEW else None
        if order is None:
            order, flaw = chain(one_by_one, first) if nr_steps <= MOST_STEPS + 8 * len(following) else ([], TOO_MANY)
            flaws |= {number: flaw} if flaw else {}
        nr_steps += len(order)
        orders[number] = np.array(order, np.int64)
    return orders, flaws


def _straight(following: list[int], first: int) -> list[int] | None:
    """As chain(), without a look at each step; None where a look at the end shows that there was anything wrong."""
    order: list[int] = []
    ri, keep = first, order.append
    try:
        for _ in range(len(following) + 1):
            if ri == NIL:
                return order if min(order, default=0) >= 0 else None
            keep(ri)
            ri = following[ri]
    except IndexError:
        pass
    return None


def _gathered(steps: list[tuple[Words, Words]], nr: int) -> list[Words]:
    """The instances of each of `nr` lists, of steps that many lists made at once."""
    lengths = np.zeros(nr, np.int64)
    for numbers, _ in steps:
        lengths[numbers] += 1
    ends = np.cumsum(lengths)
    flat = np.empty(int(ends[-1]) if nr else 0, np.int64)
    for step, (numbers, at) in enumerate(steps):
        flat[ends[numbers] - lengths[numbers] + step] = at
    return [flat[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]


def _walk_rings(arena: Any, ring: Ring) -> Iterator[Walked]:
    """All at once; one probe after the other where anything is wrong with any ring."""
    g = arena.geometry
    ends = arena.records(ring.ends)
    head, tail, last = (np.ascontiguousarray(ends[field]) for field in ("head", "tail", "last"))
    lengths = tail - head
    if ((tail >= head) & (lengths >= 0) & (lengths <= g.ring_words) & (last == tail)).all():
        stops = np.cumsum(lengths)
        nth = np.arange(int(stops[-1])) + np.repeat(head - stops + lengths, lengths)
        places = np.repeat(np.arange(len(head)), lengths)
        order = arena.records(ring.slots)["word"][places * g.ring_words + nth % g.ring_words]
        if not ((order < 0) | (order >= g.nr_instances)).any():
            of_probes = np.split(order, stops[g.nr_slots - 1 : -1 : g.nr_slots])
            yield from (Walked(ring, rp, one, "") for rp, one in enumerate(of_probes))
            return
    for rp in range(g.nr_probes):
        yield _walk_ring(arena, ring, rp)


def _walk_ring(arena: Any, ring: Ring, rp: int) -> Walked:
    """The rings of one probe, whatever is in them."""
    g = arena.geometry
    ends, slots = arena.records(ring.ends), arena.records(ring.slots)["word"]
    order: list[int] = []
    flaw = ""
    for place in range(rp * g.nr_slots, (rp + 1) * g.nr_slots):
        head, tail, last = (int(ends[field][place]) for field in ("head", "tail", "last"))
        if not 0 <= tail - head <= g.ring_words:
            flaw = f"have {tail - head} instances from {head} on, for {g.ring_words} slots"
            continue
        if last != tail:
            flaw = f"are being pushed into: the last of ring {place} is {last}, its end {tail}"
        found = [int(slots[place * g.ring_words + n % g.ring_words]) for n in range(head, tail)]
        strange = [ri for ri in found if not 0 <= ri < g.nr_instances]
        if strange:
            flaw = f"hold {strange[0]}, which is no instance"
        order += [ri for ri in found if 0 <= ri < g.nr_instances]
    return Walked(ring, rp, np.array(order, np.int64), flaw)


def chain(following: list[int], first: int) -> tuple[list[int], str]:
    """The instances from `first` on, and what stopped the walk early (empty: nothing)."""
    seen: set[int] = set()
    order: list[int] = []
    ri = first
    while ri != NIL:
        if not 0 <= ri < len(following):
            return order, f"leads to {ri}, which is no instance"
        if ri in seen:
            return order, f"comes back to instance {ri}"
        seen.add(ri)
        order.append(ri)
        ri = following[ri]
    return order, ""


def hung(arena: Any) -> list[list[int]]:
    """The instances in flight, list by list, each in the order of its chain."""
    return [one.order.tolist() for listed in arena.lists if listed.kind == HUNG for one in walk(arena, listed)]


def statistics(arena: Any) -> dict[str, Any]:
    """What is in an arena: its plug-ins and sizes, CPUs, probes that are registered, chains that are not empty, the slab.

    Every index is checked: the arena may hold anything.
    """
    header, g = arena.header[0], arena.geometry
    tasks = arena.records("instances")["task"]
    probes = arena.records("probes")
    free = {one.number: one for listed in arena.lists if listed.kind == FREE for one in walk(arena, listed)}
    (slab,) = walk(arena, THE_SLAB)
    in_flight = {
        listed.of: {
            one.number: [{"instance": ri, "task": int(tasks[ri])} for ri in one.order.tolist()]
            for one in walk(arena, listed)
            if len(one.order)
        }
        for listed in arena.lists
        if isinstance(listed, Chain) and listed.kind == HUNG
    }
    return {
        "plugins": {kind: _text(header[kind]) for kind in ("scheme", "lock", "arch", "hash", "task_address")},
        "creator_pid": int(header["creator_pid"]),
        "size": arena.size,
        "geometry": {field: getattr(g, field) for field in GEOMETRY_FIELDS},
        "phase": int(arena.records("run")["phase"][0]),
        "cpus": [{**_numbers(cpu), **_kept(arena, cpu=i)} for i, cpu in enumerate(arena.records("cpus"))],
        "probes": [
            {**_numbers(probe), **_kept(arena, probe=p), "probe": p, **_free(free.get(p))}
            for p, probe in enumerate(probes)
            if probe["registered"]
        ],
        "buckets": in_flight.get(OF_BUCKET, {}),
        **({"tasks": in_flight[OF_TASK]} if OF_TASK in in_flight else {}),
        "slab": {"instances": len(slab.order), **({"torn": slab.flaw} if slab.flaw else {})},
    }


def _free(walked: Walked | None) -> dict[str, Any]:
    """How many free instances a probe has, and what is wrong with their list; None where that cannot be told."""
    if walked is None:
        return {"free": None}
    return {"free": len(walked.order), **({"torn": walked.flaw} if walked.flaw else {})}


def _text(field: bytes) -> str:
    return os.fsdecode(field)


def _kept(arena: Any, cpu: int | None = None, probe: int | None = None) -> dict[str, int]:
    """What the CPUs' books say of a CPU, or of a probe, where they keep any."""
    if not arena.geometry.recoverable:
        return {}
    kept = arena.records("books").reshape(arena.geometry.nr_slots, -1)
    if cpu is not None:
        return {field: int(kept[cpu][field].sum()) for field in ("calls", "hits", "refused")}
    return {field: int(kept[:, probe][field].sum()) for field in ("nmissed", "kp_nmissed")}


def _numbers(record: np.void) -> dict[str, int]:
    return {field: int(record[field]) for field in record.dtype.names or ()}
