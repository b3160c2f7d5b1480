"""Peterson's lock, for two CPUs and lock 0 alone; without fences it is none on x86: each store is late, and neither sees it.

    turn             who waits, if both have come
    idle_0, idle_1   0 while the CPU waits or holds

Moves     acquire    idle[me] = 0;  fence;  turn = other;  fence;  wait until turn == me or idle[other] != 0
          release    idle[me] = 1
Order     the second fence is for x86, too. By the first, who stores turn last knows that the other has come: C++ does not
          promise that of release stores
Source    Peterson, Information Processing Letters 12(3), 1981
"""

from typing import NamedTuple

from shmkret.text import EQ, Words, fence, inline, store_release, wait_unless


class Peterson(NamedTuple):
    turn: Words
    idle_0: Words
    idle_1: Words


def init(lock: Peterson, i: int) -> None:
    lock.idle_0[i] = lock.idle_1[i] = 1


@inline
def come(lock: Peterson, i: int, me: int, mine: Words, other: Words) -> None:
    store_release(mine, i, 0)
    fence()
    store_release(lock.turn, i, 1 - me)
    fence()
    wait_unless(lock.turn, i, EQ, me, other)


def acquire(lock: Peterson, i: int, cpu: int) -> None:
    if cpu & 1 == 0:
        come(lock, i, 0, lock.idle_0, lock.idle_1)
    else:
        come(lock, i, 1, lock.idle_1, lock.idle_0)


def release(lock: Peterson, i: int, cpu: int) -> None:
    if cpu & 1 == 0:
        store_release(lock.idle_0, i, 1)
    else:
        store_release(lock.idle_1, i, 1)
