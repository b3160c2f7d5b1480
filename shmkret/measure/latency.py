"""Histograms: how many times a run is to record, what it leaves in the arena, and what is read from that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.segment import Arena
from shmkret.moves.clock import CLASSES, CLOCK, HISTOGRAM_WORDS, MAX, MOST_CLOCK, NR_BINS, NR_CLOCK, ONE_IN, SUM, least_of

TIMES = {"locks": ("table_lock", "probe_lock"), "calls": ("entry", "return")}
"""The classes that a run apart records, by its name (shmkret.moves.clock.CLOCKS)."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
EDGES = np.array([least_of(i) for i in range(NR_BINS)], np.float64)
"""The least time of each bin, ns, float64[NR_BINS]."""


STEPS = (3, 7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521)
"""One in how many is recorded: prime, so that it is in step with nothing that a worker does."""
ACQUIRES = 4
"""Of a call, with a bucket lock and a probe's; what is timed of a class is half of that or less."""
INTERRUPTED_NS = 1000
"""Less than what it takes to be interrupted, and more than what varies of a clock."""
APART_S = 5e-6
"""How far apart recorded times are, all CPUs together: some 100 ns for the clock and the histogram are 2 % of it."""


class Histogram(NamedTuple):
    """Times of one class, all CPUs together. counts: int64[NR_BINS]; total_ns and max_ns are exact.

    clock_total_ns: what two readings of the clock took in the same place, nr_clock times. one_in: the part that was recorded.
    """

    counts: NDArray[np.int64]
    total_ns: int
    max_ns: int
    clock_total_ns: int = 0
    nr_clock: int = 0
    one_in: int = 1

    @property
    def nr(self) -> int:
        """How many times were recorded."""
        return int(self.counts.sum())

    def quantile(self, q: float) -> float:
        """The time in ns that a part q of all do not exceed: the middle of its bin, which is 3 % wide."""
        wanted = int(np.ceil(q * self.nr))
        i = int(np.searchsorted(np.cumsum(self.counts), max(1, wanted)))
        following = EDGES[i + 1] if i + 1 < NR_BINS else float(self.max_ns)
        return float(min(self.max_ns, (EDGES[i] + following - 1) / 2))

    def statistics(self) -> dict[str, Any]:
        """As the JSON objects have it: count, mean, quantiles and max in ns, and the bins that are not empty."""
        filled = np.flatnonzero(self.counts)
        return {
            "count": self.nr,
            "one_in": self.one_in,
            "mean": self.total_ns / self.nr,
            **{name: self.quantile(q) for name, q in QUANTILES.items()},
            "max": self.max_ns,
            "bins": [[int(EDGES[i]), int(self.counts[i])] for i in filled.tolist()],
        }


def one_in_of(rate: float | None) -> int:
    """One in how many to record of a run that makes `rate` calls a second untimed; as many as can be if nobody knows."""
    wanted = ACQUIRES * APART_S * (rate or 0.0)
    return next((step for step in STEPS if step >= wanted), STEPS[-1])


def prepare(arena: Arena, step: int, clock_ns: float) -> None:
    """Tell every CPU of a timed run to record one in `step`; clock_ns: the least that two readings of the clock take."""
    _words(arena)[:, :, ONE_IN] = step
    _words(arena)[:, :, MOST_CLOCK] = int(4 * clock_ns) + INTERRUPTED_NS


def merged(several: Sequence[Histogram]) -> Histogram:
    """The histograms of several repetitions in one."""
    return Histogram(
        np.sum([one.counts for one in several], axis=0),
        sum(one.total_ns for one in several),
        max(one.max_ns for one in several),
        sum(one.clock_total_ns for one in several),
        sum(one.nr_clock for one in several),
        several[0].one_in,
    )


def clock_ns(found: Sequence[Histogram]) -> float:
    """What the two readings of the clock cost that every recorded time includes, ns: the mean, in the place itself."""
    return sum(one.clock_total_ns for one in found) / max(1, sum(one.nr_clock for one in found))


def histograms(arena: Arena) -> dict[str, Histogram]:
    """The histograms of a timed run, by class; those that hold nothing are left out."""
    words = _words(arena)
    found = {}
    for i, name in enumerate(CLASSES):
        counts = words[:, i, :NR_BINS].sum(axis=0)
        if counts.any():
            total, clock, nr_clock = (int(words[:, i, word].sum()) for word in (SUM, CLOCK, NR_CLOCK))
            found[name] = Histogram(counts, total, int(words[:, i, MAX].max()), clock, nr_clock, int(words[0, i, ONE_IN]))
    return found


def _words(arena: Arena) -> NDArray[np.int64]:
    """int64[nr_cpus, len(CLASSES), HISTOGRAM_WORDS], in the arena."""
    return arena.records("latencies")["word"].reshape(-1, len(CLASSES), HISTOGRAM_WORDS)
