"""Message passing: who has seen the flag has seen the message.

CPU 0        CPU 1
x = 1        r = y
y = 1        s = x        never r = 1 and s = 0
"""

from shmkret.text import NE, fence, load_acquire, load_relaxed, store_relaxed, store_release, wait_until
from tests.litmus import RACE, Litmus, X, Y, ends, everywhere


def sends(m, own):
    store_relaxed(m, X, 1)
    store_release(m, Y, 1)


def receives(m, own):
    return load_acquire(m, Y), load_relaxed(m, X)


def sends_relaxed(m, own):
    store_relaxed(m, X, 1)
    store_relaxed(m, Y, 1)


def receives_relaxed(m, own):
    return load_relaxed(m, Y), load_relaxed(m, X)


def sends_fenced(m, own):
    store_relaxed(m, X, 1)
    fence()
    store_relaxed(m, Y, 1)


def receives_fenced(m, own):
    flag = load_relaxed(m, Y)
    fence()
    return flag, load_relaxed(m, X)


def sends_plain(m, own):
    m[X] = 1
    store_release(m, Y, 1)


def waits_for_it(m, own):
    wait_until(m, Y, NE, 0)
    return m[X]


def looks_early(m, own):
    load_acquire(m, Y)
    return m[X]


def sends_all_plain(m, own):
    m[X] = 1
    m[Y] = 1


def receives_all_plain(m, own):
    return m[Y], m[X]


IN_ORDER, FLAG_ALONE = {(0, 0), (0, 1), (1, 1)}, {(1, 0)}
ORDERED = Litmus((sends, receives), **everywhere(IN_ORDER, never=FLAG_ALONE))
RELAXED = Litmus(
    (sends_relaxed, receives_relaxed),
    sc=ends(IN_ORDER, never=FLAG_ALONE),
    tso=ends(IN_ORDER, never=FLAG_ALONE),
    ra=ends(IN_ORDER | FLAG_ALONE),
)
FENCED = Litmus((sends_fenced, receives_fenced), **everywhere(IN_ORDER, never=FLAG_ALONE))
GUARDED = Litmus((sends_plain, waits_for_it), **everywhere({(1,)}, never={(0,), RACE}))
UNGUARDED = Litmus((sends_plain, looks_early), **everywhere({RACE}))
PLAIN = Litmus((sends_all_plain, receives_all_plain), **everywhere({RACE}))
