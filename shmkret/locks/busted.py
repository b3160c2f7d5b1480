"""A control that is wrong on purpose: test, then set, in two steps.

    word 0   locked   0 free, 1 held

    CPU 0                      CPU 1
    reads locked == 0
                               reads locked == 0
    locked = 1
                               locked = 1
    ------------ both hold it -------------

Every checker must catch it: the oracle of a run on two CPUs, and the explorer in one call each.
Source    lock_busted, kernel/locking/locktorture.c
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import EQ, Words, store_release, wait_until

CONTROL = True


class Busted(NamedTuple):
    """One word."""

    locked: Words


def acquire(lock: Busted, i: int) -> None:
    wait_until(lock.locked, i, EQ, 0)
    store_release(lock.locked, i, 1)


def release(lock: Busted, i: int) -> None:
    store_release(lock.locked, i, 0)
