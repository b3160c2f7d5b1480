"""Dekker's lock, for two CPUs; without its fences it is none on x86: each store is late, and neither sees it.

    turn               who insists, if both have come
    wants_0, wants_1   1 while the CPU waits or holds

Moves     acquire    wants[me] = 1;  fence;  while wants[other] != 0:  turn is mine: wait;  else take it back until it is
          release    turn = other;  wants[me] = 0
Source    Dijkstra, "Cooperating sequential processes", EWD 123, 1965
"""

from typing import NamedTuple

from shmkret.text import EQ, Words, fence, inline, load_acquire, store_release, wait_until


class Dekker(NamedTuple):
    turn: Words
    wants_0: Words
    wants_1: Words


@inline
def come(lock: Dekker, i: int, me: int, mine: Words, other: Words) -> None:
    store_release(mine, i, 1)
    fence()
    while load_acquire(other, i) != 0:
        if load_acquire(lock.turn, i) == me:
            wait_until(other, i, EQ, 0)
        else:
            store_release(mine, i, 0)
            wait_until(lock.turn, i, EQ, me)
            store_release(mine, i, 1)
            fence()


def acquire(lock: Dekker, i: int, cpu: int) -> None:
    if cpu & 1 == 0:
        come(lock, i, 0, lock.wants_0, lock.wants_1)
    else:
        come(lock, i, 1, lock.wants_1, lock.wants_0)


@inline
def leave(lock: Dekker, i: int, me: int, mine: Words) -> None:
    store_release(lock.turn, i, 1 - me)
    store_release(mine, i, 0)


def release(lock: Dekker, i: int, cpu: int) -> None:
    if cpu & 1 == 0:
        leave(lock, i, 0, lock.wants_0)
    else:
        leave(lock, i, 1, lock.wants_1)
