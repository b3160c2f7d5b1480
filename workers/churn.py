"""churn: every CPU calls all functions, and every 256 rounds takes its own probe away and puts it back, its task inside."""

from typing import Any

from shmkret.handlers import Kretprobe
from shmkret.layout import Kernel
from shmkret.probes import WORKER_BUG, call, call_and_return, call_site, check_return, report_bug, ret
from shmkret.registration import register_kretprobe, unregister_probe

PERIOD = 256


def probes(nr_cpus: int) -> list[Kretprobe]:
    # The last is never registered: its instances are there for a probe whose own are still in flight as orphans.
    return [Kretprobe(function) for function in range(nr_cpus)] + [Kretprobe(0, registered=False)]


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, n % k.nr_cpus, n)
    if n % PERIOD == PERIOD - 1:
        ret_addr = call_site(task, n)
        sp = k.tasks.sp[task]
        call(k, cpu, task, cpu, ret_addr)
        error = unregister_probe(k, cpu, cpu)
        if error == 0:
            error = register_kretprobe(k, cpu, cpu)
        if error != 0:
            report_bug(k.cpus, cpu, WORKER_BUG, task, error, 0)
        ret(k, cpu, task)
        check_return(k, cpu, task, ret_addr, sp)
