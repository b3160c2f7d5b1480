"""Every interleaving of compiled code, each state once: shmkret.explore.stacks.descent.

Private    words that one CPU alone uses are no steps. That no other does is checked at every access; one that does ends the
           search, and it begins again with this word as a step. Who uses a word is not forgotten on the way back: what is
           behind a state that is known counts for every way that leads to it
Deaths     come before a step, and not after a CPU's last. A store that is no step may be half of what a CPU does when it dies:
           if another reads that word, it is a step; if the check of an end does, it becomes one:
           shmkret.explore.stacks.looked_at
Ends       that have the same words are checked once: a check depends on the arena alone
Bounded    by preemptions (Stacks.preemptions): who ran last, and how many there were, are part of a state then. A search is
           complete only where no choice was refused for that
Buffers    under x86-TSO a CPU does no store while its buffer is full: a search in which one was is bounded by that. So is one
           under release-acquire memory in which older messages of a word might have been read than are kept
Odds       two states are taken for one with a chance of at most n * n / 2**65 in a search of n states
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING

from shmkret.explore.scenario import Outcome, Violation
from shmkret.explore.stacks.control import (
    AT_END,
    BOUND,
    BROKEN,
    BUFFERED,
    CUT,
    DISTINCT,
    DONE_STEPS,
    ENDS,
    FINISHED,
    FULL,
    LEARNED,
    MORE,
    MOST_MESSAGES,
    OVERCROWDED,
    OVERFLOWED,
    STATES,
    TOO_DEEP,
    WRONG,
)  # fmt: skip
from shmkret.explore.stacks.nodes import COUNTS
from shmkret.machines.compiled.watched import NOT_PRIVATE

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

EXECUTOR, MODELS = "stacks", ("sc", "tso", "ra")


BUDGET = 100_000
BOUNDS = range(8)
"""Preemptions: a violation is looked for with ever more of them, so that what is shown has as few as possible."""


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """Every interleaving, or those with as many preemptions as the stacks say and no more, up to the first violation, which is
    then shown with as few preemptions as there are any with, and with so few stores in a buffer at once.

    seen: called every now and then.
    """
    end = time.monotonic() + seconds
    outcome = _bounded(stacks, limit, end, seen, -1 if stacks.preemptions is None else stacks.preemptions)
    if outcome.violations:
        _with_fewest(stacks, outcome, limit, end, seen)
    return outcome


def shortened(stacks: Stacks, outcome: Outcome, limit: int, end: float, seen: Callable[[], None]) -> None:
    """A violation that was found otherwise, with the fewest preemptions, if there is one within these limits."""
    _with_fewest(stacks, outcome, limit, end, seen, complete=True)


def _with_fewest(
    stacks: Stacks, outcome: Outcome, limit: int, end: float, seen: Callable[[], None], *, complete: bool = False
) -> None:
    """complete: a search that has not tried all with so few is the last: one with more has more to do."""
    for bound, late in product(BOUNDS, _late(stacks.get(BUFFERED))):
        smaller = _bounded(stacks, limit, end, seen, bound, buffered=late)
        if smaller.violations:
            outcome.violations = smaller.violations
            outcome.violations[0].preemptions = bound
        has_ended = smaller.complete or smaller.gave_up == _of_bound(bound)
        if smaller.violations or (complete and not has_ended):
            break


def _late(most: int) -> Iterator[int]:
    """How many stores a buffer may hold back: 1, 2, 4 ... and at last as many as there may be; of none, none."""
    late = min(1, most)
    while late < most:
        yield late
        late *= 2
    yield most


def _bounded(stacks: Stacks, limit: int, end: float, seen: Callable[[], None], bound: int, **smaller: int) -> Outcome:
    """With at most so many preemptions; -1: with any number."""

    def begin() -> None:
        stacks.begin(bound=bound, of_path=0) if bound < 0 else stacks.begin(bound=bound, reduced=0, **smaller)

    return searched(stacks, begin, stacks.descend, (STATES, limit, "states"), end, seen)


def told(stacks: Stacks, status: int) -> Violation:
    """What is wrong where a search has stopped, and the way there."""
    return Violation(stacks.describe(status), stacks.path())


def searched(
    stacks: Stacks,
    begin: Callable[[], None],
    advance: Callable[[int], int],
    limit: tuple[int, int, str],
    end: float,
    seen: Callable[[], None],
    tell: Callable[[Stacks, int], Violation] = told,
) -> Outcome:
    """What is found from one beginning; from another, when a word turns out to be shared that was taken for one CPU's own.

    begin: every CPU comes to its first step. advance: do so many steps, and say why it came back, as stacks.descend() does.
    limit: a word of the control block, the most that it may count, and of what. tell: what is wrong, and the way there, by why
    it came back. Complete where advance() says FINISHED.
    """
    counted, most, what = limit
    while True:
        outcome = Outcome()
        begin()
        status = MORE
        while status == MORE:
            status = advance(BUDGET)
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
            if status == MORE and (stacks.get(counted) >= most or time.monotonic() > end):
                outcome.gave_up = f"{most:,} {what}" if stacks.get(counted) >= most else "time"
                break
        culprit = stacks.culprit() if status == BROKEN else None
        if culprit and culprit[1] == NOT_PRIVATE:
            stacks.share({culprit[2]})
            continue
        if status == LEARNED:
            continue
        so_far(stacks, outcome)
        if status in WRONG:
            outcome.violations.append(tell(stacks, status))
        if status == OVERCROWDED:
            outcome.gave_up = "clocks follow no more words"
        if status in (FULL, TOO_DEEP):
            outcome.gave_up = "the table is full" if status == FULL else "the path is too long"
        if status == FINISHED:
            outcome.gave_up = "; ".join(_left_out(stacks))
        outcome.complete = status == FINISHED and not outcome.gave_up
        return outcome


def _left_out(stacks: Stacks) -> Iterator[str]:
    """What kept a search that has come to its end from being complete."""
    if stacks.get(CUT):
        yield _of_bound(stacks.get(BOUND))
    if stacks.get(OVERFLOWED):
        full = f"a store buffer was full, of {stacks.get(BUFFERED)} stores"
        yield full if stacks.get(BUFFERED) else f"a word had more than {MOST_MESSAGES} messages to read"
    if stacks.watching.left_out:
        yield stacks.watching.left_out


def _of_bound(bound: int) -> str:
    return f"{bound} preemption{'' if bound == 1 else 's'}"


def so_far(stacks: Stacks, outcome: Outcome) -> Outcome:
    """With what has been counted."""
    outcome.states, outcome.schedules = stacks.get(STATES), stacks.get(ENDS)
    outcome.ends, outcome.steps = stacks.get(DISTINCT), stacks.get(DONE_STEPS)
    outcome.blocked, outcome.pruned, outcome.retried = map(stacks.get, COUNTS)
    return outcome
