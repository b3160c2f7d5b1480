"""arm: the return address is in the link register; the trampoline calls the handler.

    resume   the handler returns the address; the assembly moves it to lr, and from there to pc

Source    arch_prepare_kretprobe(), trampoline_handler(), arch/arm/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch._link import call_insn, epilogue, prepare_kretprobe, prologue, resume_at, return_insn
from shmkret.arena.records import Stack

__all__ = [
    "Arm",
    "call_insn",
    "epilogue",
    "prepare_kretprobe",
    "prologue",
    "resume_at",
    "return_insn",
]

FEATURES: frozenset[str] = frozenset({"irqs-off"})


class Arm(NamedTuple):
    """The stacks of all tasks; k.tasks.lr is ARM_lr."""

    stack: Stack
