"""Two result folders, cell by cell: the ratio of the medians, its interval, what may be said of it, what was too small to find.

Two runs have no rounds in common, and two things make them differ without a cause: the repetitions within a run scatter, and
a run as a whole is faster or slower than the next, in ways that its own repetitions do not show.

    scatter    of each cell: how far its median reaches in either run
    runs       of all cells together: by how much ratios lie apart beyond what scatter explains, or first halves of runs
               from second halves, whichever is more; what scatter explains is taken off before

    interval   ratio * exp(+- sqrt(scatter A**2 + scatter B**2 + (t * runs)**2))

What all cells have in common is a line of its own: it is found where a single cell is too uncertain.

Always    a cell that A measured and B did not is told, and fails where a regression would
Source    Kalibera & Jones, ISMM 2013 (the run is a level that varies);
          Zou & Donner, Statistics in Medicine 27(10), 2008 (an interval from two others)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.errors import UsageError
from shmkret.measure import statistics
from shmkret.measure.report.rows import KEY, Json
from shmkret.measure.statistics import Z95, Estimate

MARGIN = 0.02
FEWEST_CELLS = 8
"""With fewer ratios, how far they lie apart says nothing of the runs."""
POWER = 0.84
"""Standard errors beyond the bound at which four of five differences are found."""
FARTHEST = 2.0
"""A deviation counts as no more than that many standard deviations: a cell that really differs must not pass for noise."""
MEAN_SQUARE = 0.75
"""Of deviations that scatter alone explains, cut off there: intervals of 8 to 15 samples are a little wide (simulated)."""
FREEDOM = 2.0
"""Of the drift: what all cells do alike, two runs show twice."""
HELD, REGRESSION, LOST, CANNOT_TELL = "held", "regression", "lost", "cannot tell"


class Difference(NamedTuple):
    """Of one cell between two runs, in logarithms of the rate. halves: first half over second, of either run."""

    shift: float
    down: float
    up: float
    variance: float
    halves: tuple[float, float]
    variances: tuple[float, float]

    def estimate(self, between: float, times: float = 1.0) -> Estimate:
        """The ratio with its interval. between: what the runs add, as half a width. times: an interval that much wider."""
        low, high = (times * math.hypot(side, between) for side in (self.down, self.up))
        return Estimate(math.exp(self.shift), (math.exp(self.shift - low), math.exp(self.shift + high)))


class Between(NamedTuple):
    """By how much two runs differ without a cause: what their cells show, what their halves show, half a width of interval."""

    cells: float
    halves: float
    bound: float


def compare(before: Json, after: Json, margin: float = MARGIN) -> tuple[list[Json], Json]:
    """The cells of both results, in the order of the first, and what they have in common.

    Returns: cells: key, verdicts, ratio of after over before, its interval (ci95; ci95_all: right for all cells at once),
             significance, finds (the smallest slowdown that four of five comparisons would find). What a cell has no ratio
             for is None. together: median and ci95 of all cells, significance; drift (of halves) and between (of runs), parts.
    Raises:  UsageError when the two have no cell in common.
    """
    known = {_key(cell): cell for cell in after["cells"]}
    if not any(_key(cell) in known for cell in before["cells"]):
        raise UsageError("the two results have no cell in common: measure the same suite twice")
    pairs = [(cell, known.get(_key(cell))) for cell in before["cells"]]
    differences = [_difference(_rates(cell), _rates(other)) for cell, other in pairs]
    measured = [difference for difference in differences if difference]
    between = _between(measured)
    wider = NormalDist().inv_cdf(1 - 0.025 / max(1, len(measured))) / Z95
    cells = []
    for (cell, other), difference in zip(pairs, differences, strict=True):
        estimate = difference.estimate(between.bound) if difference else _bare_ratio(_rates(cell), _rates(other))
        at_once = difference.estimate(between.bound, wider).ci95 if difference else None
        cells.append(
            {
                **{key: cell[key] for key in KEY},
                "params": cell["params"],
                "verdicts": [cell["verdict"], other["verdict"] if other else "not there"],
                "median": estimate.median if estimate else None,
                "ci95": _listed(estimate.ci95 if estimate else None),
                "ci95_all": _listed(at_once),
                "significance": _words(cell, other, estimate, margin),
                "finds": _finds(difference, between.bound, margin) if difference else None,
            }
        )
    return cells, _together(measured, between, margin)


def gate(cells: list[Json], together: Json, least: float) -> list[str]:
    """What `--fail-on regression>=` says of each cell, and at last of all together where they have an interval.

    Returns: held; regression; lost (A measured it, B did not); cannot tell. A regression must show in an interval that is
             right for all cells at once: else one of many fails by chance. It is excluded where the cell's own interval
             ends before it. Of all cells together only a regression counts.
    """
    slower = together["significance"].startswith("slower") and together["median"] <= 1 - least
    return [_judged(cell, least) for cell in cells] + ([REGRESSION] if slower else [])


def verdict(cells: list[Json], together: Json, said: list[str], least: float) -> Iterator[str]:
    """The gate in sentences, with what helps."""
    every = len(cells)
    if LOST in said:
        yield f"{said.count(LOST)} of {every} cells have no number in B: withheld, or not there"
    if REGRESSION in said[:every]:
        yield f"{said[:every].count(REGRESSION)} of {every} cells are slower by {least:.1%} or more"
    if REGRESSION in said[every:]:
        yield f"all cells together are slower by {1 - together['median']:.1%}"
    if CANNOT_TELL in said:
        unsure = [cell for cell, what in zip(cells, said, strict=False) if what == CANNOT_TELL]
        bare = sum(cell["ci95"] is None for cell in unsure)
        yield f"{len(unsure)} of {every} cells cannot tell a regression of {least:.1%}: their intervals reach it" + (
            f", or they have none ({bare} with fewer than {statistics.FEWEST_SAMPLES} repetitions)" if bare else ""
        )
        yield _remedy(together)


def _remedy(together: Json) -> str:
    """More repetitions narrow what repetitions show, not what the next run shifts."""
    own = max(together["between"] or 0.0, together["drift"])
    if own > MARGIN:
        shift = f"the runs differ by {own:.1%} (one sigma) beyond what their repetitions show"
        return f"{shift}: use a quieter machine, then raise `repeat`"
    return "raise `repeat` or `seconds` in both runs, or quieten the machine"


def _judged(cell: Json, least: float) -> str:
    if cell["verdicts"][0] == "withheld":
        return HELD  # there is nothing to fall behind
    if cell["median"] is None:
        return LOST
    if cell["ci95"] is None:
        return CANNOT_TELL
    if cell["ci95_all"][1] < 1 and cell["median"] <= 1 - least:
        return REGRESSION
    return HELD if cell["ci95"][0] > 1 - least else CANNOT_TELL


def threshold(condition: str) -> float:
    """The part of `--fail-on regression>=5%`. Raises UsageError."""
    found = re.fullmatch(r"regression\s*>=\s*(\d+(?:\.\d+)?)\s*%", condition.strip())
    if not found or not 0 < float(found[1]) < 100:
        raise UsageError(f"`fail_on` {condition!r}: write regression>=5%")
    return float(found[1]) / 100


def alone(before: Json, after: Json) -> Json:
    """How many cells each has that the other has not."""
    ours, theirs = ({_key(cell) for cell in result["cells"]} for result in (before, after))
    return {"only_before": len(ours - theirs), "only_after": len(theirs - ours)}


def _key(cell: Json) -> str:
    return json.dumps([[cell[key] for key in KEY], cell["params"]], sort_keys=True)


def _rates(cell: Json | None) -> NDArray[np.float64]:
    """The samples of a cell, empty where there is no number for it."""
    measured = cell is not None and cell["verdict"] != "withheld"
    return np.array([rate for rate in cell["samples"] if rate] if cell and measured else [], float)


def _bare_ratio(before: NDArray[np.float64], after: NDArray[np.float64]) -> Estimate | None:
    return Estimate(float(np.median(after) / np.median(before)), None) if len(before) and len(after) else None


def _difference(before: NDArray[np.float64], after: NDArray[np.float64]) -> Difference | None:
    """None for too few samples."""
    logs = [np.log(before), np.log(after)]
    found = [statistics.median(log) if len(log) else None for log in logs]
    (a, b) = ((one.median, *one.ci95) if one and one.ci95 else None for one in found)
    if a is None or b is None:
        return None
    down, up = math.hypot(b[0] - b[1], a[2] - a[0]), math.hypot(b[2] - b[0], a[0] - a[1])
    variances = tuple(((one[2] - one[1]) / (2 * Z95)) ** 2 for one in (a, b))
    halves = tuple(float(np.median(log[: len(log) // 2]) - np.median(log[len(log) // 2 :])) for log in logs)
    return Difference(b[0] - a[0], down, up, sum(variances), (halves[0], halves[1]), (variances[0], variances[1]))


def _between(found: Sequence[Difference]) -> Between:
    """The two estimates of what runs add, and the larger bound.

    The median of half a run varies with twice the standard error of the whole's, two of them with four times its variance.
    Neighbouring runs are twice as far apart as neighbouring halves, so a walk leads twice as far in variance.
    """
    cells, freedom = 0.0, 1.0
    if len(found) >= FEWEST_CELLS:
        cells, freedom = _beyond([one.shift for one in found], [one.variance for one in found], around_zero=False)
    halves, _ = _beyond([h for one in found for h in one.halves], [4 * v for one in found for v in one.variances])
    bounds = cells * _t95(freedom), math.sqrt(2) * halves * _t95(FREEDOM)
    return Between(cells, halves, max(bounds))


def _beyond(values: Sequence[float], variances: Sequence[float], around_zero: bool = True) -> tuple[float, float]:
    """What, on top of these variances, makes the values as wide as they are: a standard deviation, and its degrees of freedom.

    It is 0 where they are narrower. The likeliest one, but for values far out, which count less: exact values weigh most, and
    as many degrees are free as equal weights would be.
    """
    x, known = np.array(values, float), np.array(variances, float) + 1e-30
    low, high = 0.0, float(np.ptp([*x, 0.0])) + 1e-12
    weights = np.ones_like(x)
    for _ in range(50):
        middle = (low + high) / 2
        weights = 1 / (known + middle**2)
        off = (x if around_zero else x - _weighted_median(x, weights)) ** 2 * weights
        is_more = len(x) > 0 and np.average(np.minimum(off, FARTHEST**2), weights=weights) > MEAN_SQUARE
        low, high = (middle, high) if is_more else (low, middle)
    freedom = float(weights.sum() ** 2 / (weights**2).sum()) - 1 if len(x) else 0.0
    return (high if high > 1e-9 else 0.0), freedom


def _weighted_median(x: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(x)
    half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    return float(x[order][half])


def _t95(freedom: float) -> float:
    """Student's bound. Source: the expansion of Fisher & Cornish, Technometrics 2(2), 1960; 3 % off at two degrees."""
    z, nu = Z95, max(2.0, freedom)
    return (
        z
        + (z**3 + z) / (4 * nu)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * nu**3)
    )


