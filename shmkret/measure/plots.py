"""The plots of a result, each a function of it that returns a figure, or None where there is nothing to draw."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from shmkret.measure.machine import in_a_line
from shmkret.measure.rows import KEY, KNOBS, Json, has_waits, mean_wait, row_name, rows_of, shown, value_of

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLOURS = ("#1f77b4", "#d9730d", "#2a9d4a", "#c0392b", "#8a5cc2", "#8c6d46", "#c94f9b", "#7a828a")
"""Told apart on white and on black."""
INK = "#1a1b1c"
"""The colour of text and axes: the report puts the reader's own in its place."""
MOST_RATIOS = 60
WIDTH_IN, HEIGHT_IN = 4.2, 3.8


def figures(result: Json) -> dict[str, Any]:
    """Every plot that this result has, by name, in the order of the report."""
    found = {name: draw(result) for name, (draw, _) in PLOTS.items()}
    return {name: figure for name, figure in found.items() if figure is not None}


def captions() -> dict[str, str]:
    """What each plot shows, in a sentence."""
    return {name: caption for name, (_, caption) in PLOTS.items()}


def throughput(result: Json) -> Any:
    """Throughput against CPUs, or against tasks where those vary; a panel a worker."""
    rows = [row for row in rows_of(result["cells"]) if row["median"]]
    if not rows or _peers(result):
        return None
    axis_key = "tasks" if len({row["tasks"] for row in rows}) > 1 else "cpus"
    figure, panels = _panels(_values(rows, "worker"), result, sharey=True)
    for axis, worker in panels:
        of_worker = [row for row in rows if row["worker"] == worker]
        for i, (name, line) in enumerate(_lines(of_worker, axis_key)):
            _errorbar(axis, [row[axis_key] for row in line], line, name, i)
            if axis_key == "cpus" and len(line) > 1:
                ideal = [line[0]["median"] / 1e6 * row["cpus"] / line[0]["cpus"] for row in line]
                axis.plot([row["cpus"] for row in line], ideal, ":", linewidth=1, color=_colour(i))
        axis.set(title=worker, xlabel="CPUs" if axis_key == "cpus" else "tasks", yscale="log")
        _x_axis(axis, sorted({row[axis_key] for row in of_worker}), log=axis_key == "tasks")
        if axis_key == "cpus" and len({row["cpus"] for row in of_worker}) > 1:
            axis.plot([], [], ":", color="gray", label="ideal: 1 CPU times n")
        _legend(axis)
    panels[0][0].set_ylabel("million probed calls a second, all CPUs")
    return figure


def efficiency(result: Json) -> Any:
    """Throughput over that many times the throughput of the fewest CPUs."""
    rows = [row for row in rows_of(result["cells"]) if row["median"]]
    if len({row["cpus"] for row in rows}) < 2 or _peers(result):
        return None
    figure, panels = _panels(_values(rows, "worker"), result, sharey=True)
    for axis, worker in panels:
        of_worker = [row for row in rows if row["worker"] == worker]
        for i, (name, line) in enumerate(_lines(of_worker, "cpus")):
            base = line[0]["median"] / line[0]["cpus"]
            cpus = [row["cpus"] for row in line]
            parts = [row["median"] / row["cpus"] / base for row in line]
            axis.plot(cpus, parts, marker=MARKS[i % len(MARKS)], color=_colour(i), label=name)
        axis.axhline(1, linestyle=":", color="gray")
        axis.set(title=worker, xlabel="CPUs", ylim=(0, None))
        _x_axis(axis, sorted({row["cpus"] for row in of_worker}))
        _legend(axis)
    panels[0][0].set_ylabel("efficiency: 1 is as good as on the fewest CPUs")
    return figure


def ratios(result: Json) -> Any:
    """Ratios with their intervals, a row each: ours over a peer's where there is one."""
    found = [ratio for ratio in result["ratios"] if ratio["median"] is not None]
    if not found:
        return None
    kinds = {ratio["by"] for ratio in found}
    kind = next((by for by in ("peer", "lock", "scheme") if by in kinds), found[0]["by"])
    found = [ratio for ratio in found if ratio["by"] == kind][:MOST_RATIOS]
    figure = _figure(6.5, 1.2 + 0.3 * len(found), result)
    axis = figure.subplots()
    medians = [ratio["median"] for ratio in found]
    bars = [[abs(m - (r["ci95"] or (m, m))[end]) for r, m in zip(found, medians, strict=True)] for end in (0, 1)]
    axis.errorbar(medians, range(len(found)), xerr=bars, fmt="o", capsize=3, color=COLOURS[0])
    axis.axvline(1, color=INK, linewidth=0.8)
    if found[0]["by"] == "peer":
        axis.axvline(0.95, color="gray", linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(found)), [row_name(ratio, found) for ratio in found])
    axis.invert_yaxis()
    axis.set_xlabel("ratio of calls a second; more is faster")
    return figure


def latency(result: Json) -> Any:
    """Latency by percentile, from a run apart, without what the clock costs; a panel a class."""
    rows = [row for row in rows_of(result["cells"]) if row["latency_ns"]]
    classes = list(dict.fromkeys(name for row in rows for name in row["latency_ns"] if name != "clock"))
    if not classes:
        return None
    figure, panels = _panels(classes, result)
    for axis, which in panels:
        measured = [row for row in rows if which in row["latency_ns"]]
        for i, row in enumerate(measured):
            nines, times = _percentiles(row["latency_ns"][which], row["latency_ns"]["clock"])
            axis.plot(nines, times, color=_colour(i), label=row_name(row, measured), drawstyle="steps-post")
        axis.set(title=which.replace("_", " "), xlabel="percentile", xscale="log", yscale="log")
        axis.set_xticks([1, 2, 10, 100, 1000, 10_000], ["0", "50", "90", "99", "99.9", "99.99"])
        axis.minorticks_off()
        _legend(axis)
    panels[0][0].set_ylabel("nanoseconds")
    return figure


