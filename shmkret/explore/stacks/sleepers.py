"""Who sleeps, on a futex or in libc, and what the kernel does for the dead among and beside them.

Robust    the kernel, before Linux 7.2, wakes one sleeper of each robust mutex that the dead held, if its word says that some
          may sleep; and one of that for which the dead had slept, if nobody has it by then. If somebody has, it wakes none, and
          of two sleepers one may sleep for ever
Source    handle_futex_death() of kernel/futex/core.c; "futex: Prevent robust futex exit race more", which names that race
"""

from __future__ import annotations

from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek
from shmkret.machines.compiled.watched import ARG, KIND, NR, PLACE, PRINT, QUEUE, SLEPT_ON, STACK, change, owner_in, wake
from shmkret.text.marks import inline


@inline
def sleeps(c: int, cpu: int) -> bool:
    """Whether a CPU is among those who sleep."""
    return peek(c + QUEUE + 8 * cpu) != 0


@inline
def leave_queue(c: int, cpu: int) -> None:
    """A CPU does not sleep any more."""
    if sleeps(c, cpu):
        change(c, PRINT, c + QUEUE + 8 * cpu, 0)


@inline
def is_owned(c: int, first: int, word: int) -> bool:
    """Whether the word of a robust mutex names one who is not dead. first: the record of CPU 0."""
    owner = owner_in(word)
    return owner != 0 and not (owner <= peek(c + NR) and peek(first + (owner - 1) * STACK + KIND) == steps.DEAD)


@inline
def tidy_up(c: int, nr: int, first: int, dead: int, entering: int) -> None:
    """What the kernel does for a CPU that has died. entering: the mutex for which it had slept, or 0."""
    for i in range(nr):
        r = first + i * STACK
        place = peek(r + PLACE)
        if peek(r + KIND) == steps.ASLEEP_IN_MUTEX and peek(r + ARG) != 0 and peek(c + QUEUE + 8 * i) == 1:
            word = peek(place)
            held = owner_in(word) == 1 + dead and word & SLEPT_ON != 0
            if held or (entering == place and not is_owned(c, first, word)):
                wake(c, first, place, 1)
