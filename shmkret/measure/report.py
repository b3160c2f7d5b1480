"""What a run leaves: tables for the terminal, and a folder with results.json, CSV and a plot."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from shmkret.clock import CLASSES
from shmkret.measure.cell import Params
from shmkret.measure.latency import QUANTILES
from shmkret.measure.machine import in_a_line

Json = dict[str, Any]
KEY = ("worker", "scheme", "lock", "arch", "padding", "cpus", "peer")
KNOBS = tuple(field.name for field in dataclasses.fields(Params))
NUMBERS = frozenset({"cpus", "tasks", "maxactive", "probes", "data_size", "handler_ns", "work_ns", "workers_per_core"})
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")


def write_folder(folder: Path, result: Json) -> list[Path]:
    """Write results.json, cells.csv, samples.csv and the plot, all or nothing; returns their paths. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".shmkret-", dir=folder.parent))
    try:
        unfinished.chmod(0o755)
        written = _write_files(unfinished, result)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return [folder / path.name for path in written]


def _write_files(folder: Path, result: Json) -> list[Path]:
    texts = {
        "results.json": json.dumps(result, indent=1) + "\n",
        "cells.csv": _csv(_flat(cell) for cell in result["cells"]),
        "samples.csv": _csv(_samples(result["cells"])),
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts] + plot(folder, result)


def _flat(cell: Json) -> Json:
    low, high = cell["ci95"] or (None, None)
    dropped = ("params", "samples", "ci95", "concurrency", "conditions", "reasons", "latency_ns")
    flat = {key: value for key, value in cell.items() if key not in dropped}
    return {
        **flat,
        **cell["params"],
        **_flat_latencies(cell["latency_ns"] or {}),
        "ci95_low": low,
        "ci95_high": high,
        "reasons": "; ".join(cell["reasons"]),
    }


def _flat_latencies(latencies: Json) -> Json:
    """One column a class and statistic, in ns; empty where it was not measured."""
    flat: Json = {"clock_ns": latencies.get("clock")}
    for name in CLASSES:
        of_class = latencies.get(name, {})
        flat |= {f"{name}_ns_{statistic}": of_class.get(statistic) for statistic in ("mean", *QUANTILES, "max")}
    return flat


def _samples(cells: list[Json]) -> list[Json]:
    return [
        {**{key: cell[key] for key in KEY}, **cell["params"], "repetition": r, "calls_per_s": rate}
        for cell in cells
        for r, rate in enumerate(cell["samples"])
    ]


def _csv(rows: Any) -> str:
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def print_tables(result: Json, to: TextIO) -> None:
    """The cells, the ratios, the doubts and the machine, 80 columns wide where nothing is long."""
    console = Console(file=to, highlight=False, markup=False, width=None if to.isatty() else 120)
    console.print(_cell_table(result["cells"]))
    kinds = list(dict.fromkeys(ratio["by"] for ratio in result["ratios"]))
    for by in ["peer"] if "peer" in kinds else kinds:
        console.print(_ratio_table([r for r in result["ratios"] if r["by"] == by], by))
    for line in _doubts(result["cells"]):
        console.print(line, soft_wrap=True)
    console.print(_constants(result["cells"]), soft_wrap=True)
    console.print(in_a_line(result["machine"]), soft_wrap=True)
    console.print(
        f"{result['suite']}: {result['repeat']} repetitions of {result['seconds']:g} s, interleaved; seed {result['seed']}; "
        f"first cell after {result['first_cell_s']:.1f} s, all after {result['all_cells_s']:.0f} s",
        soft_wrap=True,
    )


def _doubts(cells: list[Json]) -> list[str]:
    """Verdicts and reasons; the same reason with other numbers is said once."""
    alike: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for reason in cell["reasons"]:
            kind = cell["verdict"], re.sub(r"\d[\d.]*", "#", reason)
            alike.setdefault(kind, []).append(f"{_name(cell)}: {reason}")
    return [
        f"{verdict}: {said[0]}" + (f" (and {len(said) - 1} more cells like it)" if len(said) > 1 else "")
        for (verdict, _), said in alike.items()
    ]


def _constants(cells: list[Json]) -> str:
    """What is the same in all cells and so has no column."""
    same = [key for key in ("worker", "scheme", "lock", "arch", "padding") if len({cell[key] for cell in cells}) == 1]
    return "all cells: " + ", ".join(f"{key} {cells[0][key]}" for key in same)


def _shown(rows: list[Json], keys: tuple[str, ...]) -> list[str]:
    """The parts of the key and the knobs that differ between rows; the worker, the scheme and the CPUs if no knob does."""
    differ = [key for key in keys if key in rows[0] and len({row[key] for row in rows}) > 1]
    always = () if any(key in KNOBS for key in differ) else ("worker", "scheme", "cpus")
    return [key for key in keys if key in differ or (key in always and key in rows[0])]


