"""A deadlock: some CPU waits, and none can go on."""

from __future__ import annotations

from collections.abc import Callable

from shmkret.explore.greenlets.run import Run


def watch(run: Run) -> Callable[[], str]:
    """Ask who waits."""

    def deadlock() -> str:
        if run.possible:
            return ""
        stuck = [f"cpu {i} waits in {step.kind} of {step.place}" for i, step in enumerate(run.pending) if step]
        still = [f"cpu {i} stands still" for i in run.stopped]
        return f"deadlock: {'; '.join([*stuck, *still])}" if stuck else ""

    return deadlock
