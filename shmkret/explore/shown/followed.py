"""Where in the text each step of a schedule stands: the same schedule, on greenlets in plain Python.

Compiled code has no lines. What is followed here is the same functions, on an arena that was made alike; a step that is on
another word than the compiled one was ends the explanation, and nothing is said of what comes after.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from shmkret.errors import RunFailed, ShmkretError
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.greenlets.run import Run
from shmkret.explore.greenlets.steps import DIES, Step
from shmkret.explore.scenario import Scenario
from shmkret.explore.snapshot import Snapshot
from shmkret.explore.stacks import apart, sight
from shmkret.explore.stacks.executor import Stacks
from shmkret.plugins.registry import PACKAGE
from shmkret.text import atomics

PATIENCE_S = 2.0
LONGEST_S = 20.0
EXECUTE = ("column", "cpu", "futex", "libc", "line", "machine", "run")
NO_TEXT = tuple(str(PACKAGE / path) for path in (*(f"explore/greenlets/{name}.py" for name in EXECUTE), "text"))
"""Files that no line of a step is in."""


class Places(NamedTuple):
    """File and line of each step, as far as that is known; where each CPU stands then; where one runs on that does not come to
    its next step (empty: that is not known).
    """

    steps: list[str]
    pending: dict[int, str]
    runs_on: str


NOWHERE = Places([], {}, "")


class _TooLong(BaseException):
    pass


def places_of(stacks: Stacks, schedule: Sequence[int], words: Sequence[str]) -> Places:
    """Follow a schedule in a process of its own. words: those that its steps are on, as far as they are compared."""
    try:
        return apart.run(stacks, lambda: _follow(stacks, schedule, words), seconds=LONGEST_S)
    except (apart.Stopped, RunFailed, ShmkretError):
        return NOWHERE


def _follow(stacks: Stacks, schedule: Sequence[int], words: Sequence[str]) -> Places:
    scene, machine = stacks.scene, ExploredMachine()
    nr = scene.nr_cpus
    found = Places([], {}, "")
    with scene.world.create_arena(stacks.geometry) as arena, atomics.use(machine):
        scene.prepare(arena)
        k = Snapshot(scene.world, arena, scene.shared).kernel(machine)
        for column, own in sight.columns(stacks):
            known = machine.column(column)
            if known is not None:
                known.private, known.nobodys = False, own
        bodies = [partial(scene.body, k, cpu) for cpu in range(nr)]
        run = Run(machine, Scenario(bodies, list, scene.mortal, scene.deaths, lambda dead: scene.body(k, nr + dead)), ())
        try:
            with _patience():
                run.begin([])
                for n, choice in enumerate(schedule):
                    what, cpu = divmod(choice, nr)
                    step = run.pending[cpu]
                    if what > 1 or step is None or (what == 0 and n < len(words) and words[n] not in ("", _word(step))):
                        return found
                    found.steps.append(_line(machine.cpus[cpu].gr_frame) if what == 0 else "")
                    run.go_on(cpu if what == 0 else DIES - cpu)
        except _TooLong as error:
            return found._replace(runs_on=str(error))
        except Exception:  # its code raises: the last step is the one after which it does
            return found
        pending = {cpu: _line(machine.cpus[cpu].gr_frame) for cpu in range(nr) if run.pending[cpu] is not None}
        run.stop()
    return found._replace(pending=pending)


def _word(step: Step) -> str:
    """As the compiled executor calls it: `table_locks[0].locked`."""
    column, i = step.place
    section, _, field = column.rpartition(".")
    return f"{section}[{i}].{field}"


def _line(frame: FrameType | None) -> str:
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
        raise _TooLong(_line(frame))

    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
