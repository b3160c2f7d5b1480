"""Stacks: code that is left and gone on with inside one process.

    switch(save, load)      keep the registers on this stack, its pointer at address `save`; go on with the stack at `load`
    begin                   what a new stack returns to: calls function(scratch, scratch + 8, a, b), as Numba calls its own,
                            and then `left`, which does not return
    peek, poke, copy, here  words and bytes at addresses; where this stack is
    ask                     what a function at an address answers, whose only argument is a word

Arm       its assembly is compared in a test with what LLVM made of it; it has not been run
Floats    how they are rounded is the same on all stacks: nothing changes it
Source    System V ABI, x86-64: rbx, rbp, r12 to r15 belong to the caller. Procedure Call Standard, 64-bit Arm: x19 to x30,
          d8 to d15
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from shmkret.machines.compiled.types import I64

X86_64 = """
shmkret_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    retq
shmkret_begin:
    movq %r15, %rdi
    leaq 8(%r15), %rsi
    movq %r12, %rdx
    movq %r13, %rcx
    callq *%rbx
    callq *%r14
"""

AARCH64 = """
shmkret_switch:
    sub sp, sp, #160
    stp x19, x20, [sp]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    ldr x9, [x1]
    mov sp, x9
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
shmkret_begin:
    mov x0, x23
    add x1, x23, #8
    mov x2, x20
    mov x3, x21
    blr x19
    blr x22
"""

ASSEMBLY = {"x86_64": X86_64, "aarch64": AARCH64}


def module_of(machine: str, triple: str) -> str:
    """The assembly of a kind of machine as a module of LLVM's."""
    lines = [".text", ".globl shmkret_switch", ".globl shmkret_begin", *ASSEMBLY[machine].strip().splitlines()]
    asm = "\n".join(f'module asm "{line.strip()}"' for line in lines)
    return f'target triple = "{triple}"\n{asm}\ndeclare void @shmkret_switch(ptr, ptr)\ndeclare void @shmkret_begin()\n'


@cache
def _assembled() -> tuple[Any, int]:
    """Assemble for this machine; what keeps the code alive, and the address of `begin`."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()  # without it, assembly aborts the process
    triple = llvm.get_process_triple()
    target = llvm.Target.from_triple(triple).create_target_machine()
    calls = (
        "call void @shmkret_switch(ptr null, ptr null)\n  call void @shmkret_begin()"  # a symbol is there if something calls it
    )
    calls = f"define void @shmkret_unused() {{\n  {calls}\n  ret void\n}}\n"
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(module_of(platform.machine(), triple) + calls), target)
    engine.finalize_object()
    llvm.add_symbol("shmkret_switch", engine.get_function_address("shmkret_switch"))
    return engine, engine.get_function_address("shmkret_begin")


def prepare() -> int:
    """Make switch() known to code that is compiled, or loaded, from now on; returns the address of `begin`."""
    return _assembled()[1]


def fresh_stack(top: int, function: int, a: int, b: int, left: int, scratch: int) -> tuple[int, bytes, int]:
    """What is put on a new stack that ends at `top`, a multiple of 16: its pointer, the bytes from there on, and where among
    them `b` stands. scratch: the address of two words.
    """
    begin = prepare()
    if platform.machine() == "x86_64":
        return top - 56, struct.pack("<7q", scratch, left, b, a, function, 0, begin), 16
    return top - 160, struct.pack("<20q", function, a, b, left, scratch, *[0] * 6, begin, *[0] * 8), 16


_switch = types.ExternalFunction("shmkret_switch", types.void(types.int64, types.int64))
_memcpy = types.ExternalFunction("memcpy", types.int64(types.int64, types.int64, types.int64))


@intrinsic
def _peek(typing: Any, address: Any) -> Any:
    """The word at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], I64.as_pointer()))

    return types.int64(types.int64), generate


@intrinsic
def _poke(typing: Any, address: Any, value: Any) -> Any:
    """Write the word at an address."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], I64.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def _here(typing: Any) -> Any:
    """An address on this stack."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once(builder, I64), I64)

    return types.int64(), generate


@intrinsic
def _ask(typing: Any, function: Any, argument: Any) -> Any:
    """Call a function of C."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(I64, [I64]).as_pointer()
        return builder.call(builder.inttoptr(args[0], kind), [args[1]])

    return types.int64(types.int64, types.int64), generate


peek: Callable[[int], int] = _peek
poke: Callable[[int, int], None] = _poke
here: Callable[[], int] = _here
ask: Callable[[int, int], int] = _ask
switch: Callable[[int, int], None] = _switch
copy: Callable[[int, int, int], int] = _memcpy
