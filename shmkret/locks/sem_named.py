"""A named POSIX semaphore a lock, mapped before the workers start.

    word 0   address   of the sem_t in the creator and the processes it forks

Its name is gone as soon as it is mapped, so that no kill can leave it behind; the price is that a program that attaches to
the arena later cannot use the lock.

Moves     as in sem.py; only the memory lies elsewhere, on a page of its own
Dies      a killed holder takes the token with it: everybody waits for ever
Source    sem_open(3), sem_unlink(3)
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import NIL, Words, libc

ATTACHABLE = False


class SemNamed(NamedTuple):
    """Where the semaphore is mapped."""

    address: Words


def init(lock: SemNamed, i: int) -> None:
    lock.address[i] = libc.sem_open(1)


def acquire(lock: SemNamed, i: int) -> None:
    libc.sem_wait(lock.address[i])


def is_free(lock: SemNamed, i: int) -> bool:
    return libc.sem_value(lock.address[i]) == 1


def release(lock: SemNamed, i: int) -> None:
    libc.sem_post(lock.address[i])


def try_acquire(lock: SemNamed, i: int) -> bool:
    return libc.sem_trywait(lock.address[i])


def acquire_unless(lock: SemNamed, i: int, stop: Words) -> bool:
    return libc.sem_wait_unless(lock.address[i], stop)


def reset(lock: SemNamed, i: int, owner: int) -> None:
    libc.sem_reset(lock.address[i], 1 if owner == NIL else 0)
