"""Accesses to shared words, waiting and wrapping arithmetic as LLVM's instructions."""

from __future__ import annotations

import operator
import platform
import time
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, overload, register_jitable, type_callable

from shmkret.machines.compiled.types import I32, I64, INLINE, OUTLINE, WordsType, pointer_to
from shmkret.machines.compiled.watching import watch, watched_wait, watched_wait_unless
from shmkret.text import arithmetic, atomics


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return pointer_to(context, builder, signature.args[0], args[0], args[1], signature.args[1])


def _address(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.ptrtoint(_pointer(context, builder, signature, args), I64)


def _tagged(builder: Any, access: Any, words: WordsType) -> Any:
    """Mark a plain load or store with its column."""
    module = builder.module
    root = module.add_metadata(["shmkret"])
    column = module.add_metadata([words.column, root, I64(0)])
    access.set_metadata("tbaa", module.add_metadata([column, column, I64(0)]))
    return access


def require_word(*values: Any) -> None:
    """Raises TypingError unless what is of these types goes into a word as it is. True is 1; 64 bits unsigned may not fit."""
    for value in values:
        is_whole = isinstance(value, types.Integer) and (value.signed or value.bitwidth < 64)
        if not is_whole and not isinstance(value, types.Boolean):
            raise numba.TypingError(f"{value} is no word: {arithmetic.WORD_IS}")


def _value(context: Any, builder: Any, signature: Any, args: Any, n: int) -> Any:
    return context.cast(builder, args[n], signature.args[n], types.int64)


def _lower(function: Callable[..., Any], result: Any, nr_values: int, *, is_access: bool = True) -> Callable[[Any], Any]:
    """Lower `function(words, i, *values)` by the decorated generator of LLVM instructions."""
    # Numba takes the arguments' number from the signature of what types them, hence one function a number.
    typers: dict[int, Callable[..., Any]] = {
        0: lambda words, i: typed(words),
        1: lambda words, i, a: typed(words, a),
        2: lambda words, i, a, b: typed(words, a, b),
    }

    def typed(words: Any, *values: Any) -> Any:
        if not isinstance(words, WordsType):
            return None
        require_word(*values)
        return result

    type_callable(function)(lambda context: typers[nr_values])

    def lower(generate: Any) -> Any:
        def chosen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            if not (is_access and signature.args[0].watched):
                return generate(context, builder, signature, args)
            values = [_value(context, builder, signature, args, 2 + n) for n in range(nr_values)]
            answer = watch(builder, function.__name__, [_address(context, builder, signature, args), *values])
            return answer if result is types.int64 else context.get_dummy_value()

        lower_builtin(function, WordsType, types.Integer, *[types.Any] * nr_values)(chosen)
        return generate

    return lower


@_lower(operator.getitem, types.int64, 0)
def _load(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return _tagged(builder, builder.load(_pointer(context, builder, signature, args)), signature.args[0])


@_lower(operator.setitem, types.none, 1)
def _store(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    stored = builder.store(_value(context, builder, signature, args, 2), _pointer(context, builder, signature, args))
    _tagged(builder, stored, signature.args[0])
    return context.get_dummy_value()


@_lower(atomics.address_of, types.int64, 0, is_access=False)
def _address_of(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return _address(context, builder, signature, args)


@_lower(atomics.load_relaxed, types.int64, 0)
def _load_relaxed(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.load_atomic(_pointer(context, builder, signature, args), "monotonic", 8)


@_lower(atomics.store_relaxed, types.none, 1)
def _store_relaxed(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    value = _value(context, builder, signature, args, 2)
    builder.store_atomic(value, _pointer(context, builder, signature, args), "monotonic", 8)
    return context.get_dummy_value()


@intrinsic
def _fence(typing: Any) -> Any:
    """A full memory barrier."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.none(), generate


@overload(atomics.fence, jit_options=INLINE)
def _taught_fence() -> Any:
    def fence() -> None:
        _fence()

    return fence


@_lower(atomics.load_acquire, types.int64, 0)
def _load_acquire(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.load_atomic(_pointer(context, builder, signature, args), "acquire", 8)


@_lower(atomics.store_release, types.none, 1)
@_lower(atomics.store_ordered, types.none, 1)
def _store_release(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    value = _value(context, builder, signature, args, 2)
    builder.store_atomic(value, _pointer(context, builder, signature, args), "release", 8)
    return context.get_dummy_value()


@_lower(atomics.exchange, types.int64, 1)
def _exchange(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    value = _value(context, builder, signature, args, 2)
    return builder.atomic_rmw("xchg", _pointer(context, builder, signature, args), value, "seq_cst")


@_lower(atomics.fetch_add, types.int64, 1)
def _fetch_add(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    value = _value(context, builder, signature, args, 2)
    return builder.atomic_rmw("add", _pointer(context, builder, signature, args), value, "seq_cst")


@_lower(atomics.cmpxchg, types.int64, 2)
def _cmpxchg(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    old = _value(context, builder, signature, args, 2)
    new = _value(context, builder, signature, args, 3)
    pair = builder.cmpxchg(_pointer(context, builder, signature, args), old, new, "seq_cst", "seq_cst")
    return builder.extract_value(pair, 0)


@intrinsic
def cpu_relax(typing: Any) -> Any:
    """The CPU's hint that it spins: PAUSE, or YIELD on 64-bit Arm."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if platform.machine() == "aarch64":
            hint = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [I32]), "llvm.aarch64.hint")
            builder.call(hint, [I32(1)])
        else:
            pause = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause")
            builder.call(pause, [])
        return context.get_dummy_value()

    return types.none(), generate


@overload(atomics.wait_until, jit_options=INLINE, prefer_literal=True)
def _wait_until(words: Any, i: Any, relation: Any, value: Any) -> Any:
    def until_equal(words: Any, i: Any, relation: Any, value: Any) -> None:
        while atomics.load_acquire(words, i) != value:
            cpu_relax()

    def until_not_equal(words: Any, i: Any, relation: Any, value: Any) -> None:
        while atomics.load_acquire(words, i) == value:
            cpu_relax()

    require_word(value)

    def watched_until_equal(words: Any, i: Any, relation: Any, value: Any) -> None:
        watched_wait("wait_equal", words, i, value)

    def watched_until_not_equal(words: Any, i: Any, relation: Any, value: Any) -> None:
        watched_wait("wait_not_equal", words, i, value)

    if not isinstance(relation, types.IntegerLiteral):
        raise numba.TypingError("wait_until()'s relation must be the constant EQ or NE")
    if words.watched:
        return watched_until_equal if relation.literal_value == atomics.EQ else watched_until_not_equal
    return until_equal if relation.literal_value == atomics.EQ else until_not_equal


_usleep = types.ExternalFunction("usleep", types.int32(types.uint32))

SPINS_BEFORE_SLEEP = 2000

NAP_US = 30


@register_jitable(**OUTLINE)
def _pause_after(looks: Any) -> None:
    if looks < SPINS_BEFORE_SLEEP:
        cpu_relax()
    else:
        _usleep(np.uint32(NAP_US))


@overload(atomics.wait_unless, jit_options=INLINE, prefer_literal=True)
def _wait_unless(words: Any, i: Any, relation: Any, value: Any, stop: Any) -> Any:
    def unless_equal(words: Any, i: Any, relation: Any, value: Any, stop: Any) -> bool:
        looks = 0
        while atomics.load_acquire(words, i) != value:
            if atomics.load_acquire(stop, 0) != 0:
                return False
            looks += 1
            _pause_after(looks)
        return True

    def unless_not_equal(words: Any, i: Any, relation: Any, value: Any, stop: Any) -> bool:
        looks = 0
        while atomics.load_acquire(words, i) == value:
            if atomics.load_acquire(stop, 0) != 0:
                return False
            looks += 1
            _pause_after(looks)
        return True

    require_word(value)

    def watched_unless_equal(words: Any, i: Any, relation: Any, value: Any, stop: Any) -> bool:
        return bool(watched_wait_unless("wait_equal_unless", words, i, value, stop) != 0)

    def watched_unless_not_equal(words: Any, i: Any, relation: Any, value: Any, stop: Any) -> bool:
        return bool(watched_wait_unless("wait_not_equal_unless", words, i, value, stop) != 0)

    if not isinstance(relation, types.IntegerLiteral):
        raise numba.TypingError("wait_unless()'s relation must be the constant EQ or NE")
    if words.watched:
        return watched_unless_equal if relation.literal_value == atomics.EQ else watched_unless_not_equal
    return unless_equal if relation.literal_value == atomics.EQ else unless_not_equal


_syscall = types.ExternalFunction("syscall", types.int64(*[types.int64] * 7))

FUTEX_WAIT, FUTEX_WAKE = 0, 1

_SYS_FUTEX = 202 if platform.machine() == "x86_64" else 98

LOOK_AGAIN_NS = 20_000_000
"""A wait that may be given up looks that often by itself: a signal can come before it sleeps."""


@intrinsic
def _look_again(typing: Any) -> Any:
    """The address of a timespec of LOOK_AGAIN_NS."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        timespec = cgutils.alloca_once(builder, ir.ArrayType(I64, 2))
        builder.store(cgutils.pack_array(builder, [I64(0), I64(LOOK_AGAIN_NS)]), timespec)
        return builder.ptrtoint(timespec, I64)

    return types.int64(), generate


@overload(atomics.futex_wait, jit_options=OUTLINE)
def _futex_wait(words: Any, i: Any, value: Any) -> Any:
    def wait(words: Any, i: Any, value: Any) -> None:
        _syscall(_SYS_FUTEX, atomics.address_of(words, i), FUTEX_WAIT, value, _look_again(), 0, 0)

    require_word(value)
    return wait


@overload(atomics.futex_wake, jit_options=OUTLINE)
def _futex_wake(words: Any, i: Any, most: Any) -> Any:
    def wake(words: Any, i: Any, most: Any) -> None:
        _syscall(_SYS_FUTEX, atomics.address_of(words, i), FUTEX_WAKE, most, 0, 0, 0)

    require_word(most)
    return wake


@intrinsic
def _clock(typing: Any, clock_id: Any) -> Any:
    """clock_gettime(clock_id) in nanoseconds, through libc."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        timespec = cgutils.alloca_once(builder, ir.ArrayType(I64, 2))
        place = builder.bitcast(timespec, cgutils.voidptr_t)
        clock_gettime = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(I32, [I32, cgutils.voidptr_t]), "clock_gettime"
        )
        builder.call(clock_gettime, [I32(time.CLOCK_MONOTONIC), place])
        seconds, nanoseconds = cgutils.unpack_tuple(builder, builder.load(timespec), 2)
        return builder.add(builder.mul(seconds, I64(1_000_000_000)), nanoseconds)

    return types.int64(clock_id), generate


@overload(atomics.monotonic_ns, jit_options=INLINE)
def _monotonic_ns() -> Any:
    return lambda: _clock(0)


@overload(atomics.cpu_relax, jit_options=INLINE)
def _cpu_relax() -> Any:
    def relax() -> None:
        cpu_relax()

    return relax


@overload(atomics.delay_ns, jit_options=OUTLINE)
def _delay_ns(ns: Any) -> Any:
    def delay(ns: Any) -> None:
        end = _clock(0) + ns
        while _clock(0) < end:
            cpu_relax()

    return delay


def _wrapping(function: Callable[..., Any], compiled: Callable[..., Any]) -> None:
    overload(function, jit_options=INLINE, strict=False)(lambda a, b: compiled)


@type_callable(arithmetic.bit_length)
def _type_bit_length(context):  # type: ignore[no-untyped-def]
    return lambda value: types.int64 if isinstance(value, types.Integer) else None


@lower_builtin(arithmetic.bit_length, types.Integer)
def _bit_length(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.sub(I64(64), builder.ctlz(_value(context, builder, signature, args, 0), ir.IntType(1)(0)))


_U32 = np.int64(0xFFFFFFFF)

_wrapping(arithmetic.add64, lambda a, b: np.int64(a) + np.int64(b))

_wrapping(arithmetic.sub64, lambda a, b: np.int64(a) - np.int64(b))

_wrapping(arithmetic.mul64, lambda a, b: np.int64(a) * np.int64(b))

_wrapping(arithmetic.shr64, lambda a, b: np.int64(np.uint64(a) >> np.uint64(b)))

_wrapping(arithmetic.add32, lambda a, b: (np.int64(a) + np.int64(b)) & _U32)

_wrapping(arithmetic.sub32, lambda a, b: (np.int64(a) - np.int64(b)) & _U32)
