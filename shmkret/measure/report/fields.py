"""Every field of results.json that a comparison or a report reads: what it must be, and what is wrong with it.

Always    a number is finite and not below 0; samples, medians and CPUs are above it; two cells differ in key or params
"""

from __future__ import annotations

import json
from collections.abc import Set
from typing import Any

from shmkret.errors import UsageError
from shmkret.measure.cell import COUNTS
from shmkret.measure.knobs import PARAMS
from shmkret.measure.latency import QUANTILES
from shmkret.measure.report.rows import KEY, Json

NUMBER = (int, float)
OPTIONAL = (int, float, type(None))
MOST = 1e300
"""No number of a result is larger; json reads 1e999 as an infinite one."""
SCALAR = (str, bool, int, float, type(None))
OF_RESULT: dict[str, Any] = {
    "suite": str,
    "seconds": NUMBER,
    "repeat": int,
    "seed": int,
    "argv": [str],
    "version": str,
    "machine": dict,
    "cells": [dict],
    "ratios": [dict],
    "scaling": [dict],
}
MACHINE: dict[str, Any] = {
    "cpu": str,
    "libc": (str, type(None)),
    "hypervisor": (bool, type(None)),
    "cores_allowed": [int],
    "kernel": str,
}
ESTIMATE: dict[str, Any] = {"params": dict, "median": OPTIONAL, "ci95": (list, type(None))}
CELL: dict[str, Any] = {
    **{key: int if key == "cpus" else str for key in KEY},
    **ESTIMATE,
    "samples": [OPTIONAL],
    **dict.fromkeys(("calls", "nmissed", "kp_nmissed"), int),
    "walk_mean": OPTIONAL,
    "latency_ns": (dict, type(None)),
    "verdict": str,
    "reasons": [str],
}
OF_SOME_CELLS: dict[str, Any] = {
    **dict.fromkeys(COUNTS, int),
    "used": dict,
    "sources": dict,
    "concurrency": [NUMBER],
    "conditions": [dict],
    "timed": (dict, type(None)),
}
"""What results of before do not have."""
RATIO: dict[str, Any] = {**ESTIMATE, "by": str, "over": SCALAR, "under": SCALAR, "significance": str}
LAW: dict[str, Any] = {"name": str, "words": str}
LATENCY: dict[str, Any] = {"count": int, "mean": NUMBER, "max": NUMBER, "bins": [list], **dict.fromkeys(QUANTILES, NUMBER)}
VERDICTS = ("valid", "suspect", "withheld")


def check(result: Json) -> None:
    """Raises UsageError, with the name of the field, for what a comparison or a report would stumble over."""
    _check(result, OF_RESULT, "the result")
    _check(result["machine"], MACHINE, "machine")
    for key in ("seconds", "repeat", "cells"):
        if not result[key]:
            raise UsageError(f"there are no {key}")
    for kind, wanted in (("cells", CELL), ("ratios", RATIO), ("scaling", LAW)):
        for i, one in enumerate(result[kind]):
            _check(one, wanted, f"{kind}[{i}]")
    first = result["cells"][0]
    known: dict[str, int] = {}
    for i, cell in enumerate(result["cells"]):
        _check_cell(cell, f"cells[{i}]")
        _check_params(cell, first["params"].keys(), f"cells[{i}]")
        if cell.keys() != first.keys():
            raise UsageError(f"cells[{i}] has other keys than cells[0]: {min(cell.keys() ^ first.keys())!r}")
        same = known.setdefault(json.dumps([[cell[key] for key in KEY], cell["params"]], sort_keys=True), i)
        if same != i:
            raise UsageError(f"cells[{i}] has the key and the params of cells[{same}]")
    for i, ratio in enumerate(result["ratios"]):
        _check(ratio, {key: CELL[key] for key in KEY if key != ratio["by"]}, f"ratios[{i}]")
        _check_params(ratio, first["params"].keys() - {ratio["by"]}, f"ratios[{i}]")
        _check_above_0(ratio, ("cpus", "median"), f"ratios[{i}]")
    if len({cell["params"]["tasks"] is None for cell in result["cells"]}) > 1:
        raise UsageError("params.tasks is null in some of the cells only")


