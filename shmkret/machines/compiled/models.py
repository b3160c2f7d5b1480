"""Models of the functions of libc that compiled text calls, and of the system calls: what stands for them in a search.

sem_t     its first word is a counter
mutex     the low half of its first word is 0, or 1 + the CPU that holds it, and SLEPT_ON. A robust one, as its kind says, can
          be had when its holder is dead, and is consistent at once
futex     compares the low 32 bits; any of those who sleep may be woken: a choice of the search. A sleep may end for no reason:
          another. To wake 0 wakes one, as Linux does
sleep     where nobody dies, every sleeper of libc is woken in the end, and a wait is one step that is possible when there is
          something to be had. Where CPUs may die, sleepers are told apart: a wake-up goes to one of them, who may die with it;
          who has given back a semaphore or a mutex may die before it wakes. A robust one it gives back and wakes in one step,
          for the kernel makes that good; what the kernel wakes for the dead, has shmkret.explore.stacks.sleepers
last      who announces deaths does all in one step: it may not wait
beyond    these words libc changes others, of owners and of who waits, which no text reads; a model leaves them as they are
time      a CPU's clock goes on by TICK_NS with each reading: it is a function of what that CPU did
signals   none: who waits sees what it waits for at once, and needs no kick
x86-TSO   what takes, gives back, sleeps or wakes is done when the CPU's stores are in memory: sem_post(), sem_wait(),
          pthread_mutex_lock() and the like synchronize memory (POSIX, XBD 4.12; libc has a locked instruction in each), and
          futex(2) takes the lock of its queue, behind a full barrier, before it looks at the word or for sleepers (Linux,
          kernel/futex/waitwake.c). A call that fails promises nothing (XBD 4.12; sem_trywait() of libc has read a 0, and no
          more): a try that finds nothing, and who is told to stop, may have stores in the buffer. sem_init() and
          pthread_mutex_init() promise nothing either: they are stores
RA        what takes acquires, and what gives releases (XBD 4.12), of the newest value; neither is a fence. A call that fails
          may have seen an old value, and promises nothing. sem_init() and pthread_mutex_init() promise nothing: a relaxed, and
          a plain store. futex(2) has its full barrier; that who is woken knows what the waker knew, its manual does not say

Source    sem_overview(7), pthread_mutex_lock(3), pthread_mutexattr_setrobust(3), futex(2)
"""

from __future__ import annotations

import platform
from collections.abc import Callable

from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import (
    AT_ONCE,
    CLOCK,
    CONTROL,
    KIND,
    MAY_DIE,
    NO_MODEL,
    NOT_HELD,
    NR,
    NUMBER,
    QUEUE,
    SLEPT_ON,
    STACK,
    TOO_MUCH,
    UNDO_MOST,
    UNDO_TOP,
    give_up,
    has_buffer,
    is_told,
    low,
    me,
    owner_in,
    put,
    saw,
    sleeps_on,
    step,
    uses,
    view,
    wake,
    was_possible,
    write,
)  # fmt: skip
from shmkret.text.marks import inline

TICK_NS = 1000
FUTEX = 202 if platform.machine() == "x86_64" else 98


@inline
def lies_down(r: int, place: int) -> None:
    """This CPU sleeps on a word, unless it may not."""
    was_possible(r, place, peek(r + AT_ONCE) == 0)
    write(r, peek(r + CONTROL) + QUEUE + 8 * peek(r + NUMBER), 1, True)


@inline
def record_of_first(r: int) -> int:
    """The record of CPU 0."""
    return r - peek(r + NUMBER) * STACK


@inline
def wakes(r: int, place: int, most: int) -> None:
    """Wake so many."""
    c = peek(r + CONTROL)
    if peek(c + UNDO_TOP) >= peek(c + UNDO_MOST):
        give_up(r, TOO_MUCH, place)
    wake(c, record_of_first(r), place, most)


@inline
def gave_back(r: int, kind: int, place: int, may_wake: bool) -> None:
    """What a step that gives something back shows: whether another comes, in which it wakes one of those who sleep in libc.
    Not how much there was.
    """
    c, first = peek(r + CONTROL), record_of_first(r)
    asleep = False
    for cpu in range(peek(c + NR)):
        does = peek(first + cpu * STACK + KIND)
        in_libc = does > steps.ASLEEP and does != steps.STOPPED_ASLEEP
        asleep = asleep or (in_libc and sleeps_on(c, first, cpu, place))
    comes = may_wake and asleep
    saw(r, 1 if comes else 0)
    if comes:
        step(r, kind, place, 0, 0)
        wakes(r, place, 1)
        saw(r, 0)


