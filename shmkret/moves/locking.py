"""How the schemes take their locks: timed where a run asks for it, and probed where a run probes the kernel's own functions.

    lock_table(k, cpu, table, bucket)   take a bucket lock, by the helper that does; lock_bucket() where that is open-coded
    lock_probe(k, cpu, locks, i)        take another lock of the scheme's; lock_inside() for who has a bucket lock
    unlock_table, unlock_probe          give them back
    lock_system, unlock_system          kprobe_mutex, the slab's lock and the run queues', which no run times or probes

The lock primitives of 2008 were functions like others, and somebody did put a return probe on one. A worker file that says
PRIMITIVES = True has four functions after its own: SPIN_LOCK and SPIN_UNLOCK, HASH_LOCK, the helper that takes a bucket lock,
and KFREE.

Source    kernel/spinlock.c, Linux 2.6.26; Linux commit 9b38cc704e84 ("kretprobe: Prevent triggering kretprobe from within
          kprobe_flush_task")
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.moves.alone import comes_in, goes_out
from shmkret.moves.clock import PROBE_LOCK, TABLE_LOCK, take_timed
from shmkret.moves.intents import PROBE, SYSTEM, TABLE, give_lock, take_lock
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline
from shmkret.text.verbs import generic

SPIN_LOCK, SPIN_UNLOCK, HASH_LOCK, KFREE = range(4)
NR_PRIMITIVES = 4


class Unprobed(NamedTuple):
    """The path's own functions are no functions that a probe could be on."""

    unused: int

    def enter_primitive(self, k: Any, cpu: int, which: int) -> None:
        pass

    def leave_primitive(self, k: Any, cpu: int) -> None:
        pass


@generic
def enter_primitive(primitives: Any, k: Any, cpu: int, which: int) -> None:
    """The current task of `cpu` calls one of the path's own functions."""
    raise NotImplementedError


@generic
def leave_primitive(primitives: Any, k: Any, cpu: int) -> None:
    """It returns."""
    raise NotImplementedError


@inline
def lock_table(k: Any, cpu: int, table: Any, bucket: int) -> None:
    """Take a bucket lock, by the helper that does."""
    enter_primitive(k.mode.primitives, k, cpu, HASH_LOCK)
    lock_bucket(k, cpu, table, bucket)
    leave_primitive(k.mode.primitives, k, cpu)


@inline
def lock_bucket(k: Any, cpu: int, table: Any, bucket: int) -> None:
    """Take a bucket lock, without that helper."""
    enter_primitive(k.mode.primitives, k, cpu, SPIN_LOCK)
    take_timed(k.mode.clock, k, cpu, table, bucket, TABLE_LOCK, NIL)
    comes_in(k.mode.alone, k, cpu, TABLE, bucket)
    leave_primitive(k.mode.primitives, k, cpu)


@inline
def lock_probe(k: Any, cpu: int, locks: Any, i: int) -> None:
    """Take any other lock of a scheme."""
    lock_inside(k, cpu, locks, i, NIL)


@inline
def lock_inside(k: Any, cpu: int, locks: Any, i: int, outer: int) -> None:
    """lock_probe() for who has a lock already: its number, of number_of(); or NIL."""
    enter_primitive(k.mode.primitives, k, cpu, SPIN_LOCK)
    take_timed(k.mode.clock, k, cpu, locks, i, PROBE_LOCK, outer)
    comes_in(k.mode.alone, k, cpu, PROBE, i)
    leave_primitive(k.mode.primitives, k, cpu)


@inline
def unlock_table(k: Any, cpu: int, table: Any, bucket: int) -> None:
    """Give back a bucket lock."""
    enter_primitive(k.mode.primitives, k, cpu, SPIN_UNLOCK)
    goes_out(k.mode.alone, k, cpu, TABLE, bucket)
    give_lock(k.mode.recovery, k, cpu, table, bucket, TABLE)
    leave_primitive(k.mode.primitives, k, cpu)


@inline
def unlock_probe(k: Any, cpu: int, locks: Any, i: int) -> None:
    """Give back any other."""
    enter_primitive(k.mode.primitives, k, cpu, SPIN_UNLOCK)
    goes_out(k.mode.alone, k, cpu, PROBE, i)
    give_lock(k.mode.recovery, k, cpu, locks, i, PROBE)
    leave_primitive(k.mode.primitives, k, cpu)


@inline
def lock_system(k: Any, cpu: int, i: int) -> None:
    """Take a system lock."""
    take_lock(k.mode.recovery, k, cpu, k.system_locks, i, SYSTEM, NIL)
    comes_in(k.mode.alone, k, cpu, SYSTEM, i)


@inline
def unlock_system(k: Any, cpu: int, i: int) -> None:
    """Give it back."""
    goes_out(k.mode.alone, k, cpu, SYSTEM, i)
    give_lock(k.mode.recovery, k, cpu, k.system_locks, i, SYSTEM)
