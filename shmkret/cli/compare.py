"""`shmkret compare`: two result folders, cell by cell, and whether the second fell behind."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, in_options
from shmkret.errors import UnfitMachine, UsageError


def add(commands: Any) -> None:
    """The command and its options."""
    compare = add_command(
        commands,
        "compare",
        run,
        help="ratios with intervals of two result folders",
        description="Compares B with A, cell by cell. What counts is an interval without 1 around a ratio beyond the margin. "
        "With --fail-on: 1 for a regression, or a cell that B has lost; 3 where the data cannot tell.",
    )
    compare.add_argument("before", type=Path, metavar="A", help="a result folder")
    compare.add_argument("after", type=Path, metavar="B", help="another, of the same suite")
    compare.add_argument("--margin", type=float, default=2.0, metavar="PERCENT", help="differences up to this do not count; 2")
    compare.add_argument("--fail-on", metavar="CONDITION", help="exit 1 if it holds of a cell, 3 if it may: regression>=5%%")
    add_json(compare)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Compare, print, and judge if that was asked for."""
    from shmkret.measure import compare
    from shmkret.measure.report import folder, tables

    least = compare.threshold(options.fail_on) if options.fail_on is not None else None
    if not 0 <= options.margin < 100:
        raise UsageError(f"--margin is {options.margin:g}: give percent, from 0 to less than 100")
    before, after = folder.load(options.before), folder.load(options.after)
    margin = options.margin / 100
    cells, together = compare.compare(before, after, margin)
    said = compare.gate(cells, together, least) if least is not None else []
    result = output.headed("compare", argv, before["seed"])
    result |= {"margin": margin, "cells": cells, "together": together}
    counts = {"regressions": compare.REGRESSION, "lost": compare.LOST, "cannot_tell": compare.CANNOT_TELL}
    result |= {**compare.alone(before, after), **{name: said.count(what) for name, what in counts.items()}}
    tables.print_comparison(result, sys.stderr if options.json == "-" else sys.stdout)
    if before["machine"]["cpu"] != after["machine"]["cpu"]:
        output.say(f"two machines: {before['machine']['cpu']} and {after['machine']['cpu']}")
    output.write_json(options.json, result)
    if least is None:
        return output.EXIT_HELD
    for line in compare.verdict(cells, together, said, least):
        output.say(in_options(line))
    if compare.REGRESSION in said or compare.LOST in said:
        return output.EXIT_FAILED
    return UnfitMachine.exit_code if compare.CANNOT_TELL in said else output.EXIT_HELD
