"""A CPU of a search: its record, its steps, and what it notes of each write, so that the search can go back.

A word that one CPU alone uses is no step; that no other does is checked at every access.

    a CPU's stack      STACK bytes, aligned to them; the CPU's record at its end
    the control block  what all CPUs share: where the arena lies, who uses each word, what was written

x86-TSO   where the control block has BUFFERED, each CPU has a buffer of stores, first in, first out, in its record. A store
          goes into it; a commit, which is the search's choice, takes the oldest to memory; a load sees the CPU's own newest
          store of that word, else memory. What is locked, fenced or a call that succeeds is done when the buffer is empty.
          What is in it is part of a state
RA        where it has VIEWS, a step reads a message that the search has chosen: OLD_VALUE, or what is in memory
Own       words that one CPU alone uses are written at once: nobody else can tell

Always    what is here runs on a CPU's stack, and nowhere else: it finds the CPU's record by the address of that stack
Signals   are handled on the stack that runs, below all that is in use, so that nothing of it is kept or needed; at each step
          there is room left for that (MOST_STACK)
Limits    a full buffer lets its CPU do no store until a commit, and says so (OVERFLOWED). A CPU, and who announces deaths,
          are a bit of 16: 15 CPUs, and so no more can sleep. An access lies in the arena, at a multiple of 8: an index too
          large may be another word of the arena, which is not noticed
Unseen    a loop that makes no access
Source    P. Sewell, S. Sarkar, S. Owens, F. Zappa Nardelli and M. Myreen, "x86-TSO", CACM 53(7), 2010. What empties a buffer:
          Intel, Software Developer's Manual, volume 3, "Store Buffer"
"""

from __future__ import annotations

from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import here, peek, poke, switch
from shmkret.text.arithmetic import add64, mul64, shr64
from shmkret.text.marks import inline

STACK = 1 << 16
CONTROL_BYTES = 1 << 14
BUFFER, MOST_BUFFERED = 512, 128
"""Where in a CPU's record its store buffer lies, and how many stores it has room for: two words each, a ring."""
RECORD = BUFFER + 16 * MOST_BUFFERED
"""Bytes of a CPU's record."""

SP, KIND, PLACE, ARG, STOP, PAST, STEPS, CLOCK, NUMBER, CONTROL, PRIVATES, AT_ONCE, SCRATCH = (8 * j for j in range(13))
"""Where in a CPU's record: its stack's pointer; the step that it is about to do (what, on which word, with which value, and
the word that ends a wait); a number for all that it has read; how many steps it did, what its clock says, its number, the
control block, its accesses to words of its own since its last step; whether it does all that it does in one step; two words
that its code is called with."""
ISSUED, COMMITTED, FENCED, OLD_PLACE, OLD_VALUE, OLD_STOP = (8 * j for j in range(40, 46))
"""Where in a CPU's record: how many stores have gone into its buffer, and how many of them to memory; whether there was a fence
since its last step; the word of which its step reads an old message, or 0, and what that says; whether an old message ends its
wait."""

(
    MAIN, PRINT, OWN_PRINT, UNDO, UNDO_TOP, UNDO_MOST, ARENA, SIZE, USERS, LONGEST, GREW, NR, MOST_STACK, BUFFERED, OVERFLOWED,
    HOLDERS,
) = (8 * j for j in range(16))  # fmt: skip
"""Where in the control block: the scheduler's stack pointer; the fingerprints of words that are shared, and of all others; the
list of what was written (address, how many, most); the arena (address, bytes); who uses each of its words; the most steps of
a CPU; a bit for each CPU that was seen to use, or write, a word for the first time; how many CPUs there are; the most bytes of
a stack that a CPU may use, so that a handler of a signal has room below; how many stores a buffer holds back, 0 for none:
memory is sequentially consistent then; whether one was full; who holds each lock, or 0: shmkret.machines.compiled.holders."""

VIEWS, HISTORY = 8 * 72, 8 * 73
"""Where in the control block: the views, and the messages of words, where memory is release-acquire, else 0:
shmkret.explore.stacks.views."""
QUEUE, QUEUE_END = 8 * 240, 16
"""Where in the control block is written which CPUs sleep, on a futex or in libc: 0, or 1 + how many of those that sleep on the
same word are woken, while it is not yet chosen which."""
PICKS = QUEUE + 8 * (QUEUE_END - 1)
"""Where in the control block: on how many words it is not yet chosen who is woken. Nothing else is done until it is."""
MAY_DIE, ORDERS, OF_PATH, TURNS = (8 * (108 + j) for j in range(4))
"""Where in the control block: whether any CPU may die: then who sleeps in libc is told from who runs; the table of
shmkret.machines.compiled.orders, or 0; whether what is in it is of the path, and not of the whole search;
the words of shmkret.machines.compiled.turns, or 0."""
NAMED, MOST_NAMED = 1 << 11, 1600
"""Where in the control block named semaphores lie, a word each."""

