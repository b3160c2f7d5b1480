"""The kernel's qspinlock as far as two CPUs come, who never queue, as model checkers count its runs.

    word      locked (1), pending (256); the tail of the queue is left out: a third CPU would need it

Moves     acquire  0 -> locked;  else set pending; was nobody there, or when locked is gone: pending -> locked
          release  take locked out, as a store to its byte does
Runs      2 CPUs, one passage each: 6, who is first, and whether the other comes when that one has let go, sets pending after
          that, or before
Source    kernel/locking/qspinlock.c, Linux 6.13
"""

from typing import NamedTuple

from shmkret.text import EQ, Words, cmpxchg, fetch_add, wait_until

LOCKED, PENDING = 1, 256


class CountedQspinlock(NamedTuple):
    word: Words


def acquire(lock: CountedQspinlock, i: int) -> None:
    if cmpxchg(lock.word, i, 0, LOCKED) == 0:
        return
    if fetch_add(lock.word, i, PENDING) != 0:
        wait_until(lock.word, i, EQ, PENDING)
    fetch_add(lock.word, i, LOCKED - PENDING)


def release(lock: CountedQspinlock, i: int) -> None:
    fetch_add(lock.word, i, -LOCKED)
