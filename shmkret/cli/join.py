"""`shmkret join`: be one CPU of a stressed run, which may be killed."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command
from shmkret.errors import ArenaError


def add(commands: Any) -> None:
    """The command and its options."""
    join = add_command(
        commands,
        "join",
        run,
        help="take part in a run as a CPU of its own, which may be killed",
        description="Takes a slot that `shmkret stress --guests N` leaves, until the run ends. Kill it as you like.",
    )
    join.add_argument("arena", metavar="ARENA", help="its name: see `shmkret list arenas`")
    join.add_argument("--worker", default="hot", metavar="A", help="the worker program that the run has; hot")
    join.add_argument("--scheme", metavar="FILE", help="its scheme, where the arena's header does not find it")
    join.add_argument("--lock", metavar="FILE", help="its lock, where the arena's header does not find it")


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Take part until the run ends."""
    from shmkret.stress import guests

    def watch(cpu: int, pid: int) -> None:
        print(f"cpu {cpu}, pid {pid}", flush=True)

    print("waiting for a slot: it is given away between two rounds", file=sys.stderr, flush=True)
    try:
        calls = guests.join(options.arena, options.worker, options.scheme, options.lock, watch)
    except guests.NoSlot as error:
        raise ArenaError(f"{error}: start the run with `shmkret stress --guests 1`") from error
    print(f"{calls:,} calls")
    return output.EXIT_HELD
