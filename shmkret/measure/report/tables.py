"""Results as tables on the terminal."""

from __future__ import annotations

import re
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from shmkret.host.description import in_a_line
from shmkret.measure.latency import QUANTILES
from shmkret.measure.report.rows import (
    KEY,
    KNOBS,
    NUMBERS,
    Json,
    has_waits,
    mean_wait,
    repetitions,
    row_name,
    rows_of,
    shown,
    value_of,
)


def print_tables(result: Json, to: TextIO) -> None:
    """The cells, the ratios, the doubts and the machine, 80 columns wide where nothing is long."""
    console = Console(file=to, highlight=False, markup=False, width=None if to.isatty() else 120)
    console.print(_cell_table(result["cells"]))
    if any(cell["latency_ns"] for cell in result["cells"]):
        console.print(_latency_table(result["cells"]))
    kinds = list(dict.fromkeys(ratio["by"] for ratio in result["ratios"]))
    for by in ["peer"] if "peer" in kinds else kinds:
        console.print(_ratio_table([r for r in result["ratios"] if r["by"] == by], by))
    for line in doubts(result["cells"]):
        console.print(line, soft_wrap=True)
    for line in rehearsed(result["cells"]):
        console.print(f"rehearsed: {line}", soft_wrap=True)
    console.print(_constants(result["cells"]), soft_wrap=True)
    console.print(in_a_line(result["machine"]), soft_wrap=True)
    console.print(
        f"{result['suite']}: {repetitions(result['repeat'])} of {result['seconds']:g} s, interleaved; seed {result['seed']}; "
        f"first cell after {result['first_cell_s']:.1f} s, all after {result['all_cells_s']:.0f} s",
        soft_wrap=True,
    )


def doubts(cells: list[Json]) -> list[str]:
    """Verdicts and reasons; the same reason with other numbers is said once."""
    alike: dict[tuple[str, str], list[str]] = {}
    for cell in cells:
        for reason in cell["reasons"]:
            kind = cell["verdict"], re.sub(r"\d[\d.]*", "#", reason)
            alike.setdefault(kind, []).append(f"{row_name(cell, cells)}: {reason}")
    return [
        f"{verdict}: {said[0]}" + (f" (and {len(said) - 1} more cells like it)" if len(said) > 1 else "")
        for (verdict, _), said in alike.items()
    ]


def rehearsed(cells: list[Json]) -> list[str]:
    """What was shown of the user's own files before they were measured; each once."""
    return list(dict.fromkeys(line for cell in cells for line in cell.get("rehearsed", ())))


def _constants(cells: list[Json]) -> str:
    """What is the same in all cells and so has no column."""
    same = [key for key in ("worker", "scheme", "lock", "arch", "padding") if len({cell[key] for cell in cells}) == 1]
    return "all cells: " + ", ".join(f"{key} {cells[0][key]}" for key in same)


def _cell_table(cells: list[Json]) -> Table:
    rows = rows_of(cells)
    keys = shown(rows, (*KEY, *KNOBS))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for key in keys:
        table.add_column(key.replace("_", "-"), justify="right" if key in NUMBERS else "left", no_wrap=True)
    timed = any(has_waits(cell) for cell in cells)
    busy = any(cell["kp_nmissed"] for cell in cells)
    waits = ("walk", "table lock ns", "other locks ns") if timed else ()
    for heading in ("Mcalls/s, all CPUs", "95 %", "ns a call, each CPU", "nmissed", *(("kp_nmissed",) if busy else ()), *waits):
        table.add_column(heading, justify="right", no_wrap=not timed or heading == "95 %")
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        extra = ((f"{row['kp_nmissed']:,}",) if busy else ()) + (_waits(row) if timed else ())
        table.add_row(*(value_of(row[key]) for key in keys), *_figures(row), *extra, row["verdict"])
    return table


def _latency_table(cells: list[Json]) -> Table:
    """A line a cell and class of lock, or half of a call; times in ns, and beside them what of each the clock is."""
    rows = [row for row in rows_of(cells) if row["latency_ns"]]
    keys = shown(rows_of(cells), (*KEY, *KNOBS))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for key in keys:
        table.add_column(key.replace("_", "-"), justify="right" if key in NUMBERS else "left", no_wrap=True)
    table.add_column("ns of", no_wrap=True)
    for quantile in (*QUANTILES, "max"):
        table.add_column(quantile.replace("_", "."), justify="right", no_wrap=True)
    table.add_column("clock", justify="right", no_wrap=True)
    for row in rows:
        for which, found in row["latency_ns"].items():
            if which != "clock":
                times = (f"{ns:,.0f}" for ns in (*(found[q] for q in (*QUANTILES, "max")), row["latency_ns"]["clock"]))
                table.add_row(*(value_of(row[key]) for key in keys), which.replace("_", " "), *times)
    return table


def _waits(cell: Json) -> tuple[str, ...]:
    """The mean length of a walk, and the mean wait in acquire(), the clock in it; - where not measured."""
    if not has_waits(cell):
        return ("-", "-", "-")
    walk = "-" if cell["walk_mean"] is None else f"{cell['walk_mean']:.1f}"
    waited = (mean_wait(cell, which) for which in ("table_lock", "probe_lock"))
    return (walk, *("-" if ns is None else f"{ns:.0f}" for ns in waited))


def _figures(cell: Json) -> tuple[str, str, str, str]:
    nmissed = f"{cell['nmissed']:,}"
    if not cell["median"]:
        return "-", "-", "-", nmissed
    ns = 1e9 * cell["cpus"] / cell["median"]
    return f"{cell['median'] / 1e6:.2f}", _interval(cell["ci95"], 1e6), f"{ns:.1f}", nmissed