def _name(cell: Json) -> str:
    peer = "" if cell["peer"] == "shmkret" else f" ({cell['peer']})"
    return f"{cell['worker']} {cell['scheme']} {cell['lock']} on {cell['cpus']} cpus{peer}"


def _cell_table(cells: list[Json]) -> Table:
    rows = [{**cell, **cell["params"]} for cell in cells]
    shown = _shown(rows, (*KEY, *KNOBS))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for key in shown:
        table.add_column(key.replace("_", "-"), justify="right" if key in NUMBERS else "left", no_wrap=True)
    timed = any(_has_waits(cell) for cell in cells)
    waits = ("walk", "table lock ns", "other locks ns") if timed else ()
    for heading in ("Mcalls/s, all CPUs", "95 %", "ns a call, each CPU", "nmissed", *waits):
        table.add_column(heading, justify="right", no_wrap=not timed or heading == "95 %")
    table.add_column("verdict")
    for row in rows:
        extra = _waits(row) if timed else ()
        table.add_row(*(_value(row[key]) for key in shown), *_figures(row), *extra, row["verdict"])
    return table


def _value(value: Any) -> str:
    return "default" if value is None else str(value)


def _waits(cell: Json) -> tuple[str, ...]:
    """The mean length of a walk, and the mean wait in acquire() without what the clock cost; - where not measured."""
    if not _has_waits(cell):
        return ("-", "-", "-")
    return (f"{cell['walk_mean']:.1f}", f"{_mean_wait(cell, 'table_lock'):.0f}", f"{_mean_wait(cell, 'probe_lock'):.0f}")


def _has_waits(cell: Json) -> bool:
    return bool(cell["latency_ns"] and {"table_lock", "probe_lock"} & cell["latency_ns"].keys())


def _mean_wait(cell: Json, which: str) -> float:
    """The mean wait for a class of locks in ns, without what the clock cost; 0 for a class that the scheme has not."""
    found = cell["latency_ns"].get(which)
    return max(0.0, found["mean"] - cell["latency_ns"]["clock"]) if found else 0.0


def _figures(cell: Json) -> tuple[str, str, str, str]:
    nmissed = f"{cell['nmissed']:,}"
    if not cell["median"]:
        return "-", "-", "-", nmissed
    ns = 1e9 * cell["cpus"] / cell["median"]
    return f"{cell['median'] / 1e6:.2f}", _interval(cell["ci95"], 1e6), f"{ns:.1f}", nmissed


def _interval(ci95: list[float] | None, unit: float = 1.0) -> str:
    return f"{ci95[0] / unit:.2f} .. {ci95[1] / unit:.2f}" if ci95 else "-"


def _ratio_table(ratios: list[Json], by: str) -> Table:
    rows = [{**ratio, **ratio["params"]} for ratio in ratios]
    shown = _shown(rows, tuple(key for key in (*KEY, *KNOBS) if key != by))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for key in shown:
        table.add_column(key.replace("_", "-"), justify="right" if key in NUMBERS else "left", no_wrap=True)
    table.add_column(by.replace("_", "-"))
    table.add_column("ratio", justify="right")
    table.add_column("95 %", justify="right", no_wrap=True)
    for ratio in rows:
        figure = "-" if ratio["median"] is None else f"{ratio['median']:.3f}"
        pair = f"{_value(ratio['over'])} / {_value(ratio['under'])}"
        table.add_row(*(_value(ratio[key]) for key in shown), pair, figure, _interval(ratio["ci95"]))
    return table


def plot(folder: Path, result: Json) -> list[Path]:
    """plot.svg and plot.png: throughput against CPUs, a panel a worker; for peers the ratio, a row a variant."""
    os.environ["MPLBACKEND"] = "agg"  # whatever the user's is, and before matplotlib reads it
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "shmkret"
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    peers = [ratio for ratio in result["ratios"] if ratio["by"] == "peer" and ratio["median"] is not None]
    if peers:
        _plot_peers(figure, peers)
    elif len({cell["params"]["tasks"] for cell in result["cells"]}) > 1:
        _plot_curves(figure, result["cells"])
    else:
        _plot_scaling(figure, result["cells"])
    about = f"suite {result['suite']}, seed {result['seed']}; {in_a_line(result['machine'])}"
    figure.supxlabel(about, fontsize=7)
    paths = [folder / "plot.svg", folder / "plot.png"]
    figure.savefig(paths[0], metadata={"Date": None})
    figure.savefig(paths[1], dpi=150)
    return paths


