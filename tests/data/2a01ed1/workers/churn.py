"""churn: every CPU calls all functions, and every 256 rounds takes its own probe away and puts it back, its task inside."""

from typing import Any

from shmkret.handlers import Kretprobe
from shmkret.intents import recovers
from shmkret.layout import Kernel
from shmkret.oracle import WORKER_BUG, report_bug
from shmkret.probes import call, call_and_return, call_site, check_return, ret
from shmkret.registration import ENOMEM, register_kretprobe, unregister_probe

PERIOD = 256


def probes(nr_cpus: int) -> list[Kretprobe]:
    # Those of the second half are never registered: their instances are there while a probe's own are in flight as orphans.
    return [Kretprobe(function % nr_cpus, registered=function < nr_cpus) for function in range(2 * nr_cpus)]


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    call_and_return(k, cpu, task, n % k.nr_cpus, n)
    if n % PERIOD == PERIOD - 1:
        ret_addr = call_site(task, n)
        sp = k.tasks.sp[task]
        call(k, cpu, task, cpu, ret_addr)
        # Where CPUs die and allocations fail, it may be away already, or not come back before the next time.
        may_fail = recovers(k.mode.recovery, "moves")
        error = unregister_probe(k, cpu, cpu)
        if error == 0 or may_fail:
            error = register_kretprobe(k, cpu, cpu)
        if error != 0 and not (may_fail and error == -ENOMEM):
            report_bug(k.cpus, cpu, WORKER_BUG, task, error, 0)
        ret(k, cpu, task)
        check_return(k, cpu, task, ret_addr, sp)
