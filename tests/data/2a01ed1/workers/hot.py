"""hot: every CPU calls the same probed function. One probe, one free list: finer locks cannot help."""

from typing import Any

from shmkret.layout import Kernel
from shmkret.probes import call_and_return


def nr_probes(nr_cpus: int) -> int:
    return 1


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, 0, n)
