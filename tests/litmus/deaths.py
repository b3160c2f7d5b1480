"""SIGKILL before any step: what was done stays done, what was not is not; nothing is tidied up.

CPU 0, which may die     CPU 1, when it is dead
x = 1                    r = x
y = 1                    s = y         1, 0: it died between the two stores
"""

from itertools import permutations

from shmkret.text import EQ, NE, address_of, futex_wait, futex_wake, libc, load_acquire, store_release, wait_until
from tests.litmus import DEAD, DEADLOCK, Litmus, X, Y, Z, everywhere


def two_stores(m, own):
    store_release(m, X, 1)
    store_release(m, Y, 1)


def tells(m, cpu):
    store_release(m, Z, 1)


def looks_at_the_dead(m, own):
    wait_until(m, Z, EQ, 1)
    return load_acquire(m, X), load_acquire(m, Y)


def two_stores_and_tells(m, own):
    two_stores(m, own)
    store_release(m, Z, 1)


def looks(m, own):
    return load_acquire(m, Y), load_acquire(m, X)


BETWEEN = Litmus(
    (two_stores_and_tells, looks_at_the_dead),
    **everywhere({(1, 1), (DEAD, 0, 0), (DEAD, 1, 0), (DEAD, 1, 1)}, never={(DEAD, 0, 1), (0, 0), (1, 0)}),
    mortal=(0,),
    announce=tells,
)
SEEN_BY_WHO_DOES_NOT_ASK = Litmus(
    (two_stores, looks),
    **everywhere({(0, 0), (0, 1), (1, 1), (DEAD, 0, 0), (DEAD, 0, 1)}, never={(DEAD, 1, 1)}),
    mortal=(0,),
)
"""Who has done all that it does, cannot die before any of it."""
NOBODY_TELLS = Litmus((two_stores_and_tells, looks_at_the_dead), **everywhere({DEADLOCK}), mortal=(0,))
EITHER_DIES = Litmus(
    (two_stores, looks),
    **everywhere({(0, 0), (0, 1), (1, 1), (DEAD, 0, 0), (DEAD, 0, 1), (DEAD,)}, never={(DEAD, DEAD)}),
    mortal=(0, 1),
)
BOTH_DIE = Litmus(
    (two_stores, two_stores),
    **everywhere(
        {(1, 1), (DEAD, 1, 1), (DEAD, DEAD, 0, 0), (DEAD, DEAD, 1, 0)}, never={(DEAD, DEAD, 0, 1), (DEAD, DEAD, 1, 1)}
    ),
    mortal=(0, 1),
    deaths=2,
    final=(X, Y),
)


def tidies_up(m, own):
    try:
        store_release(m, X, 1)
        store_release(m, Y, 1)
    finally:
        store_release(m, X, 0)


NOTHING_IS_TIDIED_UP = Litmus(
    (tidies_up,), **everywhere({(0, 1), (DEAD, 0, 0), (DEAD, 1, 0), (DEAD, 1, 1)}), mortal=(0,), final=(X, Y)
)


def uses_its_own(m, own):
    own[0] = 1
    store_release(m, X, 1)
    own[0] = 2
    store_release(m, Z, 2)


def heir(m, own):
    wait_until(m, Z, NE, 0)
    return own[0] if load_acquire(m, Z) == 1 else 0


ITS_OWN_IS_LEFT = Litmus((uses_its_own, heir), **everywhere({(0,), (DEAD, 1), (DEAD, 2)}), mortal=(0,), announce=tells)


# A sleeper that dies is not woken, and takes no wake-up from another that sleeps.


def sleeps(m, own):
    futex_wait(m, X, 0)


def wakes_one_when_one_is_dead(m, own):
    wait_until(m, Z, EQ, 1)
    store_release(m, X, 1)
    futex_wake(m, X, 1)


THE_DEAD_ARE_NOT_WOKEN = Litmus(
    (sleeps, sleeps, wakes_one_when_one_is_dead), **everywhere({DEADLOCK}), mortal=(0,), announce=tells
)


# libc's own: who gives back a semaphore or a mutex, and dies before it wakes; who is woken, and dies before it takes anything.


