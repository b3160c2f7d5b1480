"""refuse: the entry handler refuses every eighth call. The seed loses an instance each time, and unlocks a lock twice."""

from typing import Any

from shmkret.handlers import Kretprobe
from shmkret.layout import Kernel
from shmkret.probes import call_and_return


def every_eighth(k: Kernel, cpu: int, task: int, ri: int) -> int:
    return int(k.tasks.saved[task] & 7 == 7)


def probes(nr_cpus: int) -> list[Kretprobe]:
    return [Kretprobe(0, every_eighth)]


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, 0, n)
