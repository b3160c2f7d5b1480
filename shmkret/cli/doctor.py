"""`shmkret doctor`: what about this machine makes measurements doubtful."""

from __future__ import annotations

import argparse
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, in_options


def add(commands: Any) -> None:
    """The command and its options."""
    add_json(add_command(commands, "doctor", run, help="what about this machine makes measurements doubtful"))


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """A line for each thing that was looked at."""
    from shmkret.measure import doctor

    output.say("looking at this machine, some seconds ...")
    found = [one._replace(remedy=in_options(one.remedy)) for one in doctor.examine()]
    if options.json:
        head = output.headed("doctor", argv)
        output.write_json(options.json, {**head, "findings": [one._asdict() for one in found]})
        if options.json == "-":
            return output.EXIT_HELD
    for one in found:
        remedy = f"; {one.remedy}" if one.remedy and one.state != doctor.OK else ""
        print(f"{one.state:8}{one.name:12}{one.words}{remedy}")
    return output.EXIT_HELD
