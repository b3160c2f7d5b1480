"""futex(2): who sleeps is woken by others, or for no reason; who comes too late for a wake-up has missed it.

CPU 0                        CPU 1
while x == 0:                wake x        the wake-up comes before the store: CPU 0 has looked at x before the one, and
    sleep while x == 0       x = 1         lies down after the other
"""

from shmkret.text import NE, exchange, fetch_add, futex_wait, futex_wake, load_acquire, store_release, wait_until
from tests.litmus import DEADLOCK, EVERYBODY, Litmus, X, Y, ends, everywhere

HIGH = 1 << 32


def sleeps_while_zero(m, own):
    while load_acquire(m, X) == 0:
        futex_wait(m, X, 0)
    return load_acquire(m, X)


def wakes_then_stores(m, own):
    futex_wake(m, X, 1)
    store_release(m, X, 1)


def stores_then_wakes(m, own):
    store_release(m, X, 1)
    futex_wake(m, X, 1)


def stores_high(m, own):
    store_release(m, X, HIGH)
    futex_wake(m, X, 1)


def stores_asleep(m, own):
    store_release(m, X, 1)


def wakes_another_word(m, own):
    store_release(m, X, 1)
    futex_wake(m, Y, 1)


def wakes_without_a_store(m, own):
    futex_wake(m, X, 1)


def sleeps_once(m, own):
    futex_wait(m, X, 0)
    return load_acquire(m, X)


STORE_BEFORE_WAKE = Litmus((sleeps_while_zero, stores_then_wakes), **everywhere({(1,)}, never={DEADLOCK}))
WAKE_BEFORE_STORE = Litmus((sleeps_while_zero, wakes_then_stores), **everywhere({DEADLOCK}))
NO_WAKE = Litmus((sleeps_while_zero, stores_asleep), **everywhere({DEADLOCK}))
ANOTHER_WORD = Litmus((sleeps_while_zero, wakes_another_word), **everywhere({DEADLOCK}))
NOBODY_WRITES = Litmus((sleeps_once, wakes_without_a_store), **everywhere({DEADLOCK}))
"""Neither writes x, and yet it matters who comes first."""
HIGH_HALF = Litmus((sleeps_while_zero, stores_high), **everywhere({DEADLOCK}))
"""The kernel looks at the low 32 bits of the word ..."""


def sleeps_on_high(m, own):
    futex_wait(m, X, HIGH)


def sleeps_on_one(m, own):
    futex_wait(m, X, HIGH + 1)


HIGH_VALUE = Litmus((sleeps_on_high,), **everywhere({DEADLOCK}))
ANOTHER_VALUE = Litmus((sleeps_on_one,), **everywhere({()}, never={DEADLOCK}))
"""... and of the value."""


def works(m, own):
    store_release(m, Y, 1)
    store_release(m, Y, 2)


FOR_NO_REASON = Litmus((sleeps_once, stores_then_wakes), **everywhere({(0,), (1,)}))
ONLY_WOKEN = Litmus(
    (sleeps_once, stores_then_wakes), **{**everywhere({(1,)}, never={(0,)}), "ra": ends({(1,)}, may={(0,)})}, wakes=0
)
"""futex(2) does not promise that who is woken sees what the waker has stored."""
NO_WAY_OUT = Litmus((sleeps_once, works), **everywhere({DEADLOCK}))
"""That a wait may end for no reason helps nobody out of a deadlock, nor while others go on."""
NOBODY_THERE = Litmus((sleeps_once,), **everywhere({DEADLOCK}))


def stores_and_wakes_both(m, own):
    store_release(m, X, 1)
    futex_wake(m, X, 2)


ONE_OF_TWO = Litmus((sleeps_once, sleeps_once, stores_then_wakes), **everywhere({DEADLOCK}))
"""Both may sleep, and one alone is woken."""
TWO_FOR_NO_REASON = Litmus(
    (sleeps_once, sleeps_once, stores_and_wakes_both),
    **{**everywhere({(0, 1), (1, 0), (1, 1)}, never={(0, 0)}), "ra": ends({(0, 1), (1, 0), (1, 1)}, may={(0, 0)})},
)
"""One wait a run may end for no reason, unless it is granted more."""
TWO_GRANTED = Litmus((sleeps_once, sleeps_once, stores_and_wakes_both), **everywhere({(0, 1), (1, 0), (1, 1), (0, 0)}), wakes=2)


