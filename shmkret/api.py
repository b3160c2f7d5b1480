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
from typing import Any

import numpy as np

from shmkret.errors import UsageError
from shmkret.measure import bench, suite
from shmkret.measure.cell import COUNTS
from shmkret.measure.latency import Histogram


@dataclass(frozen=True)
class Result:
    """What a run gave.

    samples: calls per second of all CPUs together, float, one a repetition; empty when it is withheld.
    median, ci95: calls per second; None when it is withheld, the interval also for fewer than 6 repetitions.
    counts: of the whole run, warm-up included: calls, hits, nmissed, kp_nmissed, refused, returns, flushed, walked, irqs,
            switches, grace_periods (numbers) and grace_ns (nanoseconds).
    verdict: valid, suspect or withheld; reasons: why, in sentences.
    latencies: by class (entry, return, table_lock, probe_lock), in nanoseconds, where they were asked for.
    """

    samples: tuple[float, ...]
    median: float | None
    ci95: tuple[float, float] | None
    counts: Mapping[str, int]
    verdict: str
    reasons: tuple[str, ...]
    latencies: Mapping[str, Histogram] = field(default_factory=dict)

    def statistics(self) -> dict[str, Any]:
        """All of it as plain numbers, strings, lists and dicts."""
        return {
            "samples": list(self.samples),
            "median": self.median,
            "ci95": self.ci95,
            **self.counts,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "latency_ns": {name: found.statistics() for name, found in self.latencies.items()},
        }


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
    **knobs: Any,
) -> Result:
    """Run a worker program on `cpus` CPUs, each a process pinned to a core, and measure it.

    Args:    worker, scheme, lock, arch: a name that `shmkret list` shows, or the path of a file. padding: cacheline, packed.
             seconds: the window of each of `repeat` repetitions. knobs: tasks, probes, maxactive, data_size, hash,
             task_address, handler_ns, work_ns, bug, pin_order, workers_per_core, plain, lock_wait, latency; as the options
             of `shmkret bench`.
    Raises:  UsageError and its kinds, PluginError among them, before anything runs; WorkerLost when a process ends;
             UnfitMachine.
    """
    unknown = knobs.keys() - suite.PARAMS.keys()
    if unknown:
        raise UsageError(f"there is no knob {min(unknown)!r}: {', '.join(suite.PARAMS)}")
    plugins = {"worker": worker, "scheme": scheme, "lock": lock, "arch": arch}
    named = {key: [str(value)] for key, value in plugins.items()}
    options = {**named, "padding": [padding], "cpus": [cpus], **{key: [value] for key, value in knobs.items()}}
    plan = suite.plan("scaling", {**options, "seconds": seconds, "repeat": repeat, "peer": None}, seed)
    (measured,) = bench.run(plan, bench.prepare(plan), _Quiet())
    return _result(measured)


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
        measured.histograms,
    )
