"""The descent: a search of compiled code, depth first, each state once, as it is compiled itself.

Each CPU is a stack in this process; going back is a copy of one stack, and an undo of what was written. A state is a
fingerprint of 64 bits, of all words of the arena and of where each CPU's code stands: its stack, on which its registers lie
while another runs, its step and its clock. What a stack has kept and needs no more makes more states of one, and never one of
more.

By past    what a CPU has read determines where its code stands, too, and the words of its own. States of the words that CPUs
           share and of all that each has read are many more; greenlets can be compared with these
Choices    in each state: which CPU does its step; which CPU dies before its step, or stops; whose sleep ends for no reason;
           under x86-TSO, whose oldest store goes to memory
Buffers    are part of the state. At an end all are empty. A data race is seen before the first of its stores is in a buffer: a
           store that is held back was a step when the others were as far, for none can have learned that it was done
Cycles     a way that comes back to a state on it can be gone for ever: a livelock. By past there is none: every step adds to
           what its CPU has read
Bound      with a bound of preemptions, who ran last and how many there were are part of the state. A commit is none; that a
           CPU waits until its own stores are committed does not give its turn away
Source     G. Holzmann, "An analysis of bitstate hashing", 1998; M. Musuvathi and S. Qadeer, "Iterative context bounding", 2007
"""

from __future__ import annotations

from shmkret.explore.stacks.choices import comes, go, go_back, is_choice, one_writes, possible, record, stand
from shmkret.explore.stacks.control import (
    ANNOUNCES,
    ASK,
    AT_END,
    AT_STATE,
    BOUND,
    BROKEN,
    CLOCK_PRINT,
    CLOCKS,
    CROWDED,
    CURRENT,
    CUT,
    CYCLE,
    DEADLOCK,
    DEATHS,
    DEEPEST,
    DEPTH,
    DISTINCT,
    DONE_STEPS,
    ENDS,
    ENDS_PLACES,
    ENDS_TABLE,
    EVERY,
    F_DIED,
    F_LAST,
    F_NEXT,
    F_ONLY,
    F_SAVED,
    F_STATE,
    F_USED,
    F_WOKEN,
    FINISHED,
    FRAME,
    FRAMES,
    FRESH,
    FULL,
    LEARNED,
    LEARNS,
    MORE,
    MORTAL,
    MOST_FRAMES,
    NO_MORE,
    OVERCROWDED,
    PARAMETERS,
    PLACES,
    RACE,
    RACED,
    REDUCED,
    ROOM,
    SAID,
    SAVED_END,
    SAVED_TOP,
    STATES,
    STOPS,
    TABLE,
    TOLD,
    TOO_DEEP,
    UNORDERED,
    is_step,
    nr_choices,
)  # fmt: skip
from shmkret.explore.stacks.state import is_new, is_on_path, put_on_path, state_of, take_off_path
from shmkret.explore.stacks.symmetry import may_begin
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import ask, peek, poke, switch
from shmkret.machines.compiled.watched import (
    ARENA,
    FENCED,
    GREW,
    KIND,
    MAIN,
    MANY,
    NR,
    OWN_PRINT,
    PICKS,
    PLACE,
    PRINT,
    SIZE,
    SP,
    STACK,
    STOP,
    UNDO_MOST,
    UNDO_TOP,
    USERS,
    VIEWS,
    WRITERS,
    drained,
    mix,
)  # fmt: skip
from shmkret.text.marks import inline

RACING = steps.WRITES | steps.PLAIN
ROOM_FOR_ROWS = 1 << 17
"""More words than a step can change in all rows of shmkret.explore.stacks.clocks."""


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
    return one_writes(a, b)


