"""Medians, and medians of paired ratios, with bootstrap intervals.

Source    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3 (percentile interval)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
Z95 = 1.96
"""The bound of 95 % of normal values."""


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


def unpaired_ratio(over: NDArray[np.float64], under: NDArray[np.float64], rng: np.random.Generator) -> Estimate:
    """median(over) / median(under), float64[n] and float64[m], n, m >= 1, of two runs; blocks of neighbours are drawn."""
    ratio = float(np.median(over) / np.median(under))
    if min(len(over), len(under)) < 2:
        return Estimate(ratio, None)
    return Estimate(ratio, _ends(_block_medians(over, rng) / _block_medians(under, rng)))


def significance(ratio: Estimate | None, margin: float = 0.0) -> str:
    """What may be said of a ratio of speeds: significant is what lies farther from 1 than the margin, interval and all."""
    if ratio is None:
        return "not measured"
    if ratio.ci95 is None:
        return "no interval: one repetition"
    low, high = ratio.ci95
    if low > 1 + margin:
        return "faster, significant"
    if high < 1 - margin:
        return "slower, significant"
    return "not significant"


def _block_medians(samples: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Medians of resamples that consist of blocks of neighbours, sqrt(n) long, the samples taken as a circle."""
    n = len(samples)
    length = round(n**0.5)
    starts = rng.integers(0, n, (RESAMPLES, -(-n // length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :n] % n
    medians: NDArray[np.float64] = np.median(samples[places], axis=1)
    return medians


def _ends(values: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _interval(samples: NDArray[np.float64], rng: np.random.Generator) -> tuple[float, float] | None:
    n = len(samples)
    if n < 2:
        return None
    return _ends(np.median(samples[rng.integers(0, n, (RESAMPLES, n))], axis=1))
