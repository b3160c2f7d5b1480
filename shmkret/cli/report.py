"""`shmkret report`: the report of a result folder, written again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command
from shmkret.errors import UsageError


def add(commands: Any) -> None:
    """The command and its options."""
    report = add_command(commands, "report", run, help="write the report of a result folder again")
    report.add_argument("folder", type=Path, metavar="DIR", help="a folder that `shmkret bench` wrote")


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Write everything beside results.json. Raises UsageError."""
    from shmkret.measure.report import folder

    result = folder.load(options.folder)
    try:
        written = folder.rewrite(options.folder, result)
    except OSError as error:
        raise UsageError(f"{options.folder}: {error.strerror}") from error
    output.say(f"wrote {', '.join(path.name for path in written)} to {options.folder}")
    return output.EXIT_HELD
