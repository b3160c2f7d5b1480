"""Test-and-test-and-set spinlock: wait by reading, take by exchange.

    word 0   locked   0 free, 1 held

Moves     acquire  0 -> 1   by exchange; a loser waits until it reads 0, then tries again
          release  1 -> 0   holder only
Order     acquire's exchange pairs with release's store_release
Dies      a killed holder stops everybody
Source    Anderson, IEEE TPDS 1(1), 1990
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import EQ, NIL, Words, exchange, store_release, wait_unless, wait_until


class Ttas(NamedTuple):
    """One word."""

    locked: Words


def acquire(lock: Ttas, i: int) -> None:
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)


def is_free(lock: Ttas, i: int) -> bool:
    return lock.locked[i] == 0


def release(lock: Ttas, i: int) -> None:
    store_release(lock.locked, i, 0)


def try_acquire(lock: Ttas, i: int) -> bool:
    return exchange(lock.locked, i, 1) == 0


def acquire_unless(lock: Ttas, i: int, stop: Words) -> bool:
    while exchange(lock.locked, i, 1) != 0:
        if not wait_unless(lock.locked, i, EQ, 0, stop):
            return False
    return True


def reset(lock: Ttas, i: int, owner: int) -> None:
    store_release(lock.locked, i, 0 if owner == NIL else 1)
