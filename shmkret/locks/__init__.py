"""Inter-process locks, one a file.

A file defines one NamedTuple class, whose fields are the words of a lock, and these functions on it. `lock` is the array of
all locks of a run, `i` the one meant:

    acquire(lock, i)      take it, waiting; or acquire(lock, i, cpu), for a lock that asks who comes
    release(lock, i)      give it back; only its holder calls this
    init(lock, i)         optional: make it free, where all zeros is not free
    is_free(lock, i)      optional, outside the text: whether nobody holds it; asked when every CPU has stopped
    holder(lock, i)       optional, outside the text: the CPU that holds it, or -1 where its words do not say

What a lock can use, from shmkret.atomics (i: the index of the lock):

    words[i], words[i] = v              plain: only for words that the lock itself protects
    load_acquire(words, i)              the word
    store_release(words, i, v)          nothing
    exchange(words, i, v)               what the word held
    fetch_add(words, i, v)              what it held
    cmpxchg(words, i, old, new)         what it held: it was written if that is `old`
    wait_until(words, i, EQ, v)         nothing, once words[i] == v; NE waits until it is not
    delay_ns(ns)                        nothing, after being busy for that long, to some 20 ns: for backoff

Wait with wait_until(): a loop that spins by itself has no end under the scheduler that rehearses a lock.

A field is one word. Padding goes around the whole lock, not between its words: queue locks with a node a CPU do not fit in yet.

What a lock must have so that others survive the death of its holder (`--recoverable`); RECOVERY in the file says which way:

    "gate"      acquire_unless(lock, i, stop) -> bool   take it; or let go of it and return False once stop[0] is not 0
                reset(lock, i, held)                    every waiter has let go: make it held, or free
    "owner"     acquire_unless(lock, i, stop, cpu)      the same, for the CPU that asks
                take_over(lock, i, dead, cpu) -> bool   if CPU `dead` has it: now `cpu` has it
                wake_all(lock, i)                       let everybody who sleeps look again
    "robust"    acquire_robust(lock, i, cpu) -> int     0; or OWNER_DIED (shmkret.libc): its holder died, it is ours
                try_acquire_robust(lock, i, cpu) -> int the same without waiting; REFUSED when a live CPU has it

    "gate", "owner"  optional:
                try_acquire(lock, i, cpu) -> bool       take it if that needs no waiting, and else leave it; without it, every
                                                        acquire of a recoverable run goes the long way

Optional in the file: SIZE, the bytes of a lock whose words libc owns; CONTROL = True, for a lock that must fail.
ATTACHABLE = False: its words mean something to the process that made it and its children alone; `shmkret inspect` asks it not.
"""

from __future__ import annotations

from typing import Any

from shmkret.text.verbs import generic, optional


@generic
def acquire(lock: Any, i: int, cpu: int) -> None:
    """Take lock `i`, waiting until it is free; `cpu` asks for it."""
    raise NotImplementedError


@generic
def release(lock: Any, i: int) -> None:
    """Give lock `i` back; only its holder calls this."""
    raise NotImplementedError


@optional
def try_acquire(lock: Any, i: int, cpu: int) -> bool:
    """Take lock `i` if that needs no waiting."""
    return False


@optional
def acquire_unless(lock: Any, i: int, stop: Any, cpu: int) -> bool:
    """Take lock `i`, or let go of it and return False once `stop[0]` is not 0."""
    return True


@optional
def reset(lock: Any, i: int, held: bool) -> None:
    """No CPU is inside acquire_unless() or release(), and whoever waited has let go: make the lock held, or free."""


@optional
def take_over(lock: Any, i: int, dead: int, cpu: int) -> bool:
    """If CPU `dead` has lock `i`, then `cpu` has it now, and the answer is True."""
    return True


@optional
def wake_all(lock: Any, i: int) -> None:
    """Let everybody who sleeps on lock `i` look again."""


@optional
def acquire_robust(lock: Any, i: int, cpu: int) -> int:
    """Take lock `i`. Returns 0, or OWNER_DIED: its holder died in it."""
    return 0


@optional
def try_acquire_robust(lock: Any, i: int, cpu: int) -> int:
    """As acquire_robust(), without waiting: REFUSED when a live CPU has it."""
    return 0
