"""powerpc: the return address is in the link register; the trampoline is a nop with a kprobe on it.

    resume   regs->nip = address

Source    arch_prepare_kretprobe(), trampoline_probe_handler(), arch/powerpc/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch._link import call_insn, epilogue, prepare_kretprobe, prologue, resume_at, return_insn
from shmkret.arena.records import Stack

__all__ = [
    "PowerPC",
    "call_insn",
    "epilogue",
    "prepare_kretprobe",
    "prologue",
    "resume_at",
    "return_insn",
]

FEATURES: frozenset[str] = frozenset({"trap"})


class PowerPC(NamedTuple):
    """The stacks of all tasks; k.tasks.lr is LR."""

    stack: Stack
