"""`--monitors`: what watches a search."""

from __future__ import annotations

import argparse

from shmkret.cli.options import names
from shmkret.errors import UsageError

ALL, NONE = "all", "none"


def add_monitors(command: argparse.ArgumentParser) -> None:
    """The option."""
    command.add_argument(
        "--monitors",
        type=names,
        default=[ALL],
        metavar="A,B",
        help="what watches beside the usual: always, holders, clocks; all",
    )


def chosen_monitors(options: argparse.Namespace) -> tuple[str, ...]:
    """What was asked for. Raises UsageError for what there is not."""
    from shmkret.explore.stacks.watching import MONITORS

    asked = options.monitors
    if asked == [ALL]:
        return MONITORS
    if asked == [NONE]:
        return ()
    for name in asked:
        if name not in MONITORS:
            raise UsageError(f"--monitors names {name!r}: there is {', '.join((*MONITORS, ALL, NONE))}")
    return tuple(asked)
