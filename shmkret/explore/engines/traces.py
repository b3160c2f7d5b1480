"""One run of each trace of compiled code, without a table of states: shmkret.explore.stacks.traces.

A trace is a run, but for the order of neighbouring steps that commute. All runs of a trace end alike, and a data race that one
of them would show is found in each.

Private    as of `states`; and a wait, a death, or a sleep that ends for no reason, is a step like others
Counted    runs that are complete; of these, those in which a step that changed nothing was done again; blocked; pruned
Shown      a violation is looked for again as `states` does, with few preemptions, up to SHORTER states for each bound
Not here   what is wrong in a state alone, without a race, and at no end: there is no monitor for such a thing yet
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shmkret.explore.engines import states
from shmkret.explore.scenario import Outcome, Violation
from shmkret.explore.stacks import sight
from shmkret.explore.stacks.traces import traverse

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

EXECUTOR = "stacks"
SHORTER = 5_000_000


def prepare(stacks: Stacks) -> None:
    """Compile what is needed beside the usual."""
    stacks.able(traverse)


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """Every trace, up to the first violation. limit: steps. seen: called every now and then."""
    end = time.monotonic() + seconds
    outcome = states.searched(stacks, limit, end, seen, traverse, _told)
    return states.shortened(stacks, outcome, SHORTER, end, seen)


def _told(stacks: Stacks, status: int) -> Violation:
    """A data race is told where both accesses are about to be done, which may be in another run of the trace."""
    schedule = sight.pending_together(stacks)
    if schedule is None:
        return states.wrong(stacks, status)
    for _ in stacks.replay(schedule):
        pass
    return Violation("; ".join(stacks.judge()), schedule)
