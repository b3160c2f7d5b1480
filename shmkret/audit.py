"""The audit of a quiet arena: every instance in exactly one place, no cycles, the books balanced.

Always    calls = hits + nmissed
          hits = returns + flushed + in flight; in flight = 0 when all tasks are at rest
          every instance is on the free list of its probe, or in the bucket of its task; never on two lists, never on none
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shmkret.arena import Arena, chain
from shmkret.hash import hash_ptr
from shmkret.registry import Plugin


def audit(arena: Arena, scheme: Plugin, *, at_rest: bool = True) -> list[str]:
    """What is wrong with the lists and the books of an arena that no CPU is using; empty when nothing is.

    Bounds-checked throughout: the arena may hold anything. at_rest: no task is inside a probed call.
    """
    wrong: list[str] = []
    places = np.zeros(arena.geometry.nr_instances, np.int64)
    _walk_free(arena, places, wrong)
    in_flight = _walk_buckets(arena, places, wrong)
    for name, what in (("lost", places == 0), ("doubled", places > 1)):
        if what.any():
            example = int(np.flatnonzero(what)[0])
            wrong.append(f"{int(what.sum())} instances {name}, such as instance {example}")
    if at_rest and in_flight:
        wrong.append(f"{in_flight} instances are in buckets, and all tasks are at rest")
    own = getattr(scheme.module, "audit", None)
    return wrong + _books(arena, in_flight) + (own(arena) if own else [])


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


def _walk_buckets(arena: Arena, places: NDArray[np.int64], wrong: list[str]) -> int:
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
            elif hash_ptr(addresses[tasks[ri]], multiplier) != bucket:
                wrong.append(f"instance {ri} of task {tasks[ri]} is in the wrong bucket, {bucket}")
    return in_flight


def _books(arena: Arena, in_flight: int) -> list[str]:
    cpus = arena.records("cpus")
    calls, hits, returns, flushed = (int(cpus[field].sum()) for field in ("calls", "hits", "returns", "flushed"))
    nmissed = int(arena.records("probes")["nmissed"].sum())
    wrong = []
    if calls != hits + nmissed:
        wrong.append(f"{calls} calls, but {hits} hits + {nmissed} nmissed")
    if hits != returns + flushed + in_flight:
        wrong.append(f"{hits} hits, but {returns} returns + {flushed} flushed + {in_flight} in flight")
    return wrong
