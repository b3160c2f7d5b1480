"""The library: a worker program on N CPUs in a few lines, and its results as plain records.

    import shmkret

    result = shmkret.run("./mine.py", lock="sem", cpus=2)
    print(result.median, result.verdict, result.reasons)

A worker file that runs itself, shmkret.run(__file__), guards that with `if __name__ == "__main__"`: it is loaded again as a
plug-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from shmkret.errors import UsageError
from shmkret.measure import bench, latency, suite
from shmkret.measure.cell import COUNTS, Conditions
from shmkret.measure.knobs import KNOBS, PARAMS
from shmkret.measure.latency import Histogram


class Knobs(TypedDict, total=False):
    """What run() takes beside its named arguments, one value each, None as if not given: shmkret.measure.knobs.Params."""

    probes: int | None
    tasks: int | None
    maxactive: int | None
    data_size: int | None
    hash: str | None
    task_address: str | None
    handler_ns: int | None
    work_ns: int | None
    bug: str | None
    pin_order: str | None
    workers_per_core: int | None
    plain: bool | None
    lock_wait: bool | None
    latency: bool | None
    recoverable: bool | None


@dataclass(frozen=True)
class Result:
    """What a run gave.

    samples: calls per second of all CPUs together, float, one a repetition; empty when it is withheld.
    median, ci95: calls per second; None when it is withheld, the interval also for fewer than 6 repetitions.
    counts: of the whole run, warm-up included: calls, hits, nmissed, kp_nmissed, refused, returns, flushed, walked, irqs,
            switches, grace_periods (numbers) and grace_ns (nanoseconds).
    verdict: valid, suspect or withheld; reasons: why, in sentences.
    rehearsed: what was shown of your own files before they were measured, and how far, in sentences.
    latencies: by class (entry, return, table_lock, probe_lock), in nanoseconds, where they were asked for.
    clock_ns: what the two readings of the clock cost, which every time in latencies includes; None where none was taken.
    conditions: what the machine did, one a repetition.
    concurrency: the part of the time, 0 to 1, in which all CPUs were measured together, one a repetition.
    """

    samples: tuple[float, ...]
    median: float | None
    ci95: tuple[float, float] | None
    counts: Mapping[str, int]
    verdict: str
    reasons: tuple[str, ...]
    rehearsed: tuple[str, ...] = ()
    latencies: Mapping[str, Histogram] = field(default_factory=dict)
    clock_ns: float | None = None
    conditions: tuple[Conditions, ...] = ()
    concurrency: tuple[float, ...] = ()

    def statistics(self) -> dict[str, Any]:
        """All of it as plain numbers, strings, lists and dicts, named as in the JSON of `shmkret bench`."""
        return {
            "samples": list(self.samples),
            "median": self.median,
            "ci95": _plain(self.ci95),
            **self.counts,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "rehearsed": list(self.rehearsed),
            "latency_ns": {
                **({} if self.clock_ns is None else {"clock": self.clock_ns}),
                **{name: found.statistics() for name, found in self.latencies.items()},
            },
            "conditions": [{name: _plain(value) for name, value in one._asdict().items()} for one in self.conditions],
            "concurrency": list(self.concurrency),
        }


def _plain(value: Any) -> Any:
    """As it comes out of JSON: tuples, named ones too, are lists."""
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


class _Quiet:
    """Progress that nobody looks at."""

    def doing(self, what: str) -> None:
        """The next repetition begins."""

    def done(self) -> None:
        """It has ended."""


def run(
    worker: str | Path = "hot",
    *,
    scheme: str | Path = "hashed",
    lock: str | Path = "sem",
    arch: str | Path = "x86-64",
    padding: str = "cacheline",
    cpus: int = 1,
    seconds: float = 0.3,
    repeat: int = 6,
    seed: int = 0,
    **knobs: Unpack[Knobs],
) -> Result:
    """Run a worker program on `cpus` CPUs, each a process pinned to a core, and measure it.

    Args:    worker, scheme, lock, arch: a name that `shmkret list` shows, or the path of a file. padding: cacheline, packed.
             seconds: the window of each of `repeat` repetitions. seed: for what is drawn at random, 0 or more.
             knobs: see Knobs.
    Raises:  UsageError and its kinds, PluginError among them, before anything runs, for a value of the wrong type too;
             WorkerLost when a process ends; UnfitMachine.
    """
    unknown = knobs.keys() - PARAMS.keys()
    if unknown:
        raise UsageError(f"there is no knob {min(unknown)!r}: {', '.join(PARAMS)}")
    plugins = {"worker": worker, "scheme": scheme, "lock": lock, "arch": arch}
    paths = {key: str(value) if isinstance(value, Path) else value for key, value in plugins.items()}
    how = {"padding": padding, "cpus": cpus, "seconds": seconds, "repeat": repeat, "seed": seed}
    plan = suite.plan("scaling", {key: _one(key, value) for key, value in {**paths, **how, **knobs}.items()})
    (measured,) = bench.run(plan, bench.prepare(plan), _Quiet())
    return _result(measured)


def _one(key: str, value: Any) -> Any:
    """A value for a suite. numpy's numbers are numbers; what is required may not be None. Raises UsageError for several."""
    if isinstance(value, list) or (value is None and key not in PARAMS):
        raise UsageError(f"{key} = {value!r}: run() takes one value, {KNOBS[key].type.__name__}")
    return value.item() if isinstance(value, np.generic) else value


def _result(measured: bench.Measured) -> Result:
    estimate = measured.estimate
    rates = tuple(measured.rates.values()) if not measured.withheld else ()
    counts = {name: measured.total(name) for name in COUNTS}
    return Result(
        tuple(np.asarray(rates, float).tolist()),
        estimate.median if estimate else None,
        estimate.ci95 if estimate else None,
        counts,
        measured.verdict,
        tuple(measured.reasons),
        measured.rehearsed,
        measured.histograms,
        latency.clock_ns(list(measured.histograms.values())) if measured.histograms else None,
        tuple(sample.conditions for sample in measured.samples),
        tuple(sample.concurrency for sample in measured.samples),
    )
