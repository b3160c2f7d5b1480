"""The one module that knows Numba: teaches it the text, and compiles a CPU's loop.

Words     in compiled code a section is a bare pointer (RecordsType), a column of it another with a constant stride (WordsType):
          no shape, no reference count, no wrap-around of negative indices, and a Kernel is small enough to be passed on at
          little cost of compiling. They are built inside the loop, from the arena's addresses, and never leave it.
Inlining  every function of the text and every verb is forced into the loop; only the loop itself is a compiled function.
Cache     Numba's own freshness check misses edited callees and mixes up plug-ins, so the folder is named by a digest of all
          sources that a loop can contain, of the versions of Python, numpy and Numba, of Numba's settings and of the CPU.
Threads   what is changed of Numba while a loop is compiled is changed under Numba's own lock: nobody else compiles then.
Never     inline assembly (it aborts the process), dispatchers as arguments (never found in the cache), two integer types
          (a signed and an unsigned 64-bit value compare as floating point)
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import operator
import os
import platform
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import llvmlite

from shmkret import errors

try:
    import numba
except Exception as error:  # its settings are checked as it is imported
    words = f"Numba cannot be used: {error}; see the variables of the environment that begin with NUMBA_"
    raise errors.UnfitMachine(words) from error

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import (
    intrinsic,
    lower_builtin,
    lower_getattr_generic,
    models,
    overload,
    register_jitable,
    register_model,
    type_callable,
)

from shmkret import atomics, layout, libc, posix, text
from shmkret.arch import has_feature
from shmkret.atomics import EQ
from shmkret.bugs import has_bug
from shmkret.errors import PluginError, UnfitMachine
from shmkret.handlers import ask, has_handlers, tell
from shmkret.intents import recovers
from shmkret.mode import with_mode

NO_WRAPPERS = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
INLINE = {"forceinline": True, **NO_WRAPPERS}
OUTLINE = {"forceinline": False, **NO_WRAPPERS}
I32 = ir.IntType(32)
I64 = ir.IntType(64)
CACHE_DAYS = 14


class WordsType(types.Type):  # type: ignore[misc]
    """`Words` in compiled code: a pointer to the word of record 0, records `stride` bytes apart.

    The column's name is part of the type: LLVM is told that words of two columns are never the same word (TBAA).
    """

    def __init__(self, stride: int, column: str) -> None:
        self.stride = stride
        self.column = column
        super().__init__(name=f"Words({column}, {stride})")


@register_model(WordsType)
class _WordsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, words: WordsType) -> None:
        super().__init__(manager, words, cgutils.voidptr_t)


class RecordsType(types.Type):  # type: ignore[misc]
    """The records of a section in compiled code: one pointer; an attribute is a column. Dispatched on `instance_class`."""

    def __init__(self, instance_class: type, stride: int) -> None:
        self.instance_class = instance_class
        self.stride = stride
        super().__init__(name=f"{instance_class.__module__}.{instance_class.__name__}({id(instance_class)}, {stride})")


@register_model(RecordsType)
class _RecordsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, records: RecordsType) -> None:
        super().__init__(manager, records, cgutils.voidptr_t)


@infer_getattr
class _RecordsAttributes(AttributeTemplate):  # type: ignore[misc]
    key = RecordsType

    def generic_resolve(self, records: RecordsType, field: str) -> Any:
        record_class: Any = records.instance_class
        if field in record_class._fields:
            return WordsType(records.stride, f"{record_class.__name__}.{field}")
        return None


@lower_getattr_generic(RecordsType)
def _column(context: Any, builder: Any, records: RecordsType, value: Any, field: str) -> Any:
    fields: Any = layout.fields_of(records.instance_class)
    return cgutils.pointer_add(builder, value, I64(8 * fields.index(field)))


class KernelType(types.Type):  # type: ignore[misc]
    """A Kernel in compiled code: one LLVM value, so that passing it on is one argument and not one a field."""

    def __init__(self, field_types: tuple[Any, ...]) -> None:
        self.field_types = dict(zip(layout.Kernel._fields, field_types, strict=True))
        self._key = field_types
        # Classes that are made at run time have names of their own: all of a type is in its name.
        digest = hashlib.sha256(repr([str(field_type) for field_type in field_types]).encode()).hexdigest()[:16]
        super().__init__(name=f"Kernel({digest})")

    @property
    def key(self) -> Any:
        """What makes two such types the same: the very classes, not only their names."""
        return self._key


@register_model(KernelType)
class _KernelModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kernel: KernelType) -> None:
        parts = [manager[field_type].get_value_type() for field_type in kernel.field_types.values()]
        super().__init__(manager, kernel, ir.LiteralStructType(parts))


@infer_getattr
class _KernelAttributes(AttributeTemplate):  # type: ignore[misc]
    key = KernelType

    def generic_resolve(self, kernel: KernelType, field: str) -> Any:
        return kernel.field_types.get(field)


@lower_getattr_generic(KernelType)
def _field(context: Any, builder: Any, kernel: KernelType, value: Any, field: str) -> Any:
    return builder.extract_value(value, layout.Kernel._fields.index(field))


@intrinsic
def make_kernel(typing: Any, fields: Any) -> Any:
    """A Kernel of the tuple of its fields."""
    result = KernelType(tuple(types.unliteral(field_type) for field_type in fields))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kernel = ir.Constant(context.get_value_type(result), ir.Undefined)
        for i, part in enumerate(cgutils.unpack_tuple(builder, args[0], len(fields))):
            kernel = builder.insert_value(kernel, part, i)
        return kernel

    return result(fields), generate


@type_callable(with_mode)
def _type_with_mode(context):  # type: ignore[no-untyped-def]
    def typed(k, mode):  # type: ignore[no-untyped-def]
        return KernelType(tuple({**k.field_types, "mode": mode}.values())) if isinstance(k, KernelType) else None

    return typed


@lower_builtin(with_mode, KernelType, types.Any)
def _with_mode(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    kernel = ir.Constant(context.get_value_type(signature.return_type), ir.Undefined)
    for i, field in enumerate(layout.Kernel._fields):
        part = args[1] if field == "mode" else builder.extract_value(args[0], i)
        kernel = builder.insert_value(kernel, part, i)
    return kernel


@intrinsic(prefer_literal=True)
def bind(typing: Any, record: Any, stride: Any, address: Any) -> Any:
    """The records of a class at an address: field j of record i at address + i * `stride` (a constant) + 8 * j."""
    result = RecordsType(record.instance_class, stride.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[2], cgutils.voidptr_t)

    return result(record, stride, types.int64), generate


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    i = context.cast(builder, args[1], signature.args[1], types.int64)
    place = cgutils.pointer_add(builder, args[0], builder.mul(i, I64(signature.args[0].stride)))
    return builder.bitcast(place, I64.as_pointer())


def _tagged(builder: Any, access: Any, words: WordsType) -> Any:
    """Mark a plain load or store with its column."""
    module = builder.module
    root = module.add_metadata(["shmkret"])
    column = module.add_metadata([words.column, root, I64(0)])
    access.set_metadata("tbaa", module.add_metadata([column, column, I64(0)]))
    return access


def _value(context: Any, builder: Any, signature: Any, args: Any, n: int) -> Any:
    return context.cast(builder, args[n], signature.args[n], types.int64)


def _lower(function: Callable[..., Any], result: Any, nr_values: int) -> Callable[[Any], Any]:
    """Lower `function(words, i, *values)` by the decorated generator of LLVM instructions."""
    # Numba takes the arguments' number from the signature of what types them, hence one function a number.
    typers: dict[int, Callable[..., Any]] = {
        0: lambda words, i: result if isinstance(words, WordsType) else None,
        1: lambda words, i, a: result if isinstance(words, WordsType) else None,
        2: lambda words, i, a, b: result if isinstance(words, WordsType) else None,
    }
    type_callable(function)(lambda context: typers[nr_values])
    integers = [types.Integer] * (1 + nr_values)
    return lower_builtin(function, WordsType, *integers)  # type: ignore[no-any-return]


@_lower(operator.getitem, types.int64, 0)
def _load(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return _tagged(builder, builder.load(_pointer(context, builder, signature, args)), signature.args[0])


@_lower(operator.setitem, types.none, 1)
def _store(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    stored = builder.store(_value(context, builder, signature, args, 2), _pointer(context, builder, signature, args))
    _tagged(builder, stored, signature.args[0])
    return context.get_dummy_value()


@_lower(atomics.address_of, types.int64, 0)
def _address_of(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.ptrtoint(_pointer(context, builder, signature, args), I64)


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

    if not isinstance(relation, types.IntegerLiteral):
        raise numba.TypingError("wait_until()'s relation must be the constant EQ or NE")
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

    if not isinstance(relation, types.IntegerLiteral):
        raise numba.TypingError("wait_unless()'s relation must be the constant EQ or NE")
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

    return wait


@overload(atomics.futex_wake, jit_options=OUTLINE)
def _futex_wake(words: Any, i: Any, most: Any) -> Any:
    def wake(words: Any, i: Any, most: Any) -> None:
        _syscall(_SYS_FUTEX, atomics.address_of(words, i), FUTEX_WAKE, most, 0, 0, 0)

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


def _constant(question: Callable[..., bool], answer: Callable[[Any, str], bool]) -> None:
    """Compile `question(subject, "name")` to a constant, without a function of its own, which takes long to compile."""

    @type_callable(question)
    def typer(context):  # type: ignore[no-untyped-def]
        def typed(subject, name):  # type: ignore[no-untyped-def]
            return types.boolean if isinstance(name, types.StringLiteral) else None

        return typed

    @lower_builtin(question, types.Any, types.Any)
    def lowered(context, builder, signature, args):  # type: ignore[no-untyped-def]
        subject, name = signature.args
        return context.get_constant(types.boolean, answer(subject.instance_class, name.literal_value))


_constant(has_feature, lambda arch, name: name in sys.modules[arch.__module__].FEATURES)
_constant(has_bug, lambda bugs, name: name in bugs.names)
_constant(recovers, lambda recovery, name: name in recovery.names)
_constant(has_handlers, lambda declared, table: bool(getattr(declared, table)))


@overload(ask, jit_options=INLINE, strict=False)
def _ask(handlers: Any, number: Any, k: Any, cpu: Any, task: Any, subject: Any) -> Any:
    chain = _chain(handlers.instance_class.asked, 1, _answer, _no_answer)
    return lambda handlers, number, k, cpu, task, subject: chain(number, k, cpu, task, subject)


@overload(tell, jit_options=INLINE, strict=False)
def _tell(handlers: Any, number: Any, k: Any, cpu: Any, task: Any, subject: Any) -> Any:
    chain = _chain(handlers.instance_class.told, 1, _silence, _no_silence)
    return lambda handlers, number, k, cpu, task, subject: chain(number, k, cpu, task, subject)


def _chain(table: tuple[Callable[..., Any], ...], number: int, link: Callable[..., Any], end: Callable[..., Any]) -> Any:
    """Compare with each number in turn and call that handler: Numba has no table of functions that it could inline."""
    if not table:
        return register_jitable(**INLINE)(end)
    this = register_jitable(**INLINE)(table[0])
    rest = _chain(table[1:], number + 1, link, end)
    return register_jitable(**INLINE)(link(number, this, rest))


def _answer(number: int, this: Any, rest: Any) -> Callable[..., int]:
    def link(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
        if which == number:
            return np.int64(this(k, cpu, task, subject))
        return rest(which, k, cpu, task, subject)

    return link


def _no_answer(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
    return np.int64(0)


def _silence(number: int, this: Any, rest: Any) -> Callable[..., None]:
    def link(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
        if which == number:
            this(k, cpu, task, subject)
        else:
            rest(which, k, cpu, task, subject)

    return link


def _no_silence(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
    pass


_sem_wait = types.ExternalFunction("sem_wait", types.int32(types.intp))
_sem_post = types.ExternalFunction("sem_post", types.int32(types.intp))
_mutex_lock = types.ExternalFunction("pthread_mutex_lock", types.int32(types.intp))
_mutex_unlock = types.ExternalFunction("pthread_mutex_unlock", types.int32(types.intp))


@overload(libc.sem_wait, jit_options=INLINE)
def _libc_sem_wait(address: Any) -> Any:
    def wait(address: Any) -> None:
        while _sem_wait(address) != 0:  # interrupted by a signal
            pass

    return wait


@overload(libc.sem_post, jit_options=INLINE)
def _libc_sem_post(address: Any) -> Any:
    def post(address: Any) -> None:
        _sem_post(address)

    return post


@overload(libc.mutex_lock, jit_options=INLINE)
def _libc_mutex_lock(address: Any) -> Any:
    def lock(address: Any) -> None:
        _mutex_lock(address)

    return lock


@overload(libc.mutex_unlock, jit_options=INLINE)
def _libc_mutex_unlock(address: Any) -> Any:
    def unlock(address: Any) -> None:
        _mutex_unlock(address)

    return unlock


def _timed_wait(name: str) -> Any:
    """A call of libc's that waits until a time: name(address, CLOCK_MONOTONIC, in LOOK_AGAIN_NS)."""

    @intrinsic
    def timed(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            timespec = cgutils.alloca_once(builder, ir.ArrayType(I64, 2))
            place = builder.bitcast(timespec, cgutils.voidptr_t)
            clock_type = ir.FunctionType(I32, [I32, cgutils.voidptr_t])
            clock_gettime = cgutils.get_or_insert_function(builder.module, clock_type, "clock_gettime")
            builder.call(clock_gettime, [I32(time.CLOCK_MONOTONIC), place])
            seconds, ns = cgutils.unpack_tuple(builder, builder.load(timespec), 2)
            later = builder.add(ns, I64(LOOK_AGAIN_NS))
            carries = builder.icmp_signed(">=", later, I64(1_000_000_000))
            seconds = builder.select(carries, builder.add(seconds, I64(1)), seconds)
            later = builder.select(carries, builder.sub(later, I64(1_000_000_000)), later)
            builder.store(cgutils.pack_array(builder, [seconds, later]), timespec)
            wait_type = ir.FunctionType(I32, [I64, I32, cgutils.voidptr_t])
            wait = cgutils.get_or_insert_function(builder.module, wait_type, name)
            status = builder.call(wait, [args[0], I32(time.CLOCK_MONOTONIC), place])
            return builder.sext(status, I64)

        return types.int64(types.int64), generate

    return timed


_sem_clockwait = _timed_wait("sem_clockwait")
_mutex_clocklock = _timed_wait("pthread_mutex_clocklock")
_sem_trywait = types.ExternalFunction("sem_trywait", types.int32(types.intp))
_sem_init = types.ExternalFunction("sem_init", types.int32(types.intp, types.int32, types.uint32))
_mutex_trylock = types.ExternalFunction("pthread_mutex_trylock", types.int32(types.intp))
_mutex_consistent = types.ExternalFunction("pthread_mutex_consistent", types.int32(types.intp))
_kill = types.ExternalFunction("kill", types.int32(types.int32, types.int32))


@overload(libc.sem_trywait, jit_options=INLINE)
def _libc_sem_trywait(address: Any) -> Any:
    def lock(address: Any) -> bool:
        return bool(_sem_trywait(address) == 0)

    return lock


@overload(libc.mutex_trylock, jit_options=INLINE)
def _libc_mutex_trylock(address: Any) -> Any:
    def lock(address: Any) -> bool:
        return bool(_mutex_trylock(address) == 0)

    return lock


@overload(libc.sem_wait_unless, jit_options=INLINE)
def _libc_sem_wait_unless(address: Any, stop: Any) -> Any:
    def wait(address: Any, stop: Any) -> bool:
        if _sem_trywait(address) == 0:
            return True
        while atomics.load_acquire(stop, 0) == 0:
            if _sem_clockwait(address) == 0:
                return True
        return False

    return wait


@overload(libc.sem_reset, jit_options=INLINE)
def _libc_sem_reset(address: Any, value: Any) -> Any:
    def reset(address: Any, value: Any) -> None:
        _sem_init(address, np.int32(1), np.uint32(value))

    return reset


@intrinsic
def _scratch(typing: Any) -> Any:
    """The address of 64 bytes of the stack."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.ArrayType(I64, 8)), I64)

    return types.int64(), generate


_mutexattr_init = types.ExternalFunction("pthread_mutexattr_init", types.int32(types.intp))
_mutexattr_setpshared = types.ExternalFunction("pthread_mutexattr_setpshared", types.int32(types.intp, types.int32))
_mutex_init = types.ExternalFunction("pthread_mutex_init", types.int32(types.intp, types.intp))


@overload(libc.mutex_init, jit_options=OUTLINE)
def _libc_mutex_init(address: Any) -> Any:
    def make(address: Any) -> None:
        attributes = _scratch()
        _mutexattr_init(attributes)
        _mutexattr_setpshared(attributes, np.int32(1))
        _mutex_init(address, attributes)

    return make


@overload(libc.mutex_lock_unless, jit_options=INLINE)
def _libc_mutex_lock_unless(address: Any, stop: Any) -> Any:
    def lock(address: Any, stop: Any) -> bool:
        if _mutex_trylock(address) == 0:
            return True
        while atomics.load_acquire(stop, 0) == 0:
            if _mutex_clocklock(address) == 0:
                return True
        return False

    return lock


@overload(libc.robust_lock, jit_options=INLINE)
def _libc_robust_lock(address: Any) -> Any:
    def lock(address: Any) -> int:
        if _mutex_lock(address) == 0:
            return 0
        _mutex_consistent(address)
        return libc.OWNER_DIED

    return lock


@overload(libc.robust_trylock, jit_options=INLINE)
def _libc_robust_trylock(address: Any) -> Any:
    def lock(address: Any) -> int:
        status = _mutex_trylock(address)
        if status == 0:
            return 0
        if status != errno.EOWNERDEAD:
            return libc.REFUSED
        _mutex_consistent(address)
        return libc.OWNER_DIED

    return lock


@overload(libc.robust_unlock, jit_options=INLINE)
def _libc_robust_unlock(address: Any) -> Any:
    def unlock(address: Any) -> None:
        _mutex_unlock(address)

    return unlock


@overload(libc.kick, jit_options=INLINE)
def _libc_kick(pid: Any) -> Any:
    def kick(pid: Any) -> None:
        if pid > 0:
            _kill(np.int32(pid), np.int32(signal.SIGURG.value))

    return kick


_fork = types.ExternalFunction("_Fork", types.int32())
_exit = types.ExternalFunction("_exit", types.void(types.int32))
_prctl = types.ExternalFunction("prctl", types.int32(types.int32, types.int64, types.int64, types.int64, types.int64))


@overload(libc.fork_process, jit_options=OUTLINE)
def _libc_fork_process() -> Any:
    def fork() -> Any:
        return np.int64(_fork())

    return fork


@overload(libc.exit_process, jit_options=OUTLINE)
def _libc_exit_process(status: Any) -> Any:
    def leave(status: Any) -> None:
        _exit(np.int32(status))

    return leave


_getpid = types.ExternalFunction("getpid", types.int32())
_getppid = types.ExternalFunction("getppid", types.int32())


@overload(libc.process_id, jit_options=OUTLINE)
def _libc_process_id() -> Any:
    def own() -> Any:
        return np.int64(_getpid())

    return own


@overload(libc.die_with_parent, jit_options=OUTLINE)
def _libc_die_with_parent(parent: Any) -> Any:
    def die(parent: Any) -> None:
        _prctl(np.int32(posix.PR_SET_PDEATHSIG), np.int64(signal.SIGKILL.value), 0, 0, 0)
        if np.int64(_getppid()) != parent:  # it died before we could ask
            _exit(np.int32(0))

    return die


def _wrapping(function: Callable[..., Any], compiled: Callable[..., Any]) -> None:
    overload(function, jit_options=INLINE, strict=False)(lambda a, b: compiled)


@type_callable(atomics.bit_length)
def _type_bit_length(context):  # type: ignore[no-untyped-def]
    return lambda value: types.int64 if isinstance(value, types.Integer) else None


@lower_builtin(atomics.bit_length, types.Integer)
def _bit_length(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.sub(I64(64), builder.ctlz(_value(context, builder, signature, args, 0), ir.IntType(1)(0)))


_U32 = np.int64(0xFFFFFFFF)
_wrapping(atomics.add64, lambda a, b: np.int64(a) + np.int64(b))
_wrapping(atomics.sub64, lambda a, b: np.int64(a) - np.int64(b))
_wrapping(atomics.mul64, lambda a, b: np.int64(a) * np.int64(b))
_wrapping(atomics.shr64, lambda a, b: np.int64(np.uint64(a) >> np.uint64(b)))
_wrapping(atomics.add32, lambda a, b: (np.int64(a) + np.int64(b)) & _U32)
_wrapping(atomics.sub32, lambda a, b: (np.int64(a) - np.int64(b)) & _U32)

_taught = 0
_outlines_taught = 0
_verbs_taught = 0


def teach() -> None:
    """Teach Numba every function that the text has marked so far, plug-ins included."""
    with global_compiler_lock:
        _teach()


def _teach() -> None:
    global _taught, _outlines_taught, _verbs_taught
    for function in text.inlines[_taught:]:
        register_jitable(**INLINE)(function)
    _taught = len(text.inlines)
    for function in text.outlines[_outlines_taught:]:
        register_jitable(**OUTLINE)(function)
    _outlines_taught = len(text.outlines)
    for verb in text.generics[_verbs_taught:]:
        _teach_verb(verb)
    _verbs_taught = len(text.generics)


def _without_last(function: Callable[..., Any]) -> Callable[..., Any]:
    if function.__code__.co_argcount == 2:
        return lambda lock, i, cpu: function(lock, i)
    return lambda lock, i, stop, cpu: function(lock, i, stop)


def _teach_verb(verb: Callable[..., Any]) -> None:
    def choose(subject: Any, *args: Any) -> Any:
        function = text.implementation(subject.instance_class, verb.__name__)
        if function.__code__.co_argcount == len(args):  # one argument fewer: a lock that does not ask which CPU it is
            return _without_last(register_jitable(**INLINE)(function))
        return function

    overload(verb, jit_options=INLINE, strict=False)(choose)


SECTIONS = tuple(layout.RECORDS)


def compile_cpu(run_cpu: Callable[..., None], build: Any, cache: Path | None) -> Callable[..., None]:
    """The loop of a CPU, compiled for one choice of everything.

    Args:    build: a shmkret.build.Build: its classes and paddings are all that is used here.
             cache: the folder of compiled code, or None.
    Its arguments are the addresses of the sections, in the order of SECTIONS, the integers of a Kernel in
    theirs, and the cpu.

    Raises: PluginError, with what Numba said, when a function of the text does not compile.
    """
    teach()
    arch, scheme, lock, worker = (plugin.record for plugin in (build.arch, build.scheme, build.lock, build.worker))
    context, irq, primitives, clock, recovery_mode, handlers, bugs = build.mode_classes
    R = layout.records_with(lock)  # noqa: N806
    run_s, cpus_s, runqueues_s, tasks_s, entities_s, stack_s, functions_s, probes_s, instances_s, buckets_s, registry_s, \
        recovery_s, misses_s, script_s, data_s, latencies_s, table_locks_s, locks_s, system_locks_s = (
        layout.stride_of(name, record, layout.padding_of(name, build.padding, build.table_padding))
        for name, record in R.items()
    )  # fmt: skip
    Run, Cpus, Runqueues, Tasks, Entities, Stack, Functions, Probes, \
        Instances, Buckets, Registry, Recovery, Misses, Script, Data, Latencies, _, _, _ = R.values()  # fmt: skip  # noqa: N806
    Mode = build.mode  # noqa: N806

    # Each section's address is an argument: one register. Sums of the arena's address and an offset would be two.
    def loop(  # type: ignore[no-untyped-def]
        run, cpus, runqueues, tasks, entities, stack, functions, probes, instances, buckets, registry, recovery, misses,
        script, data, latencies, table_locks, locks, system_locks,
        nr_cpus, nr_slots, nr_tasks, nr_functions, nr_probes, nr_instances, nr_locks, script_words, data_words, hash_multiplier,
        handler_ns, cpu,
    ):  # fmt: skip
        k = make_kernel(
            (
                bind(Run, run_s, run),
                bind(Cpus, cpus_s, cpus),
                bind(Runqueues, runqueues_s, runqueues),
                bind(Tasks, tasks_s, tasks),
                bind(Entities, entities_s, entities),
                bind(Functions, functions_s, functions),
                bind(Probes, probes_s, probes),
                bind(Instances, instances_s, instances),
                bind(Buckets, buckets_s, buckets),
                bind(Registry, registry_s, registry),
                bind(Recovery, recovery_s, recovery),
                bind(Misses, misses_s, misses),
                bind(Script, script_s, script),
                bind(Data, data_s, data),
                bind(Latencies, latencies_s, latencies),
                bind(lock, system_locks_s, system_locks),
                arch(bind(Stack, stack_s, stack)),
                scheme(bind(lock, table_locks_s, table_locks), bind(lock, locks_s, locks)),
                worker(0),
                Mode(context(0), irq(0), primitives(0), clock(0), recovery_mode(0), handlers(0), bugs(0)),
                nr_cpus,
                nr_slots,
                nr_tasks,
                nr_functions,
                nr_probes,
                nr_instances,
                nr_locks,
                script_words,
                data_words,
                hash_multiplier,
                handler_ns,
            )
        )
        run_cpu(k, cpu)

    try:
        integers = [types.int64] * (len(SECTIONS) + len(layout.INTEGERS) + 1)
        return _compile(loop, types.void(*integers), cache and cache / f"{build.digest}-{run_cpu.__name__}")
    except Exception as error:  # Numba raises more than its own errors
        raise PluginError(f"the CPU's loop does not compile: {_innermost(str(error))}") from error


def _innermost(words: str) -> str:
    """The place and the reason in Numba's report, which nests one report a caller, the innermost first."""
    place = re.search(r'^ *File "([^"]+)", line (\d+):', words, re.MULTILINE)
    if not place:
        return words
    before = [line.strip() for line in words[: place.start()].splitlines() if line.strip()]
    reason = before[-1] if before else words
    if reason.startswith("Untyped global name") and "'function'" in reason:
        reason += "; mark that function with @inline, from shmkret.text"
    return f"{place[1]}:{place[2]}: {reason}"


class _Folder:
    """Tells Numba where compiled code lies. Its own locators ask settings that are everybody's, and may choose other places."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._folder = folder
        self._py_file = function.__code__.co_filename

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return ""


class _FolderImpl(CompileResultCacheImpl):  # type: ignore[misc]
    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Folder(folder, function)
        self._filename_base = function.__name__


class _FolderCache(FunctionCache):  # type: ignore[misc]
    """A cache whose folder says what was compiled, so that the key need not.

    Numba's key pickles the closure: it differs from run to run for classes made at run time. One folder a loop also keeps
    two processes that compile at once from numbering their files alike.
    """

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._impl_class = partial(_FolderImpl, folder)
        super().__init__(function)

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return signature, codegen.magic_tuple()

    def load_overload(self, signature: Any, target: Any) -> Any:
        """What was compiled before; None, and an empty folder, when it cannot be read."""
        try:
            return super().load_overload(signature, target)
        except Exception:  # a torn file may raise anything
            self._empty()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep what was compiled; a cache that cannot be written is done without."""
        with contextlib.suppress(OSError):
            super().save_overload(signature, data)

    def _empty(self) -> None:
        folder = Path(self.cache_path)
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


@contextlib.contextmanager
def _linked_only() -> Iterator[None]:
    """While this block runs, functions without a wrapper for Python are linked into their callers and made nothing else.

    Numba would make each executable, with all that it contains; only the loop is. What is rare stays out of line.
    """
    context = cpu_target.target_context
    executable = context.get_executable

    def get_executable(library: Any, descriptor: Any, environment: Any) -> Any:
        defined = {function.name: function for function in library._final_module.functions if not function.is_declaration}
        own = defined.get(descriptor.llvm_func_name)
        # A loop from the cache is machine code already, and defines nothing here.
        if own is None or descriptor.llvm_cpython_wrapper_name in defined:
            return executable(library, descriptor, environment)
        if not descriptor.inline:
            own.add_function_attribute("noinline")
        library._finalize_specific = lambda: None
        return [].append  # Numba wants some builtin function, of which only the identity is used

    context.get_executable = get_executable
    try:
        yield
    finally:
        del context.get_executable


def _compile(function: Callable[..., Any], signature: Any, folder: Path | None) -> Callable[..., Any]:
    dispatcher = numba.njit(function)
    if folder:
        dispatcher._cache = _FolderCache(folder, function)
    with global_compiler_lock, _linked_only():
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher  # type: ignore[no-any-return]


def _package_digest() -> bytes:
    """A digest of our own sources and of the versions; taken once, when they are imported, and not when they are compiled."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(os.fsencode(source) + b"\0" + source.read_bytes() + b"\0")
    digest.update(repr((sys.version, np.__version__, numba.__version__, llvmlite.__version__)).encode())
    return digest.digest()


_PACKAGE_DIGEST = _package_digest()
DEFAULTS = {
    "OPT": 3, "BOUNDSCHECK": None, "DEBUGINFO_DEFAULT": 0, "LOOP_VECTORIZE": 1, "SLP_VECTORIZE": 0, "CPU_NAME": None,
    "CPU_FEATURES": None, "ENABLE_PROFILING": 0,
}  # fmt: skip
"""Settings of Numba that make another machine code, and what they are when nobody sets them."""


def _settings_digest() -> bytes:
    """All of Numba's settings, and the CPU: one too many costs a compilation, one that is left out a wrong number."""
    settings = {
        name: str(value)
        for name, value in vars(numba.config).items()
        # Threads are as many as there are cores to use, and no loop is parallel; where caches lie is not in them.
        if name.isupper() and "THREAD" not in name and not name.startswith("CACHE_")
    }
    return repr((sorted(settings.items()), cpu_target.target_context.codegen().magic_tuple())).encode()


def unusual_settings() -> list[str]:
    """The settings of Numba by which this process compiles other machine code than others do, as `NUMBA_OPT=0`."""
    found = {name: getattr(numba.config, name, default) for name, default in DEFAULTS.items()}
    found["OPT"] = getattr(found["OPT"], "_raw_value", found["OPT"])  # "max" is 3, and more
    return [f"NUMBA_{name.removesuffix('_DEFAULT')}={value}" for name, value in found.items() if value != DEFAULTS[name]]


def cache_folder(plugins: tuple[str, ...]) -> Path | None:
    """The folder of compiled code for our sources and plug-ins of these digests; None when the place is not writable."""
    name = hashlib.sha256(_PACKAGE_DIGEST + _settings_digest() + "\0".join(plugins).encode()).hexdigest()[:24]
    try:
        root = Path(os.environ.get("SHMKRET_CACHE_DIR") or _user_cache() / "shmkret")
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        _prune(root)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return folder if os.access(folder, os.W_OK) else None


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _prune(root: Path) -> None:
    oldest = time.time() - CACHE_DAYS * 86400
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            # Only what is named as we name folders: the place may be anybody's.
            if re.fullmatch("[0-9a-f]{24}", folder.name) and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)


