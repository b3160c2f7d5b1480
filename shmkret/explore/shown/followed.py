"""Where in the text each step of a schedule stands: the same schedule, on greenlets in plain Python.

Compiled code has no lines. What is followed here is the same functions, on an arena that was made alike; a step that is on
another word than the compiled one was ends the explanation, and nothing is said of what comes after.

RA        where a step has read an old message, the word says that while the step is done
x86-TSO   plain Python writes at once. Before a CPU's step, what it holds back is put where it sees it, and taken away after
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations, takewhile
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from shmkret.errors import RunFailed, ShmkretError
from shmkret.explore.greenlets.line import woken_by_death
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.greenlets.run import Run
from shmkret.explore.greenlets.steps import DIES as DEATH
from shmkret.explore.greenlets.steps import MOST_CPUS, Place
from shmkret.explore.scenario import Scenario
from shmkret.explore.snapshot import Snapshot
from shmkret.explore.stacks import apart, sight
from shmkret.explore.stacks.control import BUFFERED, COMMITS, DIES, STEPS
from shmkret.explore.stacks.executor import Stacks
from shmkret.plugins.registry import PACKAGE
from shmkret.text import atomics

PATIENCE_S = 2.0
LONGEST_S = 20.0
NO_TEXT = tuple(f"{PACKAGE / room}/" for room in ("explore/greenlets", "text"))
"""Folders whose files only execute: no line of a step is in them."""


class Places(NamedTuple):
    """File and line of each step, as far as that is known; where each CPU stands then; where one runs on that does not come to
    its next step (empty: that is not known).
    """

    steps: list[str]
    pending: dict[int, str]
    runs_on: str


NOWHERE = Places([], {}, "")
IS_WOKEN = "is woken"
"""The kind of what is no step: the search chooses who is woken by the step before, or the death."""
HELD_BACK = ("store", "store_relaxed", "store_release", "sem_reset", "mutex_init")


class _TooLong(BaseException):
    pass


def places_of(
    stacks: Stacks, schedule: Sequence[int], said: Sequence[tuple[str, str]], seen: Sequence[dict[str, int]] = ()
) -> Places:
    """Follow a schedule in a process of its own. said: the kinds of its steps and their words, as far as they are compared.
    seen: the words that a step sees otherwise than they are.
    """
    try:
        return apart.run(stacks, lambda: _follow(stacks, schedule, said, seen), seconds=LONGEST_S)
    except (apart.Stopped, RunFailed, ShmkretError):
        return NOWHERE


class _Buffers:
    """What each CPU holds back, the oldest first: a word, and its value."""

    def __init__(self, machine: ExploredMachine, nr: int) -> None:
        self._machine = machine
        self._stores: list[list[tuple[Place, int]]] = [[] for _ in range(nr)]

    def _put(self, place: Place, value: int) -> int:
        values = self._machine.columns[place[0]].values
        before, values[place[1]] = values[place[1]], value
        return before

    def commit(self, cpu: int) -> None:
        """Its oldest store."""
        self._put(*self._stores[cpu].pop(0))

    @contextlib.contextmanager
    def view(self, cpu: int, stored: Place | None) -> Iterator[None]:
        """While this block runs, words are as a CPU sees them; what is `stored` in it is held back."""
        memory = [(place, self._put(place, value)) for place, value in self._stores[cpu]]
        before = self._machine.columns[stored[0]].values[stored[1]] if stored else 0
        yield
        if stored:
            self._stores[cpu].append((stored, self._put(stored, before)))
        for place, value in reversed(memory):
            self._put(place, value)


@contextlib.contextmanager
def _seen(machine: ExploredMachine, words: dict[str, int]) -> Iterator[None]:
    """While this block runs, words say what a step sees. It writes none of them."""
    before = []
    for name, value in words.items():
        column, i = place_of(name)
        if column in machine.columns:
            values = machine.columns[column].values
            before.append((values, i, values[i]))
            values[i] = value
    yield
    for values, i, value in reversed(before):
        values[i] = value


def _follow(stacks: Stacks, schedule: Sequence[int], said: Sequence[tuple[str, str]], seen: Sequence[dict[str, int]]) -> Places:
    scene, machine = stacks.scene, ExploredMachine()
    nr, late = scene.nr_cpus, stacks.get(BUFFERED) != 0
    buffers = _Buffers(machine, nr)
    found = Places([], {}, "")
    with scene.world.create_arena(stacks.geometry) as arena, atomics.use(machine):
        scene.prepare(arena)
        k = Snapshot(scene.world, arena, scene.shared).kernel(machine)
        for column, own in sight.columns(stacks):
            known = machine.column(column)
            if known is not None:
                known.private, known.nobodys = False, own
        bodies = [partial(scene.body, k, cpu) for cpu in range(nr)]

        def announce(dead: int) -> None:
            scene.body(k, nr + dead)

        run = Run(machine, Scenario(bodies, list, scene.mortal, scene.deaths, announce, stops=scene.stops), ())
        try:
            with _patience():
                run.begin([])
                for n, choice in enumerate(schedule):
                    what, cpu = divmod(choice, nr)
                    kind, word = said[n] if n < len(said) else ("", "")
                    step = run.pending[cpu]
                    if what == COMMITS or kind in ("fence", IS_WOKEN):  # none is a step here
                        found.steps.append("")
                        if what == COMMITS:
                            buffers.commit(cpu)
                        continue
                    old = seen[n] if n < len(seen) else {}
                    is_step = what == STEPS or bool(old)
                    if not (is_step or what == DIES) or step is None:
                        return found
                    if is_step and word and word_of(step.place) not in (word, *old):
                        return found
                    found.steps.append(line_of(machine.cpus[cpu].gr_frame) if is_step else "")
                    with buffers.view(cpu, step.place if late and is_step and kind in HELD_BACK else None), _seen(machine, old):
                        chosen = takewhile(_is_woken, zip(schedule[n + 1 :], said[n + 1 :], strict=False))
                        woken = [1 + one % nr for one, _ in chosen]
                        way = _way(machine, step.place, cpu if what == DIES else None, woken) if woken else 0
                        run.go_on(cpu + MOST_CPUS * way if is_step else DEATH - cpu - MOST_CPUS * way)
        except _TooLong as error:
            return found._replace(runs_on=str(error))
        except Exception:  # its code raises: the last step is the one after which it does
            return found
        pending = {cpu: line_of(machine.cpus[cpu].gr_frame) for cpu in range(nr) if run.pending[cpu] is not None}
        run.stop()
    return found._replace(pending=pending)


def _is_woken(choice: tuple[int, tuple[str, str]]) -> bool:
    return choice[1][0] == IS_WOKEN


def _way(machine: ExploredMachine, place: Place, dead: int | None, woken: Sequence[int]) -> int:
    """In which way a step on a word, or a death, wakes these, each 1 + a CPU: as shmkret.explore.greenlets has it."""
    if dead is None:
        return [*combinations(machine.sleepers.on(place), len(woken))].index(tuple(sorted(woken)))
    ways = [{cpu for _, cpu in one} for one in woken_by_death(machine, dead)]
    return next(n for n, one in enumerate(ways) if {*woken} <= one)


def word_of(place: Place) -> str:
    """As the compiled executor calls it: `table_locks[0].locked`."""
    column, i = place
    section, _, field = column.rpartition(".")
    return f"{section}[{i}].{field}" if section else f"{field}[{i}]"


def place_of(word: str) -> Place:
    """What word_of() calls so."""
    section, i, field = word.replace("[", "]").split("]")
    return section + field, int(i)


def line_of(frame: FrameType | None) -> str:
    """The innermost line of the text, as FILE:LINE; empty where there is none."""
    while frame is not None and frame.f_code.co_filename.startswith(NO_TEXT):
        frame = frame.f_back
    if frame is None:
        return ""
    path = Path(frame.f_code.co_filename)
    for above in (PACKAGE.parent, Path.cwd()):
        if path.is_relative_to(above):
            path = path.relative_to(above)
    return f"{path}:{frame.f_lineno}"


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A block that takes too long is ended, and raises _TooLong with the line that runs then. In a process of its own."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise _TooLong(line_of(frame))

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
