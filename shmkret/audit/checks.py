"""The audit of a quiet arena: every instance in exactly one place, no cycles, the books balanced.

Always    calls = hits + nmissed + kp.nmissed + refused, over all kretprobes, those that are gone included
          hits = returns + flushed + in flight
          a task that stands outside every probed call has no instance in flight
          where the run is recoverable: a task's instances hang in the order of its calls, the newest first
          every instance is on the free list of its probe, in the bucket of its task, or on the slab: in one of these places
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.chains import buckets, chain
from shmkret.arena.hashing import hash_ptr
from shmkret.arena.records import KRETPROBE
from shmkret.arena.segment import Arena
from shmkret.audit import checked as layout
from shmkret.errors import PluginError
from shmkret.moves.intents import BUSY, IDLE
from shmkret.plugins.calls import blamed
from shmkret.plugins.registry import Plugin
from shmkret.text.atomics import NIL


def audit(arena: Arena, scheme: Plugin | None, *, at_rest: bool = True) -> list[str]:
    """What is wrong with the lists and the books of an arena that no CPU is using; empty when nothing is.

    Bounds-checked throughout: the arena may hold anything. scheme: its own audit is asked too. at_rest: only tasks whose
    program says so (tasks.place is not 0) are inside a probed call.
    """
    wrong: list[str] = []
    places = np.zeros(arena.geometry.nr_instances, np.int64)
    _walk_free(arena, places, wrong)
    _walk_slab(arena, places, wrong)
    in_flight, owners = _walk_buckets(arena, places, wrong)
    for name, what in (("lost", places == 0), ("doubled", places > 1)):
        if what.any():
            example = int(np.flatnonzero(what)[0])
            wrong.append(f"{int(what.sum())} instances {name}, such as instance {example}")
    if arena.geometry.recoverable:
        wrong += _states(arena) + _order(arena)
        for field in ("intent", "held"):
            slots = np.flatnonzero(arena.records("recovery")[field])
            wrong += [f"recovery.{field} of slot {slot} is not cleared" for slot in slots]
    if at_rest:
        wrong += [f"cpu {cpu} is inside the probe path" for cpu in inside(arena)]
    outside = int((arena.records("tasks")["place"][owners] == 0).sum())
    if at_rest and outside:
        wrong.append(f"{outside} instances are in buckets, and their tasks are at rest")
    asked = _ask_scheme(scheme, arena) if scheme is not None and hasattr(scheme.module, "audit") else []
    return wrong + _books(arena, in_flight) + asked


def _states(arena: Arena) -> list[str]:
    """Where a run is recoverable, every instance says itself where it is, and nobody has one in hand."""
    states = arena.records("instances")["state"]
    hung = np.zeros(len(states), bool)
    hung[[ri for order in buckets(arena) for ri in order]] = True
    wrong = np.flatnonzero(states != np.where(hung, BUSY, IDLE))
    if not len(wrong):
        return []
    example = int(wrong[0])
    where = "in a bucket" if hung[example] else "in none"
    return [f"{len(wrong)} instances are not where they say, such as {example}: it says {int(states[example])}, and is {where}"]


def _order(arena: Arena) -> list[str]:
    """Last in, first out: stacks grow downwards, so that no instance of a task was entered above one that hangs behind it."""
    instances = arena.records("instances")
    tasks, frames = instances["task"].tolist(), instances["fp"].tolist()
    wrong = []
    for bucket, order in enumerate(buckets(arena)):
        newest: dict[int, int] = {}
        for ri in order:
            before = newest.get(tasks[ri], ri)
            if frames[before] > frames[ri]:
                wrong.append(f"bucket {bucket}: task {tasks[ri]} would return from instance {before} before the newer {ri}")
            newest[tasks[ri]] = ri
    return wrong


def _ask_scheme(scheme: Plugin, arena: Arena) -> list[str]:
    with blamed([scheme.path], "audit()"):
        found = scheme.module.audit(arena)
    if not isinstance(found, list) or not all(isinstance(what, str) for what in found):
        raise PluginError(f"{scheme.path}: audit() returned {found!r}, not a list of sentences")
    return found


def _walk_free(arena: Arena, places: NDArray[np.int64], wrong: list[str]) -> None:
    instances = arena.records("instances")
    following, owners = instances["next"].tolist(), instances["rp"].tolist()
    for rp, first in enumerate(arena.records("probes")["free"].tolist()):
        order, flaw = chain(following, first)
        if flaw:
            wrong.append(f"the free list of probe {rp} {flaw}")
        places[order] += 1
        strangers = [ri for ri in order if owners[ri] != rp]
        if strangers:
            wrong.append(f"instance {strangers[0]} of probe {owners[strangers[0]]} is on the free list of probe {rp}")


def _walk_slab(arena: Arena, places: NDArray[np.int64], wrong: list[str]) -> None:
    order, flaw = chain(arena.records("instances")["next"].tolist(), int(arena.records("registry")["slab"][0]))
    if flaw:
        wrong.append(f"the slab {flaw}")
    places[order] += 1
    strangers = [ri for ri in order if arena.records("instances")["rp"][ri] != NIL]
    if strangers:
        wrong.append(f"instance {strangers[0]} is on the slab, and says that it has a probe")


def inside(arena: Arena) -> list[int]:
    """The CPUs that are inside the probe path, by their own words: only these can hold a bucket's or a probe's lock."""
    cpus = arena.records("cpus")[: arena.geometry.nr_cpus]
    busy = (cpus["preempt_count"] != 0) | (cpus["irqs_off"] != 0) | (cpus["current_kprobe"] != NIL)
    return [int(cpu) for cpu in np.flatnonzero(busy)]


def _walk_buckets(arena: Arena, places: NDArray[np.int64], wrong: list[str]) -> tuple[int, list[int]]:
    """How many instances are in buckets, and the tasks that they belong to."""
    owners: list[int] = []
    instances = arena.records("instances")
    following, tasks = instances["next"].tolist(), instances["task"].tolist()
    addresses = arena.records("tasks")["address"].tolist()
    multiplier = int(arena.header["hash_multiplier"][0])
    in_flight = 0
    for bucket, first in enumerate(arena.records("buckets")["first"].tolist()):
        order, flaw = chain(following, first)
        if flaw:
            wrong.append(f"bucket {bucket} {flaw}")
        places[order] += 1
        in_flight += len(order)
        for ri in order:
            if not 0 <= tasks[ri] < len(addresses):
                wrong.append(f"instance {ri} belongs to {tasks[ri]}, which is no task")
                continue
            owners.append(tasks[ri])
            if hash_ptr(addresses[tasks[ri]], multiplier) != bucket:
                wrong.append(f"instance {ri} of task {tasks[ri]} is in the wrong bucket, {bucket}")
    return in_flight, owners


def checked_words(arena: Arena, *, scheme: str) -> list[tuple[str, str, int]]:
    """The words of a quiet arena whose every bit the audit checks: section, field and record, as layout.CHECKED has them."""
    hung = {ri for order in buckets(arena) for ri in order}
    g = arena.geometry
    holds: dict[str, Callable[[int], bool]] = {
        "always": lambda _: True,
        "recoverable": lambda _: bool(g.recoverable),
        "cpu": lambda i: i < g.nr_cpus,
        "listed": lambda ri: ri not in hung,
        "kretprobe": lambda p: arena.records("probes")["kind"][p] == KRETPROBE,
        "missed": lambda i: bool(g.recoverable) and arena.records("probes")["kind"][i % g.nr_probes] == KRETPROBE,
        "global": lambda _: scheme == "global",
        "global hung": lambda ri: scheme == "global" and ri in hung and arena.records("instances")["rp"][ri] != NIL,
    }
    return [
        (section, field, i)
        for section, fields in layout.CHECKED.items()
        for field, condition in fields.items()
        for i in range(arena.sections[section].nr)
        if holds[condition](i)
    ]


def books(arena: Arena) -> dict[str, int]:
    """The counts of an arena: calls of kretprobes and what became of them."""
    cpus, probes, registry = (arena.records(name) for name in ("cpus", "probes", "registry"))
    of_kretprobes = probes["kind"] == KRETPROBE
    counts = {field: _sum(cpus[field]) for field in ("calls", "hits", "returns", "flushed", "refused", "walked")}
    counts["nmissed"] = _sum(probes["nmissed"]) + _sum(registry["gone_nmissed"])
    counts["kp_nmissed"] = _sum(probes["kp_nmissed"][of_kretprobes]) + _sum(registry["gone_kp_nmissed"])
    if arena.geometry.recoverable:  # then each CPU keeps them apart
        misses = arena.records("misses")
        of_each = misses["kp_nmissed"].reshape(arena.geometry.nr_slots, -1)
        counts["nmissed"] += _sum(misses["nmissed"])
        counts["kp_nmissed"] += _sum(of_each[:, of_kretprobes])
    return counts


def _sum(words: NDArray[np.int64]) -> int:
    """Exact: a damaged count may be anything."""
    return sum(words.ravel().tolist())


def _books(arena: Arena, in_flight: int) -> list[str]:
    c = books(arena)
    wrong = []
    if c["calls"] != c["hits"] + c["nmissed"] + c["kp_nmissed"] + c["refused"]:
        wrong.append(
            f"{c['calls']} calls, but {c['hits']} hits + {c['nmissed']} nmissed + {c['kp_nmissed']} kp.nmissed "
            f"+ {c['refused']} refused"
        )
    if c["hits"] != c["returns"] + c["flushed"] + in_flight:
        wrong.append(f"{c['hits']} hits, but {c['returns']} returns + {c['flushed']} flushed + {in_flight} in flight")
    return wrong
