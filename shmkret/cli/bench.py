"""`shmkret bench`: measure a suite, and write its folder."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from shmkret import __version__
from shmkret.cli import output, progress
from shmkret.cli.options import add_command, add_knobs, in_options
from shmkret.errors import RunFailed, UsageError
from shmkret.host import posix, signals
from shmkret.machines import peers
from shmkret.measure.knobs import OPTIONS, OURS


def add(commands: Any) -> None:
    """The command and its options."""
    bench = add_command(
        commands,
        "bench",
        run,
        help="measure how a locking scheme scales over cores",
        description="Measures a suite and writes a folder with results.json, CSV and a plot. Lists take commas: --cpus 1,2.",
    )
    bench.add_argument("suite", nargs="?", default="scaling", help="a suite by name (see `shmkret list suites`) or a TOML file")
    add_knobs(bench)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Measure, write, print. Raises what measuring and writing raise, in words that say how to have it again."""
    from shmkret.measure import bench, suite
    from shmkret.measure.report import folder, tables

    plan = suite.plan(options.suite, {key: getattr(options, key, None) for key in OPTIONS})
    again = output.replay(argv, plan.seed)
    out = _place(plan)
    place = folder.place(out)
    output.require_writable(plan.json)
    posix.sweep_names()
    try:
        # What a plug-in prints are words, not data.
        with contextlib.redirect_stdout(sys.stderr):
            prepared = bench.prepare(plan, plan.named)
            with progress.of_repetitions(len(plan.cells) * plan.repeat, plan.seconds) as watched:
                measured = bench.run(plan, prepared, watched)
    except RunFailed as error:
        raise RunFailed(f"{error}\nagain: {again}") from error
    result = _object(argv, plan, measured, watched.first_s)
    output.kept.append(out)
    try:
        written = folder.write_folder(place, result)
    except OSError as error:
        words = f"{out} cannot be written ({error.strerror})"
        raise UsageError(f"{words}: {output.rescue(plan.json, result)}") from error
    except Exception:
        output.say(f"shmkret: {output.rescue(plan.json, result)}")
        raise
    tables.print_tables(result, sys.stderr if plan.json == "-" else sys.stdout)
    output.write_json(plan.json, result)
    signals.ignore()  # an interrupt would be raised where the compiler's objects are freed, and come to nothing but noise
    print(f"wrote {', '.join(path.name for path in written)} to {out}", file=sys.stderr)
    withheld = sum(m.verdict == "withheld" for m in measured)
    if withheld:
        print(f"{withheld} of {len(measured)} cells are withheld; again: {again}", file=sys.stderr)
    return output.EXIT_FAILED if withheld else output.EXIT_HELD


def _place(plan: Any) -> Path:
    """The result folder: the one asked for, or one named by suite, time and process. Raises UsageError."""
    if plan.out is not None and not plan.out.name:
        raise UsageError("--out names no folder")
    return plan.out or Path("shmkret-results") / f"{plan.suite}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def _object(argv: list[str], plan: Any, measured: list[Any], first_s: float) -> dict[str, Any]:
    """Everything that was asked for and found, as results.json has it."""
    from shmkret.host import description
    from shmkret.measure import bench
    from shmkret.measure.report import folder

    return {
        "schema": folder.SCHEMA,
        "command": "bench",
        "argv": argv,
        "version": __version__,
        "machine": description.describe(),
        **bench.plan_object(plan),
        "first_cell_s": round(first_s, 2),
        "all_cells_s": round(description.process_age_s(), 1),
        "peers": {peer: peers.describe(peer) for peer in dict.fromkeys(m.cell.peer for m in measured) if peer != OURS},
        "cells": [_in_options(bench.cell_object(m)) for m in measured],
        "ratios": [bench.ratio_object(r) for r in bench.ratios(measured)],
        "scaling": bench.scaling_objects(measured),
    }


def _in_options(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell whose doubts speak of options. Why one is withheld may quote a file of the user's."""
    return cell if cell["verdict"] == "withheld" else {**cell, "reasons": list(map(in_options, cell["reasons"]))}
