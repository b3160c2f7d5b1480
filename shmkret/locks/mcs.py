"""MCS queue lock: first come, first served; each waits on a line of its own. Its release() waits for nobody.

    word 0      tail     0 free; 1 + the CPU that came last
    table       next     1 + the CPU that came behind this one; 0 nobody yet; -1 (GONE) this CPU has released
    (a CPU)     locked   1 while it waits

Moves     acquire    tail: t -> 1 + cpu;  t != 0:  next[t - 1]: 0 -> 1 + cpu       then wait until locked[cpu] == 0
                                                               GONE -> 1 + cpu    the lock is ours
          release    tail: 1 + cpu -> 0, nobody came;  or next[cpu]: 0 -> GONE, who came will find it;  or locked[next - 1] = 0
Always    a node that is GONE is used again only when who came behind has been there
Order     release's store_release(locked) pairs with acquire's load of it; exchange and cmpxchg order the rest
Dies      a killed holder or waiter stops everybody behind it, not who has the lock: with all parked, reset() makes it anew
Source    Mellor-Crummey & Scott, ACM TOCS 9(1), 1991; theirs waits in release(), for ever if who came is dead
"""

from typing import Annotated, NamedTuple

from shmkret.text import EQ, NE, PER_CPU, Words, cmpxchg, exchange, inline, load_acquire, store_release, wait_unless, wait_until

FIFO = True
GONE = -1


class Node(NamedTuple):
    """What a CPU brings to the queue."""

    next: Words
    locked: Words


class Mcs(NamedTuple):
    """The end of the queue, and the nodes."""

    tail: Words
    node: Annotated[Node, PER_CPU]


def acquire(lock: Mcs, i: int, cpu: int) -> None:
    wait_until(lock.node.next, cpu, NE, GONE)
    if must_wait(lock, i, cpu):
        wait_until(lock.node.locked, cpu, EQ, 0)


def acquire_unless(lock: Mcs, i: int, stop: Words, cpu: int) -> bool:
    may_come = wait_unless(lock.node.next, cpu, NE, GONE, stop)
    return may_come and (not must_wait(lock, i, cpu) or wait_unless(lock.node.locked, cpu, EQ, 0, stop))


def try_acquire(lock: Mcs, i: int, cpu: int) -> bool:
    if load_acquire(lock.node.next, cpu) == GONE:
        return False
    store_release(lock.node.next, cpu, 0)
    return cmpxchg(lock.tail, i, 0, 1 + cpu) == 0


@inline
def must_wait(lock: Mcs, i: int, cpu: int) -> bool:
    """Go to the end of the queue. Whether somebody else has the lock."""
    store_release(lock.node.next, cpu, 0)
    store_release(lock.node.locked, cpu, 1)
    before = exchange(lock.tail, i, 1 + cpu)
    return before != 0 and exchange(lock.node.next, before - 1, 1 + cpu) != GONE


def release(lock: Mcs, i: int, cpu: int) -> None:
    following = load_acquire(lock.node.next, cpu)
    if following == 0:
        if cmpxchg(lock.tail, i, 1 + cpu, 0) == 1 + cpu:
            return
        following = cmpxchg(lock.node.next, cpu, 0, GONE)
    if following != 0:
        store_release(lock.node.locked, following - 1, 0)


def reset_cpu(lock: Mcs, cpu: int) -> None:
    store_release(lock.node.next, cpu, 0)
    store_release(lock.node.locked, cpu, 0)


def reset(lock: Mcs, i: int, owner: int) -> None:
    store_release(lock.tail, i, 1 + owner)  # of NIL: 0


def is_free(lock: Mcs, i: int) -> bool:
    return lock.tail[i] == 0


def is_idle(lock: Mcs, cpu: int) -> bool:
    return lock.node.next[cpu] != GONE
