"""A test-and-test-and-set lock as model checkers count its runs: await that it is free, then exchange.

Moves     acquire  await locked == 0; 0 -> 1 by exchange; who finds 1 begins again
          release  locked := 0
Runs      2 CPUs, one passage each: 4, who is first, and whether the other looked before that or after; and 2 in which the other
          looked before, found 1, and began again: an await that knows how it ends would have blocked there
"""

from typing import NamedTuple

from shmkret.text import EQ, Words, exchange, store_release, wait_until


class CountedTtas(NamedTuple):
    locked: Words


def acquire(lock: CountedTtas, i: int) -> None:
    wait_until(lock.locked, i, EQ, 0)
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)


def release(lock: CountedTtas, i: int) -> None:
    store_release(lock.locked, i, 0)
