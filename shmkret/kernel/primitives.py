"""The path's own functions as functions of the task, with probes on them."""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arena.records import Kernel
from shmkret.kernel.kprobes import call, ret
from shmkret.kernel.mode import primitive
from shmkret.kernel.task import call_site
from shmkret.moves.locking import NR_PRIMITIVES
from shmkret.text.marks import outline

NR_REGISTERS = 5


class Probed(NamedTuple):
    """The path's own functions are functions of the task, with probes on them."""

    unused: int

    def enter_primitive(self, k: Kernel, cpu: int, which: int) -> None:
        call_primitive(k, cpu, which)

    def leave_primitive(self, k: Kernel, cpu: int) -> None:
        return_from_primitive(k, cpu)


@outline
def call_primitive(k: Kernel, cpu: int, which: int) -> None:
    """The current task calls one of the path's own functions; its registers wait on its stack."""
    task = k.cpus.task[cpu]
    sp = k.tasks.sp[task] - NR_REGISTERS
    stack = k.arch.stack.word
    stack[sp], stack[sp + 1], stack[sp + 2] = k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task]
    stack[sp + 3], stack[sp + 4] = k.tasks.retval[task], k.tasks.saved[task]
    k.tasks.sp[task] = sp
    call(primitive(k), cpu, task, k.nr_functions - NR_PRIMITIVES + which, call_site(task, which))


@outline
def return_from_primitive(k: Kernel, cpu: int) -> None:
    """The end of call_primitive()."""
    task = k.cpus.task[cpu]
    ret(primitive(k), cpu, task)
    sp = k.tasks.sp[task]
    stack = k.arch.stack.word
    k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task] = stack[sp], stack[sp + 1], stack[sp + 2]
    k.tasks.retval[task], k.tasks.saved[task] = stack[sp + 3], stack[sp + 4]
    k.tasks.sp[task] = sp + NR_REGISTERS
