"""Random walks: in each state, each choice that is possible is made with the same chance.

    schedule of k steps, with n choices in each state        found by a run with a chance of n**-k

Deaths     are choices, too: beside two CPUs that can go on, one of whom may die, it does so with a chance of a third at each
           step. A death that comes late is hardly ever seen
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from shmkret.explore.scenario import Outcome
from shmkret.explore.stacks.walks import Walk, below, listed
from shmkret.text.marks import inline

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

EXECUTOR, DRAWS = "stacks", True


@inline
def start(c: int, nr: int) -> None:
    """Nothing is drawn before."""


@inline
def choose(c: int, nr: int, nr_listed: int) -> int:
    """Any."""
    return listed(c, below(c, nr_listed))


WALK = Walk("uniform", start, choose)


def prepare(stacks: Stacks) -> None:
    """Compile the walk."""
    WALK.compiled()


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """So many runs, or for that long, up to the first violation."""
    return WALK.search(stacks, limit, seconds, seen)