def _finds(difference: Difference, bound: float, margin: float) -> float:
    """The slowdown that is beyond the margin, with an interval without 1, in four comparisons of five."""
    up = math.hypot(difference.up, bound)
    return 1 - math.exp(-(max(up, -math.log(1 - margin)) + POWER * up / Z95))


def _together(found: Sequence[Difference], between: Between, margin: float) -> Json:
    """The median of all cells' ratios. What a run does to all of them alike, only drift within runs can tell."""
    common = statistics.median(np.array([one.shift for one in found])) if len(found) >= FEWEST_CELLS else None
    estimate = None
    if common and common.ci95:
        walk = math.sqrt(2) * between.halves * _t95(FREEDOM)
        low, high = (math.hypot(end - common.median, walk) for end in common.ci95)
        estimate = Estimate(math.exp(common.median), (math.exp(common.median - low), math.exp(common.median + high)))
    return {
        "median": estimate.median if estimate else None,
        "ci95": _listed(estimate.ci95 if estimate else None),
        "significance": statistics.significance(estimate, margin) if estimate else f"fewer than {FEWEST_CELLS} cells",
        "drift": between.halves,
        "between": between.cells if len(found) >= FEWEST_CELLS else None,
    }


def _words(cell: Json, other: Json | None, estimate: Estimate | None, margin: float) -> str:
    if other is None:
        return "not there in B"
    for name, one in (("A", cell), ("B", other)):
        if one["verdict"] == "withheld":
            return f"withheld in {name}"
    return statistics.significance(estimate, margin)


def _listed(ends: tuple[float, float] | None) -> list[float] | None:
    return list(ends) if ends else None
