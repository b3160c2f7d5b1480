"""ia64: the return address is in branch register b0; the walk goes over the bucket twice.

    pass 1   finds the real return address and sets regs->cr_iip, so that handlers can unwind
    pass 2   runs handlers, recycles, stops at the same entry

Linux commit 3661999a17b0, 2007

Source    arch_prepare_kretprobe(), trampoline_probe_handler(), arch/ia64/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch._link import call_insn, epilogue, prepare_kretprobe, prologue, resume_at, return_insn
from shmkret.arena.records import Stack

__all__ = [
    "Ia64",
    "call_insn",
    "epilogue",
    "prepare_kretprobe",
    "prologue",
    "resume_at",
    "return_insn",
]

FEATURES: frozenset[str] = frozenset({"trap", "two-pass"})


class Ia64(NamedTuple):
    """The stacks of all tasks; k.tasks.lr is b0."""

    stack: Stack
