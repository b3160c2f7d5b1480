"""Rows and curves on a pair of axes: how an axis is scaled and labelled, and the sentence for who does not see them.

    curves   lines of points against CPUs or tasks, with their intervals
    rows     a name, a figure and its interval, one below the other

Read `ends_of` and `logarithmic` (the scale), `draw_curves` (curves), `row_panels` (rows), `says` and `listed` (the sentences).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from shmkret.measure.report.panels import COLOURS, FAINT, INK, MOST_ROWS, SMALLEST_PT, Line, Panel, apart, labelled, look
from shmkret.measure.report.rows import KEY, KNOBS, Json

Point = tuple[float, tuple[float, float] | None]
"""A figure and its interval."""
Curves = list[tuple[Line, list[Point]]]
"""Each line with its points."""
LONGEST_LINEAR = 8
NAME_IN = 2.0
CLOSEST_TICKS = 1.3
ASIDE = 0.012
"""How far one line is drawn beside the next, as a part of the axis."""


def along_of(rows: Iterable[Json]) -> str:
    """The key that lies along x: the tasks where they vary, else the CPUs."""
    return "tasks" if len({row["tasks"] for row in rows}) > 1 else "cpus"


def names_of(curves: Curves) -> list[str]:
    """What the legend names."""
    return [line.name for line, _ in curves]


def all_of(point: Point) -> list[float]:
    """A figure and the ends of its interval."""
    return [point[0], *(point[1] or ())]


# Panels of rows: a name, a figure, its interval.


def row_panels(rows: list[Json], values: dict[int, Point], head: str, what: str, title: str = "") -> list[Panel]:
    """Panels of rows, a row a cell; values: its figure, by id(row)."""
    keys = [key for key in (*KEY, *KNOBS) if key in rows[0]]
    ends = range_of([0.0, *(v for row in rows for v in all_of(values[id(row)]))])
    panels = []
    for part, named in apart(rows, keys, (), MOST_ROWS):
        points = [(name, values[id(row)]) for name, row in named]
        sentence = f"{head}, {what}{f', {part}' if part else ''}: {listed(points)}."
        panels.append(row_panel(": ".join(filter(None, (title, part))), sentence, points, what, ends))
    return panels


def row_panel(
    title: str,
    sentence: str,
    points: list[tuple[str, Point]],
    what: str,
    ends: tuple[float, float, bool],
    at: tuple[float, ...] = (),
) -> Panel:
    """One panel of rows. ends: of the axis, as range_of() has them. at: where lines go down, the one that matters first."""
    return Panel(title, sentence, partial(_points, points, what, ends, at), height_in=height_in(name for name, _ in points))


def height_in(names: Iterable[str]) -> float:
    """Room for rows as high as the name with the most lines."""
    lines = [labelled(name, NAME_IN).count("\n") + 1 for name in names]
    return 0.9 + (0.12 + 0.14 * max(lines)) * len(lines)


def _points(
    points: list[tuple[str, Point]], what: str, ends: tuple[float, float, bool], at: tuple[float, ...], axis: Any
) -> None:
    """Rows, and lines down across all of them, the first of which is the one that matters."""
    least, most, is_logarithmic = ends
    values = [point[0] for _, point in points]
    axis.errorbar(
        values, range(len(points)), xerr=_bars_of([point for _, point in points]), fmt="o", capsize=3, color=COLOURS[0]
    )
    for place in at:
        axis.axvline(place, color=INK if place == at[0] else FAINT, linewidth=0.8, linestyle="-" if place == at[0] else ":")
    row_names(axis, [name for name, _ in points])
    axis.set_xlabel(labelled(what))
    if is_logarithmic:
        logarithmic(axis.xaxis, (least, most))
    else:
        axis.set_xlim(least, most)


def row_names(axis: Any, names: list[str]) -> None:
    """The names of rows beside them, the first on top."""
    axis.set_yticks(range(len(names)), [labelled(name, NAME_IN) for name in names], fontsize=SMALLEST_PT)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(names) - 0.5, -0.5)


# Panels of curves.


def draw_curves(axis: Any, curves: Curves, along: str) -> None:
    """Every line with its intervals, and the axis along x."""
    ticks = sorted({row[along] for line, _ in curves for row in line.rows})
    is_logarithmic = ticks[-1] > LONGEST_LINEAR
    width = math.log(ticks[-1] / ticks[0]) if is_logarithmic else ticks[-1] - ticks[0]
    for i, (line, points) in enumerate(curves):
        aside = (i - (len(curves) - 1) / 2) * ASIDE * width  # or the intervals would lie on one another
        places = [row[along] * math.exp(aside) if is_logarithmic else row[along] + aside for row in line.rows]
        bars = _bars_of(points) if any(point[1] for point in points) else None
        axis.errorbar(places, [point[0] for point in points], bars, label=line.name, capsize=3, **look(line.look))
    axis.set_xlabel("CPUs" if along == "cpus" else along)
    if is_logarithmic:
        axis.set_xscale("log")
        axis.xaxis.set_minor_locator(no_ticks())
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


def no_ticks() -> Any:
    """What places no ticks."""
    from matplotlib.ticker import NullLocator

    return NullLocator()


def logarithmic(axis: Any, ends: tuple[float, float]) -> None:
    """A logarithmic axis that has numbers on it however short it is."""
    from matplotlib.ticker import LogLocator

    named = {"x": "set_xscale", "y": "set_yscale"}[axis.axis_name]
    getattr(axis.axes, named)("log")
    getattr(axis.axes, f"set_{axis.axis_name}lim")(*ends)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if ends[1] / ends[0] < 1000 else (1.0,), numticks=20))
    axis.set_minor_locator(no_ticks())
    axis.set_major_formatter(told_on_axis)


def told_on_axis(value: float, place: int) -> str:
    """A number as a tick has it; for Matplotlib, which gives the place, too."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def ends_of(values: Iterable[float]) -> tuple[float, float]:
    """The numbers 1, 2, 5, 10 ... that lie around all values, which are more than 0, and not on them."""
    found = sorted(values)
    steps = [m * 10.0**e for e in range(-9, 15) for m in (1, 2, 5)]
    least = max((s for s in steps if s < 0.97 * found[0]), default=steps[0])
    most = min((s for s in steps if s > 1.03 * found[-1]), default=steps[-1])
    return least, most


def range_of(values: Sequence[float]) -> tuple[float, float, bool]:
    """The ends of an axis for values that are far apart or not, and whether it is logarithmic."""
    least, most = min(values), max(values)
    if least > 0 and most / least > 5:
        return (*ends_of(values), True)
    edge = 0.05 * (most - least) or 0.05
    return least - edge if least else 0.0, most + edge, False


# Sentences.


def says(what: str, along: str, curves: Curves) -> str:
    """What a panel of curves shows: its axes, its lines, and from where to where each goes."""
    ticks = sorted({row[along] for line, _ in curves for row in line.rows})
    across = f"{ticks[0]} to {ticks[-1]} {'CPUs' if along == 'cpus' else along}"
    told_of = (f"{line.name} from {points[0][0]:.3g} to {points[-1][0]:.3g}" for line, points in curves)
    return f"{what} {across}: {', '.join(told_of)}."


def listed(points: Sequence[tuple[str, Point]]) -> str:
    """Names with their figures."""
    return ", ".join(f"{name} {value:.3g}" for name, (value, _) in points)
