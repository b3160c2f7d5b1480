"""One run of each trace of compiled code, without a table of states: shmkret.explore.stacks.traces.

A trace is a run, but for the order of neighbouring steps that commute. All runs of a trace end alike, and a data race that one
of them would show is found in each.

Private    as of `states`: that words which are no steps are one CPU's alone is checked at every access
Counted    runs that are complete; of these, those in which a step that changed nothing was done again; blocked; pruned
Shown      a violation is looked for again as `states` does, with few preemptions, within SHORTENED_IN states for each bound
Not here   what is wrong in a state alone, without a race, and at no end: there is no monitor for such a thing
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from shmkret.explore.engines import states
from shmkret.explore.scenario import Outcome, Violation
from shmkret.explore.stacks import sight
from shmkret.explore.stacks.control import DONE_STEPS, GOES_ON
from shmkret.explore.stacks.traces import traverse
from shmkret.machines.compiled.cache import cache_folder
from shmkret.machines.compiled.loop import INT, compile_function

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

EXECUTOR, TABLE = "stacks", False
SHORTENED_IN = 5_000_000


def prepare(stacks: Stacks) -> Callable[[int, int], int]:
    """What is searched with, compiled, or read from where it is kept."""
    return _compiled(stacks.scene.world.build.cache() and cache_folder(()))


@cache
def _compiled(folder: Path | None) -> Callable[[int, int], int]:
    return compile_function(traverse, [INT, INT], folder and folder / "search-traverse")


def advancing(stacks: Stacks) -> Callable[[int], int]:
    """What searches on for so many steps; a number of shmkret.explore.stacks.control says why it came back."""
    text = prepare(stacks)
    return lambda budget: stacks._busy(GOES_ON, text, budget)


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """Every trace, up to the first violation. limit: steps. seen: called every now and then."""
    end = time.monotonic() + seconds
    most = (DONE_STEPS, limit, "steps")
    outcome = states.searched(stacks, partial(stacks.begin, by_past=1), advancing(stacks), most, end, seen, _told)
    if outcome.violations:
        states.shortened(stacks, outcome, SHORTENED_IN, end, seen)
    return outcome


def _told(stacks: Stacks, status: int) -> Violation:
    """A data race is told where both accesses are about to be done, which may be in another run of the trace."""
    schedule = sight.pending_together(stacks)
    if schedule is None:
        return states.told(stacks, status)
    for _ in stacks.replay(schedule):
        pass
    return Violation("; ".join(stacks.judge()), schedule)
