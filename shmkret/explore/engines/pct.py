"""Probabilistic concurrency testing: who has the highest priority runs; at a few steps, drawn before, the runner loses its own.

    priorities    drawn for a run: of n actors, those from POINTS to POINTS + n - 1, in any order with the same chance
    points        drawn for a run: POINTS steps, each from 1 to k with the same chance
    at point i    the priority of who would do that step becomes i, from 0 on: lower than all that were drawn

Promise    a bug of depth d, which shows when d steps come in a certain order, is found by a run with a chance of at least
           1 / (n * k**(d - 1)), when POINTS is d - 1 and no run has more than k steps
k          is the length of the longest run so far: the promise does not hold for the first runs
Actors     each CPU; and each that may die, its death, an actor of one step; and each sleep that may end for no reason
Not        what was proved is for threads. That a death takes a CPU's steps away is not in that proof
Source     S. Burckhardt, P. Kothari, M. Musuvathi and S. Nagarakatte, "A randomized scheduler with probabilistic guarantees of
           finding bugs", ASPLOS 2010
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shmkret.explore.scenario import Outcome
from shmkret.explore.stacks.control import DEATHS, DEEPEST, DEPTH, MORTAL, REASONLESS
from shmkret.explore.stacks.walks import KINDS, LISTED, POINT, POINTS, PRIORITIES, Walk, below, highest, listed
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.text.marks import inline

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

EXECUTOR, DRAWS = "stacks", True


@inline
def acts(c: int, nr: int, choice: int) -> bool:
    """Whether there is ever such a choice."""
    if choice < nr:
        return True
    if choice < 2 * nr:
        return peek(c + DEATHS) > 0 and (peek(c + MORTAL) >> (choice - nr)) & 1 != 0
    return peek(c + REASONLESS) > 0


@inline
def start(c: int, nr: int) -> None:
    """Shuffle the actors, each of whom comes to a place among those before it; draw the points."""
    points = peek(c + POINTS)
    n = 0
    for choice in range(KINDS * nr):
        if acts(c, nr, choice):
            at = below(c, n + 1)
            poke(c + LISTED + 8 * n, listed(c, at))
            poke(c + LISTED + 8 * at, choice)
            n += 1
    for i in range(n):
        poke(c + PRIORITIES + 8 * listed(c, i), points + i)
    for i in range(points):
        poke(c + POINT + 8 * i, 1 + below(c, max(1, peek(c + DEEPEST))))


@inline
def choose(c: int, nr: int, nr_listed: int) -> int:
    """The highest, after what changes at this step."""
    best = highest(c, nr_listed)
    for i in range(peek(c + POINTS)):
        if peek(c + POINT + 8 * i) == peek(c + DEPTH) + 1:
            poke(c + PRIORITIES + 8 * best, i)
            best = highest(c, nr_listed)
    return best


WALK = Walk("pct", start, choose)


def prepare(stacks: Stacks) -> None:
    """Compile the walk."""
    WALK.compiled()


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """So many runs, or for that long, up to the first violation."""
    return WALK.search(stacks, limit, seconds, seen)
