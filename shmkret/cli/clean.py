"""`shmkret clean`: remove what killed runs have left over, and nothing else."""

from __future__ import annotations

import argparse
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json
from shmkret.host import posix


def add(commands: Any) -> None:
    """The command and its options."""
    add_json(add_command(commands, "clean", run, help="remove what killed runs have left over, and nothing else"))


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """A line for each arena that was removed."""
    from shmkret.arena import named

    semaphores, removed = posix.sweep_names(), named.clean()
    if options.json:
        output.write_json(options.json, {**output.headed("clean", argv), "removed": removed, "semaphores": semaphores})
    for name in removed if options.json != "-" else ():
        print(name)
    if not removed and not semaphores:
        output.say("nothing is left over")
    return output.EXIT_HELD
