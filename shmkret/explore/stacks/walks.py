"""Walks: runs of compiled code from the first state to an end, each along choices that are drawn at random.

A run is not gone back on: the first state is kept, and each run begins from a copy of it. An engine says how to draw:

    start(c, nr)                   a run begins
    choose(c, nr, nr_listed) -> i  of the choices that are possible, listed by listed(c, i), the one to be made

Seed       all is drawn from one number: the same seed gives the same runs, in the same order
Ends       that have the same words are checked once, and counted once
Source     the numbers: G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from shmkret.explore.engines import states
from shmkret.explore.scenario import Outcome
from shmkret.explore.stacks.choices import go, record, undo
from shmkret.explore.stacks.control import (
    AT_END,
    CLOCK_PRINT,
    DEEPEST,
    DEPTH,
    DISTINCT,
    DONE_STEPS,
    ENDS,
    F_NEXT,
    FRAME,
    FRAMES,
    FRESH,
    FULL,
    GOES_ON,
    MORE,
    PLACES,
    ROOM,
    SAVED_TOP,
    TABLE,
    TOO_DEEP,
)  # fmt: skip
from shmkret.explore.stacks.descent import arrive, is_full, next_choice, noticed
from shmkret.explore.stacks.state import is_new
from shmkret.machines.compiled.cache import cache_folder
from shmkret.machines.compiled.loop import INT, compile_function
from shmkret.machines.compiled.stacks import copy, peek, poke
from shmkret.machines.compiled.watched import NR, OWN_PRINT, PRINT, RECORD, SP, STACK, mix
from shmkret.text.arithmetic import add64, shr64
from shmkret.text.marks import inline

if TYPE_CHECKING:
    from shmkret.explore.stacks.executor import Stacks

SEED, DRAWN, KEPT, KEPT_PRINT, KEPT_OWN_PRINT, MOST_RUNS, POINTS = (8 * (100 + j) for j in range(7))
"""Where in the control block: what all is drawn from; the last number drawn; whether the first state is kept, and its
fingerprints; after how many runs to stop; how many priority change points a run has (shmkret.explore.engines.pct)."""

KINDS = 3
"""Of choices: for each CPU, that it does its step, that it dies, that it sleeps no more."""
POINT, LISTED, PRIORITIES = 8 * 80, 8 * 112, 8 * 176
"""Where in the control block: at which steps the change points are; the choices that are possible, and a priority for each that
there may be: room for 4 kinds, of 16 CPUs."""
MOST_POINTS = 16

GAMMA = -0x61C8864680B583EB


@inline
def below(c: int, n: int) -> int:
    """A number drawn from 0 <= i < n. The first are likelier than the last by n / 2**63 at most."""
    return shr64(drawn(c), 1) % n


@inline
def drawn(c: int) -> int:
    """The next number of splitmix64."""
    state = add64(peek(c + DRAWN), GAMMA)
    poke(c + DRAWN, state)
    return mix(state)


@inline
def listed(c: int, i: int) -> int:
    """A choice that is possible."""
    return peek(c + LISTED + 8 * i)


@inline
def priority(c: int, choice: int) -> int:
    """That of a choice."""
    return peek(c + PRIORITIES + 8 * choice)


@inline
def highest(c: int, nr_listed: int) -> int:
    """Of the choices that are possible, that of the highest priority."""
    best = listed(c, 0)
    for i in range(1, nr_listed):
        if priority(c, listed(c, i)) > priority(c, best):
            best = listed(c, i)
    return best


@inline
def list_choices(c: int, nr: int, frame: int) -> int:
    """List the choices that are possible; how many there are."""
    count = 0
    poke(frame + F_NEXT, 0)
    choice = next_choice(c, nr, frame)
    while choice < KINDS * nr:
        poke(c + LISTED + 8 * count, choice)
        count += 1
        poke(frame + F_NEXT, choice + 1)
        choice = next_choice(c, nr, frame)
    return count


@inline
def kept(c: int, cpu: int) -> int:
    """Where the copy of a CPU's stack ends."""
    return peek(c + SAVED_TOP) + (cpu + 1) * STACK


@inline
def keep(c: int, nr: int) -> None:
    """Keep the first state."""
    for i in range(nr):
        end = record(c, i) + RECORD
        n = end - peek(record(c, i) + SP)
        copy(kept(c, i) - n, end - n, n)
    poke(c + KEPT_PRINT, peek(c + PRINT))
    poke(c + KEPT_OWN_PRINT, peek(c + OWN_PRINT))


