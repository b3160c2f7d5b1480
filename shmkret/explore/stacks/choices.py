"""What a search can choose in a state, how it does what it has chosen, and how it takes that back.

A CPU's step runs on that CPU's stack until its next one. To go back, the stack is copied to where it was, and what was written
is written back.

x86-TSO   a step may have to wait until its CPU's buffer is empty, or has room; by what the CPU sees, else. A CPU dies with an
          empty buffer: a signal is taken as the kernel is left, an interrupt or an exception drains the buffer, and the exit
          takes locks before anybody is told. That it might die before it is drained, is the same as that it is drained later:
          nobody can tell until the death is announced
"""

from __future__ import annotations

from shmkret.explore.stacks.clocks import died, happened, happens
from shmkret.explore.stacks.control import (
    ANNOUNCES,
    BY_PAST,
    CAN_SEE,
    CLOCK_PRINT,
    CLOCKS,
    COMMITS,
    CPU_WORD,
    CURRENT,
    DEATHS,
    F_ARG,
    F_BYTES,
    F_CHOICE,
    F_CLOCK,
    F_CLOCK_PRINT,
    F_DIED,
    F_KIND,
    F_LAST,
    F_OWN_PRINT,
    F_PAST,
    F_PLACE,
    F_PRINT,
    F_SAVED,
    F_SP,
    F_STANDS,
    F_STEPS,
    F_STOP,
    F_UNDO,
    F_USED,
    F_WOKEN,
    FIRST_FRAME,
    FIRST_SP,
    FRAME,
    KINDS,
    MORTAL,
    RACED,
    REASONLESS,
    SEES,
    STACKS,
    STANDS,
    STOPS,
    WAKES,
    back_of,
    is_step,
    of_memory,
)  # fmt: skip
from shmkret.explore.stacks.sleepers import is_owned, leave_queue, sleeps, tidy_up
from shmkret.explore.stacks.symmetry import may_begin
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import copy, peek, poke, switch
from shmkret.machines.compiled.turns import goes, queues
from shmkret.machines.compiled.watched import (
    ARG,
    BUFFERED,
    CLOCK,
    COMMITTED,
    ISSUED,
    KIND,
    MAIN,
    MAY_DIE,
    OLD_PLACE,
    OLD_STOP,
    OVERFLOWED,
    OWN_PRINT,
    PAST,
    PICKS,
    PLACE,
    PRINT,
    PRIVATES,
    QUEUE,
    RECORD,
    SP,
    STACK,
    STEPS,
    STOP,
    TURNS,
    UNDO,
    UNDO_TOP,
    VIEWS,
    change,
    drained,
    entry_of,
    is_told,
    keep,
    low,
    mix,
    owner_in,
    pick,
    view,
)  # fmt: skip
from shmkret.text.arithmetic import mul64, shr64
from shmkret.text.marks import inline


@inline
def record(c: int, cpu: int) -> int:
    """The record of a CPU."""
    return peek(c + STACKS) + (cpu + 1) * STACK - RECORD


@inline
def possible(c: int, cpu: int) -> bool:
    """Whether the step that a CPU is about to do can be done."""
    r = record(c, cpu)
    kind = peek(r + KIND)
    if peek(c + PICKS) != 0:
        return False
    if kind < steps.EXCHANGE:
        return kind & steps.WRITES == 0 or has_room(c, r, 1)
    if kind >= steps.DONE:
        return False
    if drained(r):
        return comes(c, cpu)
    if kind == steps.SEM_RESET:
        return has_room(c, r, 1)
    if kind == steps.MUTEX_INIT:
        return has_room(c, r, 2)
    if steps.WAIT_EQUAL <= kind < steps.SEM_WAIT:
        return comes(c, cpu)
    return fails(c, cpu)


@inline
def has_room(c: int, r: int, stores: int) -> bool:
    """Whether so many go into a CPU's buffer. An empty one has room for any step's."""
    held_back = peek(r + ISSUED) - peek(r + COMMITTED)
    if held_back == 0 or held_back + stores <= peek(c + BUFFERED):
        return True
    poke(c + OVERFLOWED, 1)
    return False


