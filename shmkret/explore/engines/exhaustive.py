"""Every interleaving, depth first, each state once.

A state is the contents of all words and, for each CPU, everything that it has read so far, which determines where its code
stands. A run follows the road that was noted and then goes on with the lowest CPU, until nothing is left to be tried; on its
way it notes the roads not taken.

Reduction  a step on words that only one CPU uses commutes with all that others do, so that it is done at once, before any
           other. Which words these are is found out as the search goes; when one turns out to be shared, it starts again
Ways       a step that kernel or libc may do in several ways is a choice for each
Sleep      of two steps that commute, one order is enough: a choice that was tried sleeps on the roads beside it, until a step
           is done that does not commute with its own. A state that is come to again, with choices awake that slept there
           before, is gone on from with these
Deaths     commute with nothing: others may see them
Source     P. Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032, 1996: persistent sets,
           and sleep sets where states are kept
"""

from __future__ import annotations

import time
from typing import NamedTuple

from shmkret.explore.greenlets.run import Begin, Run, in_a_sentence
from shmkret.explore.greenlets.steps import Place, Step, cpu_of
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
        """Whether a step is on such a word, or on some that are not said. mortal: a CPU may die, now or later."""
        return step.elsewhere or any(place in self.contended or (mortal and place in self.announced) for place in step.places)


class _Road(NamedTuple):
    """A schedule that leads to where there is more to be tried; asleep: the choices that need not be tried first there."""

    schedule: list[int]
    asleep: frozenset[int]


AWAKE: frozenset[int] = frozenset()


class _Attempt:
    """A search for which the shared words are known.

    visited: the states from which all has been tried, or noted; for each the choices that have slept there every time.
    seen: what turned out to be shared.
    """

    def __init__(self, begin: Begin, known: Shared) -> None:
        self._begin = begin
        self._known = known
        self.seen = Shared(set(known.contended), set(known.announced))
        self.roads = [_Road([], AWAKE)]
        self.visited: dict[tuple[object, ...], frozenset[int]] = {}
        self.outcome = Outcome()

    def goes_on(self, limit: int, end: float) -> bool:
        """Whether there is more to be tried, and leave to do so."""
        has_more = bool(self.roads) and not self.outcome.violations
        return has_more and len(self.visited) <= limit and time.monotonic() < end

    def follow(self, road: _Road) -> None:
        """One run: along the road, and on until nothing is left to be tried."""
        with self._begin() as run:
            asleep = road.asleep
            try:
                run.begin(road.schedule)
                while True:
                    choices, asleep = self._choices(run, asleep)
                    if not choices:
                        break
                    asleep = self._note(run, choices, asleep)
                    run.go_on(choices[0])
            except Exception as error:  # whatever a CPU's code raises under some interleaving
                self.outcome.violations.append(Violation(in_a_sentence(error), list(run.schedule)))
            self.seen.contended.update(run.contended)
            self.seen.announced.update(run.announced)

    def _choices(self, run: Run, asleep: frozenset[int]) -> tuple[list[int], frozenset[int]]:
        """The choices to try in this state, and which sleep beside them; what is wrong in it is noted when it is seen first."""
        state = run.state()
        slept = self.visited.get(state)
        if slept is None:
            self.visited[state] = asleep
            return [i for i in self._persistent(run) if i not in asleep] if self._is_right(run) else [], asleep
        both = self.visited[state] = slept & asleep
        woken = slept - asleep
        return [i for i in self._persistent(run) if i in woken] if woken else [], both

    def _is_right(self, run: Run) -> bool:
        """Whether a new state has a future; and the roads on which somebody dies in it."""
        wrong = run.wrong()
        if not run.possible:
            wrong = wrong or run.check()
            self.outcome.schedules += 1
        if wrong:
            self.outcome.violations.append(Violation(wrong, list(run.schedule)))
        else:
            alone = self._alone(run)
            self.roads.extend(_Road([*run.schedule, i], AWAKE) for i in run.deaths if alone is None)
        return not wrong

    def _alone(self, run: Run) -> int | None:
        """The lowest CPU whose step commutes with all that others will ever do. A death does not: others may see it."""
        mortal = run.mortal
        safe = (i for i in run.possible if cpu_of(i) not in mortal)
        return next((cpu_of(i) for i in safe if not self._known.has(run.next_step(i), mortal=run.may_die)), None)

    def _persistent(self, run: Run) -> list[int]:
        """The choices of which one must be tried."""
        alone = self._alone(run)
        return run.possible if alone is None else [i for i in run.possible if cpu_of(i) == alone]

    def _note(self, run: Run, choices: list[int], asleep: frozenset[int]) -> frozenset[int]:
        """The roads of all choices but the first; returns what sleeps on the road of that one."""
        sleepers = [frozenset(j for j in (*asleep, *choices[:n]) if _commute(run, i, j)) for n, i in enumerate(choices)]
        self.roads.extend(_Road([*run.schedule, i], sleepers[n]) for n, i in enumerate(choices) if n)
        return sleepers[0]


def _commute(run: Run, one: int, other: int) -> bool:
    """Whether two choices lead to the same state in either order. Of two waits that would end for no reason, one may leave the
    other no leave: then no order has both.
    """
    return cpu_of(one) != cpu_of(other) and run.next_step(one).commutes_with(run.next_step(other))
