"""Many readers or one writer; on one word.

word 0   state   0 free; -1 a writer; n readers
"""

from typing import NamedTuple

from shmkret.text import EQ, NE, Words, cmpxchg, fetch_add, load_acquire, store_release, wait_until


class RwLock(NamedTuple):
    state: Words


def acquire(lock: RwLock, i: int) -> None:
    while cmpxchg(lock.state, i, 0, -1) != 0:
        wait_until(lock.state, i, EQ, 0)


def release(lock: RwLock, i: int) -> None:
    store_release(lock.state, i, 0)


def acquire_shared(lock: RwLock, i: int) -> None:
    seen = load_acquire(lock.state, i)
    while seen < 0 or cmpxchg(lock.state, i, seen, seen + 1) != seen:
        if seen < 0:
            wait_until(lock.state, i, NE, -1)
        seen = load_acquire(lock.state, i)


def release_shared(lock: RwLock, i: int) -> None:
    fetch_add(lock.state, i, -1)


def is_free(lock: RwLock, i: int) -> bool:
    return lock.state[i] == 0
