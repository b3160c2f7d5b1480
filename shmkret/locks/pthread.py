"""A process-shared pthread mutex of the default type.

    word 0 ...   pthread_mutex_t, private to libc

Moves     acquire  free -> held   sleeps in the kernel while another holds it
          release  held -> free   wakes one sleeper
Dies      a killed holder stops everybody; the robust type is another lock
Source    pthread_mutexattr_setpshared(3)
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import NIL, Words, address_of, libc

SIZE = libc.SIZEOF_PTHREAD_MUTEX_T


class Pthread(NamedTuple):
    """pthread_mutex_t."""

    mutex: Words


def init(lock: Pthread, i: int) -> None:
    libc.mutex_init(address_of(lock.mutex, i))


def acquire(lock: Pthread, i: int) -> None:
    libc.mutex_lock(address_of(lock.mutex, i))


def is_free(lock: Pthread, i: int) -> bool:
    return libc.mutex_is_free(address_of(lock.mutex, i))


def release(lock: Pthread, i: int) -> None:
    libc.mutex_unlock(address_of(lock.mutex, i))


def try_acquire(lock: Pthread, i: int) -> bool:
    return libc.mutex_trylock(address_of(lock.mutex, i))


def acquire_unless(lock: Pthread, i: int, stop: Words) -> bool:
    return libc.mutex_lock_unless(address_of(lock.mutex, i), stop)


def reset(lock: Pthread, i: int, owner: int) -> None:
    if owner == NIL:
        libc.mutex_init(address_of(lock.mutex, i))
