"""The verbs of a worker program: what a CPU does. workers/README.md is the contract."""

from __future__ import annotations

from typing import Any

from shmkret.text.verbs import generic


@generic
def step(worker: Any, k: Any, cpu: int, task: int, n: int) -> None:
    """One round of a worker program by `task` on `cpu`; n counts the CPU's rounds."""
    raise NotImplementedError


@generic
def interrupt(worker: Any, k: Any, cpu: int, task: int) -> None:
    """The interrupt handler of a worker program: `task` on `cpu` was interrupted, and interrupts are masked."""
    raise NotImplementedError
