"""What CPUs do in the trials of a lock by itself, as the text.

The locks are the other_locks of an arena, of whose probe path nothing runs; what CPUs tell one another stands in script words.

    counters   one a lock, plain, added to in the critical section: two that are inside race on it
    ended      how many CPUs have ended or died; who ends last takes every lock once more, as each CPU in turn
"""

from __future__ import annotations

from shmkret import locks
from shmkret.arena.records import Kernel
from shmkret.text.atomics import (
    EQ,
    NE,
    NIL,
    exchange,
    fetch_add,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
    wait_until,
)
from shmkret.text.libc import OWNER_DIED, REFUSED
from shmkret.text.marks import inline
from shmkret.text.verbs import has_verb

COUNTER, FIRST, SECOND, PARKED, HOLDS, ADDED, ENDED, FATE, FLAW, MET = 0, 8, 16, 24, 40, 56, 72, 73, 74, 75
NR_WORDS = 80
"""Where the script words of each kind begin: counters, two words of a sequence, what CPUs say at the gate, how often each has
added; how many have ended, what became of CPU 0, what a CPU has seen that must not be, whether readers have met."""
TORN, TOLD, NOT_TOLD, NOT_FREE, BOTH = 1, 2, 3, 4, 5
FLAWS = {
    TORN: "a reader has read two words of two times, and need not read again",
    TOLD: "a CPU is told that the owner of a lock died; nobody has",
    NOT_TOLD: "a CPU has a lock in which another died, and is not told",
    NOT_FREE: "a CPU tries for a lock that is free, and does not get it",
    BOTH: "a CPU has got a lock, and another that tries gets it, too",
}
DIED = 2
ORPHAN = 1 << 20


@inline
def turn_of(cpu: int, turn: int, nr_locks: int) -> int:
    """The lock that a CPU takes in a turn."""
    return (cpu + turn) % nr_locks


@inline
def count(k: Kernel, i: int, cpu: int) -> None:
    """The critical section of lock i."""
    k.script.word[COUNTER + i] = k.script.word[COUNTER + i] + 1
    k.script.word[ADDED + cpu] = k.script.word[ADDED + cpu] + 1