@inline
def take(kind: int, place: int, wanted: int) -> int:
    """A step after which the word is one less, if it is more than 0."""
    r = me()
    shared = uses(r, place, 1)
    if shared or wanted != 0 or has_buffer(r):
        step(r, kind, place, 0, 0)  # one of its own, too: there is none to be taken, for ever
    if wanted != 0 and peek(peek(r + CONTROL) + MAY_DIE) != 0:
        while low(view(r, place)) == 0:
            lies_down(r, place)
            saw(r, 0)
            step(r, steps.ASLEEP_IN_SEM, place, 0, 0)
    before = view(r, place)
    taken = low(before) > 0
    was_possible(r, place, taken or wanted == 0)
    if taken:
        write(r, place, before - 1, shared)
    saw(r, 1 if taken else 0)  # and not how many there were
    return 0 if taken else -1


@inline
def sem_wait(address: int) -> int:
    """Possible when there is one to be taken."""
    return take(steps.SEM_WAIT, address, 1)


@inline
def unless(kind: int, place: int, stop: int) -> None:
    """A step that is possible when the word can be had, or the stop word is not 0."""
    r = me()
    uses(r, place, 1)
    uses(r, stop, 0)
    step(r, kind, place, 0, stop)


@inline
def sem_wait_unless(kind: int, address: int, stop: int) -> int:
    """shmkret.text.libc has it: 1, or 0 when it was told to stop."""
    unless(kind, address, stop)
    r = me()
    before = view(r, address)
    taken = low(before) > 0
    was_possible(r, address, taken or is_told(r))
    if taken:
        write(r, address, before - 1, uses(r, address, 1))
    saw(r, 1 if taken else 0)
    return 1 if taken else 0


@inline
def mutex_lock_unless(kind: int, address: int, stop: int) -> int:
    """shmkret.text.libc has it: 1, or 0 when it was told to stop."""
    unless(kind, address, stop)
    r = me()
    before = view(r, address)
    free = low(before) == 0
    was_possible(r, address, free or is_told(r))
    if free:
        write(r, address, before + 1 + peek(r + NUMBER), uses(r, address, 1))
    saw(r, 0 if free else EBUSY)
    return 1 if free else 0


@inline
def sem_trywait(address: int) -> int:
    """0, or -1 when there is none."""
    return take(steps.SEM_TRYWAIT, address, 0)


@inline
def sem_post(address: int) -> int:
    """One more."""
    r = me()
    shared = uses(r, address, 1)
    if shared or has_buffer(r):
        step(r, steps.SEM_POST, address, 0, 0)
    before = peek(address)
    write(r, address, before + 1, shared)
    gave_back(r, steps.SEM_WAKES, address, True)
    return 0


@inline
def sem_init(address: int, pshared: int, value: int) -> int:
    """Any value."""
    r = me()
    shared = uses(r, address, 1)
    if shared:
        step(r, steps.SEM_RESET, address, low(value), 0)
    put(r, address, low(value), shared)
    saw(r, 0)
    return 0


ROBUST, BETWEEN_PROCESSES = 16, 128
"""The bits of a mutex's kind, the first half of its word 2: PTHREAD_MUTEX_ROBUST_NORMAL_NP, PTHREAD_MUTEX_PSHARED_BIT."""
EBUSY, EOWNERDEAD = 16, 130


@inline
def pthread_mutexattr_init(attributes: int) -> int:
    """Attributes are not looked at: the text makes mutexes of one kind."""
    return 0


@inline
def pthread_mutexattr_setpshared(attributes: int, pshared: int) -> int:
    """All are."""
    return 0


@inline
def pthread_mutex_init(address: int, attributes: int) -> int:
    """A mutex between processes, not robust, that nobody holds: not to be done beside any other's step on it."""
    r = me()
    shared = uses(r, address, 1)
    kind_shared = uses(r, address + 16, 1)
    if shared or kind_shared:
        step(r, steps.MUTEX_INIT, address, 0, 0)
    put(r, address, 0, shared)
    put(r, address + 16, BETWEEN_PROCESSES, kind_shared)
    if shared or kind_shared:
        saw(r, 0)
    return 0


@inline
def can_be_had(r: int, place: int, robust: int) -> bool:
    """Whether a mutex is free, or robust and its owner dead."""
    return owner_in(view(r, place)) == 0 or (robust != 0 and owner_is_dead(r, place))


