"""nested: a probed function calls another one. Two instances of one task at a time, two runs of the trampoline."""

from typing import Any

from shmkret.arch import epilogue, prologue
from shmkret.layout import Kernel
from shmkret.probes import call, call_and_return, call_site, check_return, ret


def nr_probes(nr_cpus: int) -> int:
    return 2


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    outer = call_site(task, 2 * n)
    sp = k.tasks.sp[task]
    call(k, cpu, task, 0, outer)
    prologue(k.arch, k, task)
    call_and_return(k, cpu, task, 1, 2 * n + 1)
    epilogue(k.arch, k, task)
    ret(k, cpu, task)
    check_return(k, cpu, task, outer, sp)
