"""slow_handler: both handlers take --handler-ns (default 1,000). Which lock they run under decides who waits for them."""

from typing import Any

from shmkret.atomics import delay_ns
from shmkret.handlers import Kretprobe
from shmkret.layout import Kernel
from shmkret.probes import call_and_return

HANDLER_NS = 1000


def slow_entry(k: Kernel, cpu: int, task: int, ri: int) -> int:
    delay_ns(k.handler_ns)
    return 0


def slow_return(k: Kernel, cpu: int, task: int, ri: int) -> None:
    delay_ns(k.handler_ns)


def probes(nr_cpus: int) -> list[Kretprobe]:
    return [Kretprobe(function, slow_entry, slow_return) for function in range(nr_cpus)]


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, cpu, n)
