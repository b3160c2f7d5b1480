"""A ticket lock as model checkers count its runs: draw, await the turn, serve the next.

Moves     acquire  t := next++; await owner == t
          release  owner := owner + 1
Runs      2 CPUs, one passage each: 2, who draws first
"""

from typing import NamedTuple

from shmkret.text import EQ, Words, add64, fetch_add, load_relaxed, store_release, wait_until


class CountedTicket(NamedTuple):
    next: Words
    owner: Words


def acquire(lock: CountedTicket, i: int) -> None:
    wait_until(lock.owner, i, EQ, fetch_add(lock.next, i, 1))


def release(lock: CountedTicket, i: int) -> None:
    store_release(lock.owner, i, add64(load_relaxed(lock.owner, i), 1))
