"""A process-shared robust pthread mutex.

    word 0 ...   pthread_mutex_t, private to libc

Moves     acquire  free -> held   sleeps in the kernel while another holds it
          release  held -> free   wakes one sleeper
Dies      the kernel marks what a dying process holds, and wakes one who waits: the next to acquire it is told. It marks the
          mutex consistent at once; whether the data is, is its own business. Where three and more share it, one who sleeps
          may be forgotten until another sleeps: one that was woken dies before it runs, while a third has the mutex again
Source    pthread_mutexattr_setrobust(3), Documentation/locking/robust-futexes.rst
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import Words, address_of, libc

SIZE = libc.SIZEOF_PTHREAD_MUTEX_T


class PthreadRobust(NamedTuple):
    """pthread_mutex_t."""

    mutex: Words


def init(lock: PthreadRobust, i: int) -> None:
    libc.robust_init(address_of(lock.mutex, i))


def acquire(lock: PthreadRobust, i: int) -> None:
    libc.robust_lock(address_of(lock.mutex, i))


def acquire_robust(lock: PthreadRobust, i: int, cpu: int) -> int:
    return libc.robust_lock(address_of(lock.mutex, i))


def try_acquire_robust(lock: PthreadRobust, i: int, cpu: int) -> int:
    return libc.robust_trylock(address_of(lock.mutex, i))


def is_free(lock: PthreadRobust, i: int) -> bool:
    return libc.robust_is_free(address_of(lock.mutex, i))


def release(lock: PthreadRobust, i: int) -> None:
    libc.robust_unlock(address_of(lock.mutex, i))
