"""sem_t and pthread_mutex_t: a counter and a flag, each taken by whoever comes, in no order."""

from shmkret.text import address_of, fetch_add, libc, load_acquire, store_release
from tests.litmus import DEADLOCK, RACE, Litmus, X, Y, Z, everywhere


def waits(m, own):
    libc.sem_wait(address_of(m, X))


def posts(m, own):
    libc.sem_post(address_of(m, X))


def waits_reads(m, own):
    libc.sem_wait(address_of(m, X))
    return load_acquire(m, Y)


def stores_posts(m, own):
    store_release(m, Y, 1)
    libc.sem_post(address_of(m, X))


def inside(m, own):
    libc.sem_wait(address_of(m, X))
    others = fetch_add(m, Y, 1)
    fetch_add(m, Y, -1)
    libc.sem_post(address_of(m, X))
    return others


def adds_inside(m, own):
    libc.sem_wait(address_of(m, X))
    m[Y] = m[Y] + 1
    libc.sem_post(address_of(m, X))


def tries(m, own):
    return libc.sem_trywait(address_of(m, X))


def asks(m, own):
    return libc.sem_value(address_of(m, X))


SIGNAL = Litmus((waits_reads, stores_posts), **everywhere({(1,)}, never={(0,), DEADLOCK}))
ONE_FOR_TWO = Litmus((waits, waits, posts), **everywhere({DEADLOCK}))
TWO_FOR_TWO = Litmus((waits, waits, posts, posts), **everywhere({(0,)}, never={DEADLOCK}), final=(X,))
ONE_INSIDE = Litmus((inside, inside), **everywhere({(0, 0)}, never={(0, 1), (1, 0)}), first=(1, 0, 0))
TWO_INSIDE = Litmus((inside, inside), **everywhere({(0, 0), (0, 1), (1, 0)}, never={(1, 1)}), first=(2, 0, 0))
GUARDS = Litmus((adds_inside, adds_inside), **everywhere({(2,)}, never={RACE}), first=(1, 0, 0), final=(Y,))
DOES_NOT_GUARD = Litmus((adds_inside, adds_inside), **everywhere({RACE}), first=(2, 0, 0))
ONE_GETS_IT = Litmus((tries, tries), **everywhere({(0, 1), (1, 0)}, never={(0, 0), (1, 1)}), first=(1, 0, 0))
TRIES_BESIDE_A_POST = Litmus((tries, posts), **everywhere({(0, 1), (1, 0)}), final=(X,))
ITS_VALUE_IS_OF_A_MOMENT = Litmus((asks, posts, waits), **everywhere({(0, 0), (1, 0)}), final=(X,))


def unless(m, own):
    return libc.sem_wait_unless(address_of(m, Y), m)  # the first of the words is X


def gives(m, own):
    libc.sem_post(address_of(m, Y))


def gives_and_tells(m, own):
    libc.sem_post(address_of(m, Y))
    store_release(m, X, 1)


def tells(m, own):
    store_release(m, X, 1)


TOLD = Litmus((unless, tells), **everywhere({(0, 0)}), final=(Y,))
GIVEN = Litmus((unless, gives), **everywhere({(1, 0)}), final=(Y,))
TOLD_THOUGH_GIVEN = Litmus((unless, gives_and_tells), **everywhere({(1, 0), (0, 1)}, never={(0, 0), (1, 1)}), final=(Y,))
THERE_AT_FIRST = Litmus((unless, tells), **everywhere({(1, 0)}), first=(0, 1, 0), final=(Y,))
TOO_MANY = Litmus((gives,), **everywhere({((1 << 31) - 1,)}), first=(0, (1 << 31) - 1, 0), final=(Y,))
"""sem_post(3) fails with EOVERFLOW at SEM_VALUE_MAX, and nobody asks it."""


# Mutexes: 1 is free.


def one_then_other(one, other):
    def code(m, own):
        libc.mutex_lock(address_of(m, one))
        libc.mutex_lock(address_of(m, other))
        m[Z] = m[Z] + 1
        libc.mutex_unlock(address_of(m, other))
        libc.mutex_unlock(address_of(m, one))

    return code


def locks_twice(m, own):
    libc.mutex_lock(address_of(m, X))
    libc.mutex_lock(address_of(m, X))


def tries_mutex(m, own):
    address = address_of(m, X)
    if not libc.mutex_trylock(address):
        return 0
    m[Z] = m[Z] + 1
    libc.mutex_unlock(address)
    return 1


FREE = (1, 1, 0)
SAME_ORDER = Litmus((one_then_other(X, Y),) * 2, **everywhere({(2,)}, never={DEADLOCK, RACE}), first=FREE, final=(Z,))
TWO_ORDERS = Litmus((one_then_other(X, Y), one_then_other(Y, X)), **everywhere({DEADLOCK}), first=FREE)
LOCKED_TWICE = Litmus((locks_twice,), **everywhere({DEADLOCK}), first=FREE)
TRIED = Litmus((tries_mutex,) * 2, **everywhere({(0, 1, 1), (1, 0, 1), (1, 1, 2)}), first=FREE, final=(Z,))
