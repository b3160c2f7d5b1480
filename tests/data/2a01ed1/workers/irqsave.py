"""irqsave: the call of `hot` with interrupts compiled in, of which none ever comes: what masking and polling cost."""

from typing import Any

from shmkret.layout import Kernel
from shmkret.probes import call_and_return


def nr_probes(nr_cpus: int) -> int:
    return 1


def interrupt(worker: Any, k: Kernel, cpu: int, task: int) -> None:
    call_and_return(k, cpu, task, 0, 0)


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, 0, n)
