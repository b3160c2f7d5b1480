"""Where a search keeps what it knows: in the control block, in frames of the path, in the record of who announces deaths.

The control block begins with what CPUs need of it: shmkret.machines.compiled.watched.
"""

from __future__ import annotations

from shmkret.machines.compiled.stacks import ask, peek, poke
from shmkret.machines.compiled.watched import BUFFERED, OF_PATH, OVERFLOWED, PICKS, VIEWS
from shmkret.text.marks import inline

__all__ = ["BUFFERED", "OF_PATH", "OVERFLOWED", "PICKS"]  # they are used as the others are

(
    STACKS, TABLE, PLACES, ROOM, FRAMES, MOST_FRAMES, SAVED_TOP, SAVED_END, ENDS_TABLE, DEPTH, FRESH, STATES, DONE_STEPS,
    ENDS, DEEPEST, MORTAL, DEATHS, ANNOUNCES, REASONLESS, BOUND, EVERY, CURRENT, DISTINCT, REDUCED,
    BUSY, ASK, PARAMETERS, TOLD, CLOCKS, NUMBERS, NR_PLAIN, NR_SYNC, CLOCK_PRINT, RACED, RACED_HOW, LEARNS, FENCES, CROWDED,
    BY_PAST, ON_PATH, CUT, STOPS, SYMMETRIC,
) = (8 * (16 + j) for j in range(43))  # fmt: skip
"""Where in the control block, after what the hooks use.

STACKS: where those of the CPUs begin. TABLE of states, its PLACES, for how many it has ROOM. FRAMES of the path, how many at
most. SAVED_TOP, SAVED_END: up to where stacks are saved, and where that room ends. ENDS_TABLE. DEPTH of the path. FRESH: the
state is yet to be looked at. STATES, DONE_STEPS, ENDS so far, of which DISTINCT differ in a word; the DEEPEST path. MORTAL: a
bit for each CPU that may die; how many DEATHS there may be, and whether who would die STOPS instead; ANNOUNCES: who has the
stack after the CPUs says so at once. REASONLESS: how many sleeps may end for no reason. BOUND: the most preemptions, or -1;
CUT: whether a choice was refused for that. EVERY: stop at every state. CURRENT: the record of the CPU that runs. REDUCED: a
step that commutes with all that others will do is done at once. BUSY: whether compiled code runs, and which: BEGINS, or
GOES_ON. ASK: the address of what is asked of every new state, or 0, with the PARAMETERS of the arena; TOLD: what it has
answered, where that was not 0. CLOCKS: the rows of shmkret.explore.stacks.clocks, or 0; the NUMBERS that words have there,
and how many have one; the fingerprint of the rows; the word that two have RACED on, with the events that were not known;
whether something was learned; whether there are FENCES; whether there are more words than numbers. BY_PAST: a CPU's part of a
state is all that it has read; else it is where its code stands. ON_PATH: for each PATH_MASK of a fingerprint, how many states
of the path have it. SYMMETRIC: of the CPUs that have not begun, the lowest alone may.
"""

FRAME = 8 * 24
(
    F_CHOICE, F_SP, F_KIND, F_PLACE, F_ARG, F_STOP, F_PAST, F_STEPS, F_CLOCK, F_PRINT, F_OWN_PRINT, F_UNDO, F_BYTES, F_NEXT,
    F_SAVED, F_LAST, F_USED, F_DIED, F_WOKEN, F_ONLY, F_STANDS, F_STATE, F_CLOCK_PRINT,
) = (8 * j for j in range(23))  # fmt: skip
"""Where in a frame of the path: what was chosen there, and what was before that of the CPU that it changes; and how far the
choices are tried, the CPU that ran last, how many preemptions, deaths and sleeps without reason there were, and its
fingerprint."""

STANDS = 8 * 14
"""Where in the record of a CPU: a number for where its code stands."""
FIRST_SP, CPU_WORD, FIRST_FRAME = 8 * 16, 8 * 17, 8 * 18
"""Where in the record of who announces: its stack's pointer at first, where on it the number stands that its code is given, and
what is on it."""

(
    FINISHED, MORE, AT_END, AT_STATE, RACE, DEADLOCK, BROKEN, FULL, TOO_DEEP, LEARNED, CYCLE, SAID, UNORDERED, OVERCROWDED,
) = range(14)  # fmt: skip
"""Why descend() came back."""
WRONG = (RACE, DEADLOCK, BROKEN, CYCLE, SAID, UNORDERED)
"""Of these, where something is wrong in the state to which it has come."""
BEGINS, GOES_ON = 1, 2
STEPS, DIES, WAKES, COMMITS, KINDS = range(5)
"""What a choice is, for a CPU: choice = CPUs * what + CPU. How many of these there are;
behind them are steps on older messages: shmkret.explore.stacks.views."""
NO_MORE = 1 << 20
"""More than any choice."""
MOST_MESSAGES = 16
"""How many messages of a word are kept, where memory is release-acquire."""
SEES, CAN_SEE, VIEWS_PRINT, WHOSE, BACK = (8 * (74 + j) for j in range(5))
"""Where in the control block: the addresses of what is asked of such memory, compiled apart, and what they are asked of: the
step of a CPU, which reads the message that is so many before the newest."""
ENDS_PLACES = 1 << 16
"""The size of the table of ends."""
MOST_PLACES = (1 << 31) - 1
"""The largest table of states, for the arithmetic of `is_new`."""
PATH_MASK = (1 << 12) - 1


def room_in(places: int) -> int:
    """How many states a table of that size takes, at most: with more, a look goes past too many that are not it."""
    return places * 7 // 8


@inline
def of_memory(c: int, which: int, cpu: int, back: int) -> int:
    """Ask one of these."""
    poke(c + WHOSE, cpu)
    poke(c + BACK, back)
    return ask(peek(c + which), c)


@inline
def is_step(choice: int, nr: int) -> bool:
    """Whether a choice is that a CPU does its step."""
    return choice < nr or choice >= KINDS * nr


@inline
def back_of(choice: int, nr: int) -> int:
    """How many messages before the newest a CPU reads in its step; MOST_MESSAGES and more: of the word that ends its wait."""
    return 0 if choice < nr else choice // nr - KINDS + 1


@inline
def nr_choices(c: int, nr: int) -> int:
    """How many choices there may be in a state."""
    return (KINDS + (2 * MOST_MESSAGES - 1 if peek(c + VIEWS) != 0 else 0)) * nr