def _plot_scaling(figure: Any, cells: list[Json]) -> None:
    workers = list(dict.fromkeys(cell["worker"] for cell in cells))
    figure.set_size_inches(max(4.5, 3.6 * len(workers)), 3.8)
    axes = figure.subplots(1, len(workers), squeeze=False, sharey=True)[0]
    for axis, worker in zip(axes, workers, strict=True):
        of_worker = [cell for cell in cells if cell["worker"] == worker]
        lines = list(dict.fromkeys((c["scheme"], c["lock"], c["padding"]) for c in of_worker))
        for i, line in enumerate(lines):
            _plot_line(axis, [c for c in of_worker if (c["scheme"], c["lock"], c["padding"]) == line], line, i)
        axis.set(title=worker, xlabel="CPUs", xticks=sorted({cell["cpus"] for cell in of_worker}))
        if axis.get_legend_handles_labels()[0]:
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.plot([], [], linestyle=":", color="gray", label="ideal: 1 CPU times n")
            axis.legend(fontsize=7)
    axes[0].set_ylabel("million probed calls a second")


def _plot_line(axis: Any, cells: list[Json], line: tuple[str, str, str], i: int) -> None:
    points = sorted((c["cpus"], c["median"] / 1e6, c["ci95"]) for c in cells if c["median"])
    if not points:
        return
    cpus, medians = [p[0] for p in points], [p[1] for p in points]
    bars = [[m - p[2][0] / 1e6 if p[2] else 0 for p, m in zip(points, medians, strict=True)]]
    bars.append([p[2][1] / 1e6 - m if p[2] else 0 for p, m in zip(points, medians, strict=True)])
    drawn = axis.errorbar(cpus, medians, bars, marker=MARKS[i % len(MARKS)], capsize=3, label=" ".join(line[:2]))
    ideal = [medians[0] * n / cpus[0] for n in cpus]
    axis.plot(cpus, ideal, linestyle=":", linewidth=1, color=drawn[0].get_color())


def _plot_curves(figure: Any, cells: list[Json]) -> None:
    """Throughput, and where they were measured walk length and lock wait, against the number of tasks."""
    from matplotlib.ticker import NullLocator

    rows = [{**cell, **cell["params"]} for cell in cells if cell["median"]]
    lines = [key for key in _shown(rows, (*KEY, *KNOBS)) if key != "tasks"]
    panels: list[tuple[str, Callable[[Json], float]]] = [("million probed calls a second", lambda c: c["median"] / 1e6)]
    if any(_has_waits(row) for row in rows):
        panels.append(("instances walked a return", lambda c: c["walk_mean"]))
        panels.append(("wait for a bucket lock, ns", lambda c: max(1.0, _mean_wait(c, "table_lock"))))
    figure.set_size_inches(4.2 * len(panels), 4.2)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (label, value) in zip(axes, panels, strict=True):
        for i, line in enumerate(dict.fromkeys(tuple(row[key] for key in lines) for row in rows)):
            points = sorted((row["tasks"], value(row)) for row in rows if tuple(row[key] for key in lines) == line)
            axis.plot(*zip(*points, strict=True), marker=MARKS[i % len(MARKS)], label=" ".join(map(_value, line)))
        axis.set(xlabel="tasks", ylabel=label, xscale="log", yscale="log", xticks=sorted({row["tasks"] for row in rows}))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_locator(NullLocator())
        axis.yaxis.set_major_formatter("{x:g}")
    axes[0].legend(fontsize=7)


def _plot_peers(figure: Any, ratios: list[Json]) -> None:
    figure.set_size_inches(6.5, 1.2 + 0.35 * len(ratios))
    axis = figure.subplots()
    several = len({ratio["worker"] for ratio in ratios}) > 1
    names = [_row_name(ratio, several) for ratio in ratios]
    medians = [r["median"] for r in ratios]
    bars = [
        [m - (r["ci95"] or (m, m))[0] for r, m in zip(ratios, medians, strict=True)],
        [(r["ci95"] or (m, m))[1] - m for r, m in zip(ratios, medians, strict=True)],
    ]
    axis.errorbar(medians, range(len(ratios)), xerr=bars, fmt="o", capsize=3)
    axis.axvline(1, color="black", linewidth=0.8)
    axis.axvline(0.95, color="black", linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(ratios)), names)
    axis.invert_yaxis()
    axis.set_xlabel(f"calls a second, {ratios[0]['over']} over {ratios[0]['under']}; 1 is equal speed, more is faster")


def _row_name(ratio: Json, several: bool) -> str:
    worker = f"{ratio['worker']} " if several else ""
    cpus = f" {ratio['cpus']} cpus" if ratio["cpus"] > 1 else ""
    return f"{worker}{ratio['scheme']} {ratio['lock']}{cpus}"