def _check_params(one: Json, knobs: Set[str], where: str) -> None:
    if one["params"].keys() != knobs or ("tasks" not in knobs and one.get("by") != "tasks"):
        raise UsageError(f"{where}.params has other keys than cells[0].params, or no 'tasks'")
    kinds = {name: (PARAMS[name].type if name in PARAMS else SCALAR, type(None)) for name in knobs}
    _check(one["params"], kinds, f"{where}.params")


def _check_above_0(one: Json, keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        found = one.get(key)
        if any(number == 0 for number in (found if isinstance(found, list) else [found])):
            raise UsageError(f"{where}.{key} has a number that is not above 0")


def _check_cell(cell: Json, where: str) -> None:
    if cell["verdict"] not in VERDICTS:
        raise UsageError(f"{where} has the verdict {cell['verdict']!r}")
    _check_above_0(cell, ("cpus", "median", "samples"), where)
    if (cell["verdict"] == "withheld") != (cell["median"] is None):
        raise UsageError(f"{where} is {cell['verdict']}, and its median is {cell['median']}")
    if cell["median"] is not None and not any(cell["samples"]):
        raise UsageError(f"{where} has a median, and no samples")
    _check(cell, {key: kind for key, kind in OF_SOME_CELLS.items() if key in cell}, where)
    for key, kind in (("used", (int, type(None))), ("sources", str)):
        _check(cell.get(key, {}), dict.fromkeys(cell.get(key, {}), kind), f"{where}.{key}")
    latencies = cell["latency_ns"] or {}
    if latencies:
        _check(latencies, {"clock": NUMBER}, f"{where}.latency_ns")
    for name, found in latencies.items():
        _check({name: found}, {name: NUMBER if name == "clock" else dict}, f"{where}.latency_ns")
        if name != "clock":
            _check(found, LATENCY, f"{where}.latency_ns.{name}")
            _check_bins(found["bins"], f"{where}.latency_ns.{name}.bins")


def _check_bins(bins: list[Any], where: str) -> None:
    """Pairs: from how many ns on, and how often."""
    for i, one in enumerate(bins):
        if len(one) != 2 or not all(_is_of(number, NUMBER) for number in one):
            raise UsageError(f"{where}[{i}] is {json.dumps(one)[:60]}")
    if not bins:
        raise UsageError(f"{where} is empty")


def _check(found: Json, wanted: dict[str, Any], where: str) -> None:
    """A list in `wanted` holds the kind of all elements. Raises UsageError."""
    for key, kind in wanted.items():
        if key not in found:
            raise UsageError(f"{where} has no {key!r}")
        of_all = isinstance(kind, list)
        for one in (found[key], *found[key]) if of_all and isinstance(found[key], list) else (found[key],):
            if not _is_of(one, kind[0] if of_all and one is not found[key] else list if of_all else kind):
                raise UsageError(f"{where}.{key} is {json.dumps(found[key])[:60]}")
    if "ci95" in wanted and found["ci95"] is not None:
        _check({"low and high": found["ci95"]}, {"low and high": [NUMBER]}, f"{where}.ci95")
        if len(found["ci95"]) != 2:
            raise UsageError(f"{where}.ci95 has {len(found['ci95'])} ends")
        if found["ci95"][0] > found["ci95"][1]:
            raise UsageError(f"{where}.ci95 ends before it begins")


def _is_of(value: Any, kind: Any) -> bool:
    """JSON's true is no number; no number of a result is below 0, and 1e999 is none."""
    kinds = _flat(kind)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) and (not isinstance(value, NUMBER) or 0 <= value <= MOST)


def _flat(kind: Any) -> tuple[type, ...]:
    return tuple(one for part in kind for one in _flat(part)) if isinstance(kind, tuple) else (kind,)
