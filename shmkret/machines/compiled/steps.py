"""The steps of a search: what each access to a watched word is, by a number, and the hook that does it.

kind = 4 * what it is + PLAIN + WRITES
"""

from __future__ import annotations

from typing import NamedTuple

WRITES, PLAIN = 1, 2
NAMES = (
    "", "load", "store", "load_relaxed", "store_relaxed", "load_acquire", "store_release", "exchange", "fetch_add", "cmpxchg",
    "fence", "sem_post", "sem_trywait", "sem_reset", "mutex_init", "mutex_unlock", "mutex_trylock", "futex_wait", "futex_wake",
    "sem_post, waking", "mutex_unlock, waking",
    "wait_until ==", "wait_until !=", "wait_unless ==", "wait_unless !=", "sem_wait", "sem_wait_unless", "mutex_lock",
    "mutex_lock_unless", "asleep", "asleep in sem_wait", "asleep in mutex_lock", "done", "dead", "stopped",
    "stopped, asleep", "broken",
)  # fmt: skip
"""What a step is called in a schedule, by its number: from wait_until on those that may not be possible, from done on what is
no step.
"""


def kind_of(name: str, *, writes: bool = False, plain: bool = False) -> int:
    """The number of a kind of step."""
    return 4 * NAMES.index(name) + (WRITES if writes else 0) + (PLAIN if plain else 0)


LOAD, STORE = kind_of("load", plain=True), kind_of("store", writes=True, plain=True)
EXCHANGE, FETCH_ADD, CMPXCHG = (kind_of(name, writes=True) for name in ("exchange", "fetch_add", "cmpxchg"))
FENCE = kind_of("fence")
WAIT_EQUAL, WAIT_NOT_EQUAL = kind_of("wait_until =="), kind_of("wait_until !=")
WAIT_EQUAL_UNLESS, WAIT_NOT_EQUAL_UNLESS = kind_of("wait_unless =="), kind_of("wait_unless !=")
SEM_WAIT, SEM_POST, SEM_TRYWAIT = (kind_of(name, writes=True) for name in ("sem_wait", "sem_post", "sem_trywait"))
SEM_WAIT_UNLESS, SEM_RESET = kind_of("sem_wait_unless", writes=True), kind_of("sem_reset", writes=True)
MUTEX_INIT = kind_of("mutex_init", writes=True, plain=True)
MUTEX_LOCK, MUTEX_UNLOCK = kind_of("mutex_lock", writes=True), kind_of("mutex_unlock", writes=True)
MUTEX_TRYLOCK, MUTEX_LOCK_UNLESS = kind_of("mutex_trylock", writes=True), kind_of("mutex_lock_unless", writes=True)
FUTEX_WAIT, ASLEEP, FUTEX_WAKE = kind_of("futex_wait"), kind_of("asleep"), kind_of("futex_wake")
SEM_WAKES, MUTEX_WAKES = kind_of("sem_post, waking", writes=True), kind_of("mutex_unlock, waking", writes=True)
ASLEEP_IN_SEM, ASLEEP_IN_MUTEX = kind_of("asleep in sem_wait", writes=True), kind_of("asleep in mutex_lock", writes=True)
DONE, DEAD, STOPPED, BROKEN = (kind_of(name) for name in ("done", "dead", "stopped", "broken"))
STOPPED_ASLEEP = kind_of("stopped, asleep")
"""Who has stopped as it slept on a futex, of which libc knows nothing."""


class Access(NamedTuple):
    """What the compiled text calls in place of an access: a hook, and the kind that it is told."""

    hook: str
    kind: int


ACCESSES = {
    "getitem": Access("load", LOAD),
    "setitem": Access("store", STORE),
    "load_relaxed": Access("load", kind_of("load_relaxed")),
    "store_relaxed": Access("store", kind_of("store_relaxed", writes=True)),
    "load_acquire": Access("load", kind_of("load_acquire")),
    "store_release": Access("store", kind_of("store_release", writes=True)),
    "store_ordered": Access("store", kind_of("store_release", writes=True)),
    "exchange": Access("exchange", EXCHANGE),
    "fetch_add": Access("fetch_add", FETCH_ADD),
    "cmpxchg": Access("cmpxchg", CMPXCHG),
    "wait_equal": Access("wait", WAIT_EQUAL),
    "wait_not_equal": Access("wait", WAIT_NOT_EQUAL),
    "wait_equal_unless": Access("wait_unless", WAIT_EQUAL_UNLESS),
    "sem_wait_unless": Access("sem_wait_unless", SEM_WAIT_UNLESS),
    "mutex_lock_unless": Access("mutex_lock_unless", MUTEX_LOCK_UNLESS),
    "fence": Access("fence", FENCE),
    "finished": Access("finished", DONE),
    "wait_not_equal_unless": Access("wait_unless", WAIT_NOT_EQUAL_UNLESS),
}
"""By the name of the access in the text."""

LIBC = {
    "sem_wait": 1, "sem_post": 1, "sem_trywait": 1, "sem_clockwait": 3, "sem_init": 3,
    "pthread_mutex_lock": 1, "pthread_mutex_unlock": 1, "pthread_mutex_trylock": 1, "pthread_mutex_clocklock": 3,
    "pthread_mutex_init": 2, "pthread_mutex_consistent": 1, "pthread_mutexattr_init": 1, "pthread_mutexattr_setpshared": 2,
    "clock_gettime": 2, "usleep": 1, "syscall": 7, "kill": 2,
}  # fmt: skip
"""The functions of libc that compiled text calls, and how many arguments each has. In a search, models stand for them."""
NOT_SEARCHED = ("_Fork", "_exit", "prctl", "getpid", "getppid")
"""Others that it calls, of which a search has no model."""