@inline
def comes(c: int, cpu: int) -> bool:
    """Whether what a CPU's step waits for has come, as that CPU sees it; stores in its buffer apart."""
    r = record(c, cpu)
    kind = peek(r + KIND)
    if kind < steps.WAIT_EQUAL:
        return True
    if kind >= steps.DONE:
        return False
    if kind >= steps.ASLEEP:
        return not sleeps(c, cpu)
    if (kind == steps.SEM_WAIT or kind == steps.MUTEX_LOCK) and peek(c + MAY_DIE) != 0:
        return True  # it lies down
    word = view(r, peek(r + PLACE))
    if is_told(r):
        return True
    if kind == steps.WAIT_EQUAL or kind == steps.WAIT_EQUAL_UNLESS:
        return word == peek(r + ARG)
    if kind == steps.WAIT_NOT_EQUAL or kind == steps.WAIT_NOT_EQUAL_UNLESS:
        return word != peek(r + ARG)
    if kind == steps.SEM_WAIT or kind == steps.SEM_WAIT_UNLESS:
        return low(word) > 0
    return can_be_had(c, r, kind, word)


@inline
def can_be_had(c: int, r: int, kind: int, word: int) -> bool:
    """Whether a mutex is free, or robust and its owner dead."""
    robust = kind != steps.MUTEX_LOCK_UNLESS and peek(r + ARG) != 0
    return not is_owned(c, record(c, 0), word) if robust else owner_in(word) == 0


@inline
def fails(c: int, cpu: int) -> bool:
    """Whether a CPU's step is a call of libc that does not get what it asks for: then it may leave stores in the buffer."""
    r = record(c, cpu)
    kind = peek(r + KIND)
    if kind == steps.SEM_TRYWAIT or (kind == steps.SEM_WAIT_UNLESS and is_told(r)):
        return low(view(r, peek(r + PLACE))) == 0
    if kind == steps.MUTEX_TRYLOCK or (kind == steps.MUTEX_LOCK_UNLESS and is_told(r)):
        return not can_be_had(c, r, kind, view(r, peek(r + PLACE)))
    return False


@inline
def is_choice(c: int, nr: int, frame: int, choice: int) -> bool:
    """Whether a choice is possible in a state: CPU i does its step (i), dies or stops (nr + i), sleeps no more (2 * nr + i),
    has its oldest store committed (3 * nr + i), or does its step on an old message (from KINDS * nr on):
    shmkret.explore.stacks.views. While some are woken and it is not yet chosen who, one of them sleeps no more.
    """
    cpu = choice % nr
    r = record(c, cpu)
    if peek(c + PICKS) != 0:
        return choice // nr == WAKES and peek(c + QUEUE + 8 * cpu) > 1
    if cpu > 0 and is_step(choice, nr) and not may_begin(c, r, record(c, cpu - 1)):
        return False
    if choice < nr:
        return possible(c, cpu)
    if choice < WAKES * nr:
        mortal = (peek(c + MORTAL) >> cpu) & 1 != 0
        return mortal and peek(c + DEATHS) > peek(frame + F_DIED) and peek(r + KIND) < steps.DONE and drained(r)
    if choice < COMMITS * nr:
        asleep = peek(r + KIND) == steps.ASLEEP and not possible(c, cpu)
        return asleep and peek(c + REASONLESS) > peek(frame + F_WOKEN)
    return not drained(r) if choice < KINDS * nr else of_memory(c, CAN_SEE, cpu, back_of(choice, nr)) != 0


@inline
def one_writes(a: int, b: int) -> bool:
    """Whether the pending steps of two CPUs are on one word, and one of them writes it."""
    one = peek(a + KIND)
    other = peek(b + KIND)
    if (one | other) & steps.WRITES == 0:
        return False
    at = peek(a + PLACE)
    beside = peek(b + PLACE)
    if at == beside:
        return True
    return (one & steps.WRITES != 0 and at == peek(b + STOP)) or (other & steps.WRITES != 0 and beside == peek(a + STOP))


@inline
def note(c: int, place: int, value: int) -> None:
    """The scheduler itself writes a word."""
    change(c, PRINT, place, value)


@inline
def commit(c: int, cpu: int) -> None:
    """A CPU's oldest store goes to memory."""
    r = record(c, cpu)
    n = peek(r + COMMITTED)
    note(c, peek(entry_of(r, n)), peek(entry_of(r, n) + 8))
    keep(c, r + COMMITTED, n + 1)


@inline
def announce(c: int, nr: int, dead: int) -> None:
    """Let who announces deaths do so, from the beginning to the end of its code."""
    r = record(c, nr)
    poke(r + SP, peek(r + FIRST_SP))
    copy(peek(r + SP), r + FIRST_FRAME, r - peek(r + SP))
    poke(peek(r + SP) + peek(r + CPU_WORD), nr + dead)
    poke(r + KIND, 0)
    poke(r + STEPS, 0)
    poke(r + PRIVATES, 0)
    poke(r + CLOCK, 0)
    poke(c + CURRENT, r)
    switch(c + MAIN, r + SP)


