"""tailcall: a probed function jumps to another. The second finds the trampoline as its return address; one walk pops both."""

from typing import Any

from shmkret.layout import Kernel
from shmkret.probes import call, call_site, check_return, enter, ret


def nr_probes(nr_cpus: int) -> int:
    return 2


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    ret_addr = call_site(task, n)
    sp = k.tasks.sp[task]
    call(k, cpu, task, 0, ret_addr)
    enter(k, cpu, task, 1)
    ret(k, cpu, task)
    check_return(k, cpu, task, ret_addr, sp)