def waits(result: Json) -> Any:
    """The length of walks, and the mean waits for each class of locks, against what varies."""
    rows = [row for row in rows_of(result["cells"]) if row["median"] and row["walk_mean"] and has_waits(row)]
    if not rows:
        return None
    key = "tasks" if len({row["tasks"] for row in rows}) > 1 else "cpus"
    wanted: list[tuple[str, Callable[[Json], float]]] = [
        ("instances walked a return", lambda row: float(row["walk_mean"])),
        ("wait for a bucket lock, ns", lambda row: max(1.0, mean_wait(row, "table_lock"))),
        ("wait for another lock, ns", lambda row: max(1.0, mean_wait(row, "probe_lock"))),
    ]
    figure, panels = _panels([label for label, _ in wanted], result)
    for (axis, label), (_, ask) in zip(panels, wanted, strict=True):
        for i, (name, line) in enumerate(_lines(rows, key)):
            mark = MARKS[i % len(MARKS)]
            axis.plot([row[key] for row in line], [ask(row) for row in line], marker=mark, color=_colour(i), label=name)
        axis.set(xlabel=key, ylabel=label, yscale="log")
        _x_axis(axis, sorted({row[key] for row in rows}), log=key == "tasks")
        _legend(axis)
    return figure


def misses(result: Json) -> Any:
    """The part of the calls that found no free instance, where there were any."""
    rows = [row for row in rows_of(result["cells"]) if row["calls"] and row["nmissed"]]
    if not rows:
        return None
    figure = _figure(6.5, 1.2 + 0.3 * len(rows), result)
    axis = figure.subplots()
    axis.barh(range(len(rows)), [100 * row["nmissed"] / row["calls"] for row in rows], color=COLOURS[1])
    axis.set_yticks(range(len(rows)), [row_name(row, rows) for row in rows])
    axis.invert_yaxis()
    axis.set_xlabel("percent of the calls that were missed (nmissed)")
    return figure


PLOTS: dict[str, tuple[Callable[[Json], Any], str]] = {
    "throughput": (throughput, "Throughput with 95 % intervals; dotted, what an ideal scheme would reach."),
    "efficiency": (efficiency, "Throughput a CPU, over that of the fewest CPUs."),
    "ratios": (ratios, "Ratios of cells that differ in one thing, with 95 % intervals."),
    "latency": (latency, "Latency by percentile, from a run apart, the cost of the clock taken off."),
    "misses": (misses, "Calls that found no free instance and ran unprobed."),
    "waits": (waits, "Length of the walks, and mean waits for locks, from a run apart."),
}


def _figure(width_in: float, height_in: float, result: Json) -> Any:
    os.environ["MPLBACKEND"] = "agg"  # whatever the user's is, and before matplotlib reads it
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "shmkret"
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["text.parse_math"] = False
    for key in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
        mpl.rcParams[key] = INK
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained", figsize=(width_in, height_in))
    withheld = sum(cell["verdict"] == "withheld" for cell in result["cells"])
    hidden = f"; {withheld} of {len(result['cells'])} cells are withheld and not drawn" if withheld else ""
    about = f"suite {result['suite']}, seed {result['seed']}{hidden}; {in_a_line(result['machine'])}"
    figure.supxlabel(textwrap.fill(about, int(16 * width_in)), fontsize=7)
    return figure


def _panels(names: list[str], result: Json, **subplots: Any) -> tuple[Any, list[tuple[Any, str]]]:
    figure = _figure(max(4.8, WIDTH_IN * len(names)), HEIGHT_IN, result)
    return figure, list(zip(figure.subplots(1, len(names), squeeze=False, **subplots)[0], names, strict=True))


def _peers(result: Json) -> bool:
    return any(cell["peer"] != "shmkret" for cell in result["cells"])


def _values(rows: list[Json], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def _lines(rows: list[Json], along: str) -> Iterable[tuple[str, list[Json]]]:
    """The rows by all that differs between them but the worker and what they lie along; in that order."""
    keys = [key for key in shown(rows, (*KEY, *KNOBS)) if key not in (along, "worker")] or ["scheme", "lock"]
    for choice in dict.fromkeys(tuple(row[key] for key in keys) for row in rows):
        line = [row for row in rows if tuple(row[key] for key in keys) == choice]
        yield " ".join(map(value_of, choice)), sorted(line, key=lambda row: int(row[along] or 0))


def _errorbar(axis: Any, places: list[int], line: list[Json], name: str, i: int) -> None:
    medians = [row["median"] / 1e6 for row in line]
    bars = [
        [abs(m - (row["ci95"][end] / 1e6 if row["ci95"] else m)) for row, m in zip(line, medians, strict=True)]
        for end in (0, 1)
    ]
    axis.errorbar(places, medians, bars, marker=MARKS[i % len(MARKS)], capsize=3, color=_colour(i), label=name)


def _x_axis(axis: Any, ticks: list[int], log: bool = False) -> None:
    from matplotlib.ticker import NullLocator

    if log:
        axis.set_xscale("log")
        axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.yaxis.set_major_formatter("{x:g}")


def _legend(axis: Any) -> None:
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7, framealpha=0)


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _percentiles(found: Json, clock_ns: float) -> tuple[list[float], list[float]]:
    """1 / (1 - q) and the time in ns at each bin that is not empty; the last, which has no nines, at its count."""
    nines, times, seen = [], [], 0
    for least, count in found["bins"]:
        nines.append(found["count"] / max(1, found["count"] - seen))
        times.append(max(1.0, least - clock_ns))
        seen += count
    return nines, times
