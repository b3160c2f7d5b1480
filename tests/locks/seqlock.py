"""Readers write nothing; they read again when a writer came between.

word 0   seq      odd while a writer is inside
word 1   locked   1 while a writer is inside: writers exclude one another

Order    the writer's fence pairs with the reader's: who has read what was written inside sees that seq is odd, or more. Without
         it a relaxed store inside may be seen before seq is, on Arm where an exchange is a loop of instructions
Source   H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012
"""

from typing import NamedTuple

from shmkret.text import EQ, NE, Words, exchange, fence, load_acquire, load_relaxed, store_release, wait_until


class SeqLock(NamedTuple):
    seq: Words
    locked: Words


def acquire(lock: SeqLock, i: int) -> None:
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)
    exchange(lock.seq, i, load_relaxed(lock.seq, i) + 1)
    fence()


def release(lock: SeqLock, i: int) -> None:
    store_release(lock.seq, i, load_relaxed(lock.seq, i) + 1)
    store_release(lock.locked, i, 0)


def read_begin(lock: SeqLock, i: int) -> int:
    seq = load_acquire(lock.seq, i)
    while seq & 1 != 0:
        wait_until(lock.seq, i, NE, seq)
        seq = load_acquire(lock.seq, i)
    return seq


def read_retry(lock: SeqLock, i: int, seq: int) -> bool:
    fence()
    return load_relaxed(lock.seq, i) != seq


def is_free(lock: SeqLock, i: int) -> bool:
    return lock.locked[i] == 0 and lock.seq[i] & 1 == 0
