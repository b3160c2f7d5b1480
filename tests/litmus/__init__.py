"""Litmus programs: a few steps on two or three CPUs, and how they can end, under each memory model.

    SB = Litmus(
        (left, right),                                   each CPU's code: cpu(m, own); what it returns is part of the outcome
        sc=ends(must={(0, 1), (1, 0), (1, 1)}, never={(0, 0)}),
        tso=ends(must={(0, 0), (0, 1), (1, 0), (1, 1)}),
    )

m       the words X, Y, Z, which all CPUs use; own: a private word for each CPU
Outcome what the CPUs returned, in their order: nothing, a number, or several; DEAD for one that was killed; then the words
        `final`. A violation is an outcome, too: DEADLOCK, RACE, PRIVATE. A search stops at it: no more is asked of it
must    each of these is seen; may: these and no others beside them; never: what the reader is to know that is not seen. A
        program that says nothing of a model is not run under it

The folder is the registry: every Litmus in a module of it is a test. tests/test_litmus.py tries `sc` on greenlets;
tests/test_tso.py `sc` and `tso` on stacks, of what can be written down, and tests/test_ra.py `ra`, of what nobody dies in.

A rule of the explorer, and a program that is red without it:

    each choice is tried                            many_words-IRIW
    a word that is only read is shared              deaths-SEEN_BY_WHO_DOES_NOT_ASK
    who sleeps on a word, uses it                   sleepers-NOBODY_WRITES
    a stop word is looked at                        waits-TOLD_FOR_A_MOMENT
    a private word has one user                     races-TWO_WRITE_A_PRIVATE_WORD
    a step on what others use does not commute      many_words-IRIW, sleepers-NOBODY_WRITES, waits-TOLD_FOR_A_MOMENT
    the state has words, pasts, deaths              deaths-BETWEEN, deaths-SEEN_BY_WHO_DOES_NOT_ASK
    ... who sleeps                                  robust-A_SLEEPER_DIES_WITH_THE_WAKE_UP
    ... what the dead had read and written          deaths-WHAT_IT_HAD_READ, deaths-WHAT_IT_HAD_WRITTEN
    ... the waits that may still end for no reason  sleepers-USED_UP
    deaths come before each step                    deaths-BETWEEN, deaths-NOTHING_IS_TIDIED_UP
    what a death writes is shared                   robust-ITS_DEATH_COMES_AT_ANY_TIME
    each class of race                              races, one by one
    each way of a step is tried                     waits-TOLD_THOUGH_GIVEN, sleepers-THE_SECOND_MAY_BE_WOKEN
    a wait may end for no reason, once              sleepers-FOR_NO_REASON, sleepers-STORE_BEFORE_WAKE

Source  the litmus tests of the Linux kernel's memory model (tools/memory-model) and of herd; jcstress and its tables
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.scenario import Scenario

X, Y, Z = range(3)
DEAD = "dead"
DEADLOCK, RACE, PRIVATE = "deadlock", "data race", "private to one CPU"
EVERYBODY = 1 << 30


class Ends(NamedTuple):
    """How a program must, may and can never end."""

    must: frozenset
    may: frozenset
    never: frozenset


def ends(must: Collection, may: Collection = (), never: Collection = ()) -> Ends:
    return Ends(frozenset(must), frozenset(may), frozenset(never))


class Litmus(NamedTuple):
    """first: what the words hold. mortal, deaths, announce(m, cpu), wakes: as in a scenario."""

    cpus: Sequence[Callable]
    sc: Ends | None = None
    tso: Ends | None = None
    ra: Ends | None = None
    first: Sequence[int] = (0, 0, 0)
    final: Sequence[int] = ()
    mortal: Sequence[int] = ()
    deaths: int = 1
    announce: Callable = lambda m, cpu: None
    wakes: int = 1

    def scenario(self, seen: set, machine: ExploredMachine) -> Scenario:
        """A fresh world; how it ends is put into `seen`."""
        m = machine.words("word", self.first)
        own = machine.words("own", [0] * len(self.cpus), private=True)
        returned = [()] * len(self.cpus)

        def code(i: int) -> None:
            answer = self.cpus[i](m, own)
            returned[i] = answer if isinstance(answer, tuple) else () if answer is None else (int(answer),)

        def dies(i: int) -> None:
            returned[i] = (DEAD,)
            self.announce(m, i)

        def check() -> list[str]:
            seen.add((*chain(*returned), *(m.values[i] for i in self.final)))
            return []

        bodies = [partial(code, i) for i in range(len(self.cpus))]
        return Scenario(bodies, check, self.mortal, self.deaths, dies, self.wakes)


def everywhere(must: Collection, may: Collection = (), never: Collection = ()) -> dict[str, Ends]:
    """The same under every model."""
    return dict.fromkeys(("sc", "tso", "ra"), ends(must, may, never))
