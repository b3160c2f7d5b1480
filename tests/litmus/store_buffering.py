"""Store buffering: each stores, and then looks at what the other stores (Dekker's and Peterson's locks).

CPU 0        CPU 1
x = 1        y = 1
r = y        s = x        r = s = 0: neither has seen the other. x86 does that, unless there is a fence between
"""

from shmkret.text import exchange, fence, load_acquire, store_release
from tests.litmus import Litmus, X, Y, ends, everywhere


def left(m, own):
    store_release(m, X, 1)
    return load_acquire(m, Y)


def right(m, own):
    store_release(m, Y, 1)
    return load_acquire(m, X)


def left_fenced(m, own):
    store_release(m, X, 1)
    fence()
    return load_acquire(m, Y)


def right_fenced(m, own):
    store_release(m, Y, 1)
    fence()
    return load_acquire(m, X)


def left_exchanges(m, own):
    exchange(m, X, 1)
    return load_acquire(m, Y)


def right_exchanges(m, own):
    exchange(m, Y, 1)
    return load_acquire(m, X)


def left_owns(m, own):
    store_release(m, X, 1)
    return load_acquire(m, X), load_acquire(m, Y)


def right_owns(m, own):
    store_release(m, Y, 1)
    return load_acquire(m, Y), load_acquire(m, X)


ONE_SEES, NEITHER = {(0, 1), (1, 0), (1, 1)}, {(0, 0)}
BARE = Litmus((left, right), sc=ends(ONE_SEES, never=NEITHER), tso=ends(ONE_SEES | NEITHER), ra=ends(ONE_SEES | NEITHER))
FENCED = Litmus((left_fenced, right_fenced), **everywhere(ONE_SEES, never=NEITHER))
EXCHANGED = Litmus((left_exchanges, right_exchanges), sc=ends(ONE_SEES, never=NEITHER), tso=ends(ONE_SEES, never=NEITHER))
HALF_FENCED = Litmus(
    (left_fenced, right), sc=ends(ONE_SEES, never=NEITHER), tso=ends(ONE_SEES | NEITHER), ra=ends(ONE_SEES | NEITHER)
)
OWN_STORE_IS_SEEN = Litmus(
    (left_owns, right_owns),
    sc=ends({(1, 0, 1, 1), (1, 1, 1, 0), (1, 1, 1, 1)}, never={(1, 0, 1, 0)}),
    tso=ends({(1, 0, 1, 1), (1, 1, 1, 0), (1, 1, 1, 1), (1, 0, 1, 0)}),
    ra=ends({(1, 0, 1, 1), (1, 1, 1, 0), (1, 1, 1, 1), (1, 0, 1, 0)}),
)