STEP = 1 << 32
WRITERS = 16
MANY = (1 << WRITERS) - 1
"""Who uses a word: bit c when CPU c does, bit WRITERS + c when it writes, and whether every access is a STEP. It is kept from
one search to the next, and never less."""

(
    NOT_PRIVATE,
    OUTSIDE,
    TOO_LONG,
    TOO_MUCH,
    NOT_HELD,
    RAISED,
    WAITS,
    NO_MODEL,
    NO_STACK,
    BOTH_INSIDE,
    NOT_INSIDE,
    OUT_OF_ORDER,
    OVERTAKES,
) = range(1, 14)
"""Why a CPU cannot go on: a word taken for private is not; an access outside the arena; more steps than the longest run; more
writes than can be noted; it gives back what it does not hold; its code raises an
exception; it waits and may not, as it does all in one step; it calls what has no model; its stack is used
up; it has taken a lock that another holds; it gives back a lock that it does not hold; it has taken locks in an order that
another has not; it has a lock before one who was first."""


UNLIKELY = 0x1E3779B97F4A7C15
"""Added to what a CPU has read: mix(0) is 0, so that with 1 instead a CPU whose first step read -1 had read nothing."""


@inline
def mix(value: int) -> int:
    """All bits of a word, mixed: the end of splitmix64."""
    value = mul64(value ^ shr64(value, 30), -0x40A7B892E31B1A47)
    value = mul64(value ^ shr64(value, 27), -0x6B2FB644ECCEEE15)
    return value ^ shr64(value, 31)


@inline
def cell(offset: int, value: int) -> int:
    """What a word at that offset of the arena adds to the fingerprint."""
    return mix(add64(mix(offset + 1), value))


@inline
def me() -> int:
    """The record of the CPU on whose stack this runs."""
    return (here() & -STACK) + STACK - RECORD


@inline
def give_up(r: int, why: int, place: int) -> None:
    """This CPU cannot go on: another state than that before its step, though it has read nothing, and written nothing."""
    poke(r + KIND, steps.BROKEN)
    poke(r + PAST, mix(peek(r + PAST) ^ steps.BROKEN))
    poke(r + PLACE, place)
    poke(r + ARG, why)
    while True:
        switch(r + SP, peek(r + CONTROL) + MAIN)


@inline
def uses(r: int, place: int, writes: int) -> bool:
    """Whether an access to a word is a step. Else it is this CPU's own, which is noted."""
    c = peek(r + CONTROL)
    offset = place - peek(c + ARENA)
    if offset < 0 or offset >= peek(c + SIZE) or place & 7 != 0:
        if NAMED <= place - c < CONTROL_BYTES and place & 7 == 0:
            return True
        give_up(r, OUTSIDE, place)
    user = peek(c + USERS) + offset
    before = peek(user)
    mine = 1 << peek(r + NUMBER)
    after = before | mine | (mine << WRITERS if writes != 0 else 0)
    if after != before:
        poke(user, after)
        poke(c + GREW, peek(c + GREW) | mine)
    if before & STEP != 0:
        return True
    if (after & ~mine) & MANY != 0 and after >> WRITERS != 0:
        give_up(r, NOT_PRIVATE, place)
    count = peek(r + PRIVATES) + 1
    poke(r + PRIVATES, count)
    if count > peek(c + LONGEST) * 1000:
        give_up(r, TOO_LONG, place)
    return False


@inline
def step(r: int, kind: int, place: int, arg: int, stop: int) -> None:
    """Say what is about to be done, and let others go first."""
    c = peek(r + CONTROL)
    count = peek(r + STEPS) + 1
    poke(r + STEPS, count)
    if count > peek(c + LONGEST):
        give_up(r, TOO_LONG, place)
    if r - here() > peek(c + MOST_STACK):
        give_up(r, NO_STACK, place)
    if peek(r + AT_ONCE) != 0:
        return
    poke(r + KIND, kind)
    poke(r + PLACE, place)
    poke(r + ARG, arg)
    poke(r + STOP, stop)
    switch(r + SP, c + MAIN)


@inline
def was_possible(r: int, place: int, possible: bool) -> None:
    """What waits has gone on: rightly, unless it does all at once."""
    if not possible:
        give_up(r, WAITS, place)


@inline
def saw(r: int, value: int) -> None:
    """The step has shown the CPU that value."""
    poke(r + PAST, mix(add64(mul64(peek(r + PAST), 31), add64(value, UNLIKELY))))


@inline
def offset_of(c: int, place: int) -> int:
    """A word's place in the arena, in bytes; one of the control block is before it."""
    return c - place - 1 if 0 <= place - c < CONTROL_BYTES else place - peek(c + ARENA)


@inline
def keep(c: int, place: int, value: int) -> None:
    """Write a word, anywhere, so that it can be undone."""
    n = peek(c + UNDO_TOP)
    entry = peek(c + UNDO) + 16 * n
    poke(entry, place)
    poke(entry + 8, peek(place))
    poke(c + UNDO_TOP, n + 1)
    poke(place, value)


