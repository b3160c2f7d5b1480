"""Calls of hooks: what an access to a watched word becomes in compiled code; shmkret.machines.compiled.hooks has the hooks."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from shmkret.machines.compiled.steps import ACCESSES
from shmkret.machines.compiled.types import I64, pointer_to


def watch(builder: Any, name: str, args: list[Any]) -> Any:
    """Call what stands for an access to a watched word: shmkret.machines.compiled.watched."""
    access = ACCESSES[name]
    function_type = ir.FunctionType(I64, [I64] * (1 + len(args)))
    hook = cgutils.get_or_insert_function(builder.module, function_type, f"shmkret_{access.hook}")
    return builder.call(hook, [I64(access.kind), *args])


@intrinsic(prefer_literal=True)
def watched_wait(typing: Any, name: Any, words: Any, i: Any, value: Any) -> Any:
    """wait_until() of a watched word."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.ptrtoint(pointer_to(context, builder, signature.args[1], args[1], args[2], signature.args[2]), I64)
        return watch(builder, name.literal_value, [place, context.cast(builder, args[3], signature.args[3], types.int64)])

    return types.int64(name, words, i, value), generate


@intrinsic(prefer_literal=True)
def watched_wait_unless(typing: Any, name: Any, words: Any, i: Any, value: Any, stop: Any) -> Any:
    """wait_unless() of a watched word."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.ptrtoint(pointer_to(context, builder, signature.args[1], args[1], args[2], signature.args[2]), I64)
        value = context.cast(builder, args[3], signature.args[3], types.int64)
        return watch(builder, name.literal_value, [place, value, builder.ptrtoint(args[4], I64)])

    return types.int64(name, words, i, value, stop), generate


@intrinsic
def finished(typing: Any) -> Any:
    """The end of a CPU's code in a search."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        watch(builder, "finished", [])
        return context.get_dummy_value()

    return types.none(), generate
