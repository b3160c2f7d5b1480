"""futex(2), as the explorer has it.

Sleepers   who sleeps on which word. Nothing is said of the order in which they came: the kernel may wake any
Compares   the low 32 bits, of the word and of the value
Returns    woken; at once, if the word is another; or for no reason, which stands for a signal, for a time that is over, and for
           a wake-up meant for another. Who returns for no reason might as well not have lain down, so that this is a way of the
           step that compares; a run has as many as its scenario grants (Scenario.wakes). Who lies has no such way out: where
           nobody else can go on, it is a deadlock, though the compiled call looks again after a time
Tells      nothing: the caller does not know which of these it was
Wakes      as many as it was asked for, any of those that sleep; asked for none, or for fewer, one

Source     futex(2); futex_wake() of kernel/futex/waitwake.c, which counts a sleeper before it asks whether that was enough
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from shmkret.explore.greenlets.steps import NO_REASON, Place

LOW_32 = (1 << 32) - 1
AS_IT_SHOULD = 0
"""The way of a wait that sleeps if the word is as it was told."""
ASLEEP = 1
"""What a sleeper knows and nobody else."""


class Sleepers:
    """Who sleeps where, in one run. left: how many waits may still end for no reason."""

    def __init__(self) -> None:
        self._asleep: set[tuple[Place, int]] = set()
        self._in_libc: set[tuple[Place, int]] = set()
        self.left = 0

    def state(self) -> tuple[Any, ...]:
        """What the future depends on."""
        return self.left, tuple(sorted(self._asleep))

    def on(self, place: Place) -> list[int]:
        """The CPUs that sleep on a word, by number."""
        return sorted(cpu for where, cpu in self._asleep if where == place)

    def lie_down(self, place: Place, cpu: int, *, in_libc: bool = False) -> None:
        """A CPU sleeps now; in_libc: which counts it, and wakes nobody where it has counted nobody."""
        self._asleep.add((place, cpu))
        if in_libc:
            self._in_libc.add((place, cpu))

    def counts(self, place: Place) -> bool:
        """Whether one of those who sleep on a word does so in libc."""
        return any(where == place for where, _ in self._in_libc)

    def get_up(self, place: Place, cpus: Sequence[int]) -> None:
        """They sleep no more."""
        self._asleep -= {(place, cpu) for cpu in cpus}
        self._in_libc &= self._asleep

    def forget(self, dead: int) -> None:
        """The dead are not woken."""
        self._asleep = {(place, cpu) for place, cpu in self._asleep if cpu != dead}
        self._in_libc &= self._asleep

    def has(self, place: Place, cpu: int) -> bool:
        """Whether a CPU sleeps on a word."""
        return (place, cpu) in self._asleep


def wait(machine: Any, words: Any, i: int, value: int) -> None:
    """FUTEX_WAIT: a step that compares and lies down, and one that gets up; as one step, where it returns at once."""
    sleepers, place, me = machine.sleepers, (words.column, i), machine.number_of_running()

    def is_other() -> bool:
        return bool((words.values[i] ^ value) & LOW_32)

    def ways() -> list[int]:
        return [AS_IT_SHOULD, NO_REASON] if sleepers.left and not is_other() else [AS_IT_SHOULD]

    machine.access("futex_wait", words, i, writes=False, queues=True, ways=ways, local=True, learns=False)
    compared = machine.knowledge()
    if machine.way == NO_REASON:
        sleepers.left -= 1
    elif not is_other():
        sleepers.lie_down(place, me)
        machine.learn(ASLEEP)
        machine.access("asleep", words, i, writes=False, possible=lambda: not sleepers.has(place, me), local=True)
    machine.forget_all_since(compared)


def nr_woken(most: int) -> int:
    """How many FUTEX_WAKE wakes, if they sleep: `most` as a C int, and one at least."""
    low = most & LOW_32
    return max(1, low - (1 << 32) if low >> 31 else low)


def wake(machine: Any, words: Any, i: int, most: int) -> None:
    """FUTEX_WAKE: one step, in a way for each set of sleepers that it may wake."""
    sleepers, place = machine.sleepers, (words.column, i)

    def woken() -> list[tuple[int, ...]]:
        asleep = sleepers.on(place)
        return list(combinations(asleep, min(len(asleep), nr_woken(most))))

    def ways() -> range:
        return range(len(woken()))

    machine.access("futex_wake", words, i, writes=False, queues=True, ways=ways, local=True, learns=False)
    sleepers.get_up(place, woken()[machine.way])
