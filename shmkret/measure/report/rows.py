"""Cells of a result as flat rows, and what tables, plots and files show of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from shmkret.measure.knobs import Params

Json = dict[str, Any]
KEY = ("worker", "scheme", "lock", "arch", "padding", "cpus", "peer")
DEFAULTS = {field.name: field.default for field in dataclasses.fields(Params)}
"""Of every knob."""
KNOBS = tuple(DEFAULTS)
NUMBERS = frozenset({"cpus", "tasks", "maxactive", "probes", "data_size", "handler_ns", "work_ns", "workers_per_core"})


def rows_of(cells: Iterable[Json]) -> list[Json]:
    """Cells, or ratios, with their params beside the rest of the key."""
    return [{**cell, **cell["params"]} for cell in cells]


def shown(rows: list[Json], keys: tuple[str, ...]) -> list[str]:
    """The parts of the key and the knobs that differ between rows; the worker, the scheme and the CPUs if no knob does."""
    differ = [key for key in keys if key in rows[0] and len({row[key] for row in rows}) > 1]
    always = () if any(key in KNOBS for key in differ) else ("worker", "scheme", "cpus")
    return [key for key in keys if key in differ or (key in always and key in rows[0])]


def repetitions(nr: int) -> str:
    """So many of them, in words."""
    return f"{nr} repetition{'' if nr == 1 else 's'}"


def value_of(value: Any) -> str:
    """A part of a key in words."""
    return "default" if value is None else str(value)


def name_of(cell: Json) -> str:
    """A cell in a few words."""
    peer = "" if cell["peer"] == "shmkret" else f" ({cell['peer']})"
    return f"{cell['worker']} {cell['scheme']} {cell['lock']} on {cell['cpus']} cpus{peer}"


def row_name(row: Json, rows: list[Json]) -> str:
    """What tells a row from the others; for a ratio, behind it what stands over what."""
    flat = rows_of(rows)
    own = {**row, **row["params"]}
    by = (row.get("by"),)
    name = " ".join(told(key, own[key]) for key in shown(flat, tuple(key for key in (*KEY, *KNOBS) if key not in by)))
    pair = f": {value_of(row['over'])} / {value_of(row['under'])}" if "by" in row and row["by"] != "peer" else ""
    return f"{name}{pair}"


def told(key: str, value: Any) -> str:
    """A number says what it counts."""
    return f"{key.replace('_', '-')} {value_of(value)}" if key in NUMBERS else value_of(value)


def has_waits(cell: Json) -> bool:
    """Whether the waits for locks were timed."""
    return bool(cell["latency_ns"] and {"table_lock", "probe_lock"} & cell["latency_ns"].keys())


def mean_wait(cell: Json, which: str) -> float | None:
    """The mean wait for a class of locks in ns, the clock in it; None for a class that the scheme has not."""
    found = cell["latency_ns"].get(which)
    return float(found["mean"]) if found else None
