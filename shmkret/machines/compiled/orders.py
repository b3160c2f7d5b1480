"""In which order locks are taken: what a CPU has as it takes another, waiting for it; and whether that goes round.

    a pair      lock a was held by who took lock b: a comes before b
    the table   count; the first word of each lock, by its number; room to search in; whether there are more locks than it has
                room for; a word for each pair of numbers, 0 or 1

Waits     who tries makes no pair, nor who is given a lock by a repair; nor do readers, who are let in beside one another
Circle    found as the pair is noted that closes it. It is a deadlock that may be: a lock that is always held around both, or a
          word that keeps them apart, may prevent it
State     in a search of all states pairs are of the whole search, and of no state: one is enough wherever it was seen. Else
          they are of the path, part of its state, and taken back; then a schedule shows the whole circle
Limits    the first MOST_LOCKS locks that are taken are followed; a search in which there are more is bounded by that
"""

from __future__ import annotations

from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import ARENA, CONTROL, HOLDERS, OF_PATH, ORDERS, OUT_OF_ORDER, give_up, low, write
from shmkret.text.marks import inline

MOST_LOCKS = 128
PLACES, SEEN, MORE = 8, 8 * (1 + MOST_LOCKS), 8 * (1 + 2 * MOST_LOCKS)
PAIRS = MORE + 8
TABLE_BYTES = PAIRS + 8 * MOST_LOCKS * MOST_LOCKS


@inline
def pair(table: int, a: int, b: int) -> int:
    """Where it stands whether lock number a comes before lock number b."""
    return table + PAIRS + 8 * (a * MOST_LOCKS + b)


@inline
def number_of(table: int, place: int) -> int:
    """The number of a lock, which gets one; MOST_LOCKS: there is none left."""
    n = 0
    while n < peek(table) and peek(table + PLACES + 8 * n) != place:
        n += 1
    if n == peek(table) and n < MOST_LOCKS:
        poke(table + PLACES + 8 * n, place)
        poke(table, n + 1)
    return n


@inline
def leads_to(table: int, a: int, b: int) -> bool:
    """Whether lock number a comes before b, or before one that comes before b, and so on."""
    nr = peek(table)
    for n in range(nr):
        poke(table + SEEN + 8 * n, 1 if n == a else 0)
    further = True
    while further:
        further = False
        for n in range(nr):
            if peek(table + SEEN + 8 * n) == 1:
                poke(table + SEEN + 8 * n, 2)
                for m in range(nr):
                    if peek(pair(table, n, m)) != 0 and peek(table + SEEN + 8 * m) == 0:
                        poke(table + SEEN + 8 * m, 1)
                        further = True
    return peek(table + SEEN + 8 * b) != 0


@inline
def takes_after(r: int, place: int, cpu: int) -> None:
    """CPU `cpu` has taken the lock whose first word is at that address, and has others already."""
    c = peek(r + CONTROL)
    table = peek(c + ORDERS)
    mine = number_of(table, place)
    if mine == MOST_LOCKS:
        poke(table + MORE, 1)
    else:
        for held in range(peek(table)):
            at = peek(table + PLACES + 8 * held)
            has = low(peek(peek(c + HOLDERS) + at - peek(c + ARENA))) == 1 + cpu
            if has and held != mine and peek(pair(table, held, mine)) == 0:
                if peek(c + OF_PATH) != 0:
                    write(r, pair(table, held, mine), 1, False)
                else:
                    poke(pair(table, held, mine), 1)
                if leads_to(table, mine, held):
                    give_up(r, OUT_OF_ORDER, place)