# Two that say that they come, and one that wakes one of them: which, is the kernel's business.


def comes(m, own):
    seen = load_acquire(m, X)
    fetch_add(m, Y, 1)
    futex_wait(m, X, seen)


def comes_and_wakes(m, own):
    comes(m, own)
    futex_wake(m, X, 1)


def wakes(how_many):
    def code(m, own):
        wait_until(m, Y, NE, 0)
        wait_until(m, Y, NE, 1)
        fetch_add(m, X, 1)
        futex_wake(m, X, how_many)

    return code


IN_TURN = Litmus((comes_and_wakes, comes_and_wakes, wakes(1)), **everywhere({()}, never={DEADLOCK}))
THE_FIRST_MAY_BE_WOKEN = Litmus((comes, comes_and_wakes, wakes(1)), **everywhere({DEADLOCK}))
THE_SECOND_MAY_BE_WOKEN = Litmus((comes_and_wakes, comes, wakes(1)), **everywhere({DEADLOCK}))
ALL = Litmus((comes, comes, wakes(EVERYBODY)), **everywhere({()}, never={DEADLOCK}))
TWO = Litmus((comes, comes, wakes(2)), **everywhere({()}, never={DEADLOCK}))
ASKED_FOR_NONE = Litmus((comes_and_wakes, comes_and_wakes, wakes(0)), **everywhere({()}, never={DEADLOCK}))
"""It wakes one: it counts who it has woken before it asks whether that is enough ..."""
ASKED_FOR_LESS = Litmus((comes, comes, wakes(-1)), **everywhere({DEADLOCK}))
"""... and no more than that."""
AN_INT_OF_ONE = Litmus((comes, comes, wakes(2 * HIGH + 1)), **everywhere({DEADLOCK}))
A_C_INT = Litmus((comes, comes, wakes(HIGH + 2)), **everywhere({()}, never={DEADLOCK}))


# Who sleeps on one word is not woken on another.


def sleeps_on(word):
    def code(m, own):
        futex_wait(m, word, 0)

    return code


def wakes_on_both(m, own):
    for word in (X, Y):
        store_release(m, word, 1)
        futex_wake(m, word, 1)


TWO_BEDS = Litmus((sleeps_on(X), sleeps_on(Y), wakes_on_both), **everywhere({()}, never={DEADLOCK}))


# Of two ways to the same place one has used up the wait that may end for no reason.


def sleeps_twice(m, own):
    futex_wait(m, X, 0)
    futex_wait(m, Y, 0)
    return load_acquire(m, X), load_acquire(m, Y)


def wakes_too_early_and_again(m, own):
    futex_wake(m, X, 1)
    wakes_on_both(m, own)


USED_UP = Litmus((wakes_too_early_and_again, sleeps_twice), **everywhere({(0, 0), (0, 1), (1, 0), (1, 1)}))
"""0, 0: it was woken early, and its second wait ended for no reason."""


# Mutex 2 of U. Drepper's "Futexes Are Tricky": 0 free, 1 held, 2 held and somebody may sleep; and with one thing left out.


def locks(m, says=2):
    seen = exchange(m, X, 1)
    if seen != 0:
        seen = exchange(m, X, says)
    while seen != 0:
        futex_wait(m, X, says)
        seen = exchange(m, X, says)


def adds_and_wakes(m, own):
    locks(m)
    m[Y] = m[Y] + 1
    if exchange(m, X, 0) == 2:
        futex_wake(m, X, 1)


def adds_and_leaves(m, own):
    locks(m)
    m[Y] = m[Y] + 1
    exchange(m, X, 0)


def sleeps_in_silence(m, own):
    locks(m, says=1)
    m[Y] = m[Y] + 1
    if exchange(m, X, 0) == 2:
        futex_wake(m, X, 1)


MUTEX = Litmus((adds_and_wakes,) * 2, **everywhere({(2,)}, never={DEADLOCK}), final=(Y,))
NEVER_WAKES = Litmus((adds_and_leaves,) * 2, **everywhere({DEADLOCK}))
NOT_SAID_TO_SLEEP = Litmus((sleeps_in_silence,) * 2, **everywhere({DEADLOCK}))
