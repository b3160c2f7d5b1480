"""sleeping: a lock with a futex, three values in one word.

Moves     acquire    FREE -> HELD, or any -> CROWDED    sleeps while it is CROWDED
          release    any -> FREE                        wakes one if it was CROWDED
Source    mutex 2 of U. Drepper, "Futexes Are Tricky", 2011
"""

from typing import NamedTuple

from shmkret.text import Words, cmpxchg, exchange, futex_wait, futex_wake

FREE, HELD, CROWDED = 0, 1, 2


class Sleeping(NamedTuple):
    word: Words


def acquire(lock, i):
    if cmpxchg(lock.word, i, FREE, HELD) != FREE:
        while exchange(lock.word, i, CROWDED) != FREE:
            futex_wait(lock.word, i, CROWDED)


def release(lock, i):
    if exchange(lock.word, i, FREE) == CROWDED:
        futex_wake(lock.word, i, 1)


def is_free(lock, i):
    return lock.word[i] == FREE