def waits(m, own):
    libc.sem_wait(address_of(m, X))


def posts(m, own):
    libc.sem_post(address_of(m, X))


def locks(m, own):
    libc.mutex_lock(address_of(m, X))
    libc.mutex_unlock(address_of(m, X))


def gives_it_back(m, own):
    """What CPU 0 does with what it has, or has from the start."""
    libc.sem_post(address_of(m, X))
    store_release(m, Z, 2)


def takes_and_gives_it_back(m, own):
    libc.sem_wait(address_of(m, X))
    gives_it_back(m, own)


def waits_and_says_so(m, own):
    libc.sem_wait(address_of(m, X))
    store_release(m, Y, 1)


def gives_for_the_dead(m, own):
    """If the dead have not given it back, as it seems."""
    wait_until(m, Z, NE, 0)
    if load_acquire(m, Z) == 1 and load_acquire(m, Y) == 0 and libc.sem_value(address_of(m, X)) == 0:
        libc.sem_post(address_of(m, X))


POSTED_AND_NOT_WOKEN = Litmus(
    (gives_it_back, waits_and_says_so, gives_for_the_dead), **everywhere({DEADLOCK}), mortal=(0,), announce=tells
)
"""The count is 1, and one sleeps."""
WOKEN_AND_DEAD = Litmus(
    (takes_and_gives_it_back, waits_and_says_so, gives_for_the_dead, posts),
    **everywhere({DEADLOCK}),
    mortal=(0,),
    announce=tells,
)
POSTED_TO_ONE_WHO_LIVES = Litmus((waits, posts), **everywhere({(0,), (DEAD, 1)}, never={(DEAD, 0)}), mortal=(0,), final=(X,))


def unlocks(m, own):
    libc.mutex_unlock(address_of(m, X))
    store_release(m, Z, 2)


def locks_and_says_so(m, own):
    libc.mutex_lock(address_of(m, X))
    store_release(m, Y, 1)


def unlocks_for_the_dead(m, own):
    wait_until(m, Z, NE, 0)
    if load_acquire(m, Z) == 1 and load_acquire(m, Y) == 0 and not libc.mutex_is_free(address_of(m, X)):
        libc.mutex_unlock(address_of(m, X))


UNLOCKED_AND_NOT_WOKEN = Litmus(
    (unlocks, locks_and_says_so, unlocks_for_the_dead), **everywhere({DEADLOCK}), mortal=(0,), announce=tells
)
"""CPU 0 has the mutex from the start."""
A_MUTEX_WITHOUT_DEATHS = Litmus((locks,) * 3, **everywhere({(1,)}, never={DEADLOCK}), first=(1, 0, 0), final=(X,))


def keeps_what_it_reads(m, own):
    own[0] = 1 + load_acquire(m, X)
    store_release(m, Z, 2)


def stores_x(m, own):
    store_release(m, X, 1)


WHAT_IT_HAD_WRITTEN = Litmus(
    (keeps_what_it_reads, heir, stores_x), **everywhere({(0,), (DEAD, 0), (DEAD, 1), (DEAD, 2)}), mortal=(0,), announce=tells
)


# What the dead had touched is part of the state. Only if CPU `reader` had read its own word, is the heir's read of it a step.


def reader(m, own):
    if load_acquire(m, X) == 1:
        _ = own[0]
        load_acquire(m, Y)
    store_release(m, Z, 2)


def heir_of_the_reader(m, own):
    wait_until(m, Z, NE, 0)
    if load_acquire(m, Z) == 1:
        _ = own[0]
        seen = load_acquire(m, X)
        wait_until(m, Y, EQ, 1)
        return seen
    return None


WHAT_IT_HAD_READ = {
    "-".join(code.__name__ for code in cpus): Litmus(
        cpus,
        **everywhere(
            {(), (DEAD, 0), (DEAD, 1)} if cpus.index(reader) < cpus.index(heir_of_the_reader) else {(), (0, DEAD), (1, DEAD)}
        ),
        mortal=(cpus.index(reader),),
        announce=tells,
    )
    for cpus in permutations((reader, heir_of_the_reader, two_stores))
}
