"""Suites: what a benchmark measures, as TOML files whose keys are the knobs (shmkret.measure.knobs).

    title = "..."           one line, for `shmkret list suites`
    worker = ["hot"]        any option of `shmkret bench`, a list where several values are to be measured
    peer = "c"              measure this peer beside every cell

Paths in it are relative to its own folder, those of `out` and `json` too. What the command line says wins. A suite with a seed
draws the same script in every run; without one, each run draws a seed of its own.
"""

from __future__ import annotations

import itertools
import secrets
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shmkret.errors import UnknownName, UsageError
from shmkret.host import topology
from shmkret.measure.cell import Cell
from shmkret.measure.knobs import AXES, DEFAULTS, KNOBS, OURS, PARAMS, Params
from shmkret.plugins.registry import data_folder, is_path

FOLDER = data_folder("bench") / "suites"
PATHS = ("worker", "scheme", "lock", "arch")


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
    _require_within("seed", values["seed"])
    for workers_per_core in values["workers_per_core"]:
        _require_within("workers_per_core", workers_per_core)
    for key in (*AXES, *PARAMS):
        if not values[key]:
            raise UsageError(f"`{key}` names nothing: give one value or several, with commas between them")
    if values["cpus"] == DEFAULTS["cpus"]:
        values["cpus"] = topology.powers_of_two(topology.usable() * values["workers_per_core"][0])
    for key in (*AXES, *PARAMS, "repeat", "seconds"):
        for value in values[key] if KNOBS[key].several else [values[key]]:
            _require_within(key, value)
    out = None if values["out"] is None else Path(values["out"])
    how = values["repeat"], values["seed"], values["named"], out, values["json"]
    return Plan(Path(suite).stem, tuple(_cells(values)), float(values["seconds"]), *how)


def _cells(values: dict[str, Any]) -> Iterator[Cell]:
    """One for each combination, and beside it the peer's."""
    several = [_unique(values[key]) for key in (*AXES, *PARAMS)]
    for chosen in itertools.product(*several):
        one = dict(zip((*AXES, *PARAMS), chosen, strict=True))
        params = Params(**{key: one.pop(key) for key in PARAMS})
        cell = Cell(**one, params=params)
        yield cell
        if values["peer"] != OURS:
            yield cell.over(peer=values["peer"])


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
    if key not in KNOBS:
        raise UnknownName(f"option of {Path(where).name}" if where else "option", key, KNOBS)
    knob = KNOBS[key]
    values = value if isinstance(value, list) and knob.several else [value]
    wanted = (int, float) if knob.type is float else knob.type
    for one in values:
        if not isinstance(one, wanted) or (isinstance(one, bool) and knob.type is not bool):
            raise UsageError(f"{f'{where}: ' if where else ''}{key} = {one!r} is not of type {knob.type.__name__}")
    return values if knob.several else value


def _unique(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _require_within(key: str, value: Any) -> None:
    knob = KNOBS[key]
    if not knob.allows(value):
        raise UsageError(f"`{key}` is {value}: give {knob.bounds}")
