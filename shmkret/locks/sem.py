"""An unnamed POSIX semaphore in the arena, of value 0 or 1.

    word 0 ... 3   sem_t, private to libc

Moves     acquire  1 -> 0   sleeps in the kernel while it is 0
          release  0 -> 1   wakes one sleeper
Always    value <= 1 while only holders release
Dies      a killed holder takes the token with it: everybody waits for ever. A killed waiter leaves its count behind; one who
          dies in sem_post() between adding and waking leaves a sleeper. reset() cures all three, when nobody is inside
Source    sem_init(3) with pshared
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import NIL, Words, address_of, libc

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


ALWAYS = ("the semaphore of lock {} is more than 1",)


def always(lock: Sem, i: int, nr: int) -> int:
    return 1 if lock.sem[i] & 0xFFFFFFFF > 1 else 0


def release(lock: Sem, i: int) -> None:
    libc.sem_post(address_of(lock.sem, i))


def try_acquire(lock: Sem, i: int) -> bool:
    return libc.sem_trywait(address_of(lock.sem, i))


def acquire_unless(lock: Sem, i: int, stop: Words) -> bool:
    return libc.sem_wait_unless(address_of(lock.sem, i), stop)


def reset(lock: Sem, i: int, owner: int) -> None:
    libc.sem_reset(address_of(lock.sem, i), 1 if owner == NIL else 0)
