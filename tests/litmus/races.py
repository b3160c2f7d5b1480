"""A plain access beside another's, one of the two writing, is a data race under every model; what is ordered is none."""

from shmkret.text import (
    EQ,
    NE,
    address_of,
    cmpxchg,
    exchange,
    fetch_add,
    futex_wait,
    libc,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
    wait_unless,
    wait_until,
)
from tests.litmus import PRIVATE, RACE, Litmus, X, Y, everywhere


def reads(m, own):
    _ = m[X]


def writes(m, own):
    m[X] = 1


ATOMIC_WRITES = {
    "RELEASE": lambda m, own: store_release(m, X, 1),
    "RELAXED": lambda m, own: store_relaxed(m, X, 1),
    "EXCHANGE": lambda m, own: exchange(m, X, 1) and None,
    "ADD": lambda m, own: fetch_add(m, X, 1) and None,
    "CMPXCHG": lambda m, own: cmpxchg(m, X, 0, 1) and None,
    "SEMAPHORE": lambda m, own: libc.sem_post(address_of(m, X)),
}
ATOMIC_READS = {
    "LOAD": lambda m, own: load_acquire(m, X) and None,
    "LOAD_RELAXED": lambda m, own: load_relaxed(m, X) and None,
    "WAIT": lambda m, own: wait_until(m, X, EQ, 1),
    "SLEEP": lambda m, own: futex_wait(m, X, 1),
    "STOPPED": lambda m, own: wait_unless(m, Y, NE, 0, m) and None,
}
"""The last looks at X as its stop word."""

PLAIN_WRITE_BESIDE = {
    name: Litmus((writes, code), **everywhere({RACE})) for name, code in (ATOMIC_WRITES | ATOMIC_READS).items()
}
PLAIN_READ_BESIDE = {name: Litmus((reads, code), **everywhere({RACE})) for name, code in ATOMIC_WRITES.items()}
TWO_WRITE = Litmus((writes, writes), **everywhere({RACE}))
ONE_READS = Litmus((reads, writes), **everywhere({RACE}))
ONE_READS_LATER = Litmus((lambda m, own: reads(m, own) or store_release(m, Y, 1), writes), **everywhere({RACE}))

# No races: nobody writes, nobody is plain, or one comes after the other.


def reads_plainly(m, own):
    return m[X]


def hands_over(m, own):
    m[X] = 1
    store_release(m, Y, 1)


def takes_over(m, own):
    wait_until(m, Y, EQ, 1)
    m[X] = m[X] + 1


def under_lock(m, own):
    while exchange(m, Y, 1) != 0:
        wait_until(m, Y, EQ, 0)
    m[X] = m[X] + 1
    store_release(m, Y, 0)


TWO_READ = Litmus((reads_plainly, reads_plainly), **everywhere({(0, 0)}))
READS_BESIDE_A_LOAD = Litmus((reads_plainly, lambda m, own: load_acquire(m, X)), **everywhere({(0, 0)}))
ATOMICS = Litmus(
    (lambda m, own: store_relaxed(m, X, 1), lambda m, own: load_relaxed(m, X)), **everywhere({(0,), (1,)}, never={RACE})
)
HANDED_OVER = Litmus((hands_over, takes_over), **everywhere({(2,)}, never={RACE}), final=(X,))
LOCKED = Litmus((under_lock, under_lock), **everywhere({(2,)}, never={RACE}), final=(X,))
OTHER_WORDS = Litmus((writes, lambda m, own: m.__setitem__(Y, 1)), **everywhere({(1, 1)}, never={RACE}), final=(X, Y))


# A private word is no scheduling point, and so nobody else may have anything to do with it.


def writes_own(m, own):
    own[0] = 1


def reads_own(m, own):
    _ = own[0]


TWO_WRITE_A_PRIVATE_WORD = Litmus((writes_own, writes_own), **everywhere({PRIVATE}))
ONE_READS_A_PRIVATE_WORD = Litmus((writes_own, reads_own), **everywhere({PRIVATE}))
TWO_READ_A_PRIVATE_WORD = Litmus((reads_own, reads_own), **everywhere({()}, never={PRIVATE}))
