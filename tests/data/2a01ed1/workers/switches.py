"""switches: as `spread`, and after every call another task of the CPU runs: each call takes another bucket lock."""

from typing import Any

from shmkret.layout import Kernel
from shmkret.probes import call_and_return
from shmkret.sched import yield_cpu

TASKS_PER_CPU = 8


def nr_probes(nr_cpus: int) -> int:
    return nr_cpus


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, cpu, n)
    yield_cpu(k, cpu)
