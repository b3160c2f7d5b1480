"""Medians, and ratios of paired rounds, with intervals that hold for few samples: no shape of the noise is assumed.

    median          between two order statistics, interpolated so that 95 % is met and not overshot
    paired ratio    the rounds forwards and the rounds backwards, each of one with each of the other

Always    an interval of fewer samples than can give 95 % is None: 6 for a median, 4 + 4 rounds for a ratio
Source    Hettmansperger & Sheather, Statistics & Probability Letters 4(2), 1986 (the interpolation);
          Hodges & Lehmann, Annals of Mathematical Statistics 34(2), 1963, and Mann & Whitney, 18(1), 1947 (the pairs)
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
Z95 = 1.96
"""The normal distribution's bound for it."""
FEWEST_SAMPLES = 6
"""1 - 2 / 2**n is CONFIDENCE or more."""
FEWEST_ROUNDS = 8
"""1 - 2 / comb(n, n / 2) is CONFIDENCE or more."""
MOST_COUNTED = 60


class Estimate(NamedTuple):
    """A median and its 95 % interval; the interval is None for too few samples."""

    median: float
    ci95: tuple[float, float] | None


def median(samples: NDArray[np.float64]) -> Estimate:
    """The median of samples, float64[n], n >= 1. The interval takes them for independent of one another."""
    ordered = np.sort(samples)
    return Estimate(float(np.median(ordered)), _between_order_statistics(ordered))


def paired_ratio(forwards: NDArray[np.float64], backwards: NDArray[np.float64]) -> Estimate:
    """The ratio of two variants, from their ratios in rounds A B, float64[n], and in rounds B A, float64[m], n >= 1.

    A drift of the machine's speed raises the ratio in one direction and lowers it in the other:

        A B   ratio * (1 + drift)        B A   ratio / (1 + drift)

    so it is the geometric mean of two rounds that has lost it. The median is taken over all n * m such pairs.
    """
    if not len(backwards):
        return Estimate(float(np.median(forwards)), None)
    pairs = np.sort(np.sqrt(np.outer(forwards, backwards)), axis=None)
    outside = _rank_outside(len(forwards), len(backwards))
    ci95 = None if outside is None else (float(pairs[outside]), float(pairs[-1 - outside]))
    return Estimate(float(np.median(pairs)), ci95)


def significance(ratio: Estimate | None, margin: float = 0.0) -> str:
    """What may be said of a ratio of speeds: significant is an interval without 1, around a ratio beyond the margin."""
    if ratio is None:
        return "not measured"
    if ratio.ci95 is None:
        return "no interval: too few repetitions"
    low, high = ratio.ci95
    if low > 1 and ratio.median > 1 + margin:
        return "faster, significant"
    if high < 1 and ratio.median < 1 - margin:
        return "slower, significant"
    return "not significant"


def _between_order_statistics(ordered: NDArray[np.float64]) -> tuple[float, float] | None:
    """The d-th sample from either end is too wide, the next too narrow; the interval lies between them."""
    n = len(ordered)
    if n < FEWEST_SAMPLES:
        return None
    d, wide, narrow = _last_rank(n)
    part = (wide - CONFIDENCE) / (wide - narrow)
    inwards = (n - d) * part / (d + (n - 2 * d) * part)
    low = ordered[d - 1] + inwards * (ordered[d] - ordered[d - 1])
    high = ordered[n - d] - inwards * (ordered[n - d] - ordered[n - d - 1])
    return float(low), float(high)


@cache
def _last_rank(n: int) -> tuple[int, float, float]:
    """The largest d for which the d-th samples from both ends enclose the median with CONFIDENCE; what d and d + 1 give."""
    d, outside, ways, wide = 0, 0, 1, 1.0
    while True:
        outside += ways
        ways = ways * (n - d) // (d + 1)
        narrow = 1 - outside / 2 ** (n - 1)
        if narrow < CONFIDENCE:
            return d, wide, max(0.0, narrow)
        d, wide = d + 1, narrow


@cache
def _rank_outside(n: int, m: int) -> int | None:
    """How many pairs lie outside the interval at either end: the largest U that chance undercuts in 2.5 % of cases.

    ways[j][u]: the orders of some from one group and j of the other in which u pairs are inverted. U is nearly normal for many.
    """
    if n + m > MOST_COUNTED:
        return int(n * m / 2 - Z95 * (n * m * (n + m + 1) / 12) ** 0.5)
    ways = np.zeros((m + 1, n * m + 1))
    ways[:, 0] = 1.0
    for _ in range(n):
        before, ways = ways, np.zeros_like(ways)
        ways[0, 0] = 1.0
        for j in range(1, m + 1):
            ways[j] = ways[j - 1]
            ways[j, j:] += before[j, : n * m + 1 - j]
    allowed = int((np.cumsum(ways[m]) / ways[m].sum() <= (1 - CONFIDENCE) / 2).sum())
    return allowed - 1 if allowed else None
