"""Which steps of a run happen before which, which races can be reversed, and where that has to be tried.

A race is two steps in conflict with no third between them in the order of happening. The second could have come first: the node
of the first must try something with which such a run can begin. What begins it is a step of it that waits for no other (an
initial): one of these is enough, and none is needed where one is tried already, or sleeps.

Waits      one that is possible only in some states may have been kept back by the first of two steps in conflict, and be made
           possible by a third between them; or never. So for a wait every step in conflict counts with which it could have been
           pending at once, at the end of a run as well; but not one before which it was not possible
Clocks     of a step: for each CPU its last step that happens before it
Source     P. Abdulla, S. Aronis, B. Jonsson and K. Sagonas, "Source sets", JACM 64(4), 2017; for waits C. Flanagan and
           P. Godefroid, "Dynamic partial-order reduction", POPL 2005
"""

from __future__ import annotations

from shmkret.explore.stacks.conflicts import conflict, node, possible_before, waits_for_two
from shmkret.explore.stacks.descent import RACING
from shmkret.explore.stacks.nodes import (
    N_CAN,
    N_CHOICE,
    N_CLOCK,
    N_CPU,
    N_FIRST,
    N_KIND,
    N_LAST,
    N_PLACE,
    N_SLEEP,
    N_STOP,
    N_TRY,
    NOWHERE,
    SCRATCH,
)
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.text.marks import inline


@inline
def is_data_race(nr: int, a: int, b: int) -> bool:
    """Whether two steps may be about to race, one of them plainly."""
    one = peek(a + N_KIND)
    other = peek(b + N_KIND)
    if (one | other) & RACING != RACING or peek(a + N_CHOICE) >= nr or peek(b + N_CHOICE) >= nr:
        return False
    at = peek(a + N_PLACE)
    beside = peek(b + N_PLACE)
    if at == beside:
        return True
    return (one & steps.WRITES != 0 and at == peek(b + N_STOP)) or (other & steps.WRITES != 0 and beside == peek(a + N_STOP))


@inline
def look_back(c: int, nr: int, n: int, at: int, done: bool) -> int:
    """Have what a node describes, which comes after n steps, tried before those that it races with; put its clock there.

    done: it is the next step; else it is not possible. Returns a step with which it is in a data race; -1: there is none.
    """
    cpu = peek(at + N_CPU)
    last = peek(node(c, n) + N_LAST + 8 * cpu)
    pending = node(c, last)
    least = n
    for r in range(nr):
        seen = peek(pending + N_CLOCK + 8 * r)
        poke(at + N_CLOCK + 8 * r, seen)
        if r != cpu and seen < least:
            least = seen
    waits = peek(at + N_CHOICE) < nr and peek(at + N_KIND) >= steps.WAIT_EQUAL
    races = -1
    j = n - 1
    while j > least:
        e = node(c, j)
        other = peek(e + N_CPU)
        if other != cpu and j > peek(pending + N_CLOCK + 8 * other):
            if races < 0 and is_data_race(nr, e, at):
                races = j
            if conflict(c, nr, e, at):
                direct = done and j > peek(at + N_CLOCK + 8 * other)
                if (direct or waits) and possible_before(c, nr, e, at):
                    reverse(c, nr, j, n, at, last, direct)
                if direct:
                    for r in range(nr):
                        if peek(e + N_CLOCK + 8 * r) > peek(at + N_CLOCK + 8 * r):
                            poke(at + N_CLOCK + 8 * r, peek(e + N_CLOCK + 8 * r))
        j -= 1
    if done:
        poke(at + N_CLOCK + 8 * cpu, n)
    return races


@inline
def reverse(c: int, nr: int, j: int, n: int, at: int, last: int, direct: bool) -> None:
    """Have step j's node try what leads to the choice of a node before step j: after all since then that does not happen after
    j, if the race is direct; else after what happened before that choice came to be pending.
    """
    e = node(c, j)
    if not direct and waits_for_two(peek(at + N_KIND)):
        poke(e + N_TRY, peek(e + N_TRY) | peek(e + N_CAN))
        return
    room = node(c, SCRATCH) + N_FIRST
    for r in range(nr):
        poke(room + 8 * r, -1)
    initials = 0
    best = -1
    for k in range(j + 1, n):
        f = node(c, k)
        other = peek(f + N_CPU)
        kept = peek(f + N_CLOCK + 8 * peek(e + N_CPU)) < j if direct else k <= peek(node(c, last) + N_CLOCK + 8 * other)
        if kept and peek(room + 8 * other) < 0:
            if comes_first(nr, room, f):
                initials |= 1 << peek(f + N_CHOICE)
                if best < 0:
                    best = peek(f + N_CHOICE)
            poke(room + 8 * other, k)
    if peek(room + 8 * peek(at + N_CPU)) < 0 and ((not direct and best < 0) or (direct and comes_first(nr, room, at))):
        best = peek(at + N_CHOICE)
        if (peek(e + N_CAN) >> best) & 1 == 0:
            return
        initials |= 1 << best
    if best >= 0 and (peek(e + N_CAN) >> best) & 1 != 0 and initials & (peek(e + N_TRY) | peek(e + N_SLEEP)) == 0:
        poke(e + N_TRY, peek(e + N_TRY) | (1 << best))


@inline
def comes_first(nr: int, room: int, at: int) -> bool:
    """Whether no other step that is kept happens before this one; `room` has the first that is kept of each CPU."""
    first = True
    for r in range(nr):
        if peek(room + 8 * r) >= 0 and peek(at + N_CLOCK + 8 * r) >= peek(room + 8 * r):
            first = False
    return first


@inline
def begin_clocks(c: int, nr: int) -> None:
    """Nothing has happened."""
    for r in range(nr):
        poke(node(c, NOWHERE) + N_CLOCK + 8 * r, -1)
        poke(node(c, 0) + N_LAST + 8 * r, -1)
