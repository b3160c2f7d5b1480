"""The calls of shmkret.text.libc as calls out of compiled code: one function for each row of the table."""

from __future__ import annotations

import errno
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from shmkret.machines.compiled.types import I32, I64, INLINE, OUTLINE, WordsType
from shmkret.machines.compiled.watching import watch
from shmkret.machines.compiled.words import LOOK_AGAIN_NS, require_word
from shmkret.text.atomics import load_acquire
from shmkret.text.libc import CALLS, OWNER_DIED, REFUSED

PR_SET_PDEATHSIG = 1
_I32, _U32, _I64, _AT = types.int32, types.uint32, types.int64, types.intp


def _external(name: str, *arguments: Any, returns: Any = _I32) -> Any:
    return types.ExternalFunction(name, returns(*arguments))


_sem_wait = _external("sem_wait", _AT)
_sem_post = _external("sem_post", _AT)
_sem_trywait = _external("sem_trywait", _AT)
_sem_init = _external("sem_init", _AT, _I32, _U32)
_mutexattr_init = _external("pthread_mutexattr_init", _AT)
_mutexattr_setpshared = _external("pthread_mutexattr_setpshared", _AT, _I32)
_mutex_init = _external("pthread_mutex_init", _AT, _AT)
_mutex_lock = _external("pthread_mutex_lock", _AT)
_mutex_unlock = _external("pthread_mutex_unlock", _AT)
_mutex_trylock = _external("pthread_mutex_trylock", _AT)
_mutex_consistent = _external("pthread_mutex_consistent", _AT)
_kill = _external("kill", _I32, _I32)
_fork = _external("_Fork")
_exit = _external("_exit", _I32, returns=types.void)
_prctl = _external("prctl", _I32, _I64, _I64, _I64, _I64)
_getpid = _external("getpid")
_getppid = _external("getppid")


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


@intrinsic
def _scratch(typing: Any) -> Any:
    """The address of 64 bytes of the stack."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.ArrayType(I64, 8)), I64)

    return types.int64(), generate


def sem_wait(address):  # type: ignore[no-untyped-def]
    while _sem_wait(address) != 0:  # interrupted by a signal
        pass


def sem_post(address):  # type: ignore[no-untyped-def]
    _sem_post(address)


def sem_trywait(address):  # type: ignore[no-untyped-def]
    return bool(_sem_trywait(address) == 0)


def sem_wait_unless(address, stop):  # type: ignore[no-untyped-def]
    if _sem_trywait(address) == 0:
        return True
    while load_acquire(stop, 0) == 0:
        if _sem_clockwait(address) == 0:
            return True
    return False


def sem_reset(address, value):  # type: ignore[no-untyped-def]
    _sem_init(address, np.int32(1), np.uint32(value))


def mutex_init(address):  # type: ignore[no-untyped-def]
    attributes = _scratch()
    _mutexattr_init(attributes)
    _mutexattr_setpshared(attributes, np.int32(1))
    _mutex_init(address, attributes)


def mutex_lock(address):  # type: ignore[no-untyped-def]
    _mutex_lock(address)


def mutex_unlock(address):  # type: ignore[no-untyped-def]
    _mutex_unlock(address)


def mutex_trylock(address):  # type: ignore[no-untyped-def]
    return bool(_mutex_trylock(address) == 0)


def mutex_lock_unless(address, stop):  # type: ignore[no-untyped-def]
    if _mutex_trylock(address) == 0:
        return True
    while load_acquire(stop, 0) == 0:
        if _mutex_clocklock(address) == 0:
            return True
    return False


def robust_lock(address):  # type: ignore[no-untyped-def]
    status = _mutex_lock(address)
    if status == 0:
        return 0
    if status != errno.EOWNERDEAD:  # whoever goes on would be inside without the mutex
        raise RuntimeError("pthread_mutex_lock has failed: the mutex is not recoverable, or its words are damaged")
    _mutex_consistent(address)
    return OWNER_DIED


def robust_trylock(address):  # type: ignore[no-untyped-def]
    status = _mutex_trylock(address)
    if status == 0:
        return 0
    if status != errno.EOWNERDEAD:
        return REFUSED
    _mutex_consistent(address)
    return OWNER_DIED


def robust_unlock(address):  # type: ignore[no-untyped-def]
    _mutex_unlock(address)


def kick(pid):  # type: ignore[no-untyped-def]
    if pid > 0:
        _kill(np.int32(pid), np.int32(signal.SIGURG.value))


def fork_process():  # type: ignore[no-untyped-def]
    return np.int64(_fork())


def exit_process(status):  # type: ignore[no-untyped-def]
    _exit(np.int32(status))


def process_id():  # type: ignore[no-untyped-def]
    return np.int64(_getpid())


def die_with_parent(parent):  # type: ignore[no-untyped-def]
    _prctl(np.int32(PR_SET_PDEATHSIG), np.int64(signal.SIGKILL.value), 0, 0, 0)
    if np.int64(_getppid()) != parent:  # it died before we could ask
        _exit(np.int32(0))


RARE = frozenset({"mutex_init", "fork_process", "exit_process", "process_id", "die_with_parent"})
"""Those that are called, not inlined."""


@intrinsic(prefer_literal=True)
def _watched_unless(typing: Any, name: Any, address: Any, stop: Any) -> Any:
    """A wait that may be given up, where `stop` is a watched word."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return watch(builder, name.literal_value, [args[1], builder.ptrtoint(args[2], I64)])

    return types.int64(name, address, stop), generate


def _choose_sem(address, stop):  # type: ignore[no-untyped-def]
    if stop.watched:
        return lambda address, stop: _watched_unless("sem_wait_unless", address, stop) != 0
    return sem_wait_unless


def _choose_mutex(address, stop):  # type: ignore[no-untyped-def]
    if stop.watched:
        return lambda address, stop: _watched_unless("mutex_lock_unless", address, stop) != 0
    return mutex_lock_unless


WHERE_WATCHED = {"sem_wait_unless": _choose_sem, "mutex_lock_unless": _choose_mutex}
"""Calls that wait until told to stop: in a search that is one step, and no look every now and then."""


def _teach(function: Callable[..., Any], compiled: Callable[..., Any], options: dict[str, bool]) -> None:
    def chosen(*args: Any) -> Callable[..., Any]:
        require_word(*(arg for arg in args if not isinstance(arg, WordsType)))
        return compiled

    choosers: dict[int, Callable[..., Any]] = {  # Numba takes the arguments' number from the signature
        0: lambda: compiled,
        1: lambda a: chosen(a),  # noqa: PLW0108
        2: lambda a, b: chosen(a, b),  # noqa: PLW0108
    }
    overload(function, jit_options=options, strict=False)(choosers[compiled.__code__.co_argcount])


for _call in CALLS.values():
    if not _call.outside:
        if _call.name in WHERE_WATCHED:
            overload(_call.function, jit_options=INLINE, strict=False)(WHERE_WATCHED[_call.name])
        else:
            _teach(_call.function, globals()[_call.name], OUTLINE if _call.name in RARE else INLINE)
