"""What stands for an access, and for a call of libc, in code that is searched.

Each says what it is about to do, hands over to the scheduler (shmkret.explore.engines.states), and does it when that comes
back. A word that one CPU alone uses is no step; that it does is checked at every access. What was there before a write is
noted, so that the scheduler can go back.

    a CPU's stack      STACK bytes, aligned to them; the CPU's record at its end
    the control block  what all CPUs share: where the arena lies, who uses each word, what was written

Always    hooks run on a CPU's stack, and nowhere else: they find their record by the address of that stack
Source    futex(2), sem_overview(7), pthread_mutex_lock(3) for what the models do
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from numba import types

from shmkret.machines.compiled import steps
from shmkret.machines.compiled.loop import address_of, compile_to
from shmkret.machines.compiled.stacks import here, peek, poke, prepare, switch
from shmkret.machines.compiled.verbs import teach
from shmkret.text.arithmetic import add64, mul64, shr64
from shmkret.text.marks import inline

STACK = 1 << 16
CONTROL_BYTES = 1 << 14
RECORD = 512
"""Bytes of a CPU's record."""

SP, KIND, PLACE, ARG, STOP, PAST, STEPS, CLOCK, NUMBER, CONTROL, PRIVATES, AT_ONCE = (8 * j for j in range(12))
"""Where in a CPU's record: its stack's pointer; the step that it is about to do (what, on which word, with which value, and
the word that ends a wait); a number for all that it has read; how many steps it did, what its clock says, its number, the
control block, its accesses to words of its own since its last step; whether it does all that it does in one step."""

MAIN, PRINT, OWN_PRINT, UNDO, UNDO_TOP, UNDO_MOST, ARENA, SIZE, USERS, LONGEST = (8 * j for j in range(10))
"""Where in the control block: the scheduler's stack pointer; the fingerprints of words that are shared, and of all others; the
list of what was written (address, how many, most); the arena (address, bytes); who uses each of its words; the most steps of a CPU."""

QUEUE, QUEUE_END = 8 * 240, 16
"""Where in the control block is written who sleeps on a futex, in order: 1 + a CPU's number, or 0."""
NAMED, MOST_NAMED = 1 << 11, 1600
"""Where in the control block named semaphores lie, a word each."""

SHARED, UNUSED, READ_BY_MANY, FIRST = 0, 1, 2, 4
"""Who uses a word: everybody, each access a step; nobody so far; several, who read it; from FIRST on CPU c alone: FIRST + 2 *
c reads it, one more writes it, too."""

NOT_PRIVATE, OUTSIDE, TOO_LONG, TOO_MUCH, NOT_HELD = 1, 2, 3, 4, 5
"""Why a CPU cannot go on: a word taken for private is not; an access outside the arena; more steps than the longest run; more
writes than can be noted; it gives back what it does not hold."""

TICK_NS = 1000


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
    """This CPU cannot go on."""
    poke(r + KIND, steps.BROKEN)
    poke(r + PLACE, place)
    poke(r + ARG, why)
    while True:
        switch(r + SP, peek(r + CONTROL) + MAIN)


@inline
def uses(r: int, place: int, writes: int) -> bool:
    """Whether an access to a word is a step. Else it is this CPU's own, which is noted."""
    c = peek(r + CONTROL)
    offset = place - peek(c + ARENA)
    if offset < 0 or offset >= peek(c + SIZE):
        if NAMED <= place - c < CONTROL_BYTES:
            return True
        give_up(r, OUTSIDE, place)
    user = peek(c + USERS) + offset
    before = peek(user)
    if before == SHARED:
        return True
    mine = FIRST + 2 * peek(r + NUMBER)
    if before == UNUSED:
        poke(user, mine + writes)
    elif before == mine:
        poke(user, mine + writes)
    elif before != mine + 1:
        if writes != 0 or (before & 1) != 0:
            give_up(r, NOT_PRIVATE, place)
        poke(user, READ_BY_MANY)
    count = peek(r + PRIVATES) + 1
    poke(r + PRIVATES, count)
    if count > peek(c + LONGEST) * 1000:
        give_up(r, TOO_LONG, place)
    return False


@inline
def step(r: int, kind: int, place: int, arg: int, stop: int) -> None:
    """Say what is about to be done, and let others go first."""
    if peek(r + AT_ONCE) != 0:
        return
    c = peek(r + CONTROL)
    poke(r + KIND, kind)
    poke(r + PLACE, place)
    poke(r + ARG, arg)
    poke(r + STOP, stop)
    poke(r + PRIVATES, 0)
    count = peek(r + STEPS) + 1
    poke(r + STEPS, count)
    if count > peek(c + LONGEST):
        give_up(r, TOO_LONG, place)
    switch(r + SP, c + MAIN)


@inline
def saw(r: int, value: int) -> None:
    """The step has shown the CPU that value."""
    poke(r + PAST, mix(add64(mul64(peek(r + PAST), 31), value + 1)))


@inline
def offset_of(c: int, place: int) -> int:
    """A word's place in the arena, in bytes; one of the control block is before it."""
    return c - place - 1 if 0 <= place - c < CONTROL_BYTES else place - peek(c + ARENA)


