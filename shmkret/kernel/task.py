"""What a worker program's tasks do: they call, return and exit; after every return the oracle looks."""

from __future__ import annotations

from shmkret.arena.records import STACK_WORDS, Kernel
from shmkret.kernel.kprobes import call, ret
from shmkret.moves.oracle import WRONG_ADDRESS, WRONG_REGISTER, WRONG_STACK, WRONG_VALUE, report_bug
from shmkret.text.marks import inline

TEXT_BASE = 0x10_0000_0000

TASK_TEXT_BITS = 20


@inline
def fork_task(k: Kernel, task: int) -> None:
    """The record of a dead task becomes a new one, with an empty stack; slabs hand out the same address again, too."""
    k.tasks.sp[task] = stack_top(task)
    k.tasks.lr[task] = 0
    k.tasks.pc[task] = 0
    k.tasks.place[task] = 0


@inline
def stack_top(task: int) -> int:
    """The stack pointer of a task whose stack is empty."""
    return (task + 1) * STACK_WORDS


@inline
def call_site(task: int, n: int) -> int:
    """The address that the n-th call of `task` comes back to: different for each task and each recent call."""
    return TEXT_BASE + (((task + 1) << TASK_TEXT_BITS) | (n & ((1 << TASK_TEXT_BITS) - 1)))


@inline
def call_and_return(k: Kernel, cpu: int, task: int, function: int, n: int) -> None:
    """One call of an empty function and its return; the oracle looks where the task is afterwards."""
    ret_addr = call_site(task, n)
    sp = k.tasks.sp[task]
    call(k, cpu, task, function, ret_addr)
    ret(k, cpu, task)
    check_return(k, cpu, task, ret_addr, sp)


@inline
def check_return(k: Kernel, cpu: int, task: int, ret_addr: int, sp: int) -> None:
    """The oracle: `task` is back at `ret_addr`, with the stack pointer `sp` and the registers that it had before the call."""
    check_return_value(k, cpu, task, ret_addr, sp, ret_addr + 1)


@inline
def check_return_value(k: Kernel, cpu: int, task: int, ret_addr: int, sp: int, value: int) -> None:
    """The oracle where a handler has made the function return `value`."""
    if k.tasks.pc[task] != ret_addr:
        report_bug(k.cpus, cpu, WRONG_ADDRESS, task, k.tasks.pc[task], ret_addr)
    elif k.tasks.sp[task] != sp:
        report_bug(k.cpus, cpu, WRONG_STACK, task, k.tasks.sp[task], sp)
    elif k.tasks.retval[task] != value:
        report_bug(k.cpus, cpu, WRONG_VALUE, task, k.tasks.retval[task], value)
    elif k.tasks.saved[task] != ret_addr:
        report_bug(k.cpus, cpu, WRONG_REGISTER, task, k.tasks.saved[task], ret_addr)
