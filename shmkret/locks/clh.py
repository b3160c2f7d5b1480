"""CLH queue lock: first come, first served; each waits on the node of the CPU before it, and takes that node away with it.

    word 0           tail      the node of who came last
    table (a node)   locked    1 while its CPU waits or holds. Of n locks, node i is lock i's at first, node n + c is CPU c's
    table (a CPU)    own, before    the node that it brings, and the one that it waits on and brings the next time

Moves     acquire    locked[own] = 1;  tail: before -> own      wait until locked[before] == 0
          release    own = before;  locked[own before] = 0      whoever comes behind waits on the node that was ours
Always    each node is the tail of one lock, or waited on by one CPU, or some CPU's own
Order     release's store_release(locked) pairs with acquire's load of it, in wait_until
Dies      a killed holder or waiter stops everybody behind it. With everybody parked, reset() hands out all nodes anew
Never     a try_acquire(): a node that was seen free may come back to the tail, waited on, before the exchange
Source    Craig, University of Washington TR 93-02-02, 1993; Magnusson, Landin & Hagersten, IPPS 1994
"""

from typing import Annotated, NamedTuple

from shmkret.text import (  # isort: skip
    EQ, NR_LOCKS, PER_CPU, PER_LOCK_AND_CPU, Words, exchange, inline, store_release, wait_unless, wait_until,
)  # fmt: skip


FIFO = True


class Node(NamedTuple):
    """What is waited on."""

    locked: Words


class Cpu(NamedTuple):
    """Which nodes a CPU has in hand."""

    own: Words
    before: Words


class Clh(NamedTuple):
    """The end of the queue, the nodes, the CPUs, and how many locks there are."""

    tail: Words
    node: Annotated[Node, PER_LOCK_AND_CPU]
    cpu: Annotated[Cpu, PER_CPU]
    nr: Annotated[int, NR_LOCKS]


def init(lock: Clh, i: int) -> None:
    lock.tail[i] = i


def init_cpu(lock: Clh, cpu: int) -> None:
    lock.cpu.own[cpu] = lock.nr + cpu


def acquire(lock: Clh, i: int, cpu: int) -> None:
    wait_until(lock.node.locked, enqueue(lock, i, cpu), EQ, 0)


def acquire_unless(lock: Clh, i: int, stop: Words, cpu: int) -> bool:
    return wait_unless(lock.node.locked, enqueue(lock, i, cpu), EQ, 0, stop)


def release(lock: Clh, i: int, cpu: int) -> None:
    own = lock.cpu.own[cpu]
    lock.cpu.own[cpu] = lock.cpu.before[cpu]
    store_release(lock.node.locked, own, 0)


@inline
def enqueue(lock: Clh, i: int, cpu: int) -> int:
    """Go to the end of the queue; the node to wait on."""
    store_release(lock.node.locked, lock.cpu.own[cpu], 1)
    before = exchange(lock.tail, i, lock.cpu.own[cpu])
    lock.cpu.before[cpu] = before
    return before


def reset_cpu(lock: Clh, cpu: int) -> None:
    store_release(lock.cpu.own, cpu, lock.nr + cpu)
    store_release(lock.node.locked, lock.nr + cpu, 0)


def reset(lock: Clh, i: int, owner: int) -> None:
    store_release(lock.node.locked, i, 0)
    store_release(lock.tail, i, i if owner < 0 else lock.nr + owner)  # NIL is below 0
    if owner >= 0:
        store_release(lock.node.locked, lock.nr + owner, 1)
        store_release(lock.cpu.before, owner, i)


def is_free(lock: Clh, i: int) -> bool:
    return lock.node.locked[lock.tail[i]] == 0
