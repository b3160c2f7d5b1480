"""explore(): every interleaving of a scenario, as the engines of this room try them and its monitors judge them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

from shmkret.explore.engines import ENGINE
from shmkret.explore.machine import ExploredMachine, Memory
from shmkret.explore.monitors import MONITOR
from shmkret.explore.run import Run, one_run
from shmkret.explore.scenario import Outcome, Scenario
from shmkret.plugins.registry import find, names

LARGEST_SEARCH = 2_000_000


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
    Raises:  UnknownName for the engine.
    """
    monitors = [find(MONITOR, name).module.watch for name in names(MONITOR)]

    memory = Memory()

    def begin() -> AbstractContextManager[Run]:
        return one_run(scenario, monitors, memory)

    found: Outcome = find(ENGINE, engine).module.search(begin, limit, seconds)
    return found