@inline
def stand(c: int, r: int) -> None:
    """Note where a CPU's code stands: its stack, on which its registers lie, the step that it is about to do, its clock."""
    if peek(c + BY_PAST) != 0:
        return
    h = peek(r + KIND)
    if h < steps.DONE:
        h = mix(h ^ peek(r + CLOCK))
        for offset in (PLACE, ARG, STOP):
            h = over(h, peek(r + offset))
        at = peek(r + SP)
        while at < r:
            h = over(h, peek(at))
            at += 8
    poke(r + STANDS, mix(h))


@inline
def over(h: int, value: int) -> int:
    """A hash of one word more."""
    h = mul64(h ^ value, -0x61C8864680B583EB)
    return h ^ shr64(h, 32)


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
    poke(frame + F_STANDS, peek(r + STANDS))
    poke(frame + F_STEPS, peek(r + STEPS))
    poke(frame + F_CLOCK, peek(r + CLOCK))
    poke(frame + F_PRINT, peek(c + PRINT))
    poke(frame + F_OWN_PRINT, peek(c + OWN_PRINT))
    poke(frame + F_UNDO, peek(c + UNDO_TOP))
    poke(frame + F_CLOCK_PRINT, peek(c + CLOCK_PRINT))
    poke(frame + F_SAVED, saved)
    after = frame + FRAME
    last = peek(frame + F_LAST)
    poke(after + F_LAST, last)
    poke(after + F_USED, peek(frame + F_USED))
    poke(after + F_DIED, peek(frame + F_DIED))
    poke(after + F_WOKEN, peek(frame + F_WOKEN))
    if is_step(choice, nr):
        if last >= 0 and last != cpu and comes(c, last):
            poke(after + F_USED, peek(frame + F_USED) + 1)
        poke(after + F_LAST, cpu)
        copy(saved, sp, n)
        poke(frame + F_BYTES, n)
        poke(c + CURRENT, r)
        poke(r + PRIVATES, 0)
        if peek(c + VIEWS) != 0:
            of_memory(c, SEES, cpu, back_of(choice, nr))
        elif peek(c + CLOCKS) != 0:
            happens(c, nr, cpu)
        if peek(c + TURNS) != 0:
            queues(c, r, cpu)
        switch(c + MAIN, r + SP)
        poke(r + OLD_PLACE, 0)
        poke(r + OLD_STOP, 0)
        if peek(c + CLOCKS) != 0:
            happened(c, nr, cpu)
        stand(c, r)
        return saved + n
    poke(frame + F_BYTES, 0)
    if choice >= COMMITS * nr:
        commit(c, cpu)
        return saved
    if peek(c + PICKS) != 0:
        pick(c, record(c, 0), cpu)
        return saved
    if choice < WAKES * nr:
        poke(after + F_DIED, peek(frame + F_DIED) + 1)
        if peek(c + STOPS) != 0:  # it keeps what it has, and its place among those who sleep
            poke(r + KIND, steps.STOPPED_ASLEEP if peek(frame + F_KIND) == steps.ASLEEP else steps.STOPPED)
            poke(r + PAST, mix(peek(r + PAST) ^ steps.STOPPED))
            stand(c, r)
            return saved
    leave_queue(c, cpu)
    if choice < WAKES * nr:
        poke(r + KIND, steps.DEAD)
        poke(r + STOP, 0)
        poke(r + PAST, mix(peek(r + PAST) ^ steps.DEAD))
        stand(c, r)
        if peek(c + TURNS) != 0:
            goes(c, cpu)
        tidy_up(c, nr, record(c, 0), cpu, peek(frame + F_PLACE) if peek(frame + F_KIND) == steps.ASLEEP_IN_MUTEX else 0)
        if peek(c + ANNOUNCES) != 0:
            announce(c, nr, cpu)
            if peek(c + CLOCKS) != 0:
                died(c, nr, cpu, peek(frame + F_UNDO))
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
    poke(r + STANDS, peek(frame + F_STANDS))
    poke(r + STEPS, peek(frame + F_STEPS))
    poke(r + CLOCK, peek(frame + F_CLOCK))
    poke(c + PRINT, peek(frame + F_PRINT))
    poke(c + OWN_PRINT, peek(frame + F_OWN_PRINT))
    poke(c + CLOCK_PRINT, peek(frame + F_CLOCK_PRINT))
    poke(c + RACED, 0)
    undo(c, peek(frame + F_UNDO))
