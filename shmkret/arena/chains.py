"""Walks over what an arena holds, every index checked: it may hold anything."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from shmkret.arena import header as layout
from shmkret.text.atomics import NIL


def statistics(arena: Any) -> dict[str, Any]:
    """What is in an arena: its plug-ins and sizes, CPUs, probes that are registered, chains that are not empty, the slab.

    Every index is checked: the arena may hold anything.
    """
    header, g = arena.header[0], arena.geometry
    following = arena.records("instances")["next"].tolist()
    tasks = arena.records("instances")["task"].tolist()
    probes = arena.records("probes")
    slab, torn = chain(following, int(arena.records("registry")["slab"][0]))
    return {
        "plugins": {kind: os.fsdecode(header[kind]) for kind in ("scheme", "lock", "arch", "hash", "task_address")},
        "creator_pid": int(header["creator_pid"]),
        "size": arena.size,
        "geometry": {field: getattr(g, field) for field in layout.GEOMETRY_FIELDS},
        "phase": int(arena.records("run")["phase"][0]),
        "cpus": [_numbers(cpu) for cpu in arena.records("cpus")],
        "probes": [
            {**_numbers(probe), "probe": p, "free": len(order), **({"torn": flaw} if flaw else {})}
            for p, probe in enumerate(probes)
            if probe["registered"]
            for order, flaw in [chain(following, int(probe["free"]))]
        ],
        "buckets": {
            bucket: [{"instance": ri, "task": tasks[ri]} for ri in order]
            for bucket, order in enumerate(buckets(arena))
            if order
        },
        "slab": {"instances": len(slab), **({"torn": torn} if torn else {})},
    }


def _numbers(record: np.void) -> dict[str, int]:
    return {field: int(record[field]) for field in record.dtype.names or ()}


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


def buckets(arena: Any) -> list[list[int]]:
    """The instances of each bucket, in the order of its chain."""
    following = arena.records("instances")["next"].tolist()
    return [chain(following, first)[0] for first in arena.records("buckets")["first"].tolist()]
