"""interrupts: a probed call with handlers, interrupted wherever it may be; the interrupt makes a probed call of its own.

Every 16 rounds a CPU lets an interrupt come on itself after some polls, a different number each time, so that all places of
the path have their turn; and every 256 rounds one on the next CPU, which comes wherever that is.
"""

from typing import Any

from shmkret.handlers import Kretprobe, data_at
from shmkret.irq import raise_irq
from shmkret.layout import Kernel
from shmkret.oracle import WORKER_BUG, report_bug
from shmkret.probes import call_and_return

DATA_SIZE = 8


def count_irqs(k: Kernel, cpu: int, task: int, ri: int) -> int:
    k.data.word[data_at(k, ri)] = k.cpus.irqs[cpu]
    return 0


def compare_irqs(k: Kernel, cpu: int, task: int, ri: int) -> None:
    if k.data.word[data_at(k, ri)] > k.cpus.irqs[cpu]:
        report_bug(k.cpus, cpu, WORKER_BUG, task, k.data.word[data_at(k, ri)], k.cpus.irqs[cpu])


def probes(nr_cpus: int) -> list[Kretprobe]:
    return [Kretprobe(0, count_irqs, compare_irqs), Kretprobe(1)]


def interrupt(worker: Any, k: Kernel, cpu: int, task: int) -> None:
    call_and_return(k, cpu, task, 1, k.cpus.irqs[cpu])


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, 0, n)
    if n & 15 == 0:
        raise_irq(k, cpu if n & 255 else (cpu + 1) % k.nr_cpus, 1 + (n >> 4) % 31 if n & 255 else 1)
