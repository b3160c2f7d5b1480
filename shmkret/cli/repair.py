"""`shmkret repair`: rebuild the lists of an arena that is left over."""

from __future__ import annotations

import argparse
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, add_lock_by_hand


def add(commands: Any) -> None:
    """The command and its options."""
    repair = add_command(commands, "repair", run, help="rebuild the lists of an arena that is left over")
    repair.add_argument("arena", metavar="ARENA", help="its name: see `shmkret list arenas`")
    add_lock_by_hand(repair)
    add_json(repair)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Repair; 1 when something is left that could not be."""
    from shmkret.audit import arenas

    done, left = arenas.repaired(options.arena, options.lock)
    if options.json:
        head = output.headed("repair", argv)
        output.write_json(options.json, {**head, "arena": options.arena, "repaired": done, "audit": left})
    if options.json != "-":
        for what in done or ["nothing had to be repaired"]:
            print(what)
        for what in left:
            print(f"not repaired: {what}")
    return output.EXIT_FAILED if left else output.EXIT_HELD
