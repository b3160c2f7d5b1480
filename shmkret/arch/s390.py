"""s390: the return address is in general register 14; the trampoline holds a kprobe.

    resume   regs->psw.addr = address; the addressing-mode bit beside it is zero in 64-bit mode

Source    arch_prepare_kretprobe(), trampoline_probe_handler(), arch/s390/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch._link import call_insn, epilogue, prepare_kretprobe, prologue, resume_at, return_insn
from shmkret.arena.records import Stack

__all__ = [
    "S390",
    "call_insn",
    "epilogue",
    "prepare_kretprobe",
    "prologue",
    "resume_at",
    "return_insn",
]

FEATURES: frozenset[str] = frozenset({"trap"})


class S390(NamedTuple):
    """The stacks of all tasks; k.tasks.lr is r14."""

    stack: Stack
