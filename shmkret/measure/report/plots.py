"""The plots of a result, each a function of it that returns a plot, or None where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from shmkret.measure import statistics
from shmkret.measure.report import axes, waits
from shmkret.measure.report.axes import Curves, Point
from shmkret.measure.report.panels import (
    COLOURS,
    FAINT,
    MOST_ROWS,
    Line,
    Panel,
    Plot,
    apart,
    cut,
    labelled,
    limited,
    lines,
    look,
    together,
)
from shmkret.measure.report.rows import KEY, KNOBS, Json, row_name, rows_of, value_of

LEAST_PARITY = 0.95
"""Of the speed of hand-written C, which is aimed at."""
MISSES = ("nmissed", "kp_nmissed")


def plots(result: Json) -> list[Plot]:
    """Every plot that this result has, in the order of the report."""
    found = [draw(result) for draw in PLOTS]
    return [plot for plot in found if plot is not None]


def figures(result: Json) -> dict[str, Any]:
    """A figure of every plot, by name."""
    return {plot.name: together(plot, result) for plot in plots(result)}


def throughput(result: Json) -> Plot | None:
    """Throughput against CPUs, or against tasks where those vary; a row a cell where neither does."""
    rows = [row for row in rows_of(result["cells"]) if row["median"]]
    if not rows or _peers(result):
        return None
    caption = "Throughput with 95 % intervals"
    along = axes.along_of(rows)
    what = "million probed calls a second, all CPUs"
    rates = {id(row): (row["median"] / 1e6, _scaled(row["ci95"], 1e-6)) for row in rows}
    if len({row[along] for row in rows}) == 1:
        return limited("throughput", f"{caption}.", axes.row_panels(rows, rates, "Throughput", what))
    found = lines(rows, along, each=("worker",))
    ideals = along == "cpus"
    ends = axes.ends_of(
        [v for row in rows for v in axes.all_of(rates[id(row)])] + [v for _, of in found for v in _ideals(of, rates, ideals)]
    )
    panels = []
    for title, of in found:
        curves = [(line, [rates[id(row)] for row in line.rows]) for line in of]
        says = axes.says(f"Throughput of {title} in {what}, against", along, curves)
        ideal = ["ideal"] if ideals else []
        panels.append(Panel(title, says, partial(_throughput, curves, along, what, ends), [*axes.names_of(curves), *ideal]))
    return limited("throughput", f"{caption}{'; dotted, what an ideal scheme would reach' if ideals else ''}.", panels)


def _throughput(curves: Curves, along: str, what: str, ends: tuple[float, float], axis: Any) -> None:
    axes.draw_curves(axis, curves, along)
    if along == "cpus":
        for line, points in curves:
            if len(points) > 1:
                cpus = [row["cpus"] for row in line.rows]
                ideal = [points[0][0] * n / cpus[0] for n in cpus]
                axis.plot(cpus, ideal, ":", linewidth=1, color=look(line.look)["color"])
        bases = {line.rows[0]["cpus"] for line, points in curves if len(points) > 1}
        if bases:
            axis.plot([], [], ":", color=FAINT, label=f"ideal: {_base(bases)}")
    axis.set_ylabel(labelled(what))
    axes.logarithmic(axis.yaxis, ends)


def _base(bases: set[int]) -> str:
    """From what an ideal line is drawn, in words."""
    if len(bases) > 1:
        return "each line's first point, times the CPUs"
    (least,) = bases
    return "1 CPU times n" if least == 1 else f"{least} CPUs times n/{least}"


def _ideals(of: Sequence[Line], rates: dict[int, Point], wanted: bool) -> Iterable[float]:
    for line in of if wanted else ():
        yield rates[id(line.rows[0])][0] * line.rows[-1]["cpus"] / line.rows[0]["cpus"]


def efficiency(result: Json) -> Plot | None:
    """Throughput over that many times the throughput of the fewest CPUs."""
    rows = [row for row in rows_of(result["cells"]) if row["median"]]
    if len({row["cpus"] for row in rows}) < 2 or _peers(result):
        return None
    what = "throughput a CPU, over that of the fewest"
    found = [
        (title, [(line, [_efficiency(row, line.rows[0]) for row in line.rows]) for line in of])
        for title, of in lines(rows, "cpus", each=("worker",))
    ]
    top = 1.05 * max(1.0, *(v for _, curves in found for _, points in curves for point in points for v in axes.all_of(point)))
    panels = [
        Panel(
            title,
            axes.says(f"Efficiency of {title}, {what}, against", "cpus", curves),
            partial(_parts, curves, what, top),
            axes.names_of(curves),
        )
        for title, curves in found
    ]
    return limited("efficiency", "Throughput a CPU, over that of the fewest CPUs, with 95 % intervals.", panels)


def _efficiency(row: Json, base: Json) -> Point:
    """Samples of one round were taken one after the other, so that the machine's drift cancels: the ratio is of pairs."""
    if row is base:
        return 1.0, None
    scale = base["cpus"] / row["cpus"]
    found = [(r, a / b * scale) for r, (a, b) in enumerate(zip(row["samples"], base["samples"], strict=False)) if a and b]
    ways = [np.array([value for r, value in found if (r % 2 == 0) == forwards]) for forwards in (True, False)]
    ratio = statistics.paired_ratio(*ways)
    return ratio.median, ratio.ci95


