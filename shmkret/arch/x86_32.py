"""x86-32: the return address is the word on top of the stack.

    entry    a trap in kernel mode pushes neither sp nor ss: the address of regs->sp is the old top of the stack
    resume   the handler returns the address; the assembly stores it in the slot of the flags and returns to it

Source    arch_prepare_kretprobe(), trampoline_handler(), arch/x86/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch._stack import call_insn, epilogue, prepare_kretprobe, prologue, resume_at, return_insn
from shmkret.arena.records import Stack

__all__ = [
    "X86_32",
    "call_insn",
    "epilogue",
    "prepare_kretprobe",
    "prologue",
    "resume_at",
    "return_insn",
]

FEATURES: frozenset[str] = frozenset()


class X86_32(NamedTuple):
    """The stacks of all tasks; a task's sp indexes them and grows down."""

    stack: Stack
