"""explore(): every interleaving of a scenario, as the engines of this room try them and its monitors judge them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import permutations

from shmkret.explore.engines import ENGINE
from shmkret.explore.greenlets.bounded import RunsOn, watched
from shmkret.explore.greenlets.cpu import Memory
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.greenlets.run import Run, in_a_sentence, one_run
from shmkret.explore.greenlets.steps import cpu_of
from shmkret.explore.monitors import MONITOR
from shmkret.explore.scenario import Outcome, Scenario, Violation
from shmkret.plugins.registry import find, names

LARGEST_SEARCH = 2_000_000
LONGEST_STAND = 200
"""Steps after which a CPU stands still, while another may spin."""


def explore(
    scenario: Callable[[ExploredMachine], Scenario],
    limit: int = LARGEST_SEARCH,
    seconds: float = math.inf,
    engine: str = "exhaustive",
) -> Outcome:
    """Run the scenario under every interleaving of its CPUs; stops at the first violation.

    Args:    scenario: builds a fresh world on the machine it is given; it must do the same each time.
             limit, seconds: the states, and the time, after which the search gives up and is not complete.
             engine: the name of a file in shmkret/explore/engines.
    Code that runs on without a step, wherever it is called, is a violation: see shmkret.explore.greenlets.bounded.
    Raises:  UnknownName for the engine.
    """
    monitors = [find(MONITOR, name).module.watch for name in names(MONITOR)]

    memory = Memory()

    def begin() -> AbstractContextManager[Run]:
        return one_run(scenario, monitors, memory)

    search = find(ENGINE, engine).module.search
    began = time.monotonic()
    try:
        with watched():
            found: Outcome = search(begin, limit, seconds)
            if not found.complete and not found.violations:
                found.gave_up = _reached(found, limit, time.monotonic() - began, seconds)
                found.violations.extend(_spins(begin) if found.gave_up else ())
            _show(begin, found)
    except RunsOn as error:  # in building a world, or in being ended
        return Outcome(violations=[Violation(str(error), [])])
    return found


def _show(begin: Callable[[], AbstractContextManager[Run]], found: Outcome) -> None:
    """Let what was found have its lanes."""
    if not found.violations:
        return
    from shmkret.explore.shown.plainly import shown  # it imports Numba with what it draws for others

    for violation in found.violations:
        violation.shown = shown(begin, violation.schedule)


def _reached(found: Outcome, limit: int, took_s: float, seconds: float) -> str:
    """The limit that ended a search; empty where none did."""
    if found.states > limit:
        return f"the limit of {limit:,} states"
    return f"the limit of {seconds:g} s" if took_s >= seconds else ""


def _spins(begin: Callable[[], AbstractContextManager[Run]]) -> Iterator[Violation]:
    """A spin without a bound, which may be why a search did not end: one CPU stands still for ever, and another goes on."""
    for stands, goes in permutations(range(2)):
        for steps in range(LONGEST_STAND):
            with begin() as run:
                try:
                    run.begin([])
                    if not all(_went_on(run, stands) for _ in range(steps)):
                        break
                    while _went_on(run, goes):
                        pass
                except Exception as error:
                    yield Violation(in_a_sentence(error), list(run.schedule))
                    return


def _went_on(run: Run, cpu: int) -> bool:
    """A CPU does its step, in the first way that it has; whether it could."""
    choice = next((choice for choice in run.possible if cpu_of(choice) == cpu), None)
    if choice is not None:
        run.go_on(choice)
    return choice is not None
