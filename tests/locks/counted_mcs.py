"""An MCS lock, as first published, as model checkers count its runs.

Moves     acquire  next[me] := 0; p := swap(tail, me); p: spin[me] := 1, next[p] := me, await spin[me] == 0
          release  nobody is next: tail: me -> 0, or await that somebody is; spin[next[me]] := 0
Runs      2 CPUs, one passage each: 6, who is first, and whether the other comes when that one has let go, has looked for it and
          must wait for it, or finds it
Source    Mellor-Crummey and Scott, 1991
"""

from typing import Annotated, NamedTuple

from shmkret.text import EQ, NE, PER_CPU, Words, cmpxchg, exchange, load_acquire, store_relaxed, store_release, wait_until


class Node(NamedTuple):
    next: Words
    spin: Words


class CountedMcs(NamedTuple):
    tail: Words
    node: Annotated[Node, PER_CPU]


def acquire(lock: CountedMcs, i: int, cpu: int) -> None:
    store_relaxed(lock.node.next, cpu, 0)
    before = exchange(lock.tail, i, 1 + cpu)
    if before != 0:
        store_relaxed(lock.node.spin, cpu, 1)
        store_release(lock.node.next, before - 1, 1 + cpu)
        wait_until(lock.node.spin, cpu, EQ, 0)


def release(lock: CountedMcs, i: int, cpu: int) -> None:
    following = load_acquire(lock.node.next, cpu)
    if following == 0:
        if cmpxchg(lock.tail, i, 1 + cpu, 0) == 1 + cpu:
            return
        wait_until(lock.node.next, cpu, NE, 0)
        following = load_acquire(lock.node.next, cpu)
    store_release(lock.node.spin, following - 1, 0)
