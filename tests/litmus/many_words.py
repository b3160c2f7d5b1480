"""Load buffering, independent reads of independent writes, and other orders between several words.

LB       r = x; y = 1        s = y; x = 1                                r = s = 1: what has not been done was seen
IRIW     x = 1    y = 1      r = x; s = y        t = y; u = x            r,s = t,u = 1,0: two see two orders
WRC      x = 1               r = x; y = r        s = y; t = x            s = 1 and t = 0: hearsay without the fact
2+2W     x = 1; y = 2        y = 1; x = 2                                x = y = 1: the first store of each came last
"""

from shmkret.text import load_acquire, load_relaxed, store_relaxed, store_release
from tests.litmus import Litmus, X, Y, ends, everywhere


def loads_x_stores_y(m, own):
    seen = load_relaxed(m, X)
    store_relaxed(m, Y, 1)
    return seen


def loads_y_stores_x(m, own):
    seen = load_relaxed(m, Y)
    store_relaxed(m, X, 1)
    return seen


def stores_x(m, own):
    store_release(m, X, 1)


def stores_y(m, own):
    store_release(m, Y, 1)


def reads_x_y(m, own):
    return load_acquire(m, X), load_acquire(m, Y)


def reads_y_x(m, own):
    return load_acquire(m, Y), load_acquire(m, X)


def passes_on(m, own):
    seen = load_acquire(m, X)
    store_release(m, Y, seen)
    return seen


def one_two(m, own):
    store_release(m, X, 1)
    store_release(m, Y, 2)


def one_two_back(m, own):
    store_release(m, Y, 1)
    store_release(m, X, 2)


BOTH = [(0, 0), (0, 1), (1, 0), (1, 1)]
TWO_ORDERS = {(1, 0, 1, 0)}
ONE_ORDER = {(*one, *other) for one in BOTH for other in BOTH} - TWO_ORDERS
LB = Litmus(
    (loads_x_stores_y, loads_y_stores_x),
    sc=ends({(0, 0), (0, 1), (1, 0)}, never={(1, 1)}),
    tso=ends({(0, 0), (0, 1), (1, 0)}, never={(1, 1)}),
    ra=ends({(0, 0), (0, 1), (1, 0)}, may={(1, 1)}),
)
IRIW = Litmus(
    (stores_x, stores_y, reads_x_y, reads_y_x),
    sc=ends(ONE_ORDER, never=TWO_ORDERS),
    tso=ends(ONE_ORDER, never=TWO_ORDERS),
    ra=ends(ONE_ORDER, may=TWO_ORDERS),
)
WRC = Litmus(
    (stores_x, passes_on, reads_y_x),
    **everywhere({(0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 0, 1), (1, 1, 1)}, never={(1, 1, 0)}),
)
W22 = Litmus(
    (one_two, one_two_back),
    sc=ends({(1, 2), (2, 1), (2, 2)}, never={(1, 1)}),
    tso=ends({(1, 2), (2, 1), (2, 2)}, never={(1, 1)}),
    ra=ends({(1, 2), (2, 1), (2, 2)}, may={(1, 1)}),
    final=(X, Y),
)
