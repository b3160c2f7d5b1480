"""wait_until() and wait_unless(): who waits sees what is there when it looks, and need not look at every moment."""

from shmkret.text import EQ, NE, exchange, load_acquire, store_release, wait_unless, wait_until
from tests.litmus import DEADLOCK, Litmus, X, Y, everywhere


def waits_for_one(m, own):
    wait_until(m, X, EQ, 1)
    return load_acquire(m, X)


def waits_for_a_change(m, own):
    wait_until(m, X, NE, 0)
    return load_acquire(m, X)


def stores_one(m, own):
    store_release(m, X, 1)


def stores_two(m, own):
    store_release(m, X, 2)


def one_then_two(m, own):
    store_release(m, X, 1)
    store_release(m, X, 2)


def nothing(m, own):
    load_acquire(m, Y)


COMES = Litmus((waits_for_one, stores_one), **everywhere({(1,)}, never={(0,), DEADLOCK}))
ANY_CHANGE = Litmus((waits_for_a_change, one_then_two), **everywhere({(1,), (2,)}, never={(0,), DEADLOCK}))
NEVER_COMES = Litmus((waits_for_one, stores_two), **everywhere({DEADLOCK}))
A_MOMENT_IS_MISSED = Litmus((waits_for_one, one_then_two), **everywhere({DEADLOCK}))
ALONE = Litmus((waits_for_one, nothing), **everywhere({DEADLOCK}))
NOBODY_WRITES = Litmus((waits_for_one,), **everywhere({DEADLOCK}))


def waits_for_its_own(m, own):
    wait_until(own, 0, EQ, 1)


WAITS_FOR_ITSELF = Litmus((waits_for_its_own, nothing), **everywhere({DEADLOCK}))
"""Nobody else writes a private word."""


def crossed(mine, other):
    def code(m, own):
        exchange(m, mine, 1)
        wait_until(m, other, EQ, 0)
        store_release(m, mine, 0)

    return code


def after_you(m, own):
    wait_until(m, Y, EQ, 1)
    store_release(m, X, 1)


def and_you(m, own):
    wait_until(m, X, EQ, 1)
    store_release(m, Y, 1)


CROSSED = Litmus((crossed(X, Y), crossed(Y, X)), **everywhere({DEADLOCK}))
AFTER_YOU = Litmus((after_you, and_you), **everywhere({DEADLOCK}))


# Told to stop. What is right by the time that it is told, need not be had; what was right at first, is.


def unless(m, own):
    return wait_unless(m, Y, EQ, 1, m)  # the first of the words is X


def tells(m, own):
    store_release(m, X, 1)


def gives(m, own):
    store_release(m, Y, 1)


def gives_and_tells(m, own):
    store_release(m, Y, 1)
    store_release(m, X, 1)


def tells_and_gives(m, own):
    store_release(m, X, 1)
    store_release(m, Y, 1)


TOLD = Litmus((unless, tells), **everywhere({(0,)}))
GIVEN = Litmus((unless, gives), **everywhere({(1,)}))
BOTH = Litmus((unless, tells, gives), **everywhere({(0,), (1,)}))
GIVEN_BEFORE = Litmus((unless, tells), **everywhere({(1,)}, never={(0,)}), first=(0, 1, 0))
TOLD_BEFORE = Litmus((unless, gives), **everywhere({(0,), (1,)}), first=(1, 0, 0))
NEITHER = Litmus((unless, nothing), **everywhere({DEADLOCK}))
"""nothing() looks at Y alone."""


def unless_then_looks(m, own):
    had = wait_unless(m, Y, EQ, 1, m)
    return had, load_acquire(m, Y)


TOLD_THOUGH_GIVEN = Litmus((unless_then_looks, gives_and_tells), **everywhere({(1, 1), (0, 1)}, never={(0, 0)}))
"""Given before it is told, and yet (0, 1): it had looked before that."""
TOLD_FIRST = Litmus((unless_then_looks, tells_and_gives), **everywhere({(1, 1), (0, 0), (0, 1)}))


def tells_for_a_moment(m, own):
    store_release(m, X, 1)
    store_release(m, X, 0)
    store_release(m, Y, 1)


TOLD_FOR_A_MOMENT = {
    "WAITER_FIRST": Litmus((unless, tells_for_a_moment), **everywhere({(0,), (1,)})),
    "TELLER_FIRST": Litmus((tells_for_a_moment, unless), **everywhere({(0,), (1,)})),
}
