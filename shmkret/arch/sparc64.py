"""sparc64: the register keeps the address of the call itself; the callee comes back two instructions later.

    call     retpc = ret_addr - 8
    entry    ri.ret_addr = retpc + 8, retpc = TRAMPOLINE - 8
    return   pc = retpc + 8
    resume   regs->tpc = address, regs->tnpc = address + 4

Source    arch_prepare_kretprobe(), trampoline_probe_handler(), arch/sparc64/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch import TRAMPOLINE
from shmkret.arch._link import epilogue, prologue
from shmkret.arena.records import Kernel, Stack

__all__ = [
    "Sparc64",
    "call_insn",
    "epilogue",
    "prepare_kretprobe",
    "prologue",
    "resume_at",
    "return_insn",
]

CALL_AND_DELAY_SLOT = 8

FEATURES: frozenset[str] = frozenset({"trap"})


class Sparc64(NamedTuple):
    """The stacks of all tasks; k.tasks.lr is u_regs[UREG_RETPC], k.tasks.npc is tnpc."""

    stack: Stack


def call_insn(arch: Sparc64, k: Kernel, task: int, ret_addr: int) -> None:
    k.tasks.lr[task] = ret_addr - CALL_AND_DELAY_SLOT


def return_insn(arch: Sparc64, k: Kernel, task: int) -> int:
    return k.tasks.lr[task] + CALL_AND_DELAY_SLOT


def prepare_kretprobe(arch: Sparc64, k: Kernel, ri: int, task: int) -> None:
    k.instances.ret_addr[ri] = k.tasks.lr[task] + CALL_AND_DELAY_SLOT
    k.tasks.lr[task] = TRAMPOLINE - CALL_AND_DELAY_SLOT


def resume_at(arch: Sparc64, k: Kernel, task: int, address: int) -> None:
    k.tasks.pc[task] = address
    k.tasks.npc[task] = address + 4
