"""The inflection point of a schedule that goes wrong: the step after which every continuation does.

A beginning of it is lost when no continuation comes to an end at which nothing is wrong, without anything wrong on the way. All
that is longer is lost, too, so that the shortest is found by halving. Each is searched up to a limit, and that it was reached
is said.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from shmkret.explore.stacks import apart, control
from shmkret.explore.stacks.executor import Stacks, words_at
from shmkret.machines.compiled.watched import NOT_PRIVATE

MOST_STATES = 300_000
LONGEST_S = 10.0
BUDGET = 50_000


class Inflection(NamedTuple):
    """step: how many steps are done when all is lost; 0: all was from the beginning. not_before: as far as that is known, after
    as many steps there was still a way out; less than step - 1 where a limit was reached.
    """

    step: int
    not_before: int

    @property
    def is_exact(self) -> bool:
        """Whether it is that step, and not an earlier one."""
        return self.step == 0 or self.not_before == self.step - 1

    def __str__(self) -> str:
        """In a sentence."""
        if self.step == 0:
            return "every continuation fails from the beginning: whatever is done, it goes wrong"
        if self.is_exact:
            return f"after step {self.step} every continuation fails, and not before"
        between = f"; after step {self.not_before} not every one does" if self.not_before >= 0 else ""
        return f"after step {self.step} every continuation fails{between}; between, the limit of the search was reached"


def inflection(stacks: Stacks, schedule: Sequence[int]) -> Inflection:
    """Of a schedule that was followed to what is wrong, in this process."""
    end = time.monotonic() + LONGEST_S
    lost, saved = len(schedule), -1
    beyond = -1  # a limit was reached there: what is shorter takes as long, or longer
    while lost - max(saved, beyond) > 1:
        middle = (lost + max(saved, beyond)) // 2
        found = ends_well(stacks, schedule[:middle], end)
        if found is None:
            beyond = middle
        elif found:
            saved = middle
        else:
            lost = middle
    return Inflection(lost, saved)


def ends_well(stacks: Stacks, beginning: Sequence[int], end: float) -> bool | None:
    """Whether some continuation of a schedule ends with nothing wrong; None: a limit was reached."""
    while True:
        stacks.begin(reduced=0)
        if not all(map(stacks.follow, beginning)):
            return None
        depth = stacks.get(control.DEPTH)
        frames = words_at(stacks.get(control.FRAMES), control.FRAME // 8 * (depth + 1)).reshape(-1, control.FRAME // 8)
        frames[:depth, control.F_NEXT // 8] = control.NO_MORE  # nothing else is chosen before
        stacks.put(control.FRESH, 1)
        found = _found(stacks, end)
        if found != LEARNED:
            return None if found is None else found == WELL


LOST, WELL, LEARNED = range(3)
"""LEARNED: something that decides what a step is; it begins again."""


def _found(stacks: Stacks, end: float) -> int | None:
    while True:
        status = stacks.descend(BUDGET)
        if status == control.AT_END and not stacks.check():
            return WELL
        if status == control.FINISHED:
            return LOST
        culprit = stacks.culprit() if status == control.BROKEN else None
        if culprit and culprit[1] == NOT_PRIVATE:
            stacks.share({culprit[2]})
            return LEARNED
        if status == control.LEARNED:
            return LEARNED
        full = status == control.FULL and not stacks.grow()
        if full or status in (control.TOO_DEEP, control.OVERCROWDED):
            return None
        if stacks.get(control.STATES) > MOST_STATES or time.monotonic() > end:
            return None


def inflection_apart(stacks: Stacks, schedule: Sequence[int]) -> Inflection | None:
    """The same in a process of its own; None where a continuation never ends, or crashes."""
    try:
        return apart.run(stacks, lambda: inflection(stacks, schedule), seconds=2 * LONGEST_S)
    except apart.Stopped:
        return None