@inline
def owner_is_dead(r: int, place: int) -> bool:
    """Whether who holds a mutex, which is not free, has died."""
    owner = owner_in(view(r, place)) - 1
    return 0 <= owner < peek(peek(r + CONTROL) + NR) and peek(r + (owner - peek(r + NUMBER)) * STACK + KIND) == steps.DEAD


@inline
def lock(kind: int, place: int) -> int:
    """A step after which the mutex is this CPU's, if it was free, or robust and its owner dead: 1 + its number."""
    r = me()
    shared = uses(r, place, 1)
    uses(r, place + 16, 0)
    robust = view(r, place + 16) & ROBUST
    step(r, kind, place, robust, 0)
    slept = 0
    if kind == steps.MUTEX_LOCK and peek(peek(r + CONTROL) + MAY_DIE) != 0:
        while not can_be_had(r, place, robust):
            lies_down(r, place)
            write(r, place, view(r, place) | SLEPT_ON, shared)
            slept = SLEPT_ON
            saw(r, EBUSY)
            step(r, steps.ASLEEP_IN_MUTEX, place, robust, 0)
    before = view(r, place)
    mine = before - low(before) + ((low(before) & SLEPT_ON) | slept) + 1 + peek(r + NUMBER)
    if owner_in(before) == 0:
        write(r, place, mine, shared)
        saw(r, 0)
        return 0
    if can_be_had(r, place, robust):
        write(r, place, mine, shared)
        saw(r, EOWNERDEAD)
        return EOWNERDEAD
    was_possible(r, place, kind != steps.MUTEX_LOCK)
    saw(r, EBUSY)
    return EBUSY


@inline
def pthread_mutex_lock(address: int) -> int:
    """Possible when it can be had."""
    return lock(steps.MUTEX_LOCK, address)


@inline
def pthread_mutex_trylock(address: int) -> int:
    """EBUSY when it cannot be had."""
    return lock(steps.MUTEX_TRYLOCK, address)


@inline
def pthread_mutex_consistent(address: int) -> int:
    """It is already."""
    return 0


@inline
def pthread_mutex_unlock(address: int) -> int:
    """Free again."""
    r = me()
    shared = uses(r, address, 1)
    uses(r, address + 16, 0)
    if shared or has_buffer(r):
        step(r, steps.MUTEX_UNLOCK, address, 0, 0)
    before = peek(address)
    if owner_in(before) != 1 + peek(r + NUMBER):
        give_up(r, NOT_HELD, address)
    write(r, address, before - low(before), shared)
    slept, robust = low(before) & SLEPT_ON != 0, peek(address + 16) & ROBUST != 0
    if slept and robust:
        wakes(r, address, 1)
    gave_back(r, steps.MUTEX_WAKES, address, slept and not robust)
    return 0


@inline
def clock_gettime(which: int, address: int) -> int:
    """Any clock."""
    r = me()
    now = peek(r + CLOCK) + TICK_NS
    poke(r + CLOCK, now)
    poke(address, now // 1_000_000_000)
    poke(address + 8, now % 1_000_000_000)
    return 0


@inline
def usleep(us: int) -> int:
    """Time goes on when it is read."""
    return 0


@inline
def kill(pid: int, signal: int) -> int:
    """Nobody needs it."""
    return 0


@inline
def syscall(number: int, place: int, operation: int, value: int, timeout: int, a: int, b: int) -> int:
    """futex(2): FUTEX_WAIT is 0, FUTEX_WAKE 1. How many were woken is not said: the text does not ask."""
    r = me()
    if number != FUTEX or operation < 0 or operation > 1:
        give_up(r, NO_MODEL, place)
    uses(r, place, 1)
    if operation == 0:
        step(r, steps.FUTEX_WAIT, place, value, 0)
        before = view(r, place)
        saw(r, low(before))
        if low(before) != low(value):
            return -1
        lies_down(r, place)
        step(r, steps.ASLEEP, place, 0, 0)
        saw(r, 0)
        return 0
    step(r, steps.FUTEX_WAKE, place, value, 0)
    most = max(low(value) - (low(value) >> 31 << 32), 1)  # an int of 32 bits; asked for none, Linux wakes one
    wakes(r, place, most)
    saw(r, 0)
    return 0


MODELS: tuple[Callable[..., int], ...] = (
    sem_wait, sem_trywait, sem_post, sem_init, sem_wait_unless, mutex_lock_unless, pthread_mutex_lock, pthread_mutex_trylock,
    pthread_mutex_consistent, pthread_mutex_unlock, pthread_mutexattr_init, pthread_mutexattr_setpshared, pthread_mutex_init,
    clock_gettime, usleep, kill, syscall,
)  # fmt: skip
