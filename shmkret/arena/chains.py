"""The lists of an arena, and walks over them: every index is checked, since an arena may hold anything.

    Chain    instances, one leading to the next: a free list, a bucket, the list of a task, the slab
    Ring     the slots of a ring for each CPU of each probe, from head to tail

A scheme says in LISTS where it keeps instances. Audit, repair, damage and statistics read that, and know no scheme.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from shmkret.arena.layout import GEOMETRY_FIELDS
from shmkret.text.atomics import NIL

FREE, HUNG, SLAB = "free", "hung", "slab"
"""What it means for an instance to be on a list: no call has it, a call that will return has it, no probe has it."""
PROBE, BUCKET, TASK, NOBODY = "probe", "bucket", "task", ""
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


Listed = Chain | Ring
FREE_LISTS = Chain(FREE, "probes", "free", PROBE)
BUCKETS = Chain(HUNG, "buckets", "first", BUCKET)
THE_SLAB = Chain(SLAB, "registry", "slab", NOBODY)
IN_BUCKETS: tuple[Listed, ...] = (FREE_LISTS, BUCKETS)
"""The lists of the generations that hash tasks into buckets."""


class Walked(NamedTuple):
    """One list: its number, its instances in order, and what stopped the walk early (empty: nothing)."""

    listed: Listed
    number: int
    order: list[int]
    flaw: str

    @property
    def name(self) -> str:
        """For a sentence."""
        return list_name(self.listed, self.number)


def list_name(listed: Listed, number: int) -> str:
    """The name of list `number`, for a sentence."""
    if isinstance(listed, Ring):
        return f"the rings of probe {number}"
    names = {PROBE: f"the free list of probe {number}", BUCKET: f"bucket {number}", TASK: f"the list of task {number}"}
    return names.get(listed.of, "the slab")


def walk(arena: Any, listed: Listed) -> Iterator[Walked]:
    """Every list of that kind; each probe's rings count as one list."""
    if isinstance(listed, Ring):
        yield from _walk_rings(arena, listed)
        return
    following = arena.records("instances")["next"].tolist()
    for number, first in enumerate(arena.records(listed.section)[listed.field].tolist()):
        order, flaw = chain(following, first)
        yield Walked(listed, number, order, flaw)


def walk_all(arena: Any) -> Iterator[Walked]:
    """Every list of an arena, the slab included."""
    for listed in (*arena.lists, THE_SLAB):
        yield from walk(arena, listed)


def _walk_rings(arena: Any, ring: Ring) -> Iterator[Walked]:
    g = arena.geometry
    ends, slots = arena.records(ring.ends), arena.records(ring.slots)["word"]
    for rp in range(g.nr_probes):
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
        yield Walked(ring, rp, order, flaw)


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
    return [one.order for listed in arena.lists if listed.kind == HUNG for one in walk(arena, listed)]


def statistics(arena: Any) -> dict[str, Any]:
    """What is in an arena: its plug-ins and sizes, CPUs, probes that are registered, chains that are not empty, the slab.

    Every index is checked: the arena may hold anything.
    """
    header, g = arena.header[0], arena.geometry
    tasks = arena.records("instances")["task"].tolist()
    probes = arena.records("probes")
    free = {one.number: one for listed in arena.lists if listed.kind == FREE for one in walk(arena, listed)}
    (slab,) = walk(arena, THE_SLAB)
    in_flight = {
        listed.of: {
            one.number: [{"instance": ri, "task": tasks[ri]} for ri in one.order] for one in walk(arena, listed) if one.order
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
        "cpus": [_numbers(cpu) for cpu in arena.records("cpus")],
        "probes": [
            {**_numbers(probe), "probe": p, **_free(free.get(p))} for p, probe in enumerate(probes) if probe["registered"]
        ],
        "buckets": in_flight.get(BUCKET, {}),
        **({"tasks": in_flight[TASK]} if TASK in in_flight else {}),
        "slab": {"instances": len(slab.order), **({"torn": slab.flaw} if slab.flaw else {})},
    }


def _free(walked: Walked | None) -> dict[str, Any]:
    """How many free instances a probe has, and what is wrong with their list; None where that cannot be told."""
    if walked is None:
        return {"free": None}
    return {"free": len(walked.order), **({"torn": walked.flaw} if walked.flaw else {})}


def _text(field: bytes) -> str:
    return os.fsdecode(field)


def _numbers(record: np.void) -> dict[str, int]:
    return {field: int(record[field]) for field in record.dtype.names or ()}
