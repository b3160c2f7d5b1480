"""What a choice does, and which two do not commute.

Words      two steps on one word, of which one writes it: a comparison that fails, and a wait that takes nothing, only reads
Futex      sleeping and waking on one word, whom a call of libc wakes there among them; a sleep that ends for no reason, who of
           several is woken, and any other of these
Deaths     a death and: another; whatever touches the queue of sleepers or takes a mutex, which may be robust; a step on a word
           that who announces it uses, if one of them writes. Which words these are grows as a search goes (LEARNED)
A CPU      its steps are in order, its death and the end of its sleep among them
"""

from __future__ import annotations

from shmkret.explore.stacks.choices import record
from shmkret.explore.stacks.control import ANNOUNCES
from shmkret.explore.stacks.descent import users_of
from shmkret.explore.stacks.nodes import (
    N_ARG,
    N_CHOICE,
    N_CPU,
    N_KIND,
    N_PLACE,
    N_QUEUE,
    N_STOP,
    N_VALUE,
    N_WRITES,
    NODE,
    NODES,
)
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import ARG, KIND, MAY_DIE, PLACE, STOP, WRITERS, low
from shmkret.text.marks import inline

STEPS, DEATHS, WAKES = 0, 1, 2
"""Kinds of choices: choice // how many CPUs there are."""


@inline
def node(c: int, n: int) -> int:
    """The node of step n of the path, from 0; NOWHERE, SCRATCH."""
    return peek(c + NODES) + (n + 2) * NODE


@inline
def describe(c: int, nr: int, choice: int, at: int) -> None:
    """Write into a node what a choice does in the state that there is."""
    r = record(c, choice % nr)
    poke(at + N_CHOICE, choice)
    poke(at + N_CPU, choice % nr)
    poke(at + N_PLACE, 0)
    poke(at + N_STOP, 0)
    poke(at + N_WRITES, 0)
    poke(at + N_KIND, steps.DEAD if choice < 2 * nr else steps.ASLEEP)
    if choice < nr:
        kind = peek(r + KIND)
        place = peek(r + PLACE)
        word = peek(place)
        writes = kind & steps.WRITES
        if kind == steps.CMPXCHG and word != peek(r + ARG):
            writes = 0
        if kind == steps.SEM_TRYWAIT and low(word) == 0:
            writes = 0
        poke(at + N_KIND, kind)
        poke(at + N_PLACE, place)
        poke(at + N_STOP, peek(r + STOP))
        poke(at + N_WRITES, writes)
        poke(at + N_ARG, peek(r + ARG))
        poke(at + N_VALUE, word)


@inline
def queues(kind: int) -> bool:
    """Whether a step is one of a futex."""
    return kind == steps.FUTEX_WAIT or kind == steps.FUTEX_WAKE or kind == steps.ASLEEP


@inline
def wakes_in_libc(kind: int) -> bool:
    """Whether a step gives back a semaphore or a mutex, and looks who sleeps there, or wakes one of them."""
    return kind == steps.SEM_POST or kind == steps.MUTEX_UNLOCK or kind == steps.SEM_WAKES or kind == steps.MUTEX_WAKES


@inline
def wakes_or_sleeps(kind: int) -> bool:
    """Whether a step is one of who sleeps in libc, or wakes there."""
    return kind == steps.SEM_WAIT or kind >= steps.ASLEEP or wakes_in_libc(kind)


@inline
def notices_death(c: int, nr: int, at: int) -> bool:
    """Whether a step and a death do not commute."""
    kind = peek(at + N_KIND)
    if queues(kind) or kind == steps.MUTEX_LOCK or kind == steps.MUTEX_TRYLOCK:
        return True
    if wakes_or_sleeps(kind):
        return True
    if peek(c + ANNOUNCES) == 0:
        return False
    used = users_of(c, peek(at + N_PLACE)) >> nr
    if (used >> (0 if peek(at + N_WRITES) != 0 else WRITERS)) & 1 != 0:
        return True
    return peek(at + N_STOP) != 0 and (users_of(c, peek(at + N_STOP)) >> (WRITERS + nr)) & 1 != 0


@inline
def conflict(c: int, nr: int, a: int, b: int) -> bool:
    """Whether what two nodes describe must be tried in both orders, or cannot be."""
    if peek(a + N_CPU) == peek(b + N_CPU):
        return True
    one = peek(a + N_CHOICE) // nr
    other = peek(b + N_CHOICE) // nr
    if one == DEATHS:
        return other != STEPS or notices_death(c, nr, b)
    if other == DEATHS:
        return one != STEPS or notices_death(c, nr, a)
    if one == WAKES or other == WAKES:
        kind = peek(b + N_KIND) if one == WAKES else peek(a + N_KIND)
        return one == other or queues(kind) or wakes_in_libc(kind)
    return conflicting_steps(a, b)


@inline
def conflicting_steps(a: int, b: int) -> bool:
    """Whether two steps are on one word of which one writes it, or on one of a futex."""
    kind = peek(a + N_KIND)
    beside = peek(b + N_KIND)
    place = peek(a + N_PLACE)
    libc_wakes = wakes_in_libc(kind) or wakes_in_libc(beside)
    if (queues(kind) and queues(beside)) or (libc_wakes and (queues(kind) or queues(beside))):
        wakes = libc_wakes or kind == steps.FUTEX_WAKE or beside == steps.FUTEX_WAKE
        return place == peek(b + N_PLACE) and (wakes or (kind == steps.FUTEX_WAIT and beside == steps.FUTEX_WAIT))
    if (queues(kind) and kind != steps.FUTEX_WAIT) or (queues(beside) and beside != steps.FUTEX_WAIT):
        return False
    writes = peek(a + N_WRITES) != 0
    written = peek(b + N_WRITES) != 0
    if place == peek(b + N_PLACE):
        return writes or written
    return (writes and place == peek(b + N_STOP)) or (written and peek(b + N_PLACE) == peek(a + N_STOP))


@inline
def waits_for_two(kind: int) -> bool:
    """Whether a wait looks at a second word, which ends it."""
    return (
        kind == steps.WAIT_EQUAL_UNLESS
        or kind == steps.WAIT_NOT_EQUAL_UNLESS
        or kind == steps.SEM_WAIT_UNLESS
        or kind == steps.MUTEX_LOCK_UNLESS
    )


@inline
def possible_before(c: int, nr: int, e: int, q: int) -> bool:
    """Whether a choice may be possible just before another, with which it is in conflict. True where that is not known."""
    kind = peek(q + N_KIND)
    if peek(q + N_CHOICE) >= nr or kind < steps.WAIT_EQUAL:
        return True
    if kind >= steps.ASLEEP:
        return peek(e + N_KIND) != steps.FUTEX_WAKE or (peek(e + N_QUEUE) >> peek(q + N_CPU)) & 1 == 0
    if waits_for_two(kind) or peek(e + N_CHOICE) >= nr or peek(e + N_PLACE) != peek(q + N_PLACE):
        return True
    before = peek(e + N_VALUE)
    if kind == steps.WAIT_EQUAL:
        return before == peek(q + N_ARG)
    if kind == steps.WAIT_NOT_EQUAL:
        return before != peek(q + N_ARG)
    if peek(c + MAY_DIE) != 0:
        return True
    if kind == steps.SEM_WAIT:
        return low(before) > 0
    return low(before) == 0 or peek(q + N_ARG) != 0
