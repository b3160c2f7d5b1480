"""How libc lets who must wait sleep, and wakes them: semaphores, mutexes, and the robust list of who dies.

    word           had                             to be had again
    semaphore      its count is above 0            +1; then one sleeper is woken, if there are any
    mutex          FREE                            FREE; then one sleeper is woken, if the word says that some may sleep
    robust mutex   0, or it names a dead CPU       0, and one sleeper is woken, if the word says that some may sleep

Nobody dies    then every sleeper is woken in the end, and a wait is one step that is possible when there is something to be had
Somebody may   then sleepers are told apart. A wake-up goes to one of them, who may die with it before it takes anything. Who
               gives back may die before it wakes. Who has slept says in the word that others may sleep, too
Robust list    the kernel does for the dead what it can. Of what it held one sleeper is woken, and told. Of what it had slept
               for, and nobody holds by then, one more is woken; if somebody holds it, none is, and its word may not say any
               more that some sleep: of two sleepers one may sleep for ever

Source         glibc 2.36, nptl/lowlevellock.c, pthread_mutex_lock.c, sem_waitcommon.c; handle_futex_death() of
               kernel/futex/core.c before Linux 7.2, and the third race that "futex: Prevent robust futex exit race more" names
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shmkret.explore.greenlets.steps import Place

OWNER, SLEEPERS = (1 << 31) - 1, 1 << 31
"""Of the word of a robust mutex: 1 + the CPU that has it; whether some may sleep."""
ASLEEP = 1
"""What a sleeper knows and nobody else."""


def take(machine: Any, kind: str, words: Any, i: int, can_be_had: Callable[[], bool], says: Callable[[], None]) -> bool:
    """Wait until it can be had; returns whether it has slept. says(): write down that somebody may sleep."""
    if not machine.may_die:
        machine.access(kind, words, i, writes=True, possible=can_be_had, local=True, learns=False)
        return False
    place, me, sleepers = (words.column, i), machine.number_of_running(), machine.sleepers
    machine.access(kind, words, i, writes=True, queues=True, learns=False)
    found, has_slept = machine.knowledge(), False
    while not can_be_had():
        says()
        sleepers.lie_down(place, me, in_libc=True)
        machine.forget_all_since(found)
        machine.learn(ASLEEP)
        machine.access(
            f"asleep in {kind}",
            words,
            i,
            writes=True,
            possible=lambda: not sleepers.has(place, me),
            queues=True,
            local=True,
            learns=False,
        )
        has_slept = True
    machine.forget_all_since(found)
    return has_slept


def wake_one(machine: Any, kind: str, words: Any, i: int) -> None:
    """After something was given back, where one sleeps for it in libc: a step of its own, in which any of those who sleep on
    the word is woken. Before it one may die.
    """
    if machine.may_die and machine.sleepers.counts((words.column, i)):
        given = machine.knowledge()
        machine.learn(ASLEEP)
        give(machine, f"{kind}, waking", words, i, lambda: True, writes=False)
        machine.forget_all_since(given)


def give(machine: Any, kind: str, words: Any, i: int, wakes: Callable[[], bool], *, writes: bool) -> int:
    """A step in which any one of the sleepers is woken, if there are any and `wakes()`; returns the word as it was."""
    place, sleepers = (words.column, i), machine.sleepers

    def ways() -> range:
        return range(max(1, len(sleepers.on(place)) if wakes() else 1))

    before = machine.access(kind, words, i, writes=writes, queues=True, ways=ways, local=True, learns=False)
    if wakes():
        sleepers.get_up(place, sleepers.on(place)[machine.way : machine.way + 1])
    return int(before)


def woken_by_death(machine: Any, dead: int) -> list[list[tuple[Place, int]]]:
    """Whom the kernel wakes as CPU `dead` dies: the choices that it has, each a list of sleepers."""
    choices: list[list[tuple[Place, int]]] = [[]]
    for place, words in machine.robust.items():
        word = words.values[place[1]]
        held = word & OWNER == 1 + dead and word & SLEEPERS
        entered = machine.entering.get(1 + dead) == place and not machine.is_owned(word)
        asleep = [cpu for cpu in machine.sleepers.on(place) if cpu != 1 + dead]
        if (held or entered) and asleep:
            choices = [[*others, (place, cpu)] for others in choices for cpu in asleep]
    return choices