@inline
def ends_anew(c: int, died: int) -> bool:
    """Whether no end before had the same words, as far as that can be remembered; and, where who leaves has stopped, as many of
    these: less is checked where one stands in the middle of what it does.
    """
    stopped = died if peek(c + STOPS) != 0 else 0
    end = mix(peek(c + OWN_PRINT) + stopped) ^ peek(c + PRINT) | 1
    if peek(c + DISTINCT) <= ENDS_PLACES // 2 and not is_new(peek(c + ENDS_TABLE), ENDS_PLACES, end):
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
    if peek(c + PICKS) != 0:
        can += 1
    for i in range(nr):
        kind = peek(record(c, i) + KIND)
        if kind == steps.BROKEN:
            return BROKEN
        if not drained(record(c, i)):
            can += 1
        elif kind >= steps.DONE:
            ended += 1
        elif possible(c, i):
            can += 1
    if races(c, nr):
        return RACE
    if peek(c + ASK) != 0:
        told = ask(peek(c + ASK), peek(c + PARAMETERS))
        if told != 0:
            poke(c + TOLD, told)
            return SAID
    if ended == nr:
        poke(c + ENDS, peek(c + ENDS) + 1)
        return AT_END
    return MORE if can > 0 else DEADLOCK


@inline
def noticed(c: int) -> int:
    """Why a search stops after a step, whatever state it has come to; MORE: it does not. Of shmkret.explore.stacks.clocks."""
    if peek(c + RACED) != 0:
        return UNORDERED
    if peek(c + CROWDED) != 0:
        return OVERCROWDED
    return LEARNED if peek(c + LEARNS) != 0 else MORE


@inline
def next_choice(c: int, nr: int, frame: int) -> int:
    """The next choice in a state that is possible; nr_choices() when there is none."""
    choice = peek(frame + F_NEXT)
    last = peek(frame + F_LAST)
    bound = peek(c + BOUND)
    while choice < nr_choices(c, nr):
        if is_choice(c, nr, frame, choice):
            preempts = bound >= 0 and is_step(choice, nr) and last >= 0 and choice % nr != last and comes(c, last)
            if not (preempts and peek(frame + F_USED) >= bound):
                break
            poke(c + CUT, 1)
        choice += 1
    return choice


@inline
def alone(c: int, nr: int, died: int) -> int:
    """The lowest CPU whose step commutes with all that others will ever do, and with every commit, its own among them; -1:
    there is none. Nobody does so who may die. Who has ended, and has stores in its buffer, is yet to write; and what he has
    written may be yet to be seen, where memory is release-acquire.
    """
    may_die = peek(c + DEATHS) > died
    others = (1 << nr if may_die else 0) | ((1 << nr) - 1 if peek(c + VIEWS) != 0 else 0)
    for i in range(nr):
        if peek(record(c, i) + KIND) < steps.DONE or not drained(record(c, i)):
            others |= 1 << i
    for i in range(nr):
        mortal = may_die and (peek(c + MORTAL) >> i) & 1 != 0
        begins = i == 0 or may_begin(c, record(c, i), record(c, i - 1))
        if begins and not mortal and possible(c, i) and is_alone(c, i, others & ~(1 << i)):
            return i
    return -1


@inline
def is_alone(c: int, cpu: int, others: int) -> bool:
    """Whether a CPU's step is on words that no other of these writes, or, when it writes, uses."""
    r = record(c, cpu)
    kind = peek(r + KIND)
    if kind == steps.FUTEX_WAIT or kind == steps.FUTEX_WAKE or kind >= steps.ASLEEP:
        return False  # the queue is everybody's
    if kind >> 2 == steps.MUTEX_LOCK >> 2 or kind >> 2 == steps.MUTEX_TRYLOCK >> 2:
        return False  # whether a robust one can be had is changed by a death
    used = users_of(c, peek(r + PLACE))
    if (used >> (0 if kind & steps.WRITES != 0 else WRITERS)) & MANY & others != 0:
        return False
    return peek(r + STOP) == 0 or (users_of(c, peek(r + STOP)) >> WRITERS) & MANY & others == 0


@inline
def users_of(c: int, place: int) -> int:
    """Who uses a word; everybody, when it lies outside the arena."""
    offset = place - peek(c + ARENA)
    return peek(peek(c + USERS) + offset) if 0 <= offset < peek(c + SIZE) else -1


@inline
def race(c: int, i: int, j: int) -> int:
    """Whether two CPUs are about to race: 1, or 0."""
    return 1 if race_between(record(c, i), record(c, j)) else 0


