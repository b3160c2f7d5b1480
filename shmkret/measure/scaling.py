"""The Universal Scalability Law, fitted to throughput against CPUs.

    X(n) = rate * n / (1 + contention * (n - 1) + coherency * n * (n - 1))

    contention   the part of the work that is serial (Amdahl's)
    coherency    what CPUs cost one another by exchanging lines; not 0: throughput has a peak and falls
    peak         sqrt((1 - contention) / coherency) CPUs

It is the wrong model where it misses what was measured by more than a reader would overlook, and by more than the measurement
can be wrong: farther than the intervals of the points reach, or above and below in long runs.

Always    rate > 0, 0 <= contention <= 1, 0 <= coherency
Source    Gunther, Guerrilla Capacity Planning, 2007, chapter 4;
          Wald & Wolfowitz, Annals of Mathematical Statistics 11(2), 1940 (the runs)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.measure.statistics import Z95, Estimate

FEWEST_POINTS = 5
LARGEST_MISS = 0.05
"""A curve that misses no point by more is good enough to read."""
LEAST_ERROR = 0.01
"""No measured point is taken for more exact."""
UNKNOWN_ERROR = 0.03
"""A point without an interval is taken for as exact as this."""
RAREST = 0.01
"""A law that holds is called wrong in about one curve of a hundred, where its points have intervals."""


class Usl(NamedTuple):
    """A fit. rate: calls per second of one CPU; peak_cpus: infinite when nothing pulls the curve down.

    r2: of throughput, not a number where all rates are equal. miss: of the point that is missed most, a part of its rate.
    wrong: whether points lie where the law has none.
    """

    rate: float
    contention: float
    coherency: float
    peak_cpus: float
    r2: float
    miss: float
    wrong: bool

    @property
    def words(self) -> str:
        """The fit in a line, with a warning when the law is the wrong model."""
        peak = "no peak" if math.isinf(self.peak_cpus) else f"peak at {self.peak_cpus:.1f} CPUs"
        r2 = "" if math.isnan(self.r2) else f", R2 {self.r2:.3f}"
        fit = f"contention {self.contention:.3f}, coherency {self.coherency:.5f}, {peak}{r2}"
        fit += f", misses points by up to {self.miss:.1%}"
        return fit + ("; the law is the wrong model here: a cliff or a step is none of its shapes" if self.wrong else "")


def fit(cpus: Sequence[int], rates: Sequence[Estimate]) -> Usl | None:
    """Least squares of the relative errors within the bounds; None for fewer than FEWEST_POINTS core counts.

    Args:    cpus: n of each point. rates: calls per second of each, all CPUs together, more than 0.
    """
    if len(set(cpus)) < FEWEST_POINTS:
        return None
    n, x = np.asarray(cpus, float), np.array([rate.median for rate in rates])
    terms = np.stack([np.ones_like(n), n - 1, n * (n - 1)], axis=1) * (x / n)[:, None]
    a, b, c = _least_squares_in_bounds(terms, np.ones_like(n))
    misses = n / (a + b * (n - 1) + c * n * (n - 1)) / x - 1
    contention, coherency = b / a, c / a
    peak = max(1.0, math.sqrt((1 - contention) / coherency)) if coherency > 0 else math.inf
    largest = float(np.abs(misses).max())
    wrong = largest > LARGEST_MISS and _is_beyond_chance(misses[np.argsort(n)], [rates[i] for i in np.argsort(n)])
    return Usl(1 / a, contention, coherency, peak, _r2(x, misses), largest, wrong)


def _r2(x: NDArray[np.float64], misses: NDArray[np.float64]) -> float:
    around = float(((x - x.mean()) ** 2).sum())
    return 1 - float(((x * misses) ** 2).sum()) / around if around > 0 else math.nan


def _least_squares_in_bounds(terms: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, float, float]:
    """The best of the solutions with 0 <= b <= a and 0 <= c. At b = a two columns are one; at 0 a column is left out."""
    best: tuple[float, tuple[float, float, float]] = (math.inf, (1.0, 0.0, 0.0))
    first, second, third = terms.T
    for head, tail in itertools.product(([first], [first, second], [first + second]), ([], [third])):
        solution = np.linalg.lstsq(np.stack([*head, *tail], axis=1), wanted, rcond=None)[0].tolist()
        a = solution[0]
        b = solution[1] if len(head) == 2 else a if head[0] is not first else 0.0
        c = solution[-1] if tail else 0.0
        error = float(((a * first + b * second + c * third - wanted) ** 2).sum())
        if a > 0 and 0 <= b <= a and c >= 0 and error < best[0]:
            best = (error, (a, b, c))
    return best[1]


def _is_beyond_chance(misses: NDArray[np.float64], rates: Sequence[Estimate]) -> bool:
    """Whether the points, in the order of CPUs, are farther off than their intervals allow, or change sides too rarely."""
    # The bounds may hold two of the three coefficients: one freedom is certainly spent.
    far = float(((misses / [_error(rate) for rate in rates]) ** 2).sum())
    above = misses > 0
    runs = 1 + int((above[1:] != above[:-1]).sum())
    return far > _most_by_chance(len(misses) - 1) or _chance_of_runs(int(above.sum()), int((~above).sum()), runs) < RAREST


def _error(rate: Estimate) -> float:
    """The standard error of a point, a part of its rate."""
    if rate.ci95 is None:
        return UNKNOWN_ERROR
    return max(LEAST_ERROR, (rate.ci95[1] - rate.ci95[0]) / (2 * Z95 * rate.median))


def _most_by_chance(freedom: int) -> float:
    """The quantile 1 - RAREST of chi squared. Source: Wilson & Hilferty, PNAS 17(12), 1931."""
    z = 2.326
    return float(freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3)


def _chance_of_runs(above: int, below: int, runs: int) -> float:
    """How often so many points above and below, in any order, form that many runs or fewer; 1 where all are on one side."""
    if not above or not below:
        return 1.0
    orders = 0
    for r in range(2, runs + 1):
        ways = [math.comb(above - 1, k - 1) * math.comb(below - 1, r - k - 1) for k in {r // 2, r - r // 2}]
        orders += 2 * ways[0] if r % 2 == 0 else sum(ways)
    return orders / math.comb(above + below, above)
