"""Results of earlier schemas, in the words of today's: what was measured then can be reported, and compared, now.

    1 -> 2   `waited` became one of the conditions; kprobes that miss, latencies, scaling laws and knobs came; --data-size 0 was
             what nobody had asked for

A schema grows by one where a field changes its meaning, and not where one is only added: a knob that a result does not know
was not turned, and has its default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shmkret.errors import UsageError
from shmkret.host.books import Conditions
from shmkret.measure import statistics
from shmkret.measure.report.rows import DEFAULTS, Json
from shmkret.measure.statistics import Estimate


def raised(result: Json, schema: int) -> Json:
    """The result in `schema`. Raises UsageError, which names its own, when that is another one that nobody here knows."""
    while result.get("schema") != schema:
        found = result.get("schema")
        if type(found) is not int or found not in STEPS:  # JSON's true is no schema
            known = ", ".join(map(str, (*sorted(STEPS), schema)))
            raise UsageError(f"has schema {found!r}, this shmkret reads {known}: report it with the shmkret that measured it")
        result = {**STEPS[found](result), "schema": found + 1}
    return result


def with_every_knob(result: Json) -> Json:
    """The result with the knobs that have come since, at their defaults: else no cell of it were one of today's."""
    cells, ratios, laws = (
        [{**one, "params": _every_knob(one)} for one in result[kind]] for kind in ("cells", "ratios", "scaling")
    )
    return {**result, "cells": cells, "ratios": ratios, "scaling": laws}


def _every_knob(one: Json) -> Json:
    params = one.get("params", {})
    return {**{knob: value for knob, value in DEFAULTS.items() if knob != one.get("by")}, **params}


def _from_1(result: Json) -> Json:
    return {
        **result,
        "cells": [_cell_from_1(cell) for cell in result["cells"]],
        "ratios": [_ratio_from_1(ratio) for ratio in result["ratios"]],
        "scaling": [],
    }


def _cell_from_1(cell: Json) -> Json:
    """No probe could be hit inside another one then; how far returns walked was added up, and how many had was not."""
    kept = {key: value for key, value in cell.items() if key != "waited"}
    conditions = [Conditions(waited=waited)._asdict() for waited in cell["waited"]]
    added = {"kp_nmissed": 0, "walk_mean": None, "latency_ns": None, "conditions": conditions}
    return {**kept, "params": _params_from_1(cell["params"]), **added}


def _ratio_from_1(ratio: Json) -> Json:
    estimate = None if ratio["median"] is None else Estimate(ratio["median"], ratio["ci95"] and tuple(ratio["ci95"]))
    return {**ratio, "params": _params_from_1(ratio["params"]), "significance": statistics.significance(estimate)}


def _params_from_1(params: dict[str, Any]) -> dict[str, Any]:
    return {knob: None if knob == "data_size" and value == 0 else value for knob, value in params.items()}


STEPS: dict[int, Callable[[Json], Json]] = {1: _from_1}
"""From each earlier schema to the next."""
