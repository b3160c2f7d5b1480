"""Runs a plan: every cell once a round, rounds forwards and backwards in turn (A B B A), then estimates and verdicts."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from shmkret.host import description
from shmkret.measure import latency, scaling, statistics, subjects, validity
from shmkret.measure.cell import COUNTS, Cell, Sample
from shmkret.measure.knobs import OURS, PARAMS
from shmkret.measure.latency import Histogram
from shmkret.measure.report.rows import row_name
from shmkret.measure.statistics import Estimate
from shmkret.measure.subjects import Subject
from shmkret.measure.suite import Plan

TIMED_ROUNDS = 3
"""In how many rounds a cell is also timed: each beside the repetition that it is compared with."""


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def doing(self, what: str) -> None:
        """The next repetition begins."""

    def done(self) -> None:
        """It has ended."""


@dataclass
class Measured:
    """A cell, its samples in the order of the rounds, and what they say."""

    cell: Cell
    control: bool
    samples: list[Sample] = field(default_factory=list)
    estimate: Estimate | None = None
    timed: dict[str, list[Sample]] = field(default_factory=dict)
    """The runs apart that timed `locks` or `calls`, one in each of the first rounds."""
    asked: Sample | None = None
    """The run apart in which each CPU asked at each lock whether it was alone inside; None where nobody else could be."""
    histograms: dict[str, Histogram] = field(default_factory=dict)
    flaws: list[str] = field(default_factory=list)
    """Of the runs apart."""
    verdict: str = "withheld"
    reasons: list[str] = field(default_factory=list)
    rehearsed: tuple[str, ...] = ()
    """What the rehearsal of the user's own has shown, and how far."""
    used: Mapping[str, int] = field(default_factory=dict)
    """The sizes of its arenas, those that nobody asked for included."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """A digest of each plug-in, by kind: the same name may stand for another text tomorrow."""
    counts: tuple[str, ...] = COUNTS
    """What its samples count."""

    @property
    def withheld(self) -> bool:
        """Whether something forbids to print a number."""
        return bool(self.flaws) or any(sample.flaws for sample in self.samples) or not self.samples

    def total(self, count: str) -> int:
        """A count over all repetitions."""
        return sum(sample.counts.get(count, 0) for sample in self.samples)

    @property
    def rates(self) -> dict[int, float]:
        """Calls per second by round."""
        return {r: sample.rate for r, sample in enumerate(self.samples) if sample.rate is not None}

    def add_asked(self, sample: Sample) -> None:
        """What the run apart brought in which each CPU asked who is inside."""
        self.asked = sample
        self.flaws += [f"in the run that asked who is inside: {flaw}" for flaw in sample.flaws]

    def add_timed(self, what: str, sample: Sample, found: Mapping[str, Histogram]) -> None:
        """What a run apart brought."""
        self.timed.setdefault(what, []).append(sample)
        self.flaws += [f"in the run that timed {what}: {flaw}" for flaw in sample.flaws]
        for name, histogram in found.items():
            earlier = [self.histograms[name]] if name in self.histograms else []
            self.histograms[name] = latency.merged([*earlier, histogram])


@dataclass(frozen=True)
class Ratio:
    """Two cells that differ in one part of their key."""

    by: str
    over: Measured
    under: Measured
    estimate: Estimate | None


def prepare(plan: Plan, named: bool = False) -> list[Subject]:
    """Resolve and check every cell before anything runs. Raises UsageError and its kinds."""
    with _one_at_a_time:
        return [subjects.prepare(cell, plan.seed, named) for cell in plan.cells]


_one_at_a_time = threading.RLock()


def run(plan: Plan, prepared: list[Subject], progress: Progress) -> list[Measured]:
    """Measure every cell, but not again one that failed. Raises WorkerLost, PluginError, UnfitMachine.

    One measurement at a time: while a thread measures, another one that wants to waits here. They would share the cores.
    """
    with _one_at_a_time:
        return _run(plan, prepared, progress)


def _run(plan: Plan, prepared: list[Subject], progress: Progress) -> list[Measured]:
    measured = [_unmeasured(p) for p in prepared]
    for turn in range(plan.repeat):
        order = list(zip(prepared, measured, strict=True))
        for ready, result in order if _is_forwards(turn) else reversed(order):
            if turn == 0:
                progress.doing(f"compiling {ready.cell}")
                ready.compile()
            if not (turn and result.withheld):
                progress.doing(str(ready.cell))
                result.samples.append(ready.repeat(plan.seconds))
                if _asks(ready.cell) and turn == plan.repeat - 1 and not result.withheld:
                    progress.doing(f"{ready.cell}, each CPU asks who is inside")
                    result.add_asked(ready.asked(plan.seconds))
                for what in ready.cell.params.timed if ready.cell.peer == OURS and turn < TIMED_ROUNDS else ():
                    if not result.withheld:
                        progress.doing(f"{ready.cell}, {what} timed")
                        result.add_timed(what, *ready.timed(what, plan.seconds, result.samples[0].rate))
            progress.done()
    about = description.describe()
    for ready, result in zip(prepared, measured, strict=True):
        judge(result, about, plan.seconds, ready.doubts)
        result.rehearsed = ready.proved
    return measured


def _asks(cell: Cell) -> bool:
    """Whether somebody else may be inside, and the code can ask."""
    return cell.cpus > 1 and cell.peer == OURS


def _is_forwards(turn: int) -> bool:
    return turn % 2 == 0


def _unmeasured(ready: Subject) -> Measured:
    return Measured(ready.cell, ready.is_control, used=ready.used, sources=ready.sources, counts=ready.counts)


def judge(result: Measured, about: Mapping[str, Any], seconds: float, unproved: tuple[str, ...] = ()) -> None:
    """Give a measured cell its estimate, its verdict and the reasons."""
    if result.withheld:
        flaws = {flaw for sample in result.samples for flaw in sample.flaws}
        result.reasons = sorted(flaws) + result.flaws or ["not measured"]
        return
    result.estimate = statistics.median(np.array(list(result.rates.values())))
    found = validity.doubts(result.cell, result.samples, result.estimate, about, seconds, result.control)
    timed = [
        doubt
        for what, samples in result.timed.items()
        for doubt in validity.doubts_of_timed(result.cell, what, samples, result.samples, result.histograms, seconds)
    ]
    result.reasons = [*unproved, *found, *timed]
    result.verdict = "suspect" if result.reasons else "valid"


def ratios(measured: list[Measured]) -> list[Ratio]:
    """Each cell over the one that has the first value of a key's part (for peers: ours over the peer's)."""
    by_cell = {result.cell: result for result in measured}
    found = []
    for by in ("scheme", "lock", "padding", "cpus", "peer", *PARAMS):
        values = list(dict.fromkeys(result.cell.value(by) for result in measured))
        base = values[-1] if by == "peer" else values[0]
        for result in measured if len(values) > 1 else ():
            under = by_cell.get(result.cell.over(**{by: base}))
            if under is not None and under is not result and (by == "peer" or result.cell.peer == under.cell.peer):
                found.append(Ratio(by, result, under, _ratio(result, under)))
    return found


def _ratio(over: Measured, under: Measured) -> Estimate | None:
    rounds = sorted(over.rates.keys() & under.rates.keys())
    if over.withheld or under.withheld or not rounds:
        return None
    found = {r: over.rates[r] / under.rates[r] for r in rounds}
    forwards, backwards = (np.array([ratio for r, ratio in found.items() if _is_forwards(r) == way]) for way in (True, False))
    return statistics.paired_ratio(forwards, backwards)


def cell_object(result: Measured) -> dict[str, Any]:
    """A cell as CLI.md's JSON has it. Counts are of the whole run, warm-up and cool-down included."""
    totals = {name: result.total(name) for name in result.counts}
    walks = result.total("returns")
    return {
        **result.cell.key(),
        "used": dict(result.used),
        "sources": dict(result.sources),
        "samples": [sample.rate for sample in result.samples],
        "median": result.estimate.median if result.estimate else None,
        "ci95": list(result.estimate.ci95) if result.estimate and result.estimate.ci95 else None,
        **totals,
        "walk_mean": round(result.total("walked") / walks, 3) if walks else None,
        "latency_ns": _latencies(result),
        "timed": {what: _timed(result, what) for what in result.timed} or None,
        "asked": _asked(result),
        "conditions": [sample.conditions._asdict() for sample in result.samples],
        "concurrency": [sample.concurrency for sample in result.samples],
        "verdict": result.verdict,
        "reasons": result.reasons,
        "rehearsed": list(result.rehearsed),
    }