@inline
def write(r: int, place: int, value: int, shared: bool) -> None:
    """Write a word so that it can be undone."""
    c = peek(r + CONTROL)
    n = peek(c + UNDO_TOP)
    if n >= peek(c + UNDO_MOST):
        give_up(r, TOO_MUCH, place)
    before = peek(place)
    entry = peek(c + UNDO) + 16 * n
    poke(entry, place)
    poke(entry + 8, before)
    poke(c + UNDO_TOP, n + 1)
    which = PRINT if shared else OWN_PRINT
    poke(c + which, peek(c + which) ^ cell(offset_of(c, place), before) ^ cell(offset_of(c, place), value))
    poke(place, value)


def load(kind: int, place: int) -> int:
    r = me()
    if not uses(r, place, 0):
        return peek(place)
    step(r, kind, place, 0, 0)
    value = peek(place)
    saw(r, value)
    return value


def store(kind: int, place: int, value: int) -> int:
    r = me()
    shared = uses(r, place, 1)
    if shared:
        step(r, kind, place, value, 0)
    write(r, place, value, shared)
    if shared:
        saw(r, 0)
    return 0


def exchange(kind: int, place: int, value: int) -> int:
    r = me()
    shared = uses(r, place, 1)
    if shared:
        step(r, kind, place, value, 0)
    before = peek(place)
    write(r, place, value, shared)
    if shared:
        saw(r, before)
    return before


def fetch_add(kind: int, place: int, value: int) -> int:
    r = me()
    shared = uses(r, place, 1)
    if shared:
        step(r, kind, place, value, 0)
    before = peek(place)
    write(r, place, add64(before, value), shared)
    if shared:
        saw(r, before)
    return before


def cmpxchg(kind: int, place: int, old: int, new: int) -> int:
    r = me()
    shared = uses(r, place, 1)
    if shared:
        step(r, kind, place, old, 0)
    before = peek(place)
    if before == old:
        write(r, place, new, shared)
    if shared:
        saw(r, before)
    return before


def wait(kind: int, place: int, value: int) -> int:
    r = me()
    shared = uses(r, place, 0)
    if shared or (peek(place) == value) != (kind == steps.WAIT_EQUAL):
        step(r, kind, place, value, 0)
        saw(r, peek(place))
    return 0


def wait_unless(kind: int, place: int, value: int, stop: int) -> int:
    r = me()
    uses(r, place, 0)
    uses(r, stop, 0)
    step(r, kind, place, value, stop)
    seen = peek(place)
    saw(r, seen)
    return 1 if (seen == value) == (kind == steps.WAIT_EQUAL_UNLESS) else 0


def fence(kind: int) -> int:
    """Nothing: every access is in order already."""
    return 0


@inline
def low(value: int) -> int:
    """The low 32 bits, where a semaphore, a mutex or a futex has its state."""
    return value & 0xFFFFFFFF


@inline
def take(kind: int, place: int, wanted: int) -> int:
    """A step after which the word is one less, if it is more than 0."""
    r = me()
    shared = uses(r, place, 1)
    if shared or wanted != 0:
        step(r, kind, place, 0, 0)  # one of its own, too: there is none to be taken, for ever
    before = peek(place)
    taken = low(before) > 0
    if taken:
        write(r, place, before - 1, shared)
    saw(r, before)
    return 0 if taken else -1


def sem_wait(address: int) -> int:
    return take(steps.SEM_WAIT, address, 1)


@inline
def unless(kind: int, place: int, stop: int) -> None:
    """A step that is possible when the word can be had, or the stop word is not 0."""
    r = me()
    uses(r, place, 1)
    uses(r, stop, 0)
    step(r, kind, place, peek(place + 16) & ROBUST, stop)


def sem_wait_unless(kind: int, address: int, stop: int) -> int:
    unless(kind, address, stop)
    r = me()
    before = peek(address)
    taken = low(before) > 0
    if taken:
        write(r, address, before - 1, uses(r, address, 1))
    saw(r, before)
    return 1 if taken else 0


def mutex_lock_unless(kind: int, address: int, stop: int) -> int:
    unless(kind, address, stop)
    r = me()
    before = peek(address)
    free = low(before) == 0
    if free:
        write(r, address, before + 1 + peek(r + NUMBER), uses(r, address, 1))
    saw(r, low(before))
    return 1 if free else 0


def sem_trywait(address: int) -> int:
    return take(steps.SEM_TRYWAIT, address, 0)


def sem_post(address: int) -> int:
    r = me()
    shared = uses(r, address, 1)
    if shared:
        step(r, steps.SEM_POST, address, 0, 0)
    before = peek(address)
    write(r, address, before + 1, shared)
    saw(r, before)
    return 0


def sem_init(address: int, pshared: int, value: int) -> int:
    r = me()
    shared = uses(r, address, 1)
    if shared:
        step(r, steps.SEM_RESET, address, low(value), 0)
    write(r, address, low(value), shared)
    saw(r, 0)
    return 0


