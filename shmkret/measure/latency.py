"""Histograms as a run leaves them in the arena, and what is read from them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.arena import Arena
from shmkret.clock import CLASSES, HISTOGRAM_WORDS, MAX, NR_BINS, SUM, least_of

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99_9": 0.999}
EDGES = np.array([least_of(i) for i in range(NR_BINS)], np.float64)
"""The least time of each bin, ns, float64[NR_BINS]."""


class Histogram(NamedTuple):
    """Times of one class, all CPUs together. counts: int64[NR_BINS]; total_ns and max_ns are exact."""

    counts: NDArray[np.int64]
    total_ns: int
    max_ns: int

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
            "mean": self.total_ns / self.nr,
            **{name: self.quantile(q) for name, q in QUANTILES.items()},
            "max": self.max_ns,
            "bins": [[int(EDGES[i]), int(self.counts[i])] for i in filled.tolist()],
        }


def histograms(arena: Arena) -> dict[str, Histogram]:
    """The histograms of a timed run, by class; those that hold nothing are left out."""
    words = arena.records("latencies")["word"].reshape(-1, len(CLASSES), HISTOGRAM_WORDS)
    found = {}
    for i, name in enumerate(CLASSES):
        counts = words[:, i, :NR_BINS].sum(axis=0)
        if counts.any():
            found[name] = Histogram(counts, int(words[:, i, SUM].sum()), int(words[:, i, MAX].max()))
    return found