@inline
def begin_again(c: int, nr: int) -> None:
    """Come back to the first state."""
    undo(c, 0)
    for i in range(nr):
        n = record(c, i) + RECORD - peek(kept(c, i) - RECORD + SP)
        copy(record(c, i) + RECORD - n, kept(c, i) - n, n)
    poke(c + PRINT, peek(c + KEPT_PRINT))
    poke(c + OWN_PRINT, peek(c + KEPT_OWN_PRINT))
    poke(c + CLOCK_PRINT, 0)
    poke(c + DEPTH, 0)


@inline
def differs(c: int) -> bool:
    """Whether no end before had the same words."""
    if not is_new(peek(c + TABLE), peek(c + PLACES), mix(peek(c + OWN_PRINT)) ^ peek(c + PRINT) | 1):
        return False
    poke(c + DISTINCT, peek(c + DISTINCT) + 1)
    return True


def walk_of(start: Callable[[int, int], None], choose: Callable[[int, int, int], int]) -> Callable[[int, int], int]:
    """walk(c, budget), as text: runs, for that many steps; why it stopped. It can be called again after MORE and AT_END."""

    @inline
    def walk(c: int, budget: int) -> int:
        nr = peek(c + NR)
        depth = peek(c + DEPTH)
        saved = peek(c + SAVED_TOP) + nr * STACK
        done = 0
        status = MORE
        if peek(c + KEPT) == 0:
            poke(c + KEPT, 1)
            poke(c + FRESH, 0)
            keep(c, nr)
        while done < budget and peek(c + ENDS) < peek(c + MOST_RUNS):
            if peek(c + FRESH) == 0:
                if peek(c + DISTINCT) >= peek(c + ROOM):
                    status = FULL
                    break
                begin_again(c, nr)
                depth = 0
                start(c, nr)
                poke(c + FRESH, 1)
            frame = peek(c + FRAMES) + depth * FRAME
            status = noticed(c)
            if status == MORE:
                status = arrive(c, nr)
            if status == MORE:
                if is_full(c, depth, saved):
                    status = TOO_DEEP
                    break
                poke(c + DEPTH, depth)
                go(c, nr, frame, choose(c, nr, list_choices(c, nr, frame)), saved)
                poke(c + DONE_STEPS, peek(c + DONE_STEPS) + 1)
                done += 1
                depth += 1
            elif status == AT_END:
                poke(c + FRESH, 0)
                if depth > peek(c + DEEPEST):
                    poke(c + DEEPEST, depth)
                if differs(c):
                    break
                status = MORE
            else:
                break
        poke(c + DEPTH, depth)
        return status

    return walk


SHORTENED_IN, SHORTENED_S = 2_000_000, 8.0
"""A violation is shortened in a search of so many states, and in that time, if in any."""


class Walk(NamedTuple):
    """An engine that walks: its name, and how it draws."""

    name: str
    start: Callable[[int, int], None]
    choose: Callable[[int, int, int], int]

    def compiled(self) -> Callable[[int, int], int]:
        """walk(c, budget), compiled, or read from where it is kept."""
        return _compiled(self, cache_folder(()))

    def search(self, stacks: Stacks, runs: int, seconds: float, seen: Callable[[], None]) -> Outcome:
        """Runs, up to the first violation, which is then shown with as few preemptions as there are any with, where a search
        for that ends soon. SEED and POINTS are in the control block.
        """
        end = time.monotonic() + seconds
        walk = self.compiled()

        def begin() -> None:
            stacks.begin(reduced=0, by_past=1)  # no state is looked up, and so none is made
            for word, value in ((DRAWN, stacks.get(SEED)), (KEPT, 0), (MOST_RUNS, runs)):
                stacks.put(word, value)

        def advance(budget: int) -> int:
            return stacks._busy(GOES_ON, walk, budget)

        outcome = states.searched(stacks, begin, advance, (ENDS, runs, "runs"), end, seen)
        outcome.ends, outcome.steps = stacks.get(DISTINCT), stacks.get(DONE_STEPS)
        if outcome.violations:
            end = max(end, time.monotonic() + SHORTENED_S) if math.isfinite(end) else end
            states.shortened(stacks, outcome, SHORTENED_IN, end, seen)
        return outcome


@cache
def _compiled(walk: Walk, folder: Path | None) -> Callable[[int, int], int]:
    return compile_function(walk_of(walk.start, walk.choose), [INT] * 2, folder and folder / f"search-walk-{walk.name}")
