"""Every interleaving of compiled code, each state once: shmkret.explore.stacks.descent.

Private    words that one CPU alone uses are no steps. That no other does is checked at every access; one that does ends the
           search, and it begins again with this word as a step. Who uses a word is not forgotten on the way back: what is
           behind a state that is known counts for every way that leads to it
Deaths     come before a step, and not after a CPU's last. A store that is no step may be half of what a CPU does when it dies:
           if another reads that word, it is a step; if the check of an end does, it becomes one:
           shmkret.explore.stacks.looked_at
Ends       that have the same words are checked once: a check depends on the arena alone
Odds       two states are taken for one with a chance of at most n * n / 2**65 in a search of n states
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shmkret.explore.scenario import Outcome, Violation
from shmkret.explore.stacks.control import AT_END, BROKEN, DEADLOCK, ENDS, FINISHED, FULL, LEARNED, MORE, RACE, STATES, TOO_DEEP
from shmkret.explore.stacks.descent import descend
from shmkret.explore.stacks.nodes import COUNTS
from shmkret.machines.compiled.watched import NOT_PRIVATE

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

EXECUTOR = "stacks"


BUDGET = 100_000
BOUNDS = range(8)
"""Preemptions: a violation is looked for with ever more of them, so that what is shown has as few as possible."""


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """Every interleaving, up to the first violation, which is then shown with as few preemptions as there are any with.

    seen: called every now and then.
    """
    end = time.monotonic() + seconds
    outcome = searched(stacks, limit, end, seen, descend, bound=-1)
    return shortened(stacks, outcome, limit, end, seen)


def shortened(stacks: Stacks, outcome: Outcome, limit: int, end: float, seen: Callable[[], None]) -> Outcome:
    """What a search has found, its violation in the place of one with as few preemptions as there are any with."""
    if outcome.violations:
        for bound in BOUNDS:
            smaller = searched(stacks, limit, end, seen, descend, bound=bound, reduced=0)
            if smaller.violations:
                outcome.violations = smaller.violations
                outcome.violations[0].preemptions = bound
                break
    return outcome


def wrong(stacks: Stacks, status: int) -> Violation:
    """What is wrong where a search has stopped."""
    return Violation(stacks.describe(status), stacks.path())


def searched(
    stacks: Stacks,
    limit: int,
    end: float,
    seen: Callable[[], None],
    text: Callable[[int, int], int],
    told: Callable[[Stacks, int], Violation] = wrong,
    **values: int,
) -> Outcome:
    """One search, up to the first violation. text: what is compiled of it. told: how a violation is told, by why the search has
    stopped. values: words of the control block at its beginning.
    """
    while True:
        outcome = Outcome()
        stacks.begin(**values)
        status = MORE
        while status == MORE:
            status = stacks.descend(BUDGET, text)
            seen()
            if status == AT_END:
                found = stacks.check()
                half_done = stacks.half_done()
                if half_done:
                    stacks.share(half_done)
                    status = LEARNED
                elif found:
                    outcome.violations.append(Violation("; ".join(found), stacks.path()))
                else:
                    status = MORE
            if status == FULL and stacks.grow():
                status = MORE
            if status == MORE and (stacks.get(STATES) > limit or time.monotonic() > end):
                outcome.gave_up = f"{limit:,} states" if stacks.get(STATES) > limit else "time"
                break
        culprit = stacks.culprit() if status == BROKEN else None
        if culprit and culprit[1] == NOT_PRIVATE:
            stacks.share({culprit[2]})
            continue
        if status == LEARNED:
            continue
        counted(stacks, outcome)
        if status in (RACE, DEADLOCK, BROKEN):
            outcome.violations.append(told(stacks, status))
        if status in (FULL, TOO_DEEP):
            outcome.gave_up = "the table is full" if status == FULL else "the path is too long"
        outcome.complete = status == FINISHED
        return outcome


def counted(stacks: Stacks, outcome: Outcome) -> Outcome:
    """With what the search has counted."""
    outcome.states, outcome.schedules = stacks.get(STATES), stacks.get(ENDS)
    outcome.blocked, outcome.pruned, outcome.retried = map(stacks.get, COUNTS)
    return outcome
