"""Every lock of an arena, one after the other: what recovery does to all of them, whatever arrays a scheme has.

    number   0 ... the system's locks ... the bucket locks ... the scheme's others

shmkret.moves.intents.number_of() numbers them so, too.

An operation is a class with a verb `to_lock`; one() does it to the lock of a number, every() to all locks.
"""

from __future__ import annotations

from typing import Any

from shmkret.arena.records import Kernel
from shmkret.moves.intents import PROBE, TABLE, has_array, number_of
from shmkret.text.marks import inline
from shmkret.text.verbs import generic


@generic
def to_lock(operation: Any, k: Any, me: int, locks: Any, i: int, number: int, dead: int) -> None:
    """Do it to lock `i` of an array, which is lock `number` of all."""
    raise NotImplementedError


@inline
def nr_all_locks(k: Kernel) -> int:
    """How many locks there are."""
    nr = number_of(k, PROBE, 0)
    if has_array(k.scheme, "locks"):
        nr += k.nr_locks
    return nr


@inline
def one(operation: Any, k: Kernel, me: int, number: int, dead: int) -> None:
    """Do it to the lock of that number."""
    of_bucket, other = number_of(k, TABLE, 0), number_of(k, PROBE, 0)
    if number < of_bucket:
        to_lock(operation, k, me, k.system_locks, number, number, dead)
    elif number < other:
        to_lock(operation, k, me, k.table_locks, number - of_bucket, number, dead)
    else:
        to_lock(operation, k, me, k.other_locks, number - other, number, dead)


@inline
def every(operation: Any, k: Kernel, me: int, dead: int) -> None:
    """Do it to all locks, in the order of their numbers."""
    for number in range(nr_all_locks(k)):
        one(operation, k, me, number, dead)
