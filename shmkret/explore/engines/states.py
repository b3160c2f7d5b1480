"""Every interleaving of compiled code, depth first, each state once.

Each CPU is a stack in this process; going back is a copy of one stack, and an undo of what was written. A state is a fingerprint
of 64 bits, of all words that CPUs share and of what each CPU has read, which determines where its code stands.

Choices    in each state: which CPU does its step; which CPU dies before its step; whose sleep ends for no reason
Private    words that one CPU alone uses are no steps. That no other does is checked at every access; one that does ends the
           search, and it begins again with this word as a step
Bound      with a bound of preemptions, who ran last and how many there were are part of the state
Odds       two states are taken for one with a chance of some n * n / 2**65 in a search of n states
Source     facts on stateful search: G. Holzmann, "An analysis of bitstate hashing", 1998; S. Qadeer and J. Rehof, "Context-
           bounded model checking", 2005
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from shmkret.explore.scenario import Outcome, Violation
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import copy, peek, poke, switch
from shmkret.machines.compiled.watched import (
    NOT_PRIVATE,
    ARG, CLOCK, KIND, MAIN, OWN_PRINT, PAST, PLACE, PRINT, QUEUE, QUEUE_END, RECORD, SP, STACK, STEPS, STOP, UNDO, UNDO_TOP,
    cell, low, mix, offset_of,
)  # fmt: skip
from shmkret.text.arithmetic import add64, mul64
from shmkret.text.marks import inline

if TYPE_CHECKING:
    from shmkret.explore.stacks import Stacks

EXECUTOR = "stacks"

(
    NR, STACKS, TABLE, MASK, ROOM, FRAMES, MOST_FRAMES, SAVED_TOP, SAVED_END, ENDS_TABLE, DEPTH, FRESH, STATES, DONE_STEPS, ENDS,
    DEEPEST, MORTAL, DEATHS, ANNOUNCES, REASONLESS, BOUND, EVERY, CURRENT, DISTINCT,
) = (8 * (16 + j) for j in range(24))  # fmt: skip
"""Where in the control block, after what the hooks use: CPUs; the first stack; the table of states, its mask, how many it may
hold; the frames of the path, how many there may be; what was saved of stacks (end so far, end of the room); the table of ends;
depth; whether the state is yet to be looked at; states, steps and ends so far; the greatest depth; a bit for each CPU that may
die; how many may; whether a death is announced at once, by who has the stack after the CPUs'; how many sleeps may end for no reason; the
most preemptions, or -1; whether to stop at every state; the record of the CPU that runs;
how many ends differ in some word."""

FRAME = 8 * 20
(
    F_CHOICE, F_SP, F_KIND, F_PLACE, F_ARG, F_STOP, F_PAST, F_STEPS, F_CLOCK, F_PRINT, F_OWN_PRINT, F_UNDO, F_BYTES, F_NEXT, F_SAVED, F_LAST,
    F_USED, F_DIED, F_WOKEN,
) = (8 * j for j in range(19))  # fmt: skip
"""Where in a frame of the path: what was chosen there, and what was before that of the CPU that it changes; and how far the
choices are tried, the CPU that ran last, and how many preemptions, deaths and sleeps without reason there were."""

FIRST_SP, CPU_WORD, FIRST_FRAME = 8 * 16, 8 * 17, 8 * 18
"""Where in the record of who announces: its stack's pointer at first, where on it the number stands that its code is given, and
what is on it."""

FINISHED, MORE, AT_END, AT_STATE, RACE, DEADLOCK, BROKEN, FULL, TOO_DEEP = range(9)
"""Why descend() came back."""
RACING = steps.WRITES | steps.PLAIN
ENDS_MASK = (1 << 16) - 1


@inline
def record(c: int, cpu: int) -> int:
    """The record of a CPU."""
    return peek(c + STACKS) + (cpu + 1) * STACK - RECORD


@inline
def possible(c: int, cpu: int) -> bool:
    """Whether the step that a CPU is about to do can be done."""
    r = record(c, cpu)
    kind = peek(r + KIND)
    if kind < steps.WAIT_EQUAL:
        return True
    if kind >= steps.DONE:
        return False
    if kind == steps.ASLEEP:
        for j in range(QUEUE_END):
            if peek(c + QUEUE + 8 * j) == 1 + cpu:
                return False
        return True
    word = peek(peek(r + PLACE))
    stopped = peek(r + STOP) != 0 and peek(peek(r + STOP)) != 0
    if kind == steps.WAIT_EQUAL or kind == steps.WAIT_EQUAL_UNLESS:
        return word == peek(r + ARG) or stopped
    if kind == steps.WAIT_NOT_EQUAL or kind == steps.WAIT_NOT_EQUAL_UNLESS:
        return word != peek(r + ARG) or stopped
    if kind == steps.SEM_WAIT or kind == steps.SEM_WAIT_UNLESS:
        return low(word) > 0 or stopped
    if kind == steps.MUTEX_LOCK or kind == steps.MUTEX_LOCK_UNLESS:
        robust = kind == steps.MUTEX_LOCK and peek(r + ARG) != 0
        return low(word) == 0 or stopped or (robust and peek(record(c, low(word) - 1) + KIND) == steps.DEAD)
    return True


@inline
def races(c: int, nr: int) -> bool:
    """Whether two CPUs are about to use one word, one of them plainly, one of them writing."""
    for i in range(1, nr):
        for j in range(i):
            if race_between(record(c, i), record(c, j)):
                return True
    return False


@inline
def race_between(a: int, b: int) -> bool:
    """Whether two CPUs, neither of which has ended, are about to race."""
    one = peek(a + KIND)
    other = peek(b + KIND)
    if (one | other) & RACING != RACING or one >= steps.DONE or other >= steps.DONE:
        return False
    at = peek(a + PLACE)
    beside = peek(b + PLACE)
    if at == beside:
        return True
    return (one & steps.WRITES != 0 and at == peek(b + STOP)) or (other & steps.WRITES != 0 and beside == peek(a + STOP))


@inline
def fingerprint(c: int, nr: int, last: int, used: int, died: int, woken: int) -> int:
    """Where all stands, as a number that is not 0."""
    h = peek(c + PRINT)
    for i in range(nr):
        h = mix(add64(mul64(h, 7), peek(record(c, i) + PAST)))
    h = mix(add64(h, add64(mul64(died, 31), woken)))
    if peek(c + BOUND) >= 0:
        h = mix(add64(h, add64(mul64(last, 1009), used)))
    return h if h != 0 else 1


@inline
def is_new(table: int, mask: int, h: int) -> bool:
    """Put a fingerprint into a table, if it is not there."""
    i = h & mask
    while True:
        there = peek(table + 8 * i)
        if there == h:
            return False
        if there == 0:
            poke(table + 8 * i, h)
            return True
        i = (i + 1) & mask


@inline
def ends_anew(c: int) -> bool:
    """Whether no end before had the same words, as far as that can be remembered."""
    if peek(c + DISTINCT) <= ENDS_MASK // 2 and not is_new(
        peek(c + ENDS_TABLE), ENDS_MASK, mix(peek(c + OWN_PRINT)) ^ peek(c + PRINT) | 1
    ):
        return False
    poke(c + DISTINCT, peek(c + DISTINCT) + 1)
    return True


@inline
def arrive(c: int, nr: int) -> int:
    """What is to be said of a new state: MORE, when its choices are to be tried."""
    ended = 0
    can = 0
    if peek(c + ANNOUNCES) != 0 and peek(record(c, nr) + KIND) == steps.BROKEN:
        return BROKEN
    for i in range(nr):
        kind = peek(record(c, i) + KIND)
        if kind == steps.BROKEN:
            return BROKEN
        if kind == steps.DONE or kind == steps.DEAD:
            ended += 1
        elif possible(c, i):
            can += 1
    if races(c, nr):
        return RACE
    if ended == nr:
        poke(c + ENDS, peek(c + ENDS) + 1)
        return AT_END
    return MORE if can > 0 else DEADLOCK


@inline
def next_choice(c: int, nr: int, frame: int) -> int:
    """The next choice in a state that is possible; 3 * nr when there is none. CPU i does its step (i), dies (nr + i), or sleeps
    no more (2 * nr + i).
    """
    choice = peek(frame + F_NEXT)
    last = peek(frame + F_LAST)
    bound = peek(c + BOUND)
    while choice < 3 * nr:
        if choice < nr:
            if possible(c, choice):
                preempts = bound >= 0 and last >= 0 and choice != last and possible(c, last)
                if not (preempts and peek(frame + F_USED) >= bound):
                    break
        elif choice < 2 * nr:
            kind = peek(record(c, choice - nr) + KIND)
            if peek(c + DEATHS) > peek(frame + F_DIED) and (peek(c + MORTAL) >> (choice - nr)) & 1 != 0 and kind < steps.DONE:
                break
        elif peek(c + REASONLESS) > peek(frame + F_WOKEN):
            cpu = choice - 2 * nr
            if peek(record(c, cpu) + KIND) == steps.ASLEEP and not possible(c, cpu):
                break
        choice += 1
    return choice


@inline
def note(c: int, place: int, value: int) -> None:
    """The scheduler itself writes a word."""
    n = peek(c + UNDO_TOP)
    before = peek(place)
    entry = peek(c + UNDO) + 16 * n
    poke(entry, place)
    poke(entry + 8, before)
    poke(c + UNDO_TOP, n + 1)
    poke(c + PRINT, peek(c + PRINT) ^ cell(offset_of(c, place), before) ^ cell(offset_of(c, place), value))
    poke(place, value)


@inline
def leave_queue(c: int, cpu: int) -> None:
    """A CPU does not sleep on a futex any more."""
    kept = 0
    for j in range(QUEUE_END):
        there = peek(c + QUEUE + 8 * j)
        if there != 0 and there != 1 + cpu:
            if kept != j:
                note(c, c + QUEUE + 8 * kept, there)
            kept += 1
    for j in range(kept, QUEUE_END):
        if peek(c + QUEUE + 8 * j) != 0:
            note(c, c + QUEUE + 8 * j, 0)


@inline
def announce(c: int, nr: int, dead: int) -> None:
    """Let who announces deaths do so, from the beginning to the end of its code."""
    r = record(c, nr)
    poke(r + SP, peek(r + FIRST_SP))
    copy(peek(r + SP), r + FIRST_FRAME, r - peek(r + SP))
    poke(peek(r + SP) + peek(r + CPU_WORD), nr + dead)
    poke(r + KIND, 0)
    poke(c + CURRENT, r)
    switch(c + MAIN, r + SP)


@inline
def go(c: int, nr: int, frame: int, choice: int, saved: int) -> int:
    """Do what was chosen, after what is needed to go back is put into the frame; returns the end of what is saved."""
    cpu = choice % nr
    r = record(c, cpu)
    sp = peek(r + SP)
    n = r - sp
    poke(frame + F_CHOICE, choice)
    poke(frame + F_SP, sp)
    poke(frame + F_KIND, peek(r + KIND))
    poke(frame + F_PLACE, peek(r + PLACE))
    poke(frame + F_ARG, peek(r + ARG))
    poke(frame + F_STOP, peek(r + STOP))
    poke(frame + F_PAST, peek(r + PAST))
    poke(frame + F_STEPS, peek(r + STEPS))
    poke(frame + F_CLOCK, peek(r + CLOCK))
    poke(frame + F_PRINT, peek(c + PRINT))
    poke(frame + F_OWN_PRINT, peek(c + OWN_PRINT))
    poke(frame + F_UNDO, peek(c + UNDO_TOP))
    poke(frame + F_SAVED, saved)
    after = frame + FRAME
    last = peek(frame + F_LAST)
    poke(after + F_LAST, last)
    poke(after + F_USED, peek(frame + F_USED))
    poke(after + F_DIED, peek(frame + F_DIED))
    poke(after + F_WOKEN, peek(frame + F_WOKEN))
    if choice < nr:
        if last >= 0 and last != cpu and possible(c, last):
            poke(after + F_USED, peek(frame + F_USED) + 1)
        poke(after + F_LAST, cpu)
        copy(saved, sp, n)
        poke(frame + F_BYTES, n)
        poke(c + CURRENT, r)
        switch(c + MAIN, r + SP)
        return saved + n
    poke(frame + F_BYTES, 0)
    leave_queue(c, cpu)
    if choice < 2 * nr:
        poke(after + F_DIED, peek(frame + F_DIED) + 1)
        poke(r + KIND, steps.DEAD)
        poke(r + STOP, 0)
        poke(r + PAST, mix(peek(r + PAST) ^ steps.DEAD))
        if peek(c + ANNOUNCES) != 0:
            announce(c, nr, cpu)
    else:
        poke(after + F_WOKEN, peek(frame + F_WOKEN) + 1)
    return saved


@inline
def undo(c: int, mark: int) -> None:
    """Take back what was written since."""
    top = peek(c + UNDO_TOP)
    entries = peek(c + UNDO)
    while top > mark:
        top -= 1
        poke(peek(entries + 16 * top), peek(entries + 16 * top + 8))
    poke(c + UNDO_TOP, mark)


@inline
def go_back(c: int, nr: int, frame: int) -> None:
    """Undo what was chosen in a frame."""
    r = record(c, peek(frame + F_CHOICE) % nr)
    if peek(c + ANNOUNCES) != 0:
        poke(record(c, nr) + KIND, 0)
    copy(peek(frame + F_SP), peek(frame + F_SAVED), peek(frame + F_BYTES))
    poke(r + SP, peek(frame + F_SP))
    poke(r + KIND, peek(frame + F_KIND))
    poke(r + PLACE, peek(frame + F_PLACE))
    poke(r + ARG, peek(frame + F_ARG))
    poke(r + STOP, peek(frame + F_STOP))
    poke(r + PAST, peek(frame + F_PAST))
    poke(r + STEPS, peek(frame + F_STEPS))
    poke(r + CLOCK, peek(frame + F_CLOCK))
    poke(c + PRINT, peek(frame + F_PRINT))
    poke(c + OWN_PRINT, peek(frame + F_OWN_PRINT))
    undo(c, peek(frame + F_UNDO))


def begin(c: int) -> int:
    """Let every CPU come to its first step."""
    frame = peek(c + FRAMES)
    poke(frame + F_LAST, -1)
    poke(frame + F_USED, 0)
    poke(frame + F_DIED, 0)
    poke(frame + F_WOKEN, 0)
    for i in range(peek(c + NR)):
        poke(c + CURRENT, record(c, i))
        switch(c + MAIN, record(c, i) + SP)
    poke(c + UNDO_TOP, 0)
    poke(c + DEPTH, 0)
    poke(c + FRESH, 1)
    return 0


def follow(c: int, choice: int) -> int:
    """Make a choice, if it is possible, and nothing else: 1, or 0."""
    nr = peek(c + NR)
    frame = peek(c + FRAMES) + peek(c + DEPTH) * FRAME
    poke(frame + F_NEXT, choice)
    if next_choice(c, nr, frame) != choice:
        return 0
    poke(c + SAVED_TOP, go(c, nr, frame, choice, peek(c + SAVED_TOP)))
    poke(c + DEPTH, peek(c + DEPTH) + 1)
    return 1


def descend(c: int, budget: int) -> int:
    """Search on for that many steps. Returns why it stopped; unless it was finished, it can be called again."""
    nr = peek(c + NR)
    table = peek(c + TABLE)
    mask = peek(c + MASK)
    states = peek(c + STATES)
    room = peek(c + ROOM)
    depth = peek(c + DEPTH)
    frame = peek(c + FRAMES) + depth * FRAME
    saved = peek(c + SAVED_TOP)
    fresh = peek(c + FRESH)
    done = 0
    status = MORE
    while done < budget:
        if fresh != 0:
            fresh = 0
            poke(frame + F_NEXT, 3 * nr)
            h = fingerprint(c, nr, peek(frame + F_LAST), peek(frame + F_USED), peek(frame + F_DIED), peek(frame + F_WOKEN))
            if is_new(table, mask, h):
                states += 1
                status = arrive(c, nr)
                if status == MORE:
                    poke(frame + F_NEXT, 0)
                    if states >= room:
                        status = FULL
                        break
                    if peek(c + EVERY) != 0:
                        status = AT_STATE
                        break
                elif status != AT_END or peek(c + EVERY) != 0 or ends_anew(c):
                    break
                status = MORE
        choice = next_choice(c, nr, frame)
        if choice < 3 * nr:
            if depth + 2 >= peek(c + MOST_FRAMES) or saved + STACK > peek(c + SAVED_END):
                status = TOO_DEEP
                break
            poke(frame + F_NEXT, choice + 1)
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


BUDGET = 100_000
BOUNDS = range(8)
"""Preemptions: a violation is looked for with ever more of them, so that what is shown has as few as possible."""


def search(stacks: Stacks, limit: int, seconds: float, seen: Callable[[], None] = lambda: None) -> Outcome:
    """Every interleaving, up to the first violation, which is then shown with as few preemptions as there are any with.

    seen: called every now and then.
    """
    end = time.monotonic() + seconds
    outcome = _searched(stacks, limit, end, seen, -1)
    if outcome.violations:
        for bound in BOUNDS:
            smaller = _searched(stacks, limit, end, seen, bound)
            if smaller.violations:
                outcome.violations = smaller.violations
                outcome.violations[0].preemptions = bound
                break
    return outcome


def _searched(stacks: Stacks, limit: int, end: float, seen: Callable[[], None], bound: int) -> Outcome:
    while True:
        outcome = Outcome()
        stacks.begin(bound=bound)
        status = MORE
        while status == MORE:
            status = stacks.descend(BUDGET)
            seen()
            if status == AT_END:
                found = stacks.check()
                if found:
                    outcome.violations.append(Violation("; ".join(found), stacks.path()))
                else:
                    status = MORE
            if status == MORE and (stacks.get(STATES) > limit or time.monotonic() > end):
                outcome.gave_up = f"{limit:,} states" if stacks.get(STATES) > limit else "time"
                break
        culprit = stacks.culprit() if status == BROKEN else None
        if culprit and culprit[1] == NOT_PRIVATE:
            stacks.share({culprit[2]})
            continue
        if status in (RACE, DEADLOCK, BROKEN):
            outcome.violations.append(Violation(stacks.describe(status), stacks.path()))
        if status in (FULL, TOO_DEEP):
            outcome.gave_up = "the table is full" if status == FULL else "the path is too long"
        outcome.complete = status == FINISHED
        outcome.states, outcome.schedules = stacks.get(STATES), stacks.get(ENDS)
        return outcome
