"""A robust mutex: who comes after a dead holder is told, once."""

from shmkret.text import address_of, libc, load_acquire
from shmkret.text.libc import OWNER_DIED, REFUSED
from tests.litmus import DEAD, DEADLOCK, RACE, Litmus, X, Y, everywhere


def holds(m, own):
    libc.robust_lock(address_of(m, X))
    m[Y] = 1
    m[Y] = 2
    libc.robust_unlock(address_of(m, X))


def comes(m, own):
    status = libc.robust_lock(address_of(m, X))
    half_done = m[Y]
    libc.robust_unlock(address_of(m, X))
    return status, half_done


def tries(m, own):
    status = libc.robust_trylock(address_of(m, X))
    if status != REFUSED:
        libc.robust_unlock(address_of(m, X))
    return status


def asks_whether_it_is_free(m, own):
    return libc.robust_is_free(address_of(m, X))


def ends_inside(m, own):
    libc.robust_lock(address_of(m, X))


def looks_elsewhere(m, own):
    load_acquire(m, Y)


FIRST, LAST = (0, 0), (0, 2)
HALF = {(DEAD, OWNER_DIED, n) for n in range(3)}
IS_TOLD = Litmus(
    (holds, comes),
    **everywhere({FIRST, LAST, (DEAD, *FIRST), *HALF}, never={(OWNER_DIED, 0), (DEAD, 0, 1), RACE, DEADLOCK}),
    mortal=(0,),
)
IS_REFUSED = Litmus(
    (holds, tries),
    **everywhere({(0,), (REFUSED,), (DEAD, 0), (DEAD, REFUSED), (DEAD, OWNER_DIED)}, never={(OWNER_DIED,)}),
    mortal=(0,),
)
IS_TOLD_ONCE = Litmus(
    (holds, tries, tries),
    **everywhere(
        {(a, b) for a in (0, REFUSED) for b in (0, REFUSED)}
        | {(DEAD, a, b) for a in (0, 1, 2) for b in (0, 1, 2) if (a, b) != (OWNER_DIED, OWNER_DIED)},
        never={(DEAD, OWNER_DIED, OWNER_DIED)},
    ),
    mortal=(0,),
)
THE_SECOND_DIES_TOO = Litmus((ends_inside, ends_inside, comes), **everywhere({DEADLOCK}), mortal=(0, 1), deaths=2)
"""Who has ended its code, lives on, and holds what it holds."""
IT_IS_NOT_FREE = Litmus(
    (looks_elsewhere, asks_whether_it_is_free),
    **everywhere({(0,), (DEAD, 0)}, never={(DEAD, 1)}),
    mortal=(0,),
    first=(1, 0, 0),
)
ITS_DEATH_COMES_AT_ANY_TIME = Litmus(
    (looks_elsewhere, tries), **everywhere({(REFUSED,), (DEAD, REFUSED), (DEAD, OWNER_DIED)}), mortal=(0,), first=(1, 0, 0)
)
"""CPU 0 holds it from the start."""


# Who dies beside a sleeper. Linux tells one of two races from a third ("futex: Prevent robust futex exit race more").


def locks_and_unlocks(m, own):
    libc.robust_lock(address_of(m, X))
    libc.robust_unlock(address_of(m, X))


def twice(m, own):
    locks_and_unlocks(m, own)
    locks_and_unlocks(m, own)


A_SLEEPER_DIES_BESIDE_ONE = Litmus(
    (twice, locks_and_unlocks), **everywhere({(), (DEAD,), (DEAD, DEAD)}, never={DEADLOCK}), mortal=(0, 1), deaths=2
)
A_SLEEPER_DIES_WITH_THE_WAKE_UP = Litmus((twice, locks_and_unlocks, locks_and_unlocks), **everywhere({DEADLOCK}), mortal=(1,))
SO_DOES_THE_OTHER = Litmus((twice, locks_and_unlocks, locks_and_unlocks), **everywhere({DEADLOCK}), mortal=(2,))
"""CPU 1 is woken, CPU 0 has the mutex again before it runs, and it dies: CPU 2 sleeps for ever."""
THE_HOLDER_DIES_BESIDE_TWO = Litmus((locks_and_unlocks,) * 3, **everywhere({(), (DEAD,)}, never={DEADLOCK}), mortal=(0,))
"""One of the two is woken and told, and wakes the other as it unlocks."""
