"""Coherence: all agree on the order in which one word was written. And what changes a word in one step does.

CoRR     x = 1; x = 2        r = x; s = x        s is not older than r
CoWW     x = 1; x = 2                            in the end x is 2
CoWR     x = 1; r = x        x = 2               who has read the other's store has not overwritten it since
CoRW     r = x; x = 1        x = 2               nobody reads what it has yet to store
"""

from itertools import permutations

from shmkret.text import add64, cmpxchg, exchange, fetch_add, load_acquire, load_relaxed, store_relaxed, store_release
from tests.litmus import Litmus, X, everywhere

LARGEST = (1 << 63) - 1


def one_then_two(m, own):
    store_relaxed(m, X, 1)
    store_relaxed(m, X, 2)


def two(m, own):
    store_relaxed(m, X, 2)


def reads_twice(m, own):
    return load_relaxed(m, X), load_relaxed(m, X)


def stores_reads(m, own):
    store_relaxed(m, X, 1)
    return load_relaxed(m, X)


def reads_stores(m, own):
    seen = load_relaxed(m, X)
    store_relaxed(m, X, 1)
    return seen


CORR = Litmus(
    (one_then_two, reads_twice),
    **everywhere({(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)}, never={(1, 0), (2, 0), (2, 1)}),
)
COWW = Litmus((one_then_two,), **everywhere({(2,)}, never={(1,)}), final=(X,))
COWR = Litmus((stores_reads, two), **everywhere({(1, 1), (1, 2), (2, 2)}, never={(2, 1), (0, 1), (0, 2)}), final=(X,))
CORW = Litmus((reads_stores, two), **everywhere({(0, 1), (0, 2), (2, 1)}, never={(1, 1), (1, 2), (2, 2)}), final=(X,))


def exchanges(n):
    return lambda m, own: exchange(m, X, n)


def adds(m, own):
    return fetch_add(m, X, 1)


def claims(n):
    return lambda m, own: cmpxchg(m, X, 0, n)


def adds_by_hand(m, own):
    store_release(m, X, add64(load_acquire(m, X), 1))


def orders(after):
    """Three CPUs do one step each, in every order: what each has found there."""
    found = set()
    for order in permutations(range(3)):
        value, answer = 0, [0, 0, 0]
        for cpu in order:
            answer[cpu], value = value, after(value, cpu)
        found.add((*answer, value))
    return found


THREE_EXCHANGES = Litmus(
    (exchanges(1), exchanges(2), exchanges(3)),
    **everywhere(orders(lambda value, cpu: cpu + 1), never={(0, 0, 0, 3), (2, 1, 0, 3)}),
    final=(X,),
)
THREE_ADD = Litmus((adds, adds, adds), **everywhere(orders(lambda value, cpu: value + 1)), final=(X,))
ONE_CLAIMS = Litmus((claims(1), claims(2), claims(3)), **everywhere(orders(lambda value, cpu: value or cpu + 1)), final=(X,))
ADDS_ARE_LOST = Litmus((adds_by_hand, adds_by_hand), **everywhere({(1,), (2,)}, never={(0,)}), final=(X,))
AN_ADD_WRAPS = Litmus((adds,), **everywhere({(LARGEST, -LARGEST - 1)}), first=(LARGEST, 0, 0), final=(X,))


def fails(m, own):
    return cmpxchg(m, X, 7, 1)


A_CLAIM_FAILS = Litmus((fails,), **everywhere({(0, 0)}), final=(X,))