@inline
def takes(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """Take, count, release."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        locks.acquire(k.other_locks, i, cpu)
        count(k, i, cpu)
        locks.release(k.other_locks, i, cpu)


@inline
def tries(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """Take what can be had at once."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        if locks.try_acquire(k.other_locks, i, cpu):
            count(k, i, cpu)
            locks.release(k.other_locks, i, cpu)


@inline
def reads(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """Be inside beside other readers."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        locks.acquire_shared(k.other_locks, i, cpu)
        if fetch_add(k.script.word, MET, 1) & 0xFFFF != 0:
            fetch_add(k.script.word, MET, 1 << 16)
        _ = k.script.word[COUNTER + i]
        fetch_add(k.script.word, MET, -1)
        locks.release_shared(k.other_locks, i, cpu)


@inline
def writes_two(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """Write two words that race by design."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        locks.acquire(k.other_locks, i, cpu)
        store_relaxed(k.script.word, FIRST + i, load_relaxed(k.script.word, FIRST + i) + 1)
        store_relaxed(k.script.word, SECOND + i, load_relaxed(k.script.word, SECOND + i) + 1)
        locks.release(k.other_locks, i, cpu)


@inline
def reads_two(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """Read both, until they are of one time."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        again = True
        first = second = 0
        while again:
            begun = locks.read_begin(k.other_locks, i)
            first, second = load_relaxed(k.script.word, FIRST + i), load_relaxed(k.script.word, SECOND + i)
            again = locks.read_retry(k.other_locks, i, begun)
        if first != second:
            store_release(k.script.word, FLAW, TORN)


@inline
def waits(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """Take, unless told to stop."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        if locks.acquire_unless(k.other_locks, i, k.run.gate, cpu):
            count(k, i, cpu)
            locks.release(k.other_locks, i, cpu)


@inline
def parks(k: Kernel, cpu: int) -> None:
    """Until the gate is open. It may close again at once: whoever comes from here looks again."""
    exchange(k.script.word, PARKED + cpu, 1)
    wait_until(k.run.gate, 0, EQ, 0)
    exchange(k.script.word, PARKED + cpu, 0)


@inline
def passes(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """As takes(), where locks may be reset at any time; inside one, the CPU says so and parks."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        while load_acquire(k.run.gate, 0) != 0 or not locks.acquire_unless(k.other_locks, i, k.run.gate, cpu):
            parks(k, cpu)
        count(k, i, cpu)
        store_release(k.script.word, HOLDS + cpu, 1 + i)
        while load_acquire(k.run.gate, 0) != 0:
            parks(k, cpu)
        store_release(k.script.word, HOLDS + cpu, 0)
        _ = k.script.word[COUNTER + i]  # still nobody else's, though all locks may have been made anew
        locks.release(k.other_locks, i, cpu)
    exchange(k.script.word, PARKED + cpu, 1)


@inline
def resets(k: Kernel, cpus: int, nr_slots: int, nr_locks: int) -> None:
    """Close the gate, wait until everybody has parked, reset all locks, open it."""
    exchange(k.run.gate, 0, 1)
    for cpu in range(cpus):
        wait_until(k.script.word, PARKED + cpu, NE, 0)
    if has_verb(k.other_locks, "reset_cpu"):
        for cpu in range(nr_slots):
            locks.reset_cpu(k.other_locks, cpu)
    for i in range(nr_locks):
        owner = NIL
        for cpu in range(cpus):
            if load_acquire(k.script.word, HOLDS + cpu) == 1 + i:
                owner = cpu
        locks.reset(k.other_locks, i, owner)
    exchange(k.run.gate, 0, 0)


@inline
def takes_over(k: Kernel, me: int, nr_locks: int) -> None:
    """Have every lock that CPU 0 had; let go of them, and wake everybody."""
    for i in range(nr_locks):
        if locks.take_over(k.other_locks, i, 0, me):
            count(k, i, me)
            locks.release(k.other_locks, i, me)
        locks.wake_all(k.other_locks, i)


@inline
def counts_robust(k: Kernel, i: int, cpu: int, status: int) -> None:
    """The critical section of who was told, or not, that another died in it: then the counter has the bit ORPHAN."""
    orphan = k.script.word[COUNTER + i] >= ORPHAN
    if status == OWNER_DIED and load_acquire(k.script.word, FATE) != DIED:
        store_release(k.script.word, FLAW, TOLD)
    if status != OWNER_DIED and orphan:
        store_release(k.script.word, FLAW, NOT_TOLD)
    k.script.word[COUNTER + i] = (k.script.word[COUNTER + i] & (ORPHAN - 1)) + ORPHAN
    k.script.word[COUNTER + i] = (k.script.word[COUNTER + i] & (ORPHAN - 1)) + 1
    k.script.word[ADDED + cpu] = k.script.word[ADDED + cpu] + 1
    locks.release(k.other_locks, i, cpu)


@inline
def takes_robust(k: Kernel, cpu: int, rounds: int, nr_locks: int) -> None:
    """Whoever comes next is told."""
    for turn in range(rounds):
        i = turn_of(cpu, turn, nr_locks)
        counts_robust(k, i, cpu, locks.acquire_robust(k.other_locks, i, cpu))


@inline
def tries_robust(k: Kernel, me: int, nr_locks: int) -> None:
    """The recoverer, at the latest."""
    for i in range(nr_locks):
        status = locks.try_acquire_robust(k.other_locks, i, me)
        if status != REFUSED:
            counts_robust(k, i, me, status)


@inline
def once_more(k: Kernel, nr_slots: int, nr_locks: int) -> None:
    """Everybody has ended: each CPU in turn takes each lock, without waiting where it can."""
    for cpu in range(nr_slots):
        for i in range(nr_locks):
            if has_verb(k.other_locks, "try_acquire"):
                if not locks.try_acquire(k.other_locks, i, cpu):
                    store_release(k.script.word, FLAW, NOT_FREE)
                    return  # what nobody has is not released
                if locks.try_acquire(k.other_locks, i, (cpu + 1) % nr_slots):
                    store_release(k.script.word, FLAW, BOTH)
            elif has_verb(k.other_locks, "acquire_robust"):
                if locks.acquire_robust(k.other_locks, i, cpu) == OWNER_DIED:
                    store_release(k.script.word, FLAW, TOLD)
            else:
                locks.acquire(k.other_locks, i, cpu)
            locks.release(k.other_locks, i, cpu)


@inline
def ends(k: Kernel, nr: int, nr_slots: int, nr_locks: int) -> None:
    """A CPU has ended; the last of `nr` uses the locks once more."""
    if fetch_add(k.script.word, ENDED, 1) == nr - 1:
        once_more(k, nr_slots, nr_locks)