@inline
def change(c: int, which: int, place: int, value: int) -> None:
    """Write a word that is in a fingerprint."""
    poke(c + which, peek(c + which) ^ cell(offset_of(c, place), peek(place)) ^ cell(offset_of(c, place), value))
    keep(c, place, value)


@inline
def sleeps_on(c: int, first: int, cpu: int, place: int) -> bool:
    """Whether a CPU sleeps on a word. first: the record of CPU 0."""
    return peek(c + QUEUE + 8 * cpu) != 0 and peek(first + cpu * STACK + PLACE) == place


@inline
def wake(c: int, first: int, place: int, most: int) -> None:
    """Wake so many of those who sleep on a word. Which, the search chooses, where there are more. There is room to note it."""
    nr = peek(c + NR)
    asleep = 0
    left = most
    for cpu in range(nr):
        if sleeps_on(c, first, cpu, place):
            if asleep == 0 and peek(c + QUEUE + 8 * cpu) > 1:  # in one step with a death, or another
                left += peek(c + QUEUE + 8 * cpu) - 1
                change(c, PRINT, c + PICKS, peek(c + PICKS) - 1)
            asleep += 1
    chosen = left < asleep
    for cpu in range(nr):
        if sleeps_on(c, first, cpu, place):
            change(c, PRINT, c + QUEUE + 8 * cpu, 1 + left if chosen else 0)
    if chosen:
        change(c, PRINT, c + PICKS, peek(c + PICKS) + 1)


@inline
def pick(c: int, first: int, cpu: int) -> None:
    """This is one of those who are woken on the word on which it sleeps."""
    nr = peek(c + NR)
    left = peek(c + QUEUE + 8 * cpu) - 2
    place = peek(first + cpu * STACK + PLACE)
    change(c, PRINT, c + QUEUE + 8 * cpu, 0)
    for other in range(nr):
        if sleeps_on(c, first, other, place):
            change(c, PRINT, c + QUEUE + 8 * other, 1 + left)
    if left == 0:
        change(c, PRINT, c + PICKS, peek(c + PICKS) - 1)


@inline
def write(r: int, place: int, value: int, shared: bool) -> None:
    """Write a word of the arena, or of the control block."""
    c = peek(r + CONTROL)
    if peek(c + UNDO_TOP) >= peek(c + UNDO_MOST):
        give_up(r, TOO_MUCH, place)
    change(c, PRINT if shared else OWN_PRINT, place, value)


@inline
def has_buffer(r: int) -> bool:
    """Whether this CPU's stores are held back. Then what empties its buffer is a step, whoever uses the word."""
    return peek(peek(r + CONTROL) + BUFFERED) != 0 and peek(r + AT_ONCE) == 0


@inline
def has_fences(r: int) -> bool:
    """Whether a fence is a step."""
    return has_buffer(r) or peek(peek(r + CONTROL) + VIEWS) != 0


@inline
def drained(r: int) -> bool:
    """Whether a CPU's buffer is empty."""
    return peek(r + ISSUED) == peek(r + COMMITTED)


@inline
def entry_of(r: int, n: int) -> int:
    """Where in a CPU's buffer its n-th store is: the word's address, and its value."""
    return r + BUFFER + 16 * (n & (MOST_BUFFERED - 1))


@inline
def view(r: int, place: int) -> int:
    """A word as a CPU sees it."""
    n = peek(r + ISSUED)
    while n != peek(r + COMMITTED):
        n -= 1
        if peek(entry_of(r, n)) == place:
            return peek(entry_of(r, n) + 8)
    return peek(r + OLD_VALUE) if peek(r + OLD_PLACE) == place else peek(place)


@inline
def is_told(r: int) -> bool:
    """Whether the word that ends a CPU's wait says so, as the CPU sees it."""
    stop = peek(r + STOP)
    if stop == 0 or peek(r + OLD_STOP) != 0:
        return stop != 0
    return (view(r, stop) if peek(r + OLD_PLACE) != stop else peek(stop)) != 0  # it may be the word that is waited for


@inline
def put(r: int, place: int, value: int, shared: bool) -> None:
    """A store: into the buffer, in which there is room, or to memory."""
    if shared and has_buffer(r):
        c = peek(r + CONTROL)
        if peek(c + UNDO_TOP) >= peek(c + UNDO_MOST):
            give_up(r, TOO_MUCH, place)
        n = peek(r + ISSUED)
        keep(c, entry_of(r, n), place)
        keep(c, entry_of(r, n) + 8, value)
        keep(c, r + ISSUED, n + 1)
    else:
        write(r, place, value, shared)


@inline
def low(value: int) -> int:
    """The low 32 bits, where a semaphore, a mutex or a futex has its state."""
    return value & 0xFFFFFFFF


SLEPT_ON = 1 << 31
"""Of the word of a mutex: somebody may sleep."""


@inline
def owner_in(word: int) -> int:
    """1 + the CPU that the word of a mutex names, or 0."""
    return low(word) & ~SLEPT_ON