def _interval(ci95: list[float] | None, unit: float = 1.0) -> str:
    return f"{ci95[0] / unit:.2f} .. {ci95[1] / unit:.2f}" if ci95 else "-"


def _ratio_table(ratios: list[Json], by: str) -> Table:
    rows = rows_of(ratios)
    keys = shown(rows, tuple(key for key in (*KEY, *KNOBS) if key != by))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for key in keys:
        table.add_column(key.replace("_", "-"), justify="right" if key in NUMBERS else "left", no_wrap=True)
    table.add_column(by.replace("_", "-"))
    table.add_column("ratio", justify="right")
    table.add_column("95 %", justify="right", no_wrap=True)
    for ratio in rows:
        figure = "-" if ratio["median"] is None else f"{ratio['median']:.3f}"
        pair = f"{value_of(ratio['over'])} / {value_of(ratio['under'])}"
        table.add_row(*(value_of(ratio[key]) for key in keys), pair, figure, _interval(ratio["ci95"]))
    return table


def print_comparison(result: Json, to: TextIO) -> None:
    """The ratios of a comparison, and in how many cells there is a difference."""
    console = Console(file=to, highlight=False, markup=False, width=None if to.isatty() else 120)
    rows = rows_of(result["cells"])
    keys = shown(rows, (*KEY, *KNOBS))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for key in keys:
        table.add_column(key.replace("_", "-"), justify="right" if key in NUMBERS else "left")
    for heading in ("B / A", "95 %", "finds", "A, B", ""):
        left = heading in ("", "A, B")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading != "A, B")
    for row in rows:
        figure = "-" if row["median"] is None else f"{row['median']:.3f}"
        finds = "-" if row["finds"] is None else f"{row['finds']:.0%}"
        keyed = (value_of(row[key]) for key in keys)
        table.add_row(*keyed, figure, _interval(row["ci95"]), finds, ", ".join(row["verdicts"]), row["significance"])
    console.print(table)
    differ = sum(row["significance"].endswith(", significant") for row in rows)
    alone = "".join(
        f"; {result[key]} only in {name}" for key, name in (("only_before", "A"), ("only_after", "B")) if result[key]
    )
    console.print(f"{differ} of {len(rows)} cells differ by more than {result['margin']:.1%}{alone}", soft_wrap=True)
    console.print(_together(result["together"]), soft_wrap=True)
    console.print("finds: the slowdown that four of five such comparisons would find in the cell", soft_wrap=True)


def _together(found: Json) -> str:
    """What the cells have in common, and by how much runs differ by themselves."""
    common = found["significance"]
    if found["median"] is not None:
        common = f"{found['median']:.3f} ({_interval(found['ci95'])}), {common}"
    runs = "cannot be told from so few cells" if found["between"] is None else f"{found['between']:.1%} (one sigma)"
    return f"all cells together: {common}; cells between runs, beyond scatter: {runs}; drift of halves: {found['drift']:.1%}"


def print_arena(found: Json, to: TextIO) -> None:
    """What is in an arena: plug-ins, CPUs, probes, chains, locks, and what the audit says if it was asked."""
    console = Console(file=to, highlight=False, markup=False, width=None if to.isatty() else 120)
    plugins = ", ".join(f"{kind} {name or 'not said'}" for kind, name in found["plugins"].items())
    console.print(f"{plugins}; made by pid {found['creator_pid']}; {found['size'] >> 10} KiB", soft_wrap=True)
    console.print(", ".join(f"{key} {value}" for key, value in found["geometry"].items()), soft_wrap=True)
    for title, rows, fields in (
        (
            "cpu",
            found["cpus"],
            ("pid", "inside", "task", "current_kprobe", "preempt_count", "irqs_off", "calls", "hits", "returns", "bug"),
        ),
        ("probe", found["probes"], ("function", "maxactive", "free", "nmissed", "kp_nmissed")),
    ):
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for heading in (title, *fields):
            table.add_column(heading, justify="right", no_wrap=True)
        for i, row in enumerate(rows):
            table.add_row(str(row.get("probe", i)), *(_of_record(row[key]) for key in fields))
        console.print(table)
    for bucket, chain in found["buckets"].items():
        links = " -> ".join(f"instance {link['instance']} of task {link['task']}" for link in chain)
        console.print(f"bucket {bucket}: {links}", soft_wrap=True)
    console.print(f"slab: {found['slab']['instances']} instances")
    held = found["held_locks"]
    words = f"cannot be told: {found['locks_doubt']}" if held is None else ", ".join(map(_held, held)) or "none"
    console.print(f"locks held: {words}", soft_wrap=True)
    for torn in [row for row in (*found["probes"], found["slab"]) if "torn" in row]:
        console.print(f"torn: {torn['torn']}", soft_wrap=True)
    if "audit" in found:
        said = [*found["audit"], *([found["audit_doubt"]] if found["audit_doubt"] else [])]
        for what in said or ["every instance is in one place, and the books balance"]:
            console.print(f"audit: {what}", soft_wrap=True)


def _of_record(value: int | bool | None) -> str:
    """A word of a record; what cannot be told is a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)


def _held(held: Json) -> str:
    """A lock, and who holds it where that can be told."""
    who = "" if held["cpu"] is None else f" by cpu {held['cpu']}"
    pid = "" if held["pid"] is None else f" (pid {held['pid']})"
    return f"{held['lock']}{who}{pid}"
