"""x86-64: the return address is the word on top of the stack.

    call     sp -> sp - 1, stack[sp] = ret_addr
    entry    ri.ret_addr = stack[sp], stack[sp] = TRAMPOLINE
    return   pc = stack[sp], sp -> sp + 1

Source    arch_prepare_kretprobe(), arch/x86/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch import TRAMPOLINE
from shmkret.layout import Kernel, Stack


class X86_64(NamedTuple):
    """The stacks of all tasks; a task's sp indexes them and grows down."""

    stack: Stack


def push_return(arch: X86_64, k: Kernel, task: int, ret_addr: int) -> None:
    sp = k.tasks.sp[task] - 1
    arch.stack.word[sp] = ret_addr
    k.tasks.sp[task] = sp


def pop_return(arch: X86_64, k: Kernel, task: int) -> int:
    sp = k.tasks.sp[task]
    k.tasks.sp[task] = sp + 1
    return arch.stack.word[sp]


def prepare_kretprobe(arch: X86_64, k: Kernel, ri: int, task: int) -> None:
    sp = k.tasks.sp[task]
    k.instances.ret_addr[ri] = arch.stack.word[sp]
    arch.stack.word[sp] = TRAMPOLINE
