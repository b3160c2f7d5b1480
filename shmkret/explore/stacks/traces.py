"""The descent by traces: a search of compiled code, depth first, that keeps no table of states.

A trace is a run, but for the order of neighbouring steps that commute. Of the runs of one trace one is enough: they end alike.
A choice is tried first in each state; another where a run has shown a race that it would turn round (source sets), and none
that has been tried beside it and that all since then commute with (sleep sets).

Choices     as of shmkret.explore.stacks.descent: a step, a death, a sleep that ends for no reason
Lost        what a choice makes impossible is tried before it; a death before each step of who may die
A run is    complete where every CPU has ended; blocked in a deadlock, which is a violation; pruned where all that is possible
            sleeps: then it is a run of a trace that was seen before
Races       of plain accesses are found though they are never pending together, where they are so in another run of the trace
Done again  a complete run may have a step that changed nothing, an exchange or a comparison, and that its CPU does again having
            but looked since: model checkers that know of awaits call it blocked, and so it is counted
Source      as in shmkret.explore.stacks.reversals; P. Godefroid, LNCS 1032, 1996 (sleep sets)
"""

from __future__ import annotations

from shmkret.explore.stacks.choices import go, go_back, is_choice, possible, record
from shmkret.explore.stacks.conflicts import conflict, describe, node
from shmkret.explore.stacks.control import (
    AT_END,
    DEADLOCK,
    DEEPEST,
    DEPTH,
    DONE_STEPS,
    EVERY,
    F_CHOICE,
    F_DIED,
    F_LAST,
    F_SAVED,
    FINISHED,
    FRAME,
    FRAMES,
    FRESH,
    LEARNED,
    MORE,
    RACE,
    SAVED_TOP,
    STATES,
    TOO_DEEP,
)
from shmkret.explore.stacks.descent import arrive, ends_anew, is_full, noticed
from shmkret.explore.stacks.nodes import (
    BLOCKED,
    N_ARG,
    N_CAN,
    N_CHOICE,
    N_CPU,
    N_KIND,
    N_LAST,
    N_PLACE,
    N_QUEUE,
    N_SLEEP,
    N_TRY,
    N_VALUE,
    N_WRITES,
    PRUNED,
    RACE_AT,
    RACE_OF,
    RETRIED,
    SCRATCH,
)
from shmkret.explore.stacks.reversals import begin_clocks, look_back
from shmkret.explore.stacks.sleepers import sleeps
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import GREW, KIND, NR
from shmkret.text.marks import inline


@inline
def look_around(c: int, nr: int, n: int, frame: int) -> None:
    """Write down which choices are possible, and who sleeps; have the node before try what its choice has made impossible."""
    at = node(c, n)
    can = 0
    asleep = 0
    for choice in range(3 * nr):
        if is_choice(c, nr, frame, choice):
            can |= 1 << choice
    for cpu in range(nr):
        if sleeps(c, cpu):
            asleep |= 1 << cpu
    poke(at + N_CAN, can)
    poke(at + N_QUEUE, asleep)
    if n > 0:
        before = node(c, n - 1)
        cpu = peek(before + N_CPU)
        own = 1 << cpu | 1 << (nr + cpu) | 1 << (2 * nr + cpu)
        lost = peek(before + N_CAN) & ~can & ~own
        poke(before + N_TRY, peek(before + N_TRY) | lost)


@inline
def first_to_try(c: int, nr: int, n: int, last: int) -> int:
    """Bits of the choices that are tried in a new state whatever comes: a step, of who ran last if that may be; where there is
    none, all. 0: all that is possible sleeps.
    """
    at = node(c, n)
    awake = peek(at + N_CAN) & ~peek(at + N_SLEEP)
    if last >= 0 and (awake >> last) & 1 != 0:
        return 1 << last
    for cpu in range(nr):
        if (awake >> cpu) & 1 != 0:
            return 1 << cpu
    return awake


@inline
def look_back_at_end(c: int, nr: int, n: int) -> int:
    """A run goes no further: what waits there might have come before. The CPU that is in a data race, or -1."""
    racing = -1
    for cpu in range(nr):
        if peek(record(c, cpu) + KIND) < steps.DONE and not possible(c, cpu):
            at = node(c, SCRATCH)
            describe(c, nr, cpu, at)
            races = look_back(c, nr, n, at, False)
            if races >= 0:
                racing = cpu
                poke(c + RACE_AT, races)
    return racing


@inline
def does_again(c: int, nr: int, depth: int) -> bool:
    """Whether a CPU has done again, having but looked since, an exchange or a comparison that changed nothing."""
    for j in range(depth):
        a = node(c, j)
        kind = peek(a + N_KIND)
        same = peek(a + N_VALUE) == peek(a + N_ARG)
        failed = (kind == steps.EXCHANGE and same) or (kind == steps.CMPXCHG and not same)
        if failed and peek(a + N_CHOICE) < nr:
            k = j + 1
            while k < depth:
                b = node(c, k)
                if peek(b + N_CPU) == peek(a + N_CPU):
                    if peek(b + N_KIND) == kind and peek(b + N_PLACE) == peek(a + N_PLACE):
                        return True
                    if peek(b + N_WRITES) != 0:
                        k = depth
                k += 1
    return False


