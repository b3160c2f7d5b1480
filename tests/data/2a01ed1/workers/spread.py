"""spread: every CPU calls a probed function of its own. Nothing is shared but the locks: the best case for finer ones."""

from typing import Any

from shmkret.layout import Kernel
from shmkret.probes import call_and_return


def nr_probes(nr_cpus: int) -> int:
    return nr_cpus


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, cpu, n)
