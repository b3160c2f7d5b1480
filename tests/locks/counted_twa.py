"""A ticket lock with a waiting array (TWA) as model checkers count its runs; who is next but one waits on a slot of its own.

Moves     acquire  t := ticket++; d := t - grant; 0: ours;  1: await grant == t;
                   more: u := slot[t]; if t - grant > 1 still, await slot[t] != u; look again
          release  k := grant + 1; grant := k; slot[k + 1]++
Slots     one a CPU, by the ticket: with two CPUs, and a passage each, the two releases write two of them
Runs      2 CPUs, one passage each: 4, who draws first, and whether the other sees the grant at once or awaits it
Source    Dice and Kogan, 2019
"""

from typing import Annotated, NamedTuple

from shmkret.text import EQ, NE, NR_SLOTS, PER_CPU, Words, add64, fetch_add, load_acquire, store_release, wait_until


class Slot(NamedTuple):
    word: Words


class CountedTwa(NamedTuple):
    ticket: Words
    grant: Words
    slot: Annotated[Slot, PER_CPU]
    slots: Annotated[int, NR_SLOTS]


def acquire(lock: CountedTwa, i: int) -> None:
    ticket = fetch_add(lock.ticket, i, 1)
    ahead = ticket - load_acquire(lock.grant, i)
    while ahead > 1:
        seen = load_acquire(lock.slot.word, ticket % lock.slots)
        ahead = ticket - load_acquire(lock.grant, i)
        if ahead > 1:
            wait_until(lock.slot.word, ticket % lock.slots, NE, seen)
            ahead = ticket - load_acquire(lock.grant, i)
    if ahead == 1:
        wait_until(lock.grant, i, EQ, ticket)


def release(lock: CountedTwa, i: int) -> None:
    granted = add64(load_acquire(lock.grant, i), 1)
    store_release(lock.grant, i, granted)
    fetch_add(lock.slot.word, add64(granted, 1) % lock.slots, 1)