@inline
def count(c: int, place: int) -> None:
    """One more."""
    poke(c + place, peek(c + place) + 1)


@inline
def choose(c: int, nr: int, n: int, choice: int) -> int:
    """Write down what will be done, and what sleeps after that. Returns a step with which it is in a data race, or -1."""
    at = node(c, n)
    after = node(c, n + 1)
    describe(c, nr, choice, at)
    races = look_back(c, nr, n, at, True)
    asleep = 0
    for other in range(3 * nr):
        if (peek(at + N_SLEEP) >> other) & 1 != 0:
            describe(c, nr, other, node(c, SCRATCH))
            if not conflict(c, nr, node(c, SCRATCH), at):
                asleep |= 1 << other
    poke(after + N_SLEEP, asleep)
    poke(at + N_SLEEP, peek(at + N_SLEEP) | 1 << choice)
    if choice < nr:
        poke(at + N_TRY, peek(at + N_TRY) | (peek(at + N_CAN) & 1 << (nr + choice)))
    for cpu in range(nr):
        poke(after + N_LAST + 8 * cpu, peek(at + N_LAST + 8 * cpu))
    poke(after + N_LAST + 8 * peek(at + N_CPU), n)
    return races


@inline
def next_to_try(c: int, nr: int, n: int) -> int:
    """A choice that is to be tried and does not sleep; 3 * nr: none is left."""
    left = peek(node(c, n) + N_TRY) & ~peek(node(c, n) + N_SLEEP)
    choice = 0
    while choice < 3 * nr and (left >> choice) & 1 == 0:
        choice += 1
    return choice


@inline
def reach(c: int, nr: int, depth: int, frame: int) -> int:
    """What is to be said of a state on a path: MORE, when there is something to be tried there, or nothing to be said."""
    at = node(c, depth)
    poke(at + N_TRY, 0)
    poke(c + RACE_AT, -1)
    look_around(c, nr, depth, frame)
    status = arrive(c, nr)
    if status == MORE:
        poke(at + N_TRY, first_to_try(c, nr, depth, peek(frame + F_LAST)))
        if peek(at + N_TRY) != 0:
            return MORE
        count(c, PRUNED)
    racing = look_back_at_end(c, nr, depth)
    if (peek(c + GREW) >> nr) & 1 != 0:
        return LEARNED  # who announces uses more words than was known: more does not commute with a death
    if racing >= 0:
        poke(c + RACE_OF, racing)
        return RACE
    if status == DEADLOCK:
        count(c, BLOCKED)
    if status == AT_END:
        if does_again(c, nr, depth):
            count(c, RETRIED)
        if peek(c + EVERY) == 0 and not ends_anew(c, peek(frame + F_DIED)):
            return MORE
    return status


@inline
def traverse(c: int, budget: int) -> int:
    """Search on for that many steps. Returns why it stopped; unless it was finished, it can be called again."""
    nr = peek(c + NR)
    states = peek(c + STATES)
    depth = peek(c + DEPTH)
    frame = peek(c + FRAMES) + depth * FRAME
    saved = peek(c + SAVED_TOP)
    fresh = peek(c + FRESH)
    done = 0
    status = MORE
    while done < budget:
        if fresh != 0:
            fresh = 0
            if depth == 0:
                begin_clocks(c, nr)
                poke(node(c, 0) + N_SLEEP, 0)
            states += 1
            status = noticed(c)
            if status == MORE:
                status = reach(c, nr, depth, frame)
            if status != MORE:
                break
        choice = next_to_try(c, nr, depth)
        if choice < 3 * nr:
            if is_full(c, depth, saved):
                status = TOO_DEEP
                break
            races = choose(c, nr, depth, choice)
            if races >= 0:
                poke(c + RACE_AT, races)
                poke(c + RACE_OF, choice)
                poke(node(c, depth) + N_TRY, 0)
                status = RACE
                break
            poke(frame + F_CHOICE, choice)
            poke(c + DEPTH, depth)
            saved = go(c, nr, frame, choice, saved)
            done += 1
            depth += 1
            frame += FRAME
            fresh = 1
            if depth > peek(c + DEEPEST):
                poke(c + DEEPEST, depth)
        else:
            if depth == 0:
                status = FINISHED
                break
            depth -= 1
            frame -= FRAME
            saved = peek(frame + F_SAVED)
            go_back(c, nr, frame)
    poke(c + STATES, states)
    poke(c + DEPTH, depth)
    poke(c + SAVED_TOP, saved)
    poke(c + FRESH, fresh)
    poke(c + DONE_STEPS, peek(c + DONE_STEPS) + done)
    return status
