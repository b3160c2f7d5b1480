"""First come, first served, of locks that say so: who had queued before another came has the lock before that one.

    a CPU's two words   2 * the lock that it waits for + whether it has queued; a bit for each CPU that it must let go first

Came      who has called acquire(), or acquire_unless(): its code stands before the first step of it
Queued    who has done a first exchange, addition or comparison that changed a word there, the doorway. What it wrote before,
          others may not have seen
Lets go   who gives up its wait, or dies, goes before nobody
State     depends on the way, and is part of a state: up to n * n bits where n CPUs wait
Source    L. Lamport, "A new solution of Dijkstra's concurrent programming problem", CACM 17(8), 1974, for the doorway
"""

from __future__ import annotations

from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek
from shmkret.machines.compiled.watched import (
    ARG,
    AT_ONCE,
    CONTROL,
    KIND,
    NR,
    NUMBER,
    OVERTAKES,
    OWN_PRINT,
    PLACE,
    TURNS,
    change,
    give_up,
)
from shmkret.text.marks import inline

BYTES = 16 * 16


@inline
def entry(c: int, cpu: int) -> int:
    """The words of a CPU."""
    return peek(c + TURNS) + 16 * cpu


@inline
def put(c: int, place: int, value: int) -> None:
    """Write one, if it is another."""
    if peek(place) != value:
        change(c, OWN_PRINT, place, value)


@inline
def comes(r: int, lock: int) -> None:
    """This CPU has called for a lock: those who have queued go before it."""
    c = peek(r + CONTROL)
    if peek(c + TURNS) != 0 and peek(r + AT_ONCE) == 0:
        before = 0
        for other in range(peek(c + NR)):
            if peek(entry(c, other)) == 2 * lock + 1:
                before |= 1 << other
        put(c, entry(c, peek(r + NUMBER)), 2 * lock)
        put(c, entry(c, peek(r + NUMBER)) + 8, before)


@inline
def queues(c: int, r: int, cpu: int) -> None:
    """A CPU is about to do a step, which may be its doorway."""
    kind = peek(r + KIND)
    waits = peek(entry(c, cpu))
    if waits != 0 and waits & 1 == 0:
        changes = kind == steps.CMPXCHG and peek(peek(r + PLACE)) == peek(r + ARG)
        if changes or kind == steps.EXCHANGE or kind == steps.FETCH_ADD:
            put(c, entry(c, cpu), waits + 1)


@inline
def goes(c: int, cpu: int) -> None:
    """A CPU waits no more: nobody must let it go first."""
    put(c, entry(c, cpu), 0)
    put(c, entry(c, cpu) + 8, 0)
    for other in range(peek(c + NR)):
        put(c, entry(c, other) + 8, peek(entry(c, other) + 8) & ~(1 << cpu))


@inline
def has_come_to_an_end(r: int, lock: int, has: bool) -> None:
    """This CPU has the lock that it called for, or has given up."""
    c = peek(r + CONTROL)
    cpu = peek(r + NUMBER)
    if peek(c + TURNS) != 0 and peek(r + AT_ONCE) == 0 and peek(entry(c, cpu)) >> 1 == lock:
        if has and peek(entry(c, cpu) + 8) != 0:
            give_up(r, OVERTAKES, lock)
        goes(c, cpu)
