"""How an arena stands when the CPUs start: every task at rest on its queue, every instance free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.chains import HUNG, Ring, chain
from shmkret.arena.records import KRETPROBE, QUEUED, STACK_WORDS, Boot
from shmkret.text.atomics import NIL


def build_tasks(arena: Any, addresses: NDArray[np.int64]) -> None:
    """Every task at rest, in turn on the run queue of its CPU, and every CPU idle."""
    g = arena.geometry
    tasks, entities, queues = (arena.records(name) for name in ("tasks", "entities", "runqueues"))
    tasks["address"] = addresses
    tasks["sp"] = (np.arange(g.nr_tasks) + 1) * STACK_WORDS
    order = np.arange(g.nr_tasks)
    entities["state"] = QUEUED
    entities["cpu"] = order % g.nr_cpus
    entities["on"] = NIL
    entities["next"] = np.where(order + g.nr_cpus < g.nr_tasks, order + g.nr_cpus, NIL)
    cpus = np.arange(g.nr_cpus)
    queues["first"] = queues["last"] = NIL
    queues["first"][: g.nr_cpus] = np.where(cpus < g.nr_tasks, cpus, NIL)
    queues["last"][: g.nr_cpus] = np.where(cpus < g.nr_tasks, cpus + (g.nr_tasks - 1 - cpus) // g.nr_cpus * g.nr_cpus, NIL)
    queues["quiescent"] = 1
    arena.records("cpus")["task"] = NIL
    arena.records("cpus")["current_kprobe"] = NIL
    arena.records("cpus")["waits_for"] = NIL


def build_probes(arena: Any, boot: Sequence[Boot]) -> None:
    """The probes as they stand when the CPUs start, each with its instances on its free list; none: a kretprobe on each
    function.
    """
    g = arena.geometry
    boot = boot or [Boot(function, KRETPROBE) for function in range(min(g.nr_probes, g.nr_functions))]
    probes, functions, instances = (arena.records(name) for name in ("probes", "functions", "instances"))
    for field in ("free", "next"):
        probes[field] = NIL
    functions["kprobe"] = NIL
    maxactive = np.zeros(g.nr_probes, np.int64)
    registered = np.zeros(g.nr_probes, bool)
    for field in ("function", "kind", "entry_handler", "handler"):
        probes[field][: len(boot)] = [getattr(probe, field) for probe in boot]
    maxactive[: len(boot)] = [probe.maxactive or g.maxactive for probe in boot]
    registered[: len(boot)] = [probe.registered for probe in boot]
    probes["maxactive"] = maxactive
    probes["registered"] = registered
    newest = functions["kprobe"].tolist()
    for p, probe in enumerate(boot):
        if probe.registered:
            probes["next"][p] = newest[probe.function]
            newest[probe.function] = p
    functions["kprobe"] = newest
    _build_free_lists(arena, np.where(registered & (probes["kind"] == KRETPROBE), maxactive, 0))
    instances["task"] = NIL
    arena.records("buckets")["first"] = NIL
    arena.records("registry")["initialized"] = 1


def _build_free_lists(arena: Any, counts: NDArray[np.int64]) -> None:
    """The first counts[p] instances go to probe p, in order, and what is left to the slab."""
    instances, total = arena.records("instances"), arena.geometry.nr_instances
    ends = np.cumsum(counts)
    following = np.arange(1, total + 1)
    following[ends[counts > 0] - 1] = NIL
    following[-1:] = NIL
    instances["next"] = following
    instances["rp"] = NIL
    instances["rp"][: ends[-1]] = np.repeat(np.arange(len(counts)), counts)
    arena.records("probes")["free"] = np.where(counts > 0, ends - counts, NIL)
    arena.records("registry")["slab"] = ends[-1] if ends[-1] < total else NIL


def populate(arena: Any) -> None:
    """Instances go where the arena's scheme keeps them, if that is not on free lists and in buckets; no call has one."""
    for listed in arena.lists:
        if isinstance(listed, Ring):
            _deal(arena, listed)
        elif listed.kind == HUNG:
            arena.records(listed.section)[listed.field] = NIL


def _deal(arena: Any, ring: Ring) -> None:
    """The instances of each probe's free list are dealt out to the rings of its CPUs."""
    g, free = arena.geometry, arena.records("probes")["free"]
    following = arena.records("instances")["next"].tolist()
    ends, slots = arena.records(ring.ends), arena.records(ring.slots)["word"]
    for rp in np.flatnonzero(free != NIL).tolist():
        order, _ = chain(following, int(free[rp]))
        for cpu in range(g.nr_cpus):
            own, place = order[cpu :: g.nr_cpus], rp * g.nr_slots + cpu
            slots[place * g.ring_words : place * g.ring_words + len(own)] = own
            ends["tail"][place] = ends["last"][place] = len(own)
        free[rp] = NIL
