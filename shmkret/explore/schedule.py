"""The search: every interleaving of a scenario, each state once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import greenlet

from shmkret.explore.libc import NotExplorable
from shmkret.explore.machine import ExploredMachine, Step
from shmkret.explore.scenario import Outcome, Scenario, Violation
from shmkret.text import atomics

LARGEST_SEARCH = 2_000_000

DIES = -1
"""In a schedule, DIES - i is the death of CPU i."""


def explore(scenario: Callable[[ExploredMachine], Scenario], limit: int = LARGEST_SEARCH, seconds: float = math.inf) -> Outcome:
    """Run the scenario under every interleaving of its CPUs; stops at the first violation.

    Args:    scenario: builds a fresh world on the machine it is given; it must do the same each time.
             limit, seconds: the states, and the time, after which the search gives up and is not complete.
    """
    end = time.monotonic() + seconds
    contended: set[tuple[str, int]] = set()
    while True:
        outcome = Outcome()
        known = frozenset(contended)
        visited: set[tuple[Any, ...]] = set()
        prefixes: list[list[int]] = [[]]
        while prefixes and not outcome.violations and len(visited) <= limit and time.monotonic() < end:
            _run(scenario, prefixes.pop(), known, contended, visited, prefixes, outcome)
            if len(contended) > len(known):
                break  # what was left out for a word that only one CPU uses must be looked at after all
        outcome.complete = not prefixes and not outcome.violations
        outcome.states = len(visited)
        if len(contended) == len(known) or outcome.violations or time.monotonic() >= end:
            return outcome


def _run(
    scenario: Callable[[ExploredMachine], Scenario],
    prefix: list[int],
    known: frozenset[tuple[str, int]],
    contended: set[tuple[str, int]],
    visited: set[tuple[Any, ...]],
    prefixes: list[list[int]],
    outcome: Outcome,
) -> None:
    """Replay `prefix`, then go on with the lowest possible CPU until a state is known; note the roads not taken."""
    machine = ExploredMachine()
    with atomics.use(machine):
        world = scenario(machine)
        cpus = machine.start(world.bodies)
        schedule = list(prefix)
        try:
            pending: list[Step | None] = [cpu.switch() for cpu in cpus]
            for choice in prefix:
                _go_on(machine, world, cpus, pending, choice)
            while True:
                state = machine.state(cpus)
                if state in visited:
                    return
                visited.add(state)
                wrong = _race(pending)
                possible = [i for i, step in enumerate(pending) if step and (step.possible is None or step.possible())]
                if not possible and not wrong:
                    stuck = [f"cpu {i} waits in {step.kind} of {step.place}" for i, step in enumerate(pending) if step]
                    machine.stop(cpus)
                    wrong = f"deadlock: {'; '.join(stuck)}" if stuck else "; ".join(world.check())
                    outcome.schedules += 1
                if wrong:
                    outcome.violations.append(Violation(wrong, schedule))
                if wrong or not possible:
                    return
                # A step on a word that nobody else uses commutes with all that others do: it is done at once.
                alone = next((i for i in possible if _place(pending[i]) not in known), None)
                choices = possible if alone is None else [alone]
                prefixes.extend([*schedule, other] for other in choices[1:])
                if sum(choice < 0 for choice in schedule) < world.deaths:
                    prefixes.extend([*schedule, DIES - i] for i in world.mortal if pending[i] and alone in (None, i))
                possible = choices
                schedule.append(possible[0])
                _go_on(machine, world, cpus, pending, possible[0])
        except (IndexError, NotExplorable) as error:
            outcome.violations.append(Violation(str(error), schedule))
        finally:
            machine.stop(cpus)
            contended |= machine.contended


def _place(step: Step | None) -> tuple[str, int] | None:
    return step.place if step else None


def _go_on(
    machine: ExploredMachine, world: Scenario, cpus: Sequence[greenlet.greenlet], pending: list[Step | None], choice: int
) -> None:
    """CPU `choice` does its step, or CPU DIES - choice dies before its step."""
    if choice >= 0:
        pending[choice] = cpus[choice].switch()
    else:
        machine.kill(cpus[DIES - choice])
        pending[DIES - choice] = None
        machine.alone(lambda: world.announce(DIES - choice))


def _race(pending: Sequence[Step | None]) -> str:
    """Two CPUs about to access one word, one writing, one plainly: empty when there are none."""
    steps = [(i, step) for i, step in enumerate(pending) if step]
    for a, first in steps:
        for b, second in steps:
            if a < b and first.place == second.place and (first.writes or second.writes) and (first.plain or second.plain):
                return f"data race on {first.place}: cpu {a} is at {first.kind}, cpu {b} at {second.kind}"
    return ""
