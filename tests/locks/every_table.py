"""Test-and-set with a table of every domain beside it, in which it counts under the lock how often it was taken.

own    of the CPU                      only that CPU counts
spare  of the lock, and of the CPU
each   of the CPU of the lock
node   of the memory node of the lock
"""

from typing import Annotated, NamedTuple

from shmkret.text import (
    EQ,
    NR_LOCKS,
    NR_NODES,
    NR_SLOTS,
    PER_CPU,
    PER_LOCK_AND_CPU,
    PER_LOCK_PER_CPU,
    PER_NODE,
    Home,
    Words,
    exchange,
    store_release,
    wait_until,
)


class Count(NamedTuple):
    taken: Words


class EveryTable(NamedTuple):
    locked: Words
    own: Annotated[Count, PER_CPU]
    spare: Annotated[Count, PER_LOCK_AND_CPU]
    each: Annotated[Count, PER_LOCK_PER_CPU]
    node: Annotated[Count, PER_NODE]
    home: Annotated[Home, PER_CPU]
    nr: Annotated[int, NR_LOCKS]
    slots: Annotated[int, NR_SLOTS]
    nodes: Annotated[int, NR_NODES]


def acquire(lock: EveryTable, i: int, cpu: int) -> None:
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)
    lock.own.taken[cpu] += 1
    lock.spare.taken[i] += 1
    lock.spare.taken[lock.nr + cpu] += 1
    lock.each.taken[i * lock.slots + cpu] += 1
    lock.node.taken[i * lock.nodes + lock.home.node[cpu]] += 1


def release(lock: EveryTable, i: int, cpu: int) -> None:
    store_release(lock.locked, i, 0)


def is_free(lock: EveryTable, i: int) -> bool:
    return lock.locked[i] == 0
