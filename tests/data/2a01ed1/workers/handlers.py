"""handlers: the call of `hot` with an entry and a return handler, which keep a word of the instance between them."""

from typing import Any

from shmkret.handlers import Kretprobe, data_at
from shmkret.layout import Kernel
from shmkret.oracle import WORKER_BUG, report_bug
from shmkret.probes import call_and_return

DATA_SIZE = 8


def remember(k: Kernel, cpu: int, task: int, ri: int) -> int:
    k.data.word[data_at(k, ri)] = k.tasks.saved[task]
    return 0


def compare(k: Kernel, cpu: int, task: int, ri: int) -> None:
    if k.data.word[data_at(k, ri)] != k.tasks.saved[task]:
        report_bug(k.cpus, cpu, WORKER_BUG, task, k.data.word[data_at(k, ri)], k.tasks.saved[task])


def probes(nr_cpus: int) -> list[Kretprobe]:
    return [Kretprobe(0, remember, compare)]


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, 0, n)
