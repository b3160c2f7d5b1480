"""A user's lock rehearsed by itself, before anything is measured with it: every trial that it has the ability for.

    as it is      two and three CPUs, several rounds, two locks, and the last lock of an array
    grown old     after AGE turns at each lock, of one CPU and of two CPUs in turn
    started       where its file has start(lock, i, n): as after n acquisitions, n just below the BRINKS

The small sizes of all come first, so that a wrong lock is told soon. What is larger than the budget is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from shmkret.errors import PluginError, ShmkretError
from shmkret.explore.greenlets.bounded import RunsOn
from shmkret.explore.rehearsal import trials
from shmkret.explore.rehearsal.alone import NONE, Past
from shmkret.explore.rehearsal.past import grown_old
from shmkret.explore.scenario import Broken, Outcome, Rehearsal, Violation
from shmkret.plugins.calls import place
from shmkret.plugins.registry import Plugin

MOST_STATES = 40_000
"""Of all searches of a lock; some ten seconds."""
MOST_STATES_OF_ONE = 10_000
LONGEST_S = 20.0
AGE = 70_000
BRINKS = (31, 32, 63)
LAST_LOCK = 63
"""Of the bucket locks."""
LARGER = ((2, 2, 1), (3, 1, 1), (2, 2, 2))
LARGER_WITH_DEATHS = ((2, 2, 1), (2, 1, 2), (3, 1, 1))


class _Search(NamedTuple):
    """A trial at a size: CPUs, rounds of each, locks. group: what the locks have been through, in words; past() makes them so.
    must: it is doubted when this is not complete.
    """

    group: str
    trial: str
    size: tuple[int, int, int]
    past: Callable[[], Past] = lambda: NONE
    at: int = 0
    must: bool = False

    @property
    def measures(self) -> str:
        """The size in words."""
        return "x".join(map(str, self.size)) + (f" at lock {self.at}" if self.at else "")


def by_itself(lock: Plugin) -> Rehearsal:
    """What is wrong with a lock, whatever uses it. Raises: PluginError, with file and line, for what its functions raise."""
    if lock not in _known:
        _known[lock] = _anew(lock)
    return _known[lock]


_known: dict[Plugin, Rehearsal] = {}

NEW = "as it is"


def _searches(lock: Plugin) -> Iterator[_Search]:
    """The most telling first."""
    names = trials.of(lock.abilities)
    for name in names:
        yield _Search(NEW, name, (2, 1, 1), must=True)
    yield _Search(NEW, "acquire", (2, 1, 1), at=LAST_LOCK, must=True)
    for name in names:
        yield from _old(lock, name)
    if lock.own("start") is not None:
        for name in names:
            for brink in BRINKS:
                yield from _started(name, brink)
    for bystanders, sizes in ((False, LARGER), (True, LARGER_WITH_DEATHS)):
        for size in sizes:
            for name in names:
                if bool(trials.TRIALS[name].bystanders) == bystanders:
                    yield _Search(NEW, name, size)


def _old(lock: Plugin, name: str) -> Iterator[_Search]:
    size = (2, 1, 1) if trials.TRIALS[name].bystanders else (2, 2, 2)
    for takers in (1, 2) if name == "acquire" else (2,):
        past = partial(grown_old, lock, name, AGE, size[2], size[0], takers)
        by = "one CPU" if takers == 1 else "two CPUs in turn"
        yield _Search(f"after {AGE:,} turns at each lock, of {by}", name, size, past, must=True)


def _started(name: str, brink: int) -> Iterator[_Search]:
    sizes = ((2, 2, 1), (3, 1, 1)) if name == "acquire" else ((2, 1, 1),)
    for size in sizes:
        before = min(2, size[0] * size[1] - 1)
        past = partial(Past, begun=(1 << brink) - before)
        yield _Search(f"started at n = 2^{brink} - {before}", name, size, past, must=True)


class _Budget:
    """What is left of states and of time."""

    def __init__(self) -> None:
        self.states = MOST_STATES
        self.end = time.monotonic() + LONGEST_S

    def over(self) -> str:
        """The limit that was reached; empty: none."""
        if self.states <= 0:
            return f"the limit of {MOST_STATES:,} states"
        return f"the limit of {LONGEST_S:g} s" if time.monotonic() >= self.end else ""


def _anew(lock: Plugin) -> Rehearsal:
    budget, done, doubted, larger = _Budget(), _Said(), _Said(), _Said()
    for search in _searches(lock):
        over = budget.over()
        outcome = Outcome(gave_up=over) if over else _made(lock, search, budget)
        if outcome.violations:
            return Rehearsal((_flaw(lock, search, outcome.violations[0]),))
        if outcome.complete:
            done.say(search.group, search)
        else:
            reached = budget.over() or outcome.gave_up
            why = f"not tried, {over}" if over else f"gave up after {outcome.states:,} states, {reached}"
            (doubted if search.must else larger).say(f"{search.group}, {why}", search)
    return Rehearsal(doubts=_doubts(lock, doubted), proved=_proved(lock, done, larger))


class _Said(dict[str, dict[str, list[str]]]):
    """By what is said of searches: their sizes, by trial."""

    def say(self, what: str, search: _Search) -> None:
        """It of one more."""
        self.setdefault(what, {}).setdefault(search.trial, []).append(search.measures)

    def __str__(self) -> str:
        """In a sentence."""
        return "; ".join(
            f"{what}: " + ", ".join(f"{trial} {' + '.join(sizes)}" for trial, sizes in trials.items())
            for what, trials in self.items()
        )


def _flaw(lock: Plugin, search: _Search, violation: Violation) -> str:
    """What is wrong, and the steps that led there."""
    what = violation.what
    where = "" if what.startswith(str(lock.path)) else f"{lock.path}: "
    said = (
        f"{where}{what}; in its rehearsal by itself, {search.group}: {search.trial} {search.measures} (CPUs x rounds x locks)"
    )
    return violation.told(said)


def _made(lock: Plugin, search: _Search, budget: _Budget) -> Outcome:
    try:
        past = search.past()
        limit = max(1, min(MOST_STATES_OF_ONE, budget.states))
        left_s = max(0.1, budget.end - time.monotonic())
        outcome = trials.tried(lock, search.trial, *search.size, limit=limit, seconds=left_s, past=past, at=search.at)
    except (Broken, RunsOn) as flaw:
        return Outcome(violations=[Violation(str(flaw), [])])
    except ShmkretError:
        raise
    except Exception as error:
        where = place(error, [lock.path])
        raise PluginError(f"{where}: {type(error).__name__}: {error}, in its rehearsal by itself") from error
    budget.states -= outcome.states
    return outcome


def _doubts(lock: Plugin, missing: _Said) -> tuple[str, ...]:
    return (f"{lock.name} by itself was not rehearsed to the end: {missing}",) if missing else ()


def _proved(lock: Plugin, done: _Said, larger: _Said) -> tuple[str, ...]:
    """In sentences: what was tried under every interleaving, what was begun in vain, and what nothing is known of."""
    words = [f"{lock.name} by itself, every interleaving (CPUs x rounds x locks): {done or 'nothing'}"]
    if larger:
        words.append(f"{lock.name} by itself, not every interleaving: {larger}")
    ages = f"more than {AGE:,} turns, as the file has no start(lock, i, n)"
    if lock.own("start") is not None:
        ages = f"more than {AGE:,} turns that do not begin just below {', '.join(f'2^{brink}' for brink in BRINKS)}"
    words.append(
        f"{lock.name} by itself, not tried: more than three CPUs; other locks of an array than 0, 1 and {LAST_LOCK}; {ages}"
    )
    return tuple(words)
