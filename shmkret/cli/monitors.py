"""`--monitors`: what watches a search."""

from __future__ import annotations

import argparse

from shmkret.cli.options import names

NAMED = ("usual", "all", "none")


def add_monitors(command: argparse.ArgumentParser) -> None:
    """The option."""
    command.add_argument(
        "--monitors",
        type=names,
        default=["usual"],
        metavar="A,B",
        help="what watches beside: always, holders, clocks, order, fifo; usual, which is always,holders; all; none",
    )


def chosen_monitors(options: argparse.Namespace) -> tuple[str, ...]:
    """What was asked for. Raises UsageError for what there is not."""
    from shmkret.explore.stacks.watching import MONITORS, USUAL, require_monitors

    named = dict(zip(NAMED, (USUAL, MONITORS, ()), strict=True))
    asked = options.monitors
    if len(asked) == 1 and asked[0] in named:
        return named[asked[0]]
    require_monitors(asked, NAMED)
    return tuple(name for name in MONITORS if name in asked)
