"""The Universal Scalability Law, fitted to throughput against CPUs.

    X(n) = rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1))

    contention   the part of the work that is serial (Amdahl's)
    coherency    what CPUs cost one another by exchanging lines; not 0: throughput has a peak and falls
    peak         sqrt((1 - contention) / coherency) CPUs

Source    Gunther, Guerrilla Capacity Planning, 2007, chapter 4
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

FEWEST_POINTS = 5
LEAST_R2 = 0.95


class Usl(NamedTuple):
    """A fit. rate: calls per second of one CPU; peak_cpus: infinite when nothing pulls the curve down; r2 on throughput."""

    rate: float
    contention: float
    coherency: float
    peak_cpus: float
    r2: float

    @property
    def words(self) -> str:
        """The fit in a line, with a warning when the law is the wrong model."""
        peak = "no peak" if math.isinf(self.peak_cpus) else f"peak at {self.peak_cpus:.1f} CPUs"
        fit = f"contention {self.contention:.3f}, coherency {self.coherency:.5f}, {peak}, R2 {self.r2:.3f}"
        wrong = "; the law is the wrong model here: a cliff or a step is none of its shapes"
        return fit + (wrong if self.r2 < LEAST_R2 else "")


def fit(cpus: Sequence[int], rates: Sequence[float]) -> Usl | None:
    """Least squares of the relative errors, with no coefficient below 0; None for fewer than FEWEST_POINTS core counts.

    Args:    cpus: n of each point. rates: calls per second of each, all CPUs together, more than 0.
    """
    if len(set(cpus)) < FEWEST_POINTS:
        return None
    n, x = np.asarray(cpus, float), np.asarray(rates, float)
    terms = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1) * (x / n)[:, None]
    a, b, c = _least_squares_above_zero(terms, np.ones_like(n))
    predicted = n / (a + b * (n - 1) + c * n * (n - 1))
    r2 = 1 - float(((x - predicted) ** 2).sum() / ((x - x.mean()) ** 2).sum())
    contention, coherency = b / a, c / a
    peak = (
        math.sqrt((1 - contention) / coherency) if coherency > 0 and contention < 1 else (1.0 if contention >= 1 else math.inf)
    )
    return Usl(1 / a, contention, coherency, peak, r2)


def _least_squares_above_zero(terms: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
    """The best of the solutions in which some coefficients are 0 and none is less; the first is always there."""
    best: tuple[float, list[float]] = (math.inf, [1.0, 0.0, 0.0])
    for used in itertools.product((True,), (False, True), (False, True)):
        columns = np.flatnonzero(used)
        solution = np.linalg.lstsq(terms[:, columns], wanted, rcond=None)[0]
        if (solution < 0).any() or solution[0] <= 0:
            continue
        error = float(((terms[:, columns] @ solution - wanted) ** 2).sum())
        if error < best[0]:
            full = [0.0, 0.0, 0.0]
            for column, value in zip(columns.tolist(), solution.tolist(), strict=True):
                full[column] = value
            best = (error, full)
    return best[1][0], best[1][1], best[1][2]
