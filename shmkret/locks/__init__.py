"""Inter-process locks, one a file.

A file defines one NamedTuple class, whose fields are the words of a lock, and these functions on it. `lock` is the array of
all locks of a run, `i` the one meant:

    acquire(lock, i)      take it, waiting
    release(lock, i)      give it back; only its holder calls this
    init(lock, i)         optional: make it free, where all zeros is not free
    is_free(lock, i)      optional, outside the text: whether nobody holds it; asked when every CPU has stopped

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

A field is one word. Padding goes around the whole lock, not between its words, and the verbs are not told which CPU calls them:
queue locks with a node a CPU do not fit in yet.

Optional in the file: SIZE, the bytes of a lock whose words libc owns; CONTROL = True, for a lock that must fail.
"""

from __future__ import annotations

from typing import Any

from shmkret.text import generic


@generic
def acquire(lock: Any, i: int) -> None:
    """Take lock `i`, waiting until it is free."""
    raise NotImplementedError


@generic
def release(lock: Any, i: int) -> None:
    """Give lock `i` back; only its holder calls this."""
    raise NotImplementedError
