"""exits: a task exits inside two probed calls; whoever runs next flushes its instances, and a new task begins."""

from typing import Any

from shmkret.arch import prologue
from shmkret.layout import Kernel
from shmkret.probes import call, call_and_return, call_site, fork_task, kprobe_flush_task

EXIT_GROUP, DO_EXIT, READ = range(3)


def nr_probes(nr_cpus: int) -> int:
    return 3


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, READ, n)
    call(k, cpu, task, EXIT_GROUP, call_site(task, n))
    prologue(k.arch, k, task)
    call(k, cpu, task, DO_EXIT, call_site(task, n + 1))
    kprobe_flush_task(k, cpu, task)
    fork_task(k, task)
