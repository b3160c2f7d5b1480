"""What is measured is known by what it does: bench runs any subject, through the phases of a window."""

from dataclasses import dataclass, field
from typing import Any

from shmkret.measure import bench, subjects
from shmkret.measure.cell import COUNTS, Cell, Sample
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.measure.suite import Plan

CELL = Cell("none", "none", "mine", "x86-64", "cacheline", 1)


class Quiet:
    def doing(self, what):
        pass

    def done(self):
        pass


@dataclass
class Bare:
    """Locks by themselves, as they might be measured: nothing of a kretprobe."""

    cell: Cell = CELL
    flaws: tuple[str, ...] = ()
    is_control: bool = False
    counts: tuple[str, ...] = ("acquires", "handoffs")
    used: dict[str, int] = field(default_factory=lambda: {"locks": 1})
    sources: dict[str, str] = field(default_factory=lambda: {"lock": "0" * 16})
    doubts: tuple[str, ...] = ("it was not explored",)
    proved: tuple[str, ...] = ("every interleaving",)
    called: list[Any] = field(default_factory=list)

    def compile(self):
        self.called.append("compile")

    def repeat(self, seconds, warm_up=0.05):
        self.called.append(seconds)
        counts = {"acquires": 10, "handoffs": 3, "calls": 10, "nmissed": 0}
        return Sample(flaws=self.flaws) if self.flaws else Sample(1e6, counts, 1.0)


def plan_of(repeat):
    return Plan("made", (CELL,), 0.1, repeat, seed=1)


def test_another_subject_is_measured_with_its_own_counts():
    bare = Bare()
    (measured,) = bench.run(plan_of(3), [bare], Quiet())
    found = bench.cell_object(measured)

    assert bare.called == ["compile", 0.1, 0.1, 0.1]
    assert (found["acquires"], found["handoffs"], found["walk_mean"]) == (30, 9, None)
    assert (found["used"], found["median"], found["verdict"]) == ({"locks": 1}, 1e6, "suspect")
    assert found["reasons"][0] == "it was not explored"
    assert not found.keys() & {"hits", "kp_nmissed", "irqs"}


def test_another_subject_that_fails_is_withheld_and_not_measured_again():
    bare = Bare(flaws=("two were inside",))
    (measured,) = bench.run(plan_of(3), [bare], Quiet())

    assert bare.called == ["compile", 0.1]
    assert (measured.verdict, measured.reasons) == ("withheld", ["two were inside"])
    assert bench.cell_object(measured)["acquires"] == 0


def test_a_cell_is_of_kretprobes():
    (ready,) = bench.prepare(Plan("made", (Cell("hot", "hashed", "busted", "x86-64", "cacheline", 1),), 0.1, 1, seed=1))

    assert isinstance(ready, Prepared)
    assert ready.is_control
    assert ready.counts == COUNTS
    assert ready.used.keys() == {"probes", "tasks", "maxactive", "data_size"}
    assert ready.sources.keys() == {"scheme", "lock", "arch", "worker"}
    assert subjects.prepare(ready.cell, 1).sources == ready.sources
