"""A lock whose word names its owner, with a futex to wait on.

    word 0   owner    0 free; cpu + 1 held by that CPU; bit 31 more: somebody may sleep

Moves     acquire    0 -> cpu + 1                 sleeps in the kernel while another holds it
          release    cpu + 1 -> 0                 wakes one sleeper if there may be any
Always    one CPU's number, or 0, in the low 31 bits
Order     acquire's cmpxchg pairs with release's exchange
Dies      the word says who held it: whoever learns of the death takes the lock over. One who dies between its exchange and its
          wake leaves sleepers: they are all woken then
Source    ngx_shmtx_force_unlock(), nginx; Drepper, "Futexes Are Tricky", 2011, mutex 2
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import EQ, Words, cmpxchg, exchange, futex_wait, futex_wake, inline, load_acquire, outline, wait_unless

SLEEPERS = 1 << 31
EVERYBODY = 1 << 30


class Owner(NamedTuple):
    """One word."""

    owner: Words


def acquire(lock: Owner, i: int, cpu: int) -> None:
    if not try_acquire(lock, i, cpu):
        wait(lock, i, cpu)


@inline
def try_acquire(lock: Owner, i: int, cpu: int) -> bool:
    return cmpxchg(lock.owner, i, 0, cpu + 1) == 0


@outline
def wait(lock: Owner, i: int, cpu: int) -> None:
    """Sleep until it is ours. Others may sleep too, so that whoever has slept once says so."""
    while cmpxchg(lock.owner, i, 0, (cpu + 1) | SLEEPERS) != 0:
        seen = load_acquire(lock.owner, i)
        if seen != 0 and (seen & SLEEPERS != 0 or cmpxchg(lock.owner, i, seen, seen | SLEEPERS) == seen):
            futex_wait(lock.owner, i, seen | SLEEPERS)


def acquire_unless(lock: Owner, i: int, stop: Words, cpu: int) -> bool:
    """Without sleeping: only recoverers come this way."""
    while not try_acquire(lock, i, cpu):
        if not wait_unless(lock.owner, i, EQ, 0, stop):
            return False
    return True


def release(lock: Owner, i: int) -> None:
    if exchange(lock.owner, i, 0) & SLEEPERS != 0:
        futex_wake(lock.owner, i, 1)


def is_free(lock: Owner, i: int) -> bool:
    return lock.owner[i] == 0


ALWAYS = ("the word of lock {} names a CPU that there is not",)


def always(lock: Owner, i: int, nr: int) -> int:
    return 1 if lock.owner[i] & ~SLEEPERS > nr or lock.owner[i] < 0 else 0


def holder(lock: Owner, i: int) -> int:
    return (lock.owner[i] & ~SLEEPERS) - 1


def take_over(lock: Owner, i: int, dead: int, cpu: int) -> bool:
    seen = load_acquire(lock.owner, i)
    while seen & ~SLEEPERS == dead + 1:
        found = cmpxchg(lock.owner, i, seen, (cpu + 1) | SLEEPERS)
        if found == seen:
            return True
        seen = found
    return False


def wake_all(lock: Owner, i: int) -> None:
    futex_wake(lock.owner, i, EVERYBODY)
