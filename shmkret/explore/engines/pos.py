"""Partial-order sampling: each pending step has a random priority, and the highest is done; those in conflict draw anew.

    a CPU's step is done     its next step draws a priority, and so does every pending step that is in conflict with it
    in conflict              two steps on one word, of which one may write it; two on a futex

Why        orders of steps that do not conflict come to the same: what is drawn is nearer to the same chance for each order of
           those that do. That it is found so is no promise, for no bound is known but that of `uniform`
Deaths     have a priority drawn once for a run: one drawn again at each step would come early, always
Not        what a death changes for others is not compared with what they are about to do
Source     X. Yuan, J. Yang and R. Gu, "Partial order aware concurrency sampling", CAV 2018
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shmkret.explore.scenario import Outcome
from shmkret.explore.stacks.choices import one_writes, record
from shmkret.explore.stacks.walks import KINDS, PRIORITIES, Walk, drawn, highest
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import KIND
from shmkret.text.marks import inline

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

EXECUTOR, DRAWS = "stacks", True


@inline
def draw(c: int, choice: int) -> None:
    """A priority for a choice."""
    poke(c + PRIORITIES + 8 * choice, drawn(c))


@inline
def start(c: int, nr: int) -> None:
    """A priority for each choice that there may be."""
    for choice in range(KINDS * nr):
        draw(c, choice)


@inline
def choose(c: int, nr: int, nr_listed: int) -> int:
    """The highest; before it is done, who is in conflict with it draws anew."""
    best = highest(c, nr_listed)
    if best < nr:
        for i in range(nr):
            if i == best or in_conflict(record(c, best), record(c, i)):
                draw(c, i)
        draw(c, 2 * nr + best)  # the sleep that this step may begin
    return best


@inline
def in_conflict(a: int, b: int) -> bool:
    """Whether the pending steps of two CPUs are."""
    one = peek(a + KIND)
    other = peek(b + KIND)
    if on_futex(one) and on_futex(other):
        return True
    return one_writes(a, b)


@inline
def on_futex(kind: int) -> bool:
    """Whether a step changes who sleeps, or depends on it."""
    return kind == steps.FUTEX_WAIT or kind == steps.FUTEX_WAKE or kind == steps.ASLEEP


WALK = Walk("pos", start, choose)


def prepare(stacks: Stacks) -> None:
    """Compile the walk."""
    WALK.compiled()


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """So many runs, or for that long, up to the first violation."""
    return WALK.search(stacks, limit, seconds, seen)
