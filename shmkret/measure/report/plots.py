"""The plots of a result, each a function of it that returns a plot, or None where there is nothing to draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from shmkret.measure import statistics
from shmkret.measure.report.panels import (
    COLOURS,
    FAINT,
    INK,
    MOST_ROWS,
    SMALLEST_PT,
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
from shmkret.measure.report.rows import KEY, KNOBS, Json, has_waits, mean_wait, row_name, rows_of, value_of

Point = tuple[float, tuple[float, float] | None]
"""A figure and its interval."""
Curves = list[tuple[Line, list[Point]]]
LEAST_PARITY = 0.95
"""Of the speed of hand-written C, which is aimed at."""
POINTS_A_DECADE = 8
LEAST_RISE = 1.1
MISSES = ("nmissed", "kp_nmissed")
LONGEST_LINEAR = 8
NAME_IN = 2.0
CLOSEST_TICKS = 1.3
ASIDE = 0.012
"""How far one line is drawn beside the next, as a part of the axis."""
PERCENTILES = {2: "50", 10: "90", 100: "99", 1000: "99.9", 10_000: "99.99", 100_000: "99.999"}


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
    along = _along(rows)
    what = "million probed calls a second, all CPUs"
    rates = {id(row): (row["median"] / 1e6, _scaled(row["ci95"], 1e-6)) for row in rows}
    if len({row[along] for row in rows}) == 1:
        return limited("throughput", f"{caption}.", _row_panels(rows, rates, "Throughput", what))
    found = lines(rows, along, each=("worker",))
    ideals = along == "cpus"
    ends = _ends(
        [v for row in rows for v in _all_of(rates[id(row)])] + [v for _, of in found for v in _ideals(of, rates, ideals)]
    )
    panels = []
    for title, of in found:
        curves = [(line, [rates[id(row)] for row in line.rows]) for line in of]
        says = _says(f"Throughput of {title} in {what}, against", along, curves)
        ideal = ["ideal"] if ideals else []
        panels.append(Panel(title, says, partial(_throughput, curves, along, what, ends), [*_names(curves), *ideal]))
    return limited("throughput", f"{caption}{'; dotted, what an ideal scheme would reach' if ideals else ''}.", panels)


def _throughput(curves: Curves, along: str, what: str, ends: tuple[float, float], axis: Any) -> None:
    _curves(axis, curves, along)
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
    _logarithmic(axis.yaxis, ends)


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
    top = 1.05 * max(1.0, *(v for _, curves in found for _, points in curves for point in points for v in _all_of(point)))
    panels = [
        Panel(
            title,
            _says(f"Efficiency of {title}, {what}, against", "cpus", curves),
            partial(_parts, curves, what, top),
            _names(curves),
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
    _curves(axis, curves, "cpus")
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
    ends = _range([1.0, *(v for row in rows for v in _all_of((row["median"], row["ci95"])))])
    at = (1.0, LEAST_PARITY) if kind == "peer" else (1.0,)
    panels = []
    for part, named in apart(rows, keys, each, MOST_ROWS):
        points = [(name, (row["median"], row["ci95"])) for name, row in named]
        title = ": ".join(filter(None, (f"by {kind.replace('_', ' ')}", part)))
        says = f"Ratios of calls a second, {title}: {_listed(points)}."
        panels.append(_row_panel(title, says, points, "ratio of calls a second; more is faster", ends, at))
    return panels


def latency(result: Json) -> Plot | None:
    """Latency by percentile, from a run apart, without what the clock costs."""
    rows = [row for row in rows_of(result["cells"]) if row["latency_ns"]]
    panels = []
    for which in dict.fromkeys(name for row in rows for name in row["latency_ns"] if name != "clock"):
        measured = [row for row in rows if which in row["latency_ns"]]
        curves = {id(row): _percentiles(row["latency_ns"][which], row["latency_ns"]["clock"]) for row in measured}
        ends = _ends([ns for _, times in curves.values() for ns in times])
        for title, of in lines(measured, None):
            head = ": ".join(filter(None, (which.replace("_", " "), title)))
            steps = [(line, *curves[id(line.rows[0])]) for line in of]
            medians = [(line.name, (_wait(line.rows[0], which, "p50"), None)) for line in of]
            worst = [(line.name, (_wait(line.rows[0], which, "p99"), None)) for line in of]
            says = f"Times of {head} by percentile, in ns. Median: {_listed(medians)}. 99 %: {_listed(worst)}."
            panels.append(Panel(head, says, partial(_steps, steps, ends), [line.name for line in of]))
    if not panels:
        return None
    caption = "Latency by percentile, from a run apart, the cost of the clock taken off; what is below 1 ns is drawn as 1."
    return limited("latency", caption, panels)


def _wait(row: Json, which: str, quantile: str) -> float:
    return float(max(0.0, row["latency_ns"][which][quantile] - row["latency_ns"]["clock"]))


def _steps(steps: list[tuple[Line, list[float], list[float]]], ends: tuple[float, float], axis: Any) -> None:
    for line, nines, times in steps:
        axis.plot(nines, times, label=line.name, drawstyle="steps-post", markevery=(line.look % 5, 10), **look(line.look))
    axis.set(xlabel="percentile", ylabel="nanoseconds", xscale="log")
    most = max(nines[-1] for _, nines, _ in steps)
    reached = {place: name for place, name in PERCENTILES.items() if place <= most}
    axis.set_xticks(list(reached), list(reached.values()))
    axis.xaxis.set_minor_locator(_no_ticks())
    _logarithmic(axis.yaxis, ends)


def _percentiles(found: Json, clock_ns: float) -> tuple[list[float], list[float]]:
    """1 / (1 - q) and the time in ns there, where the line rises; the last, which has no nines, at its count."""
    nines: list[float] = []
    times: list[float] = []
    seen, place = 0, -1
    for least, count in found["bins"]:
        nine = found["count"] / max(1, found["count"] - seen)
        ns = max(1.0, least - clock_ns)
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
    along = _along(rows)
    if len({row[along] for row in rows}) == 1:
        return _row_panels(rows, values, title.capitalize(), what, title)
    seen = [values[id(row)][0] for row in rows]
    ends = _ends(seen) if min(seen) > 0 else (0.0, 1.1 * max(10.0, *seen))
    panels = []
    for part, of in lines(rows, along):
        curves = [(line, [values[id(row)] for row in line.rows]) for line in of]
        head = ": ".join(filter(None, (title, part)))
        says = _says(f"{what.capitalize()}, of {head}, against", along, curves)
        panels.append(Panel(head, says, partial(_values, curves, along, what, ends), _names(curves)))
    return panels


def _values(curves: Curves, along: str, what: str, ends: tuple[float, float], axis: Any) -> None:
    _curves(axis, curves, along)
    axis.set_ylabel(labelled(what))
    if ends[0]:
        _logarithmic(axis.yaxis, ends)
    else:  # a wait may be 0
        axis.set_yscale("symlog", linthresh=1)
        axis.set_ylim(*ends)
        axis.yaxis.set_major_formatter(_told)


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
        panels.append(Panel("", says, partial(_bars, named), MISSES, _height(name for name, _ in named)))
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
    _row_names(axis, [name for name, _ in named])
    axis.set_xlabel("percent of the calls")


PLOTS: tuple[Callable[[Json], Plot | None], ...] = (throughput, efficiency, ratios, latency, misses, waits)


def _peers(result: Json) -> bool:
    return any(cell["peer"] != "shmkret" for cell in result["cells"])


def _along(rows: Iterable[Json]) -> str:
    return "tasks" if len({row["tasks"] for row in rows}) > 1 else "cpus"


def _names(curves: Curves) -> list[str]:
    return [line.name for line, _ in curves]


def _all_of(point: Point) -> list[float]:
    """A figure and the ends of its interval."""
    return [point[0], *(point[1] or ())]


def _scaled(ci95: Sequence[float] | None, by: float) -> tuple[float, float] | None:
    return (ci95[0] * by, ci95[1] * by) if ci95 else None


# Panels of rows: a name, a figure, its interval.


def _row_panels(rows: list[Json], values: dict[int, Point], head: str, what: str, title: str = "") -> list[Panel]:
    keys = [key for key in (*KEY, *KNOBS) if key in rows[0]]
    ends = _range([0.0, *(v for row in rows for v in _all_of(values[id(row)]))])
    panels = []
    for part, named in apart(rows, keys, (), MOST_ROWS):
        points = [(name, values[id(row)]) for name, row in named]
        says = f"{head}, {what}{f', {part}' if part else ''}: {_listed(points)}."
        panels.append(_row_panel(": ".join(filter(None, (title, part))), says, points, what, ends))
    return panels


def _row_panel(
    title: str,
    says: str,
    points: list[tuple[str, Point]],
    what: str,
    ends: tuple[float, float, bool],
    at: tuple[float, ...] = (),
) -> Panel:
    return Panel(title, says, partial(_points, points, what, ends, at), height_in=_height(name for name, _ in points))


def _height(names: Iterable[str]) -> float:
    """Room for rows as high as the name with the most lines."""
    lines = [labelled(name, NAME_IN).count("\n") + 1 for name in names]
    return 0.9 + (0.12 + 0.14 * max(lines)) * len(lines)


def _points(
    points: list[tuple[str, Point]], what: str, ends: tuple[float, float, bool], at: tuple[float, ...], axis: Any
) -> None:
    """Rows, and lines down across all of them, the first of which is the one that matters."""
    least, most, logarithmic = ends
    values = [point[0] for _, point in points]
    axis.errorbar(
        values, range(len(points)), xerr=_bars_of([point for _, point in points]), fmt="o", capsize=3, color=COLOURS[0]
    )
    for place in at:
        axis.axvline(place, color=INK if place == at[0] else FAINT, linewidth=0.8, linestyle="-" if place == at[0] else ":")
    _row_names(axis, [name for name, _ in points])
    axis.set_xlabel(labelled(what))
    if logarithmic:
        _logarithmic(axis.xaxis, (least, most))
    else:
        axis.set_xlim(least, most)


def _row_names(axis: Any, names: list[str]) -> None:
    axis.set_yticks(range(len(names)), [labelled(name, NAME_IN) for name in names], fontsize=SMALLEST_PT)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(names) - 0.5, -0.5)


# Panels of curves.


def _curves(axis: Any, curves: Curves, along: str) -> None:
    ticks = sorted({row[along] for line, _ in curves for row in line.rows})
    logarithmic = ticks[-1] > LONGEST_LINEAR
    width = math.log(ticks[-1] / ticks[0]) if logarithmic else ticks[-1] - ticks[0]
    for i, (line, points) in enumerate(curves):
        aside = (i - (len(curves) - 1) / 2) * ASIDE * width  # or the intervals would lie on one another
        places = [row[along] * math.exp(aside) if logarithmic else row[along] + aside for row in line.rows]
        bars = _bars_of(points) if any(point[1] for point in points) else None
        axis.errorbar(places, [point[0] for point in points], bars, label=line.name, capsize=3, **look(line.look))
    axis.set_xlabel("CPUs" if along == "cpus" else along)
    if logarithmic:
        axis.set_xscale("log")
        axis.xaxis.set_minor_locator(_no_ticks())
        ticks = _spread(ticks)
    axis.set_xticks(ticks, [str(tick) for tick in ticks])


def _spread(ticks: Sequence[int]) -> list[int]:
    """Those of the ticks whose numbers do not touch on a logarithmic axis."""
    kept = [ticks[0]]
    for tick in ticks[1:]:
        if tick >= CLOSEST_TICKS * kept[-1]:
            kept.append(tick)
    return kept


def _bars_of(points: Sequence[Point]) -> list[list[float]]:
    """How far each interval reaches down and up."""
    return [[abs(value - (ci95 or (value, value))[end]) for value, ci95 in points] for end in (0, 1)]


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _logarithmic(axis: Any, ends: tuple[float, float]) -> None:
    """A logarithmic axis that has numbers on it however short it is."""
    from matplotlib.ticker import LogLocator

    named = {"x": "set_xscale", "y": "set_yscale"}[axis.axis_name]
    getattr(axis.axes, named)("log")
    getattr(axis.axes, f"set_{axis.axis_name}lim")(*ends)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ends[1] / ends[0] < 1000 else (1.0,), numticks=20))
    axis.set_minor_locator(_no_ticks())
    axis.set_major_formatter(_told)


def _told(value: float, place: int) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """The numbers 1, 2, 5, 10 ... that lie around all values, which are more than 0, and not on them."""
    found = sorted(values)
    steps = [m * 10.0**e for e in range(-9, 15) for m in (1, 2, 5)]
    least = max((s for s in steps if s < 0.97 * found[0]), default=steps[0])
    most = min((s for s in steps if s > 1.03 * found[-1]), default=steps[-1])
    return least, most


def _range(values: Sequence[float]) -> tuple[float, float, bool]:
    """The ends of an axis for values that are far apart or not, and whether it is logarithmic."""
    least, most = min(values), max(values)
    if least > 0 and most / least > 5:
        return (*_ends(values), True)
    edge = 0.05 * (most - least) or 0.05
    return least - edge if least else 0.0, most + edge, False


# Sentences.


def _says(what: str, along: str, curves: Curves) -> str:
    """What a panel of curves shows: its axes, its lines, and from where to where each goes."""
    ticks = sorted({row[along] for line, _ in curves for row in line.rows})
    across = f"{ticks[0]} to {ticks[-1]} {'CPUs' if along == 'cpus' else along}"
    told_of = (f"{line.name} from {points[0][0]:.3g} to {points[-1][0]:.3g}" for line, points in curves)
    return f"{what} {across}: {', '.join(told_of)}."


def _listed(points: Sequence[tuple[str, Point]]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, (value, _) in points)
