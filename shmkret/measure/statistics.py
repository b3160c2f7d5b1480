"""Medians, and medians of paired ratios, with bootstrap intervals.

Source    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile interval)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000


class Estimate(NamedTuple):
    """A median and its 95 % interval; the interval is None for fewer than two samples."""

    median: float
    ci95: tuple[float, float] | None


def median(samples: NDArray[np.float64], rng: np.random.Generator) -> Estimate:
    """The median of samples, float64[n], n >= 1."""
    return Estimate(float(np.median(samples)), _interval(samples, rng))


def paired_ratio(over: NDArray[np.float64], under: NDArray[np.float64], rng: np.random.Generator) -> Estimate:
    """The median of over[r] / under[r], float64[n] both, n >= 1.

    Sample r of both comes from the same round of an interleaved run, so that a drift of the machine's speed cancels.
    """
    return median(over / under, rng)


def _interval(samples: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float] | None:
    n = len(samples)
    if n < 2:
        return None
    medians = np.median(samples[rng.integers(0, n, (RESAMPLES, n))], axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)
