"""What libc does, as calls out of compiled code."""

from __future__ import annotations

import errno
import signal
import time
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from shmkret.host import posix
from shmkret.machines.compiled.types import I32, I64, INLINE, OUTLINE
from shmkret.machines.compiled.words import LOOK_AGAIN_NS
from shmkret.text import atomics, libc

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