def _latencies(result: Measured) -> dict[str, Any] | None:
    """By class, from the runs apart; `clock` is what the two readings of the clock cost, which every time includes.

    Beside the times stands how fast the calls were while they were timed, and what part that is of the speed measured.
    """
    if not result.histograms:
        return None
    beside: dict[str, dict[str, float | None]] = {}
    for what, samples in result.timed.items():
        rates = {"calls_per_s": validity.median_rate(samples), "of_measured": validity.of_measured(samples, result.samples)}
        beside |= dict.fromkeys(latency.TIMES[what], rates)
    return {
        "clock": latency.clock_ns(list(result.histograms.values())),
        **{name: {**found.statistics(), **beside[name]} for name, found in result.histograms.items()},
    }


def _asked(result: Measured) -> dict[str, float | None] | None:
    """How fast the calls were while each CPU asked who is inside, and what part that is of the speed measured."""
    if result.asked is None:
        return None
    return {"calls_per_s": result.asked.rate, "of_measured": validity.of_measured([result.asked], result.samples[-1:])}


def _timed(result: Measured, what: str) -> dict[str, Any]:
    """The repetitions of a run apart, as those of the cell are given."""
    samples = result.timed[what]
    return {
        "samples": [sample.rate for sample in samples],
        "concurrency": [sample.concurrency for sample in samples],
        "conditions": [sample.conditions._asdict() for sample in samples],
    }


