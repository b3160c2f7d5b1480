"""Flat combining: who has the lock runs the critical sections of all who wait.

    word 0   locked
    table    asks     1 the CPU's section is to be run, with `arg`; 2 it was run, with `answer`
    (a CPU of a lock)

Source    Hendler, Incze, Shavit & Tzafrir, SPAA 2010
"""

from typing import Annotated, NamedTuple

from shmkret.locks import enter
from shmkret.text import (
    EQ,
    NR_SLOTS,
    PER_LOCK_PER_CPU,
    Words,
    exchange,
    inline,
    load_acquire,
    store_release,
    wait_until,
)


class Slot(NamedTuple):
    asks: Words
    arg: Words
    answer: Words


class Combining(NamedTuple):
    locked: Words
    slot: Annotated[Slot, PER_LOCK_PER_CPU]
    slots: Annotated[int, NR_SLOTS]


def acquire(lock: Combining, i: int) -> None:
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)


def release(lock: Combining, i: int) -> None:
    store_release(lock.locked, i, 0)


def apply(lock: Combining, i: int, cpu: int, section, k, arg: int) -> int:
    mine = i * lock.slots + cpu
    lock.slot.arg[mine] = arg
    store_release(lock.slot.asks, mine, 1)
    while load_acquire(lock.slot.asks, mine) != 2:
        if exchange(lock.locked, i, 1) == 0:
            serve(lock, i, section, k)
            store_release(lock.locked, i, 0)
        else:
            wait_until(lock.locked, i, EQ, 0)
    store_release(lock.slot.asks, mine, 0)
    return lock.slot.answer[mine]


@inline
def serve(lock: Combining, i: int, section, k) -> None:
    for at in range(i * lock.slots, (i + 1) * lock.slots):
        if load_acquire(lock.slot.asks, at) == 1:
            lock.slot.answer[at] = enter(section, k, lock.slot.arg[at])
            store_release(lock.slot.asks, at, 2)


def is_free(lock: Combining, i: int) -> bool:
    return lock.locked[i] == 0
