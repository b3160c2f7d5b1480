"""Suites: what a benchmark measures, as TOML files whose keys are the command line's options.

    title = "..."           one line, for `shmkret list suites`
    worker = ["hot"]        any option of `shmkret bench`, a list where several values are to be measured
    peer = "c"              measure this peer beside every cell

Paths in it are relative to its own folder, those of `out` and `json` too. What the command line says wins. A suite with a seed
draws the same script in every run; without one, each run draws a seed of its own.
"""

from __future__ import annotations

import dataclasses
import itertools
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shmkret.errors import UnknownName, UsageError
from shmkret.host import topology
from shmkret.measure.cell import OURS, Cell, Params
from shmkret.plugins.registry import data_folder, is_path

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
RUN: dict[str, type] = {
    "seconds": float,
    "repeat": int,
    "peer": str,
    "seed": int,
    "named": bool,
    "out": str,
    "json": str,
    "title": str,
}
OPTIONS = (*AXES, *PARAMS, *(key for key in RUN if key != "title"))
"""What the command line has, and a suite may have, by the same names."""
PATHS = ("worker", "scheme", "lock", "arch")
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
    "named": False,
    "out": None,
    "json": None,
}
MOST_INSTANCES = 1 << 24
LONGEST_WINDOW_S = 3600.0
MOST_REPETITIONS = 10_000


@dataclass(frozen=True)
class Plan:
    """A suite with everything decided: the cells in order, how each is measured, and where the results go.

    out: the folder, None for one that is named by the time. json: a file, `-`, or None.
    """

    suite: str
    cells: tuple[Cell, ...]
    seconds: float
    repeat: int
    seed: int
    named: bool = False
    out: Path | None = None
    json: str | None = None


def names() -> list[str]:
    """The suites that come with shmkret."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def title(name: str) -> str:
    """The one line about a suite."""
    return str(_read(FOLDER / f"{name}.toml").get("title", ""))


def plan(suite: str, options: dict[str, Any], seed: int | None = None) -> Plan:
    """The plan of a suite, by name or by the path of a TOML file; `options` (None: not given) win over the file's.

    Args:    seed: as the option. None: the option's, else the file's, else one that is drawn.
    Raises:  UnknownName, UsageError.
    """
    asked = options if seed is None else {**options, "seed": seed}
    given = {key: checked("", key, value) for key, value in asked.items() if value is not None}
    values = DEFAULTS | {"seed": secrets.randbelow(1 << 31)} | load(suite) | given
    if values["seed"] < 0:
        raise UsageError(f"--seed is {values['seed']}: give a number that is not negative")
    for workers_per_core in _listed(values.get("workers_per_core", 1)):
        _positive("workers_per_core", workers_per_core)
        values.setdefault("cpus", topology.powers_of_two(topology.usable() * workers_per_core))
    chosen = {key: _listed(values[key]) for key in (*AXES, *PARAMS) if key in values}
    for key, several in chosen.items():
        if not several:
            raise UsageError(f"--{key.replace('_', '-')} names nothing: give one value or several, with commas between them")
    for cpus in chosen["cpus"]:
        _positive("cpus", cpus)
    for maxactive in chosen.get("maxactive", []):
        _positive("maxactive", maxactive, MOST_INSTANCES)
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
    out = None if values["out"] is None else Path(values["out"])
    how = values["repeat"], values["seed"], values["named"], out, values["json"]
    return Plan(Path(suite).stem, tuple(cells), float(values["seconds"]), *how)


def load(suite: str) -> dict[str, Any]:
    """The values of a suite file, checked. Raises UnknownName, UsageError."""
    if suite.endswith(".toml") or "/" in suite:
        path = Path(suite)
    elif suite in names():
        path = FOLDER / f"{suite}.toml"
    else:
        raise UnknownName("suite", suite, names())
    values = {key: checked(str(path), key, value) for key, value in _read(path).items()}
    for key in PATHS:
        if key in values:
            values[key] = [_beside(path, name) if is_path(name) else name for name in values[key]]
    for key in ("out", "json"):
        if values.get(key, "-") != "-":
            values[key] = _beside(path, values[key])
    return values


def _beside(suite: Path, name: str) -> str:
    """A path in a suite is relative to the suite's own folder."""
    return str(suite.resolve().parent / name)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a file")
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # TOML's and UTF-8's errors are ValueErrors
        raise UsageError(f"{path} is not TOML: {error}") from error


def checked(where: str, key: str, value: Any) -> Any:
    """A value of a suite, of the command line or of run(), as a list where several may be given. where: who says it, if a file.

    Raises: UnknownName for no option of ours, UsageError for a value of another type.
    """
    kinds = AXES | PARAMS | RUN
    if key not in kinds:
        raise UnknownName(f"option of {Path(where).name}" if where else "option", key, kinds)
    values = value if isinstance(value, list) and key not in RUN else [value]
    wanted = (int, float) if kinds[key] is float else kinds[key]
    for one in values:
        if not isinstance(one, wanted) or (isinstance(one, bool) and kinds[key] is not bool):
            raise UsageError(f"{f'{where}: ' if where else ''}{key} = {one!r} is not of type {kinds[key].__name__}")
    return value if key in RUN else values


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _positive(name: str, value: int, most: int = 4096) -> None:
    if not 1 <= value <= most:
        raise UsageError(f"--{name.replace('_', '-')} is {value}: give a number from 1 to {most}")


assert set(PARAMS) == {field.name for field in dataclasses.fields(Params)}
