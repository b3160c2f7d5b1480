"""A scene: what CPUs do in an arena, as the text, which either executor of the explorer runs.

    body(k, cpu)     what CPU `cpu` does, from its first step to its last; a function of the text

The compiled executor (shmkret.explore.stacks.executor) and the plain one (shmkret.explore.greenlets.machine) do the
same steps of it, and come to the same states.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from shmkret.arena.records import REGISTERED, Kernel
from shmkret.arena.segment import Arena
from shmkret.audit.checks import audit
from shmkret.audit.findings import BUG, Finding, sentences
from shmkret.machines.world import World
from shmkret.moves import oracle
from shmkret.text.marks import inline

SC, TSO, RA = "sc", "tso", "ra"
MODELS = {SC: "sequentially consistent", TSO: "x86-TSO", RA: "release-acquire"}
"""How memory behaves in a search, by name."""


def at_rest(world: World, arena: Arena) -> list[str]:
    """What a CPU has seen that must not be, and what the audit of an arena at rest finds."""
    found = sentences(audit(arena, world.build.scheme, at_rest=True))
    return [*seen_by_cpus(world, arena), *found, *wrong_chains(arena)]


def seen_by_cpus(_: World, arena: Arena) -> list[str]:
    """What a CPU has seen that must not be: of an arena in which one may stand in the middle of a call, no more can be said."""
    bugs = arena.records("cpus")["bug"].tolist()
    return sentences([Finding(BUG, f"cpu {cpu}", oracle.BUGS[bug]) for cpu, bug in enumerate(bugs) if bug])


def wrong_chains(arena: Arena) -> list[str]:
    """The probes that are on no chain of a function, and are registered; and those that are on one, and are not."""
    probes, functions = arena.records("probes"), arena.records("functions")
    following, chained = probes["next"].tolist(), set()
    for newest in functions["kprobe"].tolist():
        at = newest
        while 0 <= at < len(following) and at not in chained:
            chained.add(at)
            at = following[at]
    registered = set(np.flatnonzero(probes["registered"] == REGISTERED).tolist())
    return [
        *(f"probe {p} is registered, and not on the chain of its function" for p in sorted(registered - chained)),
        *(f"probe {p} is on the chain of a function, and not registered" for p in sorted(chained - registered)),
    ]


def _nothing(_: Arena) -> None:
    pass


@inline
def nothing_more(k: Kernel) -> int:
    """What a scene asks of every state that says nothing of it."""
    return 0


@dataclass(frozen=True)
class Scene:
    """name: by which it is known, and its code kept. nr_cpus: how many run, recoverers included. shared: words that CPUs share
    beside the usual, as in Snapshot. mortal: who may die, `deaths` of them in one run, before any of their steps on shared
    words, and not after the last of these. stops: who would die stands still for good instead, and keeps what it has: nobody is
    told, and nobody has done anything for it. announces: body(k, nr_cpus + i) says, in one step with it, that CPU i has died.
    reasonless: how many sleeps on a futex may end for no reason. prepare: what an arena lacks. check: what is wrong with an
    arena in which every CPU has ended; it depends on the arena alone. always(k): asked of every new state: 0, or the number of
    a sentence, from 1, of those that follow; a function of the text, which reads the arena's words, and depends on them alone.
    only_locks: nothing of the probe path runs, so that the scheme is asked nothing.
    """

    name: str
    world: World
    body: Callable[[Kernel, int], None]
    nr_cpus: int
    shared: Collection[str] = ()
    mortal: Collection[int] = ()
    deaths: int = 0
    announces: bool = False
    nr_recoverers: int = 0
    prepare: Callable[[Arena], None] = _nothing
    check: Callable[[World, Arena], list[str]] = at_rest
    reasonless: int = 0
    always: Callable[[Kernel], int] = nothing_more
    sentences: tuple[str, ...] = ()
    stops: bool = False
    only_locks: bool = False
