"""What a CPU is about to do, and how a schedule names it.

    0  0  1  -2      CPU 0 does its step, and its next; CPU 1 does its step, and dies before its next (DIES - 1)
    102  9901        CPU 2 does its step in its second way (2 + MOST_CPUS * 1); CPU 1's wait ends for no reason (NO_REASON)

A step has several ways where kernel or libc may do one thing or another: which sleepers a wake-up wakes, for instance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

Place = tuple[str, int]
"""A word: its column and its index."""

DIES = -1
"""In a schedule, DIES - i is the death of CPU i."""

MOST_CPUS = 100
"""In a schedule, i + MOST_CPUS * way is CPU i's step, done in that way; and DIES - that number its death, in that way."""

NO_REASON = 99
"""The way of a wait that ends for no reason."""


def cpu_of(choice: int) -> int:
    """Whose step a choice of a schedule is, or whose death."""
    return (choice if choice >= 0 else DIES - choice) % MOST_CPUS


def way_of(choice: int) -> int:
    """In which way it is done."""
    return (choice if choice >= 0 else DIES - choice) // MOST_CPUS


class Step(NamedTuple):
    """What a CPU is about to do: `kind` of access to the word `place`, possible now or not. places: that word, and others that
    are looked at in the same step. changes: the word, or who sleeps on it. elsewhere: it looks at more than its places.
    ways: those in which it can be done now; not said: one.
    """

    kind: str
    place: Place
    places: tuple[Place, ...]
    writes: bool
    plain: bool
    changes: bool
    elsewhere: bool
    possible: Callable[[], bool] | None = None
    ways: Callable[[], Sequence[int]] | None = None

    def choices(self, cpu: int) -> list[int]:
        """What a schedule may go on with where CPU `cpu` is about to do this step; none while it is not possible."""
        if self.ways is not None:
            return [cpu + MOST_CPUS * way for way in self.ways()]
        return [cpu] if self.possible is None or self.possible() else []

    def commutes_with(self, other: Step) -> bool:
        """Whether the two, of different CPUs, lead to the same state in either order, and neither hinders the other."""
        if self.elsewhere or other.elsewhere:
            return False
        return not (self.changes and self.place in other.places) and not (other.changes and other.place in self.places)