def require_supported_machine() -> None:
    """Raises UnfitMachine on machines that the compiled atomics are not written for."""
    if numba.config.DISABLE_JIT:
        raise UnfitMachine("NUMBA_DISABLE_JIT is set: unset it; --plain leaves the text uncompiled")
    if platform.machine() not in ("x86_64", "aarch64") or sys.platform != "linux":
        raise UnfitMachine(f"shmkret runs on Linux, x86-64 and 64-bit Arm; this is {sys.platform} {platform.machine()}")


def compile_helpers(cache: Path | None) -> dict[str, Callable[..., int]]:
    """What the plain machine calls one at a time: atomics, and libc's calls that may block, all by address."""
    teach()
    Column = layout.Script  # noqa: N806

    def load_acquire(at):  # type: ignore[no-untyped-def]
        return atomics.load_acquire(bind(Column, 8, at).word, 0)

    def store_release(at, value):  # type: ignore[no-untyped-def]
        atomics.store_release(bind(Column, 8, at).word, 0, value)
        return 0

    def exchange(at, value):  # type: ignore[no-untyped-def]
        return atomics.exchange(bind(Column, 8, at).word, 0, value)

    def fetch_add(at, value):  # type: ignore[no-untyped-def]
        return atomics.fetch_add(bind(Column, 8, at).word, 0, value)

    def cmpxchg(at, old, new):  # type: ignore[no-untyped-def]
        return atomics.cmpxchg(bind(Column, 8, at).word, 0, old, new)

    def sem_wait(at):  # type: ignore[no-untyped-def]
        libc.sem_wait(at)
        return 0

    def sem_post(at):  # type: ignore[no-untyped-def]
        libc.sem_post(at)
        return 0

    def mutex_lock(at):  # type: ignore[no-untyped-def]
        libc.mutex_lock(at)
        return 0

    def mutex_unlock(at):  # type: ignore[no-untyped-def]
        libc.mutex_unlock(at)
        return 0

    def clock_pair(_):  # type: ignore[no-untyped-def]
        least = np.int64(1 << 62)
        for _i in range(10_000):
            began = atomics.monotonic_ns()
            least = min(least, np.int64(atomics.monotonic_ns() - began))
        return least

    def ping_pong(at, me, batches, rounds):  # type: ignore[no-untyped-def]
        word = bind(Column, 8, at).word
        least = np.int64(1 << 62)
        turn = me
        for _batch in range(batches):
            began = atomics.monotonic_ns()
            for _round in range(rounds):
                atomics.wait_until(word, 0, EQ, turn)
                atomics.store_release(word, 0, turn + 1)
                turn += 2
            least = min(least, np.int64(atomics.monotonic_ns() - began))
        return least

    def futex_wait(at, value):  # type: ignore[no-untyped-def]
        atomics.futex_wait(bind(Column, 8, at).word, 0, value)
        return 0

    def futex_wake(at, most):  # type: ignore[no-untyped-def]
        atomics.futex_wake(bind(Column, 8, at).word, 0, most)
        return 0

    def sem_trywait(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.sem_trywait(at))

    def mutex_trylock(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.mutex_trylock(at))

    def sem_wait_unless(at, stop):  # type: ignore[no-untyped-def]
        return np.int64(libc.sem_wait_unless(at, bind(Column, 8, stop).word))

    def mutex_lock_unless(at, stop):  # type: ignore[no-untyped-def]
        return np.int64(libc.mutex_lock_unless(at, bind(Column, 8, stop).word))

    def robust_lock(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.robust_lock(at))

    def robust_trylock(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.robust_trylock(at))

    functions = (
        futex_wait, futex_wake, sem_trywait, mutex_trylock, sem_wait_unless, mutex_lock_unless, robust_lock, robust_trylock,
        clock_pair, ping_pong, load_acquire, store_release, exchange, fetch_add, cmpxchg,
        sem_wait, sem_post, mutex_lock, mutex_unlock,
    )  # fmt: skip
    compiled = {}
    for function in functions:
        integers = [types.int64] * function.__code__.co_argcount
        compiled[function.__name__] = _compile(function, types.int64(*integers), cache and cache / function.__name__)
    return compiled
