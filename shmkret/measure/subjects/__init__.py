"""What is measured, a file a kind: a cell made ready, of which the rest of the room knows what `Subject` says and no more.

    kretprobes     the probed calls of a worker program, on a scheme, a lock and an architecture

A subject runs its repetitions through shmkret.measure.window, whose phases and marks are those of every CPU here. Another one
is a file, and a line in prepare().
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from shmkret.measure.cell import Cell, Sample
from shmkret.measure.latency import Histogram
from shmkret.measure.subjects import kretprobes


class Subject(Protocol):
    """A cell whose names are resolved, and of which is known that it can be: what could be refused has been."""

    @property
    def cell(self) -> Cell:
        """The key of the result."""

    @property
    def is_control(self) -> bool:
        """Whether it is wrong on purpose, so that a run in which nothing fails is the one to doubt."""

    @property
    def counts(self) -> tuple[str, ...]:
        """What its samples count, as the JSON objects name it."""

    @property
    def used(self) -> Mapping[str, int]:
        """The sizes of its arenas, those that nobody asked for included."""

    @property
    def sources(self) -> Mapping[str, str]:
        """A digest of each plug-in, by kind: the same name may stand for another text tomorrow."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What its rehearsal could not rule out; nothing before compile()."""

    @property
    def proved(self) -> tuple[str, ...]:
        """What its rehearsal has shown, and how far, in sentences; nothing before compile(), and of what comes with shmkret."""

    def compile(self) -> None:
        """Rehearse what is the user's own, and compile what repetitions will run. Raises PluginError, UnfitMachine."""

    def repeat(self, seconds: float, warm_up: float = 0.05) -> Sample:
        """One repetition, in fresh processes on a fresh arena; who hangs or sees a bug is a flaw. Raises WorkerLost."""

    def timed(
        self, what: str, seconds: float, rate: float | None = None, warm_up: float = 0.05
    ) -> tuple[Sample, dict[str, Histogram]]:
        """A run apart that times `what` (shmkret.measure.latency.TIMES): a repetition like any other, and a histogram a class.

        rate: calls per second of the run that is not timed, None where it has none. With flaws there is no histogram.
        """

    def asked(self, seconds: float, warm_up: float = 0.05) -> Sample:
        """A repetition apart in which each CPU asks, at each lock that it takes and gives back, whether it is alone inside."""


def prepare(cell: Cell, seed: int, named: bool = False) -> Subject:
    """The subject of a cell. named: its arenas have names. Raises UsageError and its kinds; UnfitMachine."""
    return kretprobes.Prepared(cell, seed, named)
