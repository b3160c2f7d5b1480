"""README's lock, to be compared with the slower one of the same name beside it."""

from typing import NamedTuple

from shmkret.atomics import EQ, Words, exchange, store_release, wait_until


class MyLock(NamedTuple):
    """One word a lock."""

    locked: Words  # 0 free, 1 held


def acquire(lock: MyLock, i: int) -> None:
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)


def release(lock: MyLock, i: int) -> None:
    store_release(lock.locked, i, 0)
