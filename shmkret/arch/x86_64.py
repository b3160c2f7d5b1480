"""x86-64: the return address is the word on top of the stack.

    resume   the handler returns the address; the assembly stores it over the slot of the saved sp and returns to it

Source    arch_prepare_kretprobe(), trampoline_handler(), arch/x86/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch._stack import call_insn, epilogue, prepare_kretprobe, prologue, resume_at, return_insn
from shmkret.arena.records import Stack

__all__ = [
    "X86_64",
    "call_insn",
    "epilogue",
    "prepare_kretprobe",
    "prologue",
    "resume_at",
    "return_insn",
]

FEATURES: frozenset[str] = frozenset()


class X86_64(NamedTuple):
    """The stacks of all tasks; a task's sp indexes them and grows down."""

    stack: Stack
