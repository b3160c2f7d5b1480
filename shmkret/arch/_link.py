"""Calls that leave the return address in a link register; used by the architectures that do.

call     lr = ret_addr
frame    a function that calls others keeps lr on its stack meanwhile
entry    ri.ret_addr = lr, lr = TRAMPOLINE
return   pc = lr
"""

from __future__ import annotations

from typing import Any

from shmkret.arch import TRAMPOLINE
from shmkret.arena.records import Kernel


def call_insn(arch: Any, k: Kernel, task: int, ret_addr: int) -> None:
    """bl: `lr` is the address to come back to."""
    k.tasks.lr[task] = ret_addr


def prologue(arch: Any, k: Kernel, task: int) -> None:
    """Save lr, which the next call overwrites, and the register that the caller keeps."""
    sp = k.tasks.sp[task] - 2
    arch.stack.word[sp] = k.tasks.saved[task]
    arch.stack.word[sp + 1] = k.tasks.lr[task]
    k.tasks.sp[task] = sp


def epilogue(arch: Any, k: Kernel, task: int) -> None:
    """Restore both."""
    sp = k.tasks.sp[task]
    k.tasks.saved[task] = arch.stack.word[sp]
    k.tasks.lr[task] = arch.stack.word[sp + 1]
    k.tasks.sp[task] = sp + 2


def return_insn(arch: Any, k: Kernel, task: int) -> int:
    """blr."""
    return k.tasks.lr[task]


def prepare_kretprobe(arch: Any, k: Kernel, ri: int, task: int) -> None:
    """The register goes into `ri`, the trampoline into the register."""
    k.instances.ret_addr[ri] = k.tasks.lr[task]
    k.tasks.lr[task] = TRAMPOLINE


def resume_at(arch: Any, k: Kernel, task: int, address: int) -> None:
    """The program counter is all there is to set."""
    k.tasks.pc[task] = address
