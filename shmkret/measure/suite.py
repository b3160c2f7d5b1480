"""Suites: what a benchmark measures, as TOML files whose keys are the command line's options.

    title = "..."           one line, for `shmkret list suites`
    worker = ["hot"]        any option of `shmkret bench`, a list where several values are to be measured
    peer = "c"              measure this peer beside every cell

Paths in it are relative to its own folder. The seed belongs to a run, not to a suite: give it on the command line.
"""

from __future__ import annotations

import dataclasses
import itertools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shmkret import topology
from shmkret.errors import UnknownName, UsageError
from shmkret.measure.cell import OURS, Cell, Params
from shmkret.registry import data_folder

FOLDER = data_folder("bench") / "suites"
AXES: dict[str, type] = {"worker": str, "scheme": str, "lock": str, "arch": str, "padding": str, "cpus": int}
PARAMS: dict[str, type] = {
    "probes": int,
    "tasks": int,
    "maxactive": int,
    "data_size": int,
    "hash": str,
    "task_address": str,
    "handler_ns": int,
    "work_ns": int,
    "bug": str,
    "pin_order": str,
    "workers_per_core": int,
    "plain": bool,
    "lock_wait": bool,
    "latency": bool,
    "recoverable": bool,
}
RUN: dict[str, type] = {"seconds": float, "repeat": int, "peer": str, "title": str}
DEFAULTS: dict[str, Any] = {
    "worker": ["hot"],
    "scheme": ["hashed"],
    "lock": ["sem"],
    "arch": ["x86-64"],
    "padding": ["cacheline"],
    "seconds": 0.3,
    "repeat": 12,
    "title": "",
    "peer": OURS,
}
LONGEST_WINDOW_S = 3600.0
MOST_REPETITIONS = 10_000


@dataclass(frozen=True)
class Plan:
    """A suite with everything decided: the cells in order, and how each is measured."""

    suite: str
    cells: tuple[Cell, ...]
    seconds: float
    repeat: int
    seed: int


def names() -> list[str]:
    """The suites that come with shmkret."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def title(name: str) -> str:
    """The one line about a suite."""
    return str(_read(FOLDER / f"{name}.toml").get("title", ""))


def plan(suite: str, options: dict[str, Any], seed: int) -> Plan:
    """The plan of a suite, by name or by the path of a TOML file; `options` (None: not given) win over the file's.

    Raises: UnknownName, UsageError.
    """
    values = DEFAULTS | load(suite) | {key: value for key, value in options.items() if value is not None}
    for workers_per_core in _listed(values.get("workers_per_core", 1)):
        _positive("workers_per_core", workers_per_core)
        values.setdefault("cpus", topology.powers_of_two(topology.usable() * workers_per_core))
    chosen = {key: _listed(values[key]) for key in (*AXES, *PARAMS) if key in values}
    for key, several in chosen.items():
        if not several:
            raise UsageError(f"--{key.replace('_', '-')} names nothing: give one value or several, with commas between them")
    for cpus in chosen["cpus"]:
        _positive("cpus", cpus)
    _positive("repeat", values["repeat"], MOST_REPETITIONS)
    if not 0 < values["seconds"] <= LONGEST_WINDOW_S:
        raise UsageError(f"--seconds is {values['seconds']}: give more than 0 and at most {LONGEST_WINDOW_S:g}")
    cells = []
    for choice in itertools.product(*map(_unique, chosen.values())):
        one = dict(zip(chosen, choice, strict=True))
        params = Params(**{key: one.pop(key) for key in PARAMS if key in one})
        cells.append(Cell(**one, params=params))
    if values["peer"] != OURS:
        cells = [peer for cell in cells for peer in (cell, cell.over(peer=values["peer"]))]
    return Plan(Path(suite).stem, tuple(cells), float(values["seconds"]), values["repeat"], seed)


def load(suite: str) -> dict[str, Any]:
    """The values of a suite file, checked. Raises UnknownName, UsageError."""
    if suite.endswith(".toml") or "/" in suite:
        path = Path(suite)
    elif suite in names():
        path = FOLDER / f"{suite}.toml"
    else:
        raise UnknownName("suite", suite, names())
    values = {key: _checked(path, key, value) for key, value in _read(path).items()}
    for key in ("worker", "scheme", "lock", "arch"):
        if key in values:
            values[key] = [_beside(path, name) for name in values[key]]
    return values


def _beside(suite: Path, name: str) -> str:
    """A path in a suite is relative to the suite's own folder."""
    return str(suite.resolve().parent / name) if "/" in name or name.endswith(".py") else name


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file")
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOML's and UTF-8's errors are ValueErrors
        raise UsageError(f"{path} is not TOML: {error}") from error


def _checked(path: Path, key: str, value: Any) -> Any:
    kinds = AXES | PARAMS | RUN
    if key not in kinds:
        raise UnknownName(f"option of {path.name}", key, kinds)
    values = value if isinstance(value, list) and key not in RUN else [value]
    wanted = (int, float) if kinds[key] is float else kinds[key]
    for one in values:
        if not isinstance(one, wanted) or (isinstance(one, bool) and kinds[key] is not bool):
            raise UsageError(f"{path}: {key} = {one!r} is not of type {kinds[key].__name__}")
    return value if key in RUN else values


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _positive(name: str, value: int, most: int = 4096) -> None:
    if not 1 <= value <= most:
        raise UsageError(f"--{name.replace('_', '-')} is {value}: give a number from 1 to {most}")


assert set(PARAMS) == {field.name for field in dataclasses.fields(Params)}
