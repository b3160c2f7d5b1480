"""migrate: a task is moved to the next CPU inside every probed call, and returns there."""

from typing import Any

from shmkret.layout import Kernel
from shmkret.probes import call, call_site, check_return, ret, stack_top
from shmkret.sched import migrate

TASKS_PER_CPU = 2


def nr_probes(nr_cpus: int) -> int:
    return 1


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    if k.tasks.place[task] == 0:
        k.tasks.place[task] = 1 + n
        call(k, cpu, task, 0, call_site(task, n))
        migrate(k, task, cpu, cpu + 1 if cpu + 1 < k.nr_cpus else 0)
    else:
        called = k.tasks.place[task] - 1
        ret(k, cpu, task)
        check_return(k, cpu, task, call_site(task, called), stack_top(task))
        k.tasks.place[task] = 0
