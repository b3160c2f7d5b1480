"""Whether a CPU is alone inside the locks that it takes. Code can be compiled to ask: at each acquire, and at each release.

    Unasked    nothing is compiled
    Asks       who comes in finds no number at the lock and leaves its own; who goes out finds it

The list moves under a lock show that it let two in where these change the same words at the same time; this shows it wherever
two meet. The words lie apart from the locks, so that asking costs a cache line a lock. A branch that is never taken would cost
more than a call may, too: what is measured is compiled with Unasked.

Source    kernel/locking/locktorture.c, lock_is_write_held
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.records import RUNQUEUE_LOCKS
from shmkret.moves.intents import number_of
from shmkret.moves.oracle import TWO_INSIDE, report_bug
from shmkret.text.atomics import NIL
from shmkret.text.marks import outline
from shmkret.text.verbs import generic


class Unasked(NamedTuple):
    """Nobody asks."""

    unused: int

    def comes_in(self, k: Any, cpu: int, array: int, i: int) -> None:
        pass

    def goes_out(self, k: Any, cpu: int, array: int, i: int) -> None:
        pass


class Asks(NamedTuple):
    """It is asked."""

    unused: int

    def comes_in(self, k: Any, cpu: int, array: int, i: int) -> None:
        becomes(k, cpu, number_of(k, array, i), 0, 1 + cpu)

    def goes_out(self, k: Any, cpu: int, array: int, i: int) -> None:
        becomes(k, cpu, number_of(k, array, i), 1 + cpu, 0)


@generic
def comes_in(alone: Any, k: Any, cpu: int, array: int, i: int) -> None:
    """`cpu` has lock `i` of an array."""
    raise NotImplementedError


@generic
def goes_out(alone: Any, k: Any, cpu: int, array: int, i: int) -> None:
    """It is about to give it back."""
    raise NotImplementedError


@outline
def becomes(k: Any, cpu: int, number: int, before: int, after: int) -> None:
    """The holder of a lock was `before`, or two are inside; it is `after` now. Nobody has a lock that there is not, which a
    scheme can name that takes the locks of one array by the verb of another.
    """
    if number >= RUNQUEUE_LOCKS + k.nr_cpus + NR_BUCKETS + k.nr_locks:
        report_bug(k.cpus, cpu, TWO_INSIDE, k.cpus.task[cpu], NIL, number)
    else:
        found = k.inside.holder[number]
        if found != before:
            report_bug(k.cpus, cpu, TWO_INSIDE, k.cpus.task[cpu], found - 1, number)
        k.inside.holder[number] = after
