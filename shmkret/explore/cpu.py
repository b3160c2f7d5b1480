"""An explored CPU: a greenlet, and what its code has been told."""

from __future__ import annotations

from collections.abc import Callable

import greenlet

from shmkret.explore.steps import Place


class WaitsForever(Exception):
    """Outside a search, a CPU waits for what nobody can do any more."""


class Memory:
    """What the runs of one search have in common, so that a state is a few numbers.

    pasts: a number for all that a CPU's code has been told: for one answer more, by the number of what it was told before.
    places: the words that were written in some run, in the order in which that was seen; others are as they were at first.
    """

    def __init__(self) -> None:
        self.pasts: dict[tuple[int, int], int] = {}
        self.places: dict[Place, None] = {}


class Cpu(greenlet.greenlet):  # type: ignore[misc]
    """A CPU: `number`, from 0; how many `steps` it has done; its `past`, a number of the memory's."""

    def __init__(self, number: int, body: Callable[[], None]) -> None:
        def code() -> None:
            body()  # what it returns would be taken for a step

        super().__init__(code)
        self.number = number
        self.steps = 0
        self.past = 0
        self.killed = False
