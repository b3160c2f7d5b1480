"""sleepers: tasks sleep inside a probed call, so that their instances lengthen everybody's walk of the bucket.

The tasks of a CPU take turns: each calls, wakes the next, and sleeps until it is woken itself; then it returns.
"""

from typing import Any

from shmkret.layout import Kernel
from shmkret.probes import call, call_site, check_return, ret, stack_top
from shmkret.sched import block, wake

TASKS_PER_CPU = 8


def nr_probes(nr_cpus: int) -> int:
    return 1


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    if k.tasks.place[task] == 0:
        k.tasks.place[task] = 1 + n
        call(k, cpu, task, 0, call_site(task, n))
        following = task + k.nr_cpus
        wake(k, cpu, following if following < k.nr_tasks else cpu)
        block(k, cpu)
    else:
        called = k.tasks.place[task] - 1
        ret(k, cpu, task)
        check_return(k, cpu, task, call_site(task, called), stack_top(task))
        k.tasks.place[task] = 0