def _parts(curves: Curves, what: str, top: float, axis: Any) -> None:
    axes.draw_curves(axis, curves, "cpus")
    axis.axhline(1, linestyle=":", color=FAINT)
    axis.set(ylim=(0, top), ylabel=labelled(what))


def ratios(result: Json) -> Plot | None:
    """Ratios with their intervals, a row each: ours over a peer's where there is one, else of every kind."""
    by_kind: dict[str, list[Json]] = {}
    for ratio in result["ratios"]:
        if ratio["median"] is not None:
            by_kind.setdefault(ratio["by"], []).append(ratio)
    if not by_kind:
        return None
    kinds = ["peer"] if "peer" in by_kind else sorted(by_kind, key=lambda by: _relevance(by, result))
    panels = [panel for kind in kinds for panel in _ratio_panels(by_kind[kind], kind)]
    others = [kind.replace("_", " ") for kind in by_kind if kind not in kinds]
    left_out = f"Ratios by {' and by '.join(others)} are in the tables of the report." if others else ""
    return limited("ratios", "Ratios of cells that differ in one thing, with 95 % intervals.", panels, left_out)


def _relevance(by: str, result: Json) -> tuple[bool, int]:
    """What a suite is about comes first: a knob that it varies, and of several the one with the most values."""
    return by not in KNOBS, -len({cell["params"].get(by, cell.get(by)) for cell in result["cells"]})


def _ratio_panels(found: list[Json], kind: str) -> list[Panel]:
    rows = [{**row, kind: f"{value_of(row['over'])} / {value_of(row['under'])}"} for row in rows_of(found)]
    keys = [key for key in (*KEY, *KNOBS) if key in rows[0]]
    each = (kind,) if len({row[kind] for row in rows}) == 1 else ()
    ends = axes.range_of([1.0, *(v for row in rows for v in axes.all_of((row["median"], row["ci95"])))])
    at = (1.0, LEAST_PARITY) if kind == "peer" else (1.0,)
    panels = []
    for part, named in apart(rows, keys, each, MOST_ROWS):
        points = [(name, (row["median"], row["ci95"])) for name, row in named]
        title = ": ".join(filter(None, (f"by {kind.replace('_', ' ')}", part)))
        says = f"Ratios of calls a second, {title}: {axes.listed(points)}."
        panels.append(axes.row_panel(title, says, points, "ratio of calls a second; more is faster", ends, at))
    return panels


def misses(result: Json) -> Plot | None:
    """The part of the calls that ran unprobed, where there were any."""
    rows = [row for row in rows_of(result["cells"]) if row["calls"] and (row["nmissed"] or row["kp_nmissed"])]
    if not rows:
        return None
    panels = []
    for part in cut(rows, MOST_ROWS):
        named = [(row_name(row, result["cells"]), row) for row in part]
        told = ", ".join(f"{name} {_percent(row, 'nmissed'):.2g} and {_percent(row, 'kp_nmissed'):.2g}" for name, row in named)
        says = f"Percent of the calls missed, nmissed and kp_nmissed: {told}."
        panels.append(Panel("", says, partial(_bars, named), MISSES, axes.height_in(name for name, _ in named)))
    caption = "Calls that ran unprobed: nmissed found no free instance, kp_nmissed hit a probe while the CPU was in another."
    return limited("misses", caption, panels)


def _percent(row: Json, what: str) -> float:
    return float(100 * row[what] / row["calls"])


def _bars(named: list[tuple[str, Json]], axis: Any) -> None:
    left = [0.0] * len(named)
    for i, what in enumerate(MISSES):
        parts = [_percent(row, what) for _, row in named]
        axis.barh(range(len(named)), parts, left=left, color=COLOURS[1 + i], label=what)
        left = [a + b for a, b in zip(left, parts, strict=True)]
    axes.row_names(axis, [name for name, _ in named])
    axis.set_xlabel("percent of the calls")


PLOTS: tuple[Callable[[Json], Plot | None], ...] = (throughput, efficiency, ratios, waits.latency, misses, waits.waits)


def _peers(result: Json) -> bool:
    return any(cell["peer"] != "shmkret" for cell in result["cells"])


def _scaled(ci95: Sequence[float] | None, by: float) -> tuple[float, float] | None:
    return (ci95[0] * by, ci95[1] * by) if ci95 else None
