"""Litmus programs for the compiled search, as scenarios: a few steps of two or three CPUs on words that all share.

    X, Y, Z         words of k.script.word that begin as 0
    answer(k, cpu)  what a CPU has to say at its end: k.script.word[ANSWER + cpu]

`never`: an end that must not be is a violation. `seen`: an end that must be reachable is one, too, since a search that finds it
stops there; a slip that hides it makes the search complete (`misses` of a mutant).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.machines.world import World

X, Y, Z = range(3)
ANSWER = 8
NR_WORDS = 16


def program(
    asked: Asked,
    name: str,
    body: Callable[[Kernel, int], None],
    cpus: int,
    *,
    seen: Collection[tuple[int, ...]] = (),
    never: Callable[[tuple[int, ...]], bool] = lambda _: False,
    mortal: Collection[int] = (),
    announces: bool = False,
) -> Scene:
    """A scene; its ends are the answers of all CPUs. Of who may die, at most one does."""

    def check(_: World, arena: Arena) -> list[str]:
        answers = tuple(arena.records("script")["word"][ANSWER : ANSWER + cpus].tolist())
        return [f"{name}: {answers} is seen"] if answers in seen or never(answers) else []

    world = replace(asked.world(), script=np.zeros(NR_WORDS, np.int64))
    return Scene(
        name, world, body, cpus, ("script",), mortal=mortal, deaths=int(bool(mortal)), announces=announces, check=check
    )  # fmt: skip