def ratio_object(ratio: Ratio) -> dict[str, Any]:
    """A ratio as CLI.md's JSON has it."""
    key = ratio.over.cell.key()
    over, under = (cell.value(ratio.by) for cell in (ratio.over.cell, ratio.under.cell))
    key.pop(ratio.by, None)
    key["params"].pop(ratio.by, None)
    estimate = ratio.estimate
    return {
        "by": ratio.by,
        "over": over,
        "under": under,
        **key,
        "median": estimate.median if estimate else None,
        "ci95": list(estimate.ci95) if estimate and estimate.ci95 else None,
        "significance": statistics.significance(estimate),
    }


def scaling_objects(measured: list[Measured]) -> list[dict[str, Any]]:
    """The scaling law of each line of cells that differ in their number of CPUs only; `fit` is null where none was made."""
    lines: dict[Cell, list[Measured]] = {}
    for result in measured:
        lines.setdefault(result.cell.over(cpus=0), []).append(result)
    found = [_scaling_object(cell, line) for cell, line in lines.items() if cell.peer == OURS and len(line) > 1]
    return [{"name": row_name(law, found), **law} for law in found]


def _scaling_object(cell: Cell, line: list[Measured]) -> dict[str, Any]:
    points = [(result.cell.cpus, result.estimate) for result in line if result.estimate]
    law = scaling.fit([cpus for cpus, _ in points], [estimate for _, estimate in points])
    words = law.words if law else f"not fitted: {len(points)} points, {scaling.FEWEST_POINTS} are needed"
    finite = {key: value if math.isfinite(value) else None for key, value in law._asdict().items()} if law else None
    return {**{k: v for k, v in cell.key().items() if k != "cpus"}, "fit": finite, "words": words}


def plan_object(plan: Plan) -> dict[str, Any]:
    """What was asked for: the suite, the window in seconds, the repetitions."""
    asked = asdict(plan)
    return {"suite": plan.suite, "seconds": plan.seconds, "repeat": plan.repeat, "seed": asked["seed"]}
