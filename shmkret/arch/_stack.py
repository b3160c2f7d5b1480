"""Calls that push the return address on the stack; used by both kinds of x86.

call     sp -> sp - 1, stack[sp] = ret_addr
entry    ri.ret_addr = stack[sp], stack[sp] = TRAMPOLINE
return   pc = stack[sp], sp -> sp + 1
"""

from __future__ import annotations

from typing import Any

from shmkret.arch import TRAMPOLINE
from shmkret.arena.records import Kernel


def call_insn(arch: Any, k: Kernel, task: int, ret_addr: int) -> None:
    """call: push the address to come back to."""
    sp = k.tasks.sp[task] - 1
    arch.stack.word[sp] = ret_addr
    k.tasks.sp[task] = sp


def prologue(arch: Any, k: Kernel, task: int) -> None:
    """Save the register that the caller keeps; the address is on the stack already."""
    sp = k.tasks.sp[task] - 1
    arch.stack.word[sp] = k.tasks.saved[task]
    k.tasks.sp[task] = sp


def epilogue(arch: Any, k: Kernel, task: int) -> None:
    """Restore the register."""
    sp = k.tasks.sp[task]
    k.tasks.saved[task] = arch.stack.word[sp]
    k.tasks.sp[task] = sp + 1


def return_insn(arch: Any, k: Kernel, task: int) -> int:
    """ret: pop."""
    sp = k.tasks.sp[task]
    k.tasks.sp[task] = sp + 1
    pc: int = arch.stack.word[sp]
    return pc


def prepare_kretprobe(arch: Any, k: Kernel, ri: int, task: int) -> None:
    """The word on top of the stack goes into `ri`, the trampoline in its place."""
    sp = k.tasks.sp[task]
    k.instances.ret_addr[ri] = arch.stack.word[sp]
    arch.stack.word[sp] = TRAMPOLINE


def resume_at(arch: Any, k: Kernel, task: int, address: int) -> None:
    """The assembly of the trampoline returns to the address that the handler gave it."""
    k.tasks.pc[task] = address
