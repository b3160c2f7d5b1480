"""How far a run is: a bar on a terminal, one line or nothing elsewhere. Without threads: we fork."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

Watch = Callable[[Any, float], None]
"""Takes a record of a stressed run, and the seconds since it began."""


class Repetitions:
    """Those of a measurement (shmkret.measure.bench.Progress). first_s: the age of the process when the first had ended."""

    def __init__(self, bar: Progress, steps: int) -> None:
        self.first_s = 0.0
        self._bar = bar
        self._task = bar.add_task("", total=steps)

    def doing(self, what: str) -> None:
        self._bar.update(self._task, description=what, refresh=True)

    def done(self) -> None:
        from shmkret.host import description

        self.first_s = self.first_s or description.process_age_s()
        self._bar.update(self._task, advance=1, refresh=True)


@contextlib.contextmanager
def of_repetitions(steps: int, seconds: float) -> Iterator[Repetitions]:
    """A bar; where there is no terminal, a line that says how much there is to do."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from shmkret.measure.report.rows import repetitions

    description = TextColumn("{task.description}", markup=False)
    bar = _bar(BarColumn(30), MofNCompleteColumn(), TimeRemainingColumn(), description)
    watched = Repetitions(bar, steps)
    if bar.disable:
        print(f"{repetitions(steps)} of {seconds:g} s ...", file=sys.stderr)
    with bar:
        yield watched


@contextlib.contextmanager
def of_kills(name: str, kills: int) -> Iterator[Watch]:
    """A bar with kills, recoveries and times; nothing where there is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    description = TextColumn("{task.description}")
    bar = _bar(TextColumn(name, markup=False), BarColumn(24), MofNCompleteColumn(), description)
    task = bar.add_task("", total=kills)

    def watch(record: Any, seconds: float) -> None:
        bar.update(task, completed=record["kills"], description=_so_far(record, seconds), refresh=True)

    with bar:
        yield watch


def _so_far(record: Any, seconds: float) -> str:
    rate = record["kills"] / seconds if seconds else 0.0
    times: Mapping[str, Any] = record.times_ms()
    return (
        f"kills  {rate:.0f}/s  recovered {record['recoveries']}  p50 {times['p50']} ms  {record['calls']:,} calls"
        f"  audits {record['rounds']}"
    )


def _bar(*columns: Any) -> Progress:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(*columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal)
