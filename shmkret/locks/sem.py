"""An unnamed POSIX semaphore in the arena, of value 0 or 1.

    word 0 ... 3   sem_t, private to libc

Moves     acquire  1 -> 0   sleeps in the kernel while it is 0
          release  0 -> 1   wakes one sleeper
Always    value <= 1 while only holders release
Dies      a killed holder takes the token with it: everybody waits for ever
Source    sem_init(3) with pshared
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret import libc
from shmkret.atomics import Words, address_of

SIZE = libc.SIZEOF_SEM_T


class Sem(NamedTuple):
    """sem_t."""

    sem: Words


def init(lock: Sem, i: int) -> None:
    libc.sem_init(address_of(lock.sem, i), 1)


def acquire(lock: Sem, i: int) -> None:
    libc.sem_wait(address_of(lock.sem, i))


def is_free(lock: Sem, i: int) -> bool:
    return libc.sem_value(address_of(lock.sem, i)) == 1


def release(lock: Sem, i: int) -> None:
    libc.sem_post(address_of(lock.sem, i))
