"""recursion: a probed function calls itself, three deep. One instance a level, one run of the trampoline a level."""

from typing import Any

from shmkret.arch import FRAME_WORDS, epilogue, prologue
from shmkret.layout import Kernel
from shmkret.probes import call, call_site, check_return, ret

DEPTH = 3


def nr_probes(nr_cpus: int) -> int:
    return 1


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    before = k.tasks.sp[task]
    for level in range(DEPTH):
        call(k, cpu, task, 0, call_site(task, DEPTH * n + level))
        prologue(k.arch, k, task)
    for level in range(DEPTH):
        epilogue(k.arch, k, task)
        ret(k, cpu, task)
        outstanding = DEPTH - 1 - level
        check_return(k, cpu, task, call_site(task, DEPTH * n + outstanding), before - FRAME_WORDS * outstanding)
