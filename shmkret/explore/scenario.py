"""What is explored: the code of each CPU and the check at the end; and what a search says of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Broken(Exception):
    """What a CPU has seen that must not be: raised by its code, it is a violation."""


@dataclass
class Violation:
    """Something that must not be, and the CPUs in the order of their steps that led there. preemptions: how many there are at
    least; None: that is not known. shown: these steps, in lanes, where they were found in plain Python.
    """

    what: str
    schedule: list[int]
    preemptions: int | None = None
    shown: list[str] = field(default_factory=list, compare=False)

    def told(self, what: str = "") -> str:
        """What is wrong, or what is said of it, and the lanes below that."""
        return "\n".join([what or self.what, *(f"  {line}" for line in self.shown)])


@dataclass
class Outcome:
    """What a search found. complete: every interleaving was covered, with as many deaths, and as many waits that end for no
    reason, as the scenario grants a run; and none was wrong. gave_up: the limit that it reached. schedules: how many ends
    it has come to; ends, steps: how many ends differ in a word, and how many steps it did. A search that draws at random does
    not count states. One by traces counts runs: those that were blocked, or pruned, and the complete ones with a step that was
    done again.
    """

    states: int = 0
    schedules: int = 0
    complete: bool = False
    gave_up: str = ""
    ends: int = 0
    steps: int = 0
    blocked: int = 0
    pruned: int = 0
    retried: int = 0
    violations: list[Violation] = field(default_factory=list)


class Scenario(NamedTuple):
    """A fresh world: the code of each CPU, and the check to make when all have ended (empty: all is well).

    mortal: CPUs that may die before any of their steps, `deaths` of them in one run; announce(cpu): what is known at once then.
    stops: none of these dies; it stands still from there on, and keeps what it has. wakes: how many waits on a futex
    may end for no reason, in one run.
    """

    bodies: Sequence[Callable[[], None]]
    check: Callable[[], list[str]]
    mortal: Collection[int] = ()
    deaths: int = 1
    announce: Callable[[int], None] = lambda _: None
    wakes: int = 1
    stops: bool = False


class Rehearsal(NamedTuple):
    """flaws: why nothing must be measured. doubts: what was not looked at, and should have been. proved: what was, and what is
    beyond it.
    """

    flaws: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    proved: tuple[str, ...] = ()

    def beside(self, other: Rehearsal) -> Rehearsal:
        """Both."""
        return Rehearsal(self.flaws + other.flaws, self.doubts + other.doubts, self.proved + other.proved)
