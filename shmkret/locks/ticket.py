"""Ticket spinlock: first come, first served, on two counters.

    word 0   next     ticket to draw
    word 1   owner    ticket being served

Moves     acquire  next,owner -> next+1,owner   then wait until owner == my ticket
          release  next,owner -> next,owner+1   holder only
Always    0 <= next - owner <= nr_cpus (mod 2**64)
Order     acquire's load of owner, in wait_until, pairs with release's store_release(owner)
Dies      a killed holder or waiter stops everybody behind it. A drawn ticket cannot be handed back: reset() takes all of them
Source    Mellor-Crummey & Scott, ACM TOCS 9(1), 1991
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import EQ, NIL, Words, add64, cmpxchg, fetch_add, load_acquire, store_release, sub64, wait_unless, wait_until

FIFO = True


class Ticket(NamedTuple):
    """Two counters, on one line."""

    next: Words
    owner: Words


def start(lock: Ticket, i: int, n: int) -> None:
    lock.next[i] = lock.owner[i] = n


def acquire(lock: Ticket, i: int) -> None:
    ticket = fetch_add(lock.next, i, 1)
    wait_until(lock.owner, i, EQ, ticket)


def is_free(lock: Ticket, i: int) -> bool:
    return lock.next[i] == lock.owner[i]


def release(lock: Ticket, i: int) -> None:
    # Only the holder writes owner, so its own plain read is current.
    store_release(lock.owner, i, add64(lock.owner[i], 1))


ALWAYS = ("more tickets of lock {} are drawn than there are CPUs", "lock {} serves a ticket that nobody has drawn")


def always(lock: Ticket, i: int, nr: int) -> int:
    drawn = sub64(lock.next[i], lock.owner[i])
    if drawn > nr:
        return 1
    return 2 if drawn < 0 else 0


def try_acquire(lock: Ticket, i: int) -> bool:
    serving = load_acquire(lock.owner, i)
    return cmpxchg(lock.next, i, serving, add64(serving, 1)) == serving


def acquire_unless(lock: Ticket, i: int, stop: Words) -> bool:
    ticket = fetch_add(lock.next, i, 1)
    return wait_unless(lock.owner, i, EQ, ticket, stop)


def reset(lock: Ticket, i: int, owner: int) -> None:
    # One store, so that what always holds does so within reset, too; tickets go on from where they are.
    held = 0 if owner == NIL else 1
    store_release(lock.owner, i, sub64(load_acquire(lock.next, i), held))
