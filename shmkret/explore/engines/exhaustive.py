"""Every interleaving, depth first, each state once.

A state is the contents of all words and, for each CPU, everything that it has read so far, which determines where its code
stands. A run follows the road that was noted and then goes on with the lowest CPU, until it comes to a state that is known; on
its way it notes the roads not taken.

Reduction  a step on words that only one CPU uses commutes with all that others do, so that it is done at once, before any
           other. Which words these are is found out as the search goes; when one turns out to be shared, it starts again
"""

from __future__ import annotations

import time
from typing import NamedTuple

from shmkret.explore.machine import Place, Step
from shmkret.explore.run import DIES, WRONG, Begin, Run
from shmkret.explore.scenario import Outcome, Violation


def search(begin: Begin, limit: int, seconds: float) -> Outcome:
    """Every interleaving, up to the first violation."""
    end = time.monotonic() + seconds
    shared = Shared(set(), set())
    while True:
        attempt = _Attempt(begin, shared)
        while attempt.goes_on(limit, end):
            attempt.follow(attempt.roads.pop())
            if attempt.seen != shared:
                break  # what was left out for a word that only one CPU uses must be looked at after all
        outcome = attempt.outcome
        outcome.complete = attempt.seen == shared and not attempt.roads and not outcome.violations
        outcome.states = len(attempt.visited)
        if attempt.seen == shared or outcome.violations or time.monotonic() >= end:
            return outcome
        shared = attempt.seen


class Shared(NamedTuple):
    """The words that several CPUs use; and those that are written when one dies, which nobody is alone with while one may."""

    contended: set[Place]
    announced: set[Place]

    def has(self, step: Step, *, mortal: bool) -> bool:
        """Whether a step is on such a word. mortal: a CPU may die."""
        return any(place in self.contended or (mortal and place in self.announced) for place in step.places)


class _Attempt:
    """A search for which the shared words are known.

    roads: schedules that lead to where another choice is possible. visited: states from which all has been tried, or noted.
    seen: what turned out to be shared.
    """

    def __init__(self, begin: Begin, known: Shared) -> None:
        self._begin = begin
        self._known = known
        self.seen = Shared(set(known.contended), set(known.announced))
        self.roads: list[list[int]] = [[]]
        self.visited: set[tuple[object, ...]] = set()
        self.outcome = Outcome()

    def goes_on(self, limit: int, end: float) -> bool:
        """Whether there is more to be tried, and leave to do so."""
        has_more = bool(self.roads) and not self.outcome.violations
        return has_more and len(self.visited) <= limit and time.monotonic() < end

    def follow(self, road: list[int]) -> None:
        """One run: along the road, and on to a state that is known, or the end."""
        with self._begin() as run:
            try:
                run.begin()
                for choice in road:
                    run.go_on(choice)
                while self._is_new(run):
                    run.go_on(self._choose(run))
            except WRONG as error:
                self.outcome.violations.append(Violation(str(error), list(run.schedule)))
            self.seen.contended.update(run.contended)
            self.seen.announced.update(run.announced)

    def _is_new(self, run: Run) -> bool:
        """Whether a state that was never seen has a future. What is wrong in it is noted."""
        state = run.state()
        if state in self.visited:
            return False
        self.visited.add(state)
        wrong = run.wrong()
        if not run.possible:
            wrong = wrong or run.check()
            self.outcome.schedules += 1
        if wrong:
            self.outcome.violations.append(Violation(wrong, list(run.schedule)))
        return not wrong and bool(run.possible)

    def _choose(self, run: Run) -> int:
        """The lowest CPU; all other choices are roads to follow later."""
        possible, mortal = run.possible, run.mortal
        alone = next((i for i in possible if not self._known.has(run.next_step(i), mortal=bool(mortal))), None)
        choices = possible if alone is None else [alone]
        self.roads.extend([*run.schedule, other] for other in choices[1:])
        self.roads.extend([*run.schedule, DIES - i] for i in mortal if alone in (None, i))
        return choices[0]
