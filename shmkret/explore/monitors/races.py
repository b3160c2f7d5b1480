"""A data race: two CPUs are about to access one word, one of them writing, one of them plainly.

Text without races has no other outcomes on weaker machines than under the explorer, if its locks are right there. A relaxed
access is atomic, and so no race, even where a lock needs an order that it does not give: see shmkret.explore.greenlets.machine.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from shmkret.explore.greenlets.run import Run


def watch(run: Run) -> Callable[[], str]:
    """Ask of every pair of steps."""

    def race() -> str:
        steps = [(i, step) for i, step in enumerate(run.pending) if step]
        for (a, first), (b, second) in combinations(steps, 2):
            if first.plain or second.plain:
                written = [
                    one.place for one, other in ((first, second), (second, first)) if one.writes and one.place in other.places
                ]
                if written:
                    return f"data race on {written[0]}: cpu {a} is at {first.kind}, cpu {b} at {second.kind}"
        return ""

    return race
