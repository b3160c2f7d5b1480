"""A CPU of a run, as code that can be left; and what the CPUs of all runs of a search have read."""

from __future__ import annotations

from collections.abc import Callable

from shmkret.explore.bounded import Bounded
from shmkret.explore.clock import Clock

Place = tuple[str, int]
"""A word: its column and its index."""


class Memory:
    """What the runs of one search have in common, so that a state is a few numbers.

    pasts: a number for all that a CPU has read: for one value more, by the number of what was read before. places: the words
    that were written in some run, in the order in which that was seen; others are as they were at first.
    """

    def __init__(self) -> None:
        self.pasts: dict[tuple[int, int], int] = {}
        self.places: dict[Place, None] = {}


class Cpu(Bounded):
    """A CPU: `number`, from 0; how many `steps` it has done; its `past`, a number of the memory's."""

    def __init__(self, number: int, body: Callable[[], None]) -> None:
        super().__init__(body)
        self.number = number
        self.name = f"cpu {number}"
        self.steps = 0
        self.past = 0
        self.killed = False
        self.clock = Clock()
        self.ended = False
        self.ends = 0
