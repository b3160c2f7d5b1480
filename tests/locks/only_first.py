"""Wrong: excludes at index 0 only."""

from typing import NamedTuple

from shmkret.text import EQ, Words, exchange, store_release, wait_until


class OnlyFirst(NamedTuple):
    locked: Words


def acquire(lock: OnlyFirst, i: int) -> None:
    while i < 1 and exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)


def release(lock: OnlyFirst, i: int) -> None:
    if i < 1:
        store_release(lock.locked, i, 0)