ROBUST = 16
"""The bit of a mutex's kind that says so: PTHREAD_MUTEX_ROBUST_NORMAL_NP, in the first half of word 2."""
EBUSY, EOWNERDEAD = 16, 130


@inline
def owner_of(r: int, place: int) -> int:
    """The record of who holds a mutex, which is not free."""
    return r + (low(peek(place)) - 1 - peek(r + NUMBER)) * STACK


@inline
def lock(kind: int, place: int) -> int:
    """A step after which the mutex is this CPU's, if it was free, or robust and its owner dead: 1 + its number."""
    r = me()
    shared = uses(r, place, 1)
    uses(r, place + 16, 0)
    step(r, kind, place, peek(place + 16) & ROBUST, 0)
    before = peek(place)
    mine = before - low(before) + 1 + peek(r + NUMBER)
    if low(before) == 0:
        write(r, place, mine, shared)
        saw(r, 0)
        return 0
    if (peek(place + 16) & ROBUST) != 0 and peek(owner_of(r, place) + KIND) == steps.DEAD:
        write(r, place, mine, shared)
        saw(r, EOWNERDEAD)
        return EOWNERDEAD
    saw(r, EBUSY)
    return EBUSY


def pthread_mutex_lock(address: int) -> int:
    return lock(steps.MUTEX_LOCK, address)


def pthread_mutex_trylock(address: int) -> int:
    return lock(steps.MUTEX_TRYLOCK, address)


def pthread_mutex_consistent(address: int) -> int:
    return 0


def pthread_mutex_unlock(address: int) -> int:
    r = me()
    shared = uses(r, address, 1)
    if shared:
        step(r, steps.MUTEX_UNLOCK, address, 0, 0)
    before = peek(address)
    if low(before) != 1 + peek(r + NUMBER):
        give_up(r, NOT_HELD, address)
    write(r, address, before - low(before), shared)
    saw(r, 0)
    return 0


def clock_gettime(which: int, address: int) -> int:
    r = me()
    now = peek(r + CLOCK) + TICK_NS
    poke(r + CLOCK, now)
    poke(address, now // 1_000_000_000)
    poke(address + 8, now % 1_000_000_000)
    return 0


def usleep(us: int) -> int:
    return 0


def kill(pid: int, signal: int) -> int:
    return 0


def syscall(number: int, place: int, operation: int, value: int, timeout: int, a: int, b: int) -> int:
    """futex(2): FUTEX_WAIT is 0, FUTEX_WAKE 1."""
    r = me()
    c = peek(r + CONTROL)
    queue = c + QUEUE
    uses(r, place, 1)
    if operation == 0:
        step(r, steps.FUTEX_WAIT, place, value, 0)
        before = peek(place)
        saw(r, low(before))
        if low(before) != low(value):
            return -1
        j = 0
        while peek(queue + 8 * j) != 0:
            j += 1
        write(r, queue + 8 * j, 1 + peek(r + NUMBER), True)
        step(r, steps.ASLEEP, place, 0, 0)
        saw(r, 0)
        return 0
    step(r, steps.FUTEX_WAKE, place, value, 0)
    woken = 0
    kept = 0
    j = 0
    while j < QUEUE_END and peek(queue + 8 * j) != 0:
        sleeper = peek(queue + 8 * j)
        if woken < value and peek(r + (sleeper - 1 - peek(r + NUMBER)) * STACK + PLACE) == place:
            woken += 1
        else:
            if kept != j:
                write(r, queue + 8 * kept, sleeper, True)
            kept += 1
        j += 1
    while kept < j:
        write(r, queue + 8 * kept, 0, True)
        kept += 1
    saw(r, woken)
    return woken


def done(a: int, b: int) -> int:
    """The CPU's code has ended: nothing comes after."""
    r = me()
    poke(r + KIND, steps.DONE)
    while True:
        switch(r + SP, peek(r + CONTROL) + MAIN)


HOOKS: dict[str, Callable[..., Any]] = {
    hook.__name__: hook
    for hook in (
        load, store, exchange, fetch_add, cmpxchg, wait, wait_unless, sem_wait, sem_trywait, sem_post, sem_init,
        sem_wait_unless, mutex_lock_unless, fence, pthread_mutex_lock, pthread_mutex_trylock, pthread_mutex_consistent,
        pthread_mutex_unlock, clock_gettime, usleep, kill, syscall, done,
    )
}  # fmt: skip


@cache
def hooks(folder: Path | None) -> dict[str, int]:
    """Compile every hook, or read it from a folder, and tell LLVM where it is; returns their addresses.

    Code that calls hooks is compiled, or loaded, after.
    """
    prepare()
    teach()
    addresses = {}
    for name, hook in HOOKS.items():
        arguments = [types.int64] * hook.__code__.co_argcount
        compiled = compile_to(hook, types.int64(*arguments), folder and folder / f"hook-{name}")
        _KEPT.append(compiled)
        addresses[name] = address_of(compiled)
        llvm.add_symbol(f"shmkret_{name}", addresses[name])
    return addresses


_KEPT: list[Any] = []
"""What keeps the code of hooks where it is."""
