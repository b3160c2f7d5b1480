"""The plots of times: the latency of calls and of waits by percentile, the mean waits, and how far a return walks."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from shmkret.measure.report import axes
from shmkret.measure.report.axes import Curves
from shmkret.measure.report.panels import Line, Panel, Plot, labelled, limited, lines, look
from shmkret.measure.report.rows import Json, has_waits, mean_wait, rows_of

POINTS_A_DECADE = 8
LEAST_RISE = 1.1
PERCENTILES = {2: "50", 10: "90", 100: "99", 1000: "99.9", 10_000: "99.99", 100_000: "99.999"}


def latency(result: Json) -> Plot | None:
    """Latency by percentile, from a run apart, two readings of the clock in each time."""
    rows = [row for row in rows_of(result["cells"]) if row["latency_ns"]]
    panels = []
    for which in dict.fromkeys(name for row in rows for name in row["latency_ns"] if name != "clock"):
        measured = [row for row in rows if which in row["latency_ns"]]
        curves = {id(row): _percentiles(row["latency_ns"][which]) for row in measured}
        ends = axes.ends_of([ns for _, times in curves.values() for ns in times])
        for title, of in lines(measured, None):
            head = ": ".join(filter(None, (which.replace("_", " "), title)))
            steps = [(line, *curves[id(line.rows[0])]) for line in of]
            medians = [(line.name, (_wait(line.rows[0], which, "p50"), None)) for line in of]
            worst = [(line.name, (_wait(line.rows[0], which, "p99"), None)) for line in of]
            says = f"Times of {head} by percentile, in ns. Median: {axes.listed(medians)}. 99 %: {axes.listed(worst)}."
            panels.append(Panel(head, says, partial(_steps, steps, ends), [line.name for line in of]))
    if not panels:
        return None
    clocks = [row["latency_ns"]["clock"] for row in rows]
    took = " to ".join(dict.fromkeys(f"{ns:.0f}" for ns in (min(clocks), max(clocks))))
    caption = f"Latency by percentile, from a run apart. In each time are two readings of the clock, {took} ns."
    return limited("latency", caption, panels)


def _wait(row: Json, which: str, quantile: str) -> float:
    return float(row["latency_ns"][which][quantile])


def _steps(steps: list[tuple[Line, list[float], list[float]]], ends: tuple[float, float], axis: Any) -> None:
    for line, nines, times in steps:
        axis.plot(nines, times, label=line.name, drawstyle="steps-post", markevery=(line.look % 5, 10), **look(line.look))
    axis.set(xlabel="percentile", ylabel="nanoseconds", xscale="log")
    most = max(nines[-1] for _, nines, _ in steps)
    reached = {place: name for place, name in PERCENTILES.items() if place <= most}
    axis.set_xticks(list(reached), list(reached.values()))
    axis.xaxis.set_minor_locator(axes.no_ticks())
    axes.logarithmic(axis.yaxis, ends)


def _percentiles(found: Json) -> tuple[list[float], list[float]]:
    """1 / (1 - q) and the time in ns there, where the line rises; the last, which has no nines, at its count."""
    nines: list[float] = []
    times: list[float] = []
    seen, place = 0, -1
    for least, count in found["bins"]:
        nine = found["count"] / max(1, found["count"] - seen)
        ns = max(1.0, least)  # a logarithm has no place for 0
        here = int(POINTS_A_DECADE * math.log10(nine))
        last = least == found["bins"][-1][0]
        if last or not times or (here > place and ns > LEAST_RISE * times[-1]):
            nines.append(nine)
            times.append(ns)
            place = here
        seen += count
    return nines, times


def waits(result: Json) -> Plot | None:
    """The length of walks, and the mean waits for each class of locks that the scheme has, against what varies."""
    rows = [row for row in rows_of(result["cells"]) if row["median"] and has_waits(row)]
    asked: list[tuple[str, str, Callable[[Json], float | None]]] = [
        ("walks", "instances walked a return", lambda row: row["walk_mean"]),
        ("bucket locks", "mean wait, ns", lambda row: mean_wait(row, "table_lock")),
        ("other locks", "mean wait, ns", lambda row: mean_wait(row, "probe_lock")),
    ]
    panels = []
    for title, what, ask in asked:
        values = {id(row): (ask(row), None) for row in rows}
        measured = [row for row in rows if values[id(row)][0] is not None]
        if measured:
            panels += _value_panels(measured, values, title, what)
    if not panels:
        return None
    return limited("waits", "Length of the walks, and mean waits for locks, from a run apart.", panels)


def _value_panels(rows: list[Json], values: dict[int, Any], title: str, what: str) -> list[Panel]:
    along = axes.along_of(rows)
    if len({row[along] for row in rows}) == 1:
        return axes.row_panels(rows, values, title.capitalize(), what, title)
    seen = [values[id(row)][0] for row in rows]
    ends = axes.ends_of(seen) if min(seen) > 0 else (0.0, 1.1 * max(10.0, *seen))
    panels = []
    for part, of in lines(rows, along):
        curves = [(line, [values[id(row)] for row in line.rows]) for line in of]
        head = ": ".join(filter(None, (title, part)))
        says = axes.says(f"{what.capitalize()}, of {head}, against", along, curves)
        panels.append(Panel(head, says, partial(_values, curves, along, what, ends), axes.names_of(curves)))
    return panels


def _values(curves: Curves, along: str, what: str, ends: tuple[float, float], axis: Any) -> None:
    axes.draw_curves(axis, curves, along)
    axis.set_ylabel(labelled(what))
    if ends[0]:
        axes.logarithmic(axis.yaxis, ends)
    else:  # a wait may be 0
        axis.set_yscale("symlog", linthresh=1)
        axis.set_ylim(*ends)
        axis.yaxis.set_major_formatter(axes.told_on_axis)
