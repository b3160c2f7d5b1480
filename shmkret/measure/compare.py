"""Two result folders, cell by cell: the ratio of the medians with its interval, and what may be said of it.

Two runs have no rounds in common, so nothing cancels a drift between them. A difference counts as significant only when the
whole interval lies farther from 1 than a margin; samples are drawn in blocks of neighbours, because neighbours are alike. The
margin is what was asked for, or the drift that the runs show by themselves where that is more: the upper quartile, over the
cells of both, of the difference between the first half of a cell's samples and the second.

Source    Kuensch, Annals of Statistics 17(3), 1989 (the blocks); Kalibera & Jones, ISMM 2013 (ratios with intervals)
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from shmkret.errors import UsageError
from shmkret.measure import statistics
from shmkret.measure.rows import KEY, Json

MARGIN = 0.02
FEWEST_SAMPLES = 4
DRIFT_QUANTILE = 0.75


def compare(before: Json, after: Json, margin: float = MARGIN) -> list[Json]:
    """The cells that both results have, in the order of the first: key, ratio of after over before, significance.

    Raises: UsageError when they have none in common.
    """
    rng = np.random.default_rng(int(before["seed"]))
    known = {_key(cell): cell for cell in after["cells"]}
    found = []
    for cell in before["cells"]:
        other = known.get(_key(cell))
        if other is not None:
            estimate = _ratio(other["samples"], cell["samples"], rng)
            found.append(
                {
                    **{key: cell[key] for key in KEY},
                    "params": cell["params"],
                    "median": estimate.median if estimate else None,
                    "ci95": list(estimate.ci95) if estimate and estimate.ci95 else None,
                    "significance": statistics.significance(estimate, margin),
                    "verdicts": [cell["verdict"], other["verdict"]],
                }
            )
    if not found:
        raise UsageError("the two results have no cell in common: measure the same suite twice")
    return found


def drift(before: Json, after: Json) -> float:
    """By how much the runs drifted by themselves, as a part of the speed; 0 where there are too few samples to tell."""
    found = []
    for cell in (*before["cells"], *after["cells"]):
        rates = np.array([rate for rate in cell["samples"] if rate is not None])
        if len(rates) >= FEWEST_SAMPLES:
            half = len(rates) // 2
            found.append(abs(np.median(rates[:half]) / np.median(rates[half:]) - 1))
    return float(np.quantile(found, DRIFT_QUANTILE)) if found else 0.0


def _key(cell: Json) -> str:
    return json.dumps([[cell[key] for key in KEY], cell["params"]], sort_keys=True)


def _ratio(after: list[float | None], before: list[float | None], rng: np.random.Generator) -> statistics.Estimate | None:
    over, under = (np.array([rate for rate in rates if rate is not None]) for rates in (after, before))
    return statistics.unpaired_ratio(over, under, rng) if len(over) and len(under) else None


def threshold(condition: str) -> float:
    """The part of `--fail-on regression>=5%`. Raises UsageError."""
    found = re.fullmatch(r"regression\s*>=\s*(\d+(?:\.\d+)?)\s*%", condition.strip())
    if not found or not 0 < float(found[1]) < 100:
        raise UsageError(f"--fail-on {condition!r}: write regression>=5%")
    return float(found[1]) / 100


def regressions(compared: list[Json], least: float) -> list[Json]:
    """The cells that are significantly slower, by that part or more."""
    return [c for c in compared if c["significance"].startswith("slower") and c["median"] <= 1 - least]


def alone(before: Json, after: Json) -> dict[str, Any]:
    """How many cells each has that the other has not."""
    ours, theirs = ({_key(cell) for cell in result["cells"]} for result in (before, after))
    return {"only_before": len(ours - theirs), "only_after": len(theirs - ours)}