@inline
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
        poke(record(c, i) + FENCED, 0)
        stand(c, record(c, i))
    poke(c + UNDO_TOP, 0)
    poke(c + DEPTH, 0)
    poke(c + FRESH, 1)
    poke(c + GREW, 0)
    poke(c + LEARNS, 0)
    poke(c + RACED, 0)
    poke(c + CLOCK_PRINT, 0)
    return 0


@inline
def rehash(old: int, nr: int, table: int, places: int) -> int:
    """Put what lies in so many places into a table; how many there were."""
    moved = 0
    for i in range(nr):
        h = peek(old + 8 * i)
        if h != 0:
            is_new(table, places, h)
            moved += 1
    return moved


@inline
def is_full(c: int, depth: int, saved: int) -> bool:
    """Whether there is no room for one step more on the path."""
    if peek(c + CLOCKS) != 0 and peek(c + UNDO_TOP) + ROOM_FOR_ROWS > peek(c + UNDO_MOST):
        return True
    return depth + 2 >= peek(c + MOST_FRAMES) or saved + STACK > peek(c + SAVED_END)


@inline
def follow(c: int, choice: int) -> int:
    """Make a choice, if it is possible, and nothing else: 1, or 0."""
    nr = peek(c + NR)
    if choice < 0 or choice >= nr_choices(c, nr) or is_full(c, peek(c + DEPTH), peek(c + SAVED_TOP)):
        return 0
    frame = peek(c + FRAMES) + peek(c + DEPTH) * FRAME
    poke(frame + F_NEXT, choice)
    if next_choice(c, nr, frame) != choice:
        return 0
    put_on_path(c, frame, state_of(c, nr, frame))
    poke(c + SAVED_TOP, go(c, nr, frame, choice, peek(c + SAVED_TOP)))
    poke(c + DEPTH, peek(c + DEPTH) + 1)
    return 1


@inline
def descend(c: int, budget: int) -> int:
    """Search on for that many steps. Returns why it stopped; unless it was finished, it can be called again."""
    nr = peek(c + NR)
    table = peek(c + TABLE)
    places = peek(c + PLACES)
    states = peek(c + STATES)
    room = peek(c + ROOM)
    depth = peek(c + DEPTH)
    frame = peek(c + FRAMES) + depth * FRAME
    saved = peek(c + SAVED_TOP)
    fresh = peek(c + FRESH)
    reduced = peek(c + REDUCED) != 0
    done = 0
    status = MORE
    while done < budget:
        if fresh != 0:
            fresh = 0
            poke(frame + F_NEXT, NO_MORE)
            poke(frame + F_ONLY, 0)
            poke(frame + F_STATE, 0)
            status = noticed(c)
            if status != MORE:
                break
            if reduced and peek(c + GREW) != 0:
                status = LEARNED
                break
            h = state_of(c, nr, frame)
            if is_on_path(c, frame, h):
                put_on_path(c, frame, h)
                status = CYCLE
                break
            if is_new(table, places, h):
                states += 1
                status = arrive(c, nr)
                if status == MORE:
                    put_on_path(c, frame, h)
                    poke(frame + F_NEXT, 0)
                    if reduced:
                        one = alone(c, nr, peek(frame + F_DIED))
                        if one >= 0:
                            poke(frame + F_NEXT, one)
                            poke(frame + F_ONLY, 1)
                    if states >= room:
                        status = FULL
                        break
                    if peek(c + EVERY) != 0:
                        status = AT_STATE
                        break
                elif status != AT_END or peek(c + EVERY) != 0 or ends_anew(c, peek(frame + F_DIED)):
                    break
                status = MORE
        choice = next_choice(c, nr, frame)
        if choice < nr_choices(c, nr):
            if is_full(c, depth, saved):
                status = TOO_DEEP
                break
            poke(frame + F_NEXT, NO_MORE if peek(frame + F_ONLY) != 0 else choice + 1)
            poke(c + DEPTH, depth)
            saved = go(c, nr, frame, choice, saved)
            done += 1
            depth += 1
            frame += FRAME
            fresh = 1
            if depth > peek(c + DEEPEST):
                poke(c + DEEPEST, depth)
        else:
            take_off_path(c, frame)
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
