"""An explored CPU: code that can be left, and what it has been told."""

from __future__ import annotations

from collections.abc import Callable

import greenlet

from shmkret.explore.greenlets.bounded import Bounded, RunsOn, leave
from shmkret.explore.greenlets.clock import Clock
from shmkret.explore.greenlets.steps import Place

MOST_ENDS = 100
"""How often a CPU that was ended may begin a step more: `finally` does."""


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


class Cpu(Bounded):
    """A CPU: `number`, from 0; how many `steps` it has done; its `past`, a number of the memory's; its `clock`.

    killed: it does nothing more, and its code stands where it stood. stopped: likewise, and it keeps what it
    has. ended: its code is thrown out of wherever it stands.
    """

    def __init__(self, number: int, body: Callable[[], None]) -> None:
        super().__init__(body)
        self.number = number
        self.name = f"cpu {number}"
        self.steps = 0
        self.past = 0
        self.killed = self.stopped = False
        self.clock = Clock()
        self.ended = False
        self._begun = 0

    @property
    def standing(self) -> tuple[int, bool] | None:
        """Its part of a state."""
        return None if self.killed else (self.past, self.stopped)

    def end(self) -> None:
        """Throw its code out of wherever it stands; what a `finally` does there, nobody sees. Raises: RunsOn."""
        self.ended = True
        if not self.dead and not self.left:
            try:
                self.throw()
            except RunsOn:
                raise
            except Exception:  # noqa: S110 -- of a run that is over
                pass

    def begins_a_step(self) -> None:
        """It was ended, and begins a step: it is thrown out once more, or left. Raises: GreenletExit."""
        self._begun += 1
        if self._begun <= MOST_ENDS:
            raise greenlet.GreenletExit
        leave(self)
        self.parent.throw(RunsOn(f"{self.name} catches what ends it, and goes on"))
