"""Too little of something, for a round: free lists that are drained, allocations that fail.

    quiet    every CPU waits for the round to begin, or none is there
    drain    free list -> slab        beyond the instances that each list keeps
    refill   slab -> free list        until each registered kretprobe has maxactive again

Order     what is written here is seen by CPUs that see the phase of the round, which is stored later, by store_release
"""

from __future__ import annotations

import numpy as np

from shmkret.arena.chains import chain
from shmkret.arena.records import KRETPROBE
from shmkret.arena.segment import Arena
from shmkret.machines.control import Control
from shmkret.stress.spec import Term
from shmkret.stress.stage import Stage
from shmkret.text.atomics import NIL


def begin_round(stage: Stage, i: int, term: Term) -> None:
    """The i-th term is in force until heal(). CPUs are there, and wait for the round to begin."""
    stage.record.strike(i)
    if term.point == "pool":
        drain(stage.arena, int(term.arg))
    else:
        stage.control.store("registry", "alloc_fault", 0, -int(term.arg) if term.forever else int(term.arg))


def heal(arena: Arena, control: Control) -> None:
    """Whatever begin_round() did, here or before a supervisor died, is undone. CPUs, if there are any, wait for a round."""
    control.store("registry", "alloc_fault", 0, 0)
    refill(arena)


def drain(arena: Arena, keep: int) -> None:
    """Each free list keeps that many instances, and the slab has the others."""
    instances, probes, slab = arena.records("instances"), arena.records("probes"), arena.records("registry")["slab"]
    for p in np.flatnonzero(probes["free"] != NIL).tolist():
        order, _ = chain(instances["next"].tolist(), int(probes["free"][p]))
        if keep:
            instances["next"][order[:keep][-1]] = NIL
        else:
            probes["free"][p] = NIL
        for ri in order[keep:]:
            instances["rp"][ri] = instances["task"][ri] = NIL
            instances["next"][ri], slab[0] = slab[0], ri


def refill(arena: Arena) -> None:
    """Each registered kretprobe has maxactive instances again, in flight or free, as far as the slab goes."""
    instances, probes, slab = arena.records("instances"), arena.records("probes"), arena.records("registry")["slab"]
    for p in np.flatnonzero((probes["registered"] == 1) & (probes["kind"] == KRETPROBE)).tolist():
        for _ in range(int(probes["maxactive"][p]) - int((instances["rp"] == p).sum())):
            ri = int(slab[0])
            if ri == NIL:
                return
            slab[0] = instances["next"][ri]
            instances["rp"][ri] = p
            instances["next"][ri], probes["free"][p] = probes["free"][p], ri
