"""`shmkret inspect`: what is in a named arena, live or left over."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, add_lock_by_hand, in_options
from shmkret.errors import ArenaError


def add(commands: Any) -> None:
    """The command and its options."""
    inspect = add_command(commands, "inspect", run, help="what is in a named arena, live or left over")
    inspect.add_argument(
        "arena", nargs="?", metavar="ARENA", help="a name that `shmkret list arenas` shows; default the newest live one"
    )
    add_lock_by_hand(inspect)
    inspect.add_argument("--audit", action="store_true", help="check every list and count; exit 1 when something is wrong")
    add_json(inspect)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Look, and audit if that was asked for."""
    from shmkret.audit import arenas
    from shmkret.measure.report import tables

    name = _newest() if options.arena is None else options.arena
    found = _look(name, options.lock)
    if options.audit:
        found["audit"], found["audit_doubt"] = arenas.audited(name, options.lock)
    for doubt in ("locks_doubt", "audit_doubt"):
        if found.get(doubt):
            found[doubt] = in_options(found[doubt])
    if options.json:
        output.write_json(options.json, {**output.headed("inspect", argv), **found})
    if options.json != "-":
        tables.print_arena(found, sys.stdout)
    return output.EXIT_FAILED if found.get("audit") else output.EXIT_HELD


def _newest() -> str:
    from shmkret.arena import named

    try:
        return named.newest_live()
    except ArenaError as error:
        raise ArenaError(
            f"{error}: start a run with `shmkret bench --named --seconds 20`, or see `shmkret list arenas`"
        ) from error


def _look(name: str, lock: str | None) -> dict[str, Any]:
    """The arena's statistics, who is inside, and which locks are held."""
    from shmkret.arena import named
    from shmkret.audit import arenas, checks

    with arenas.copied(name, lock) as arena:
        found: dict[str, Any] = {"arena": name, **arena.statistics()}
        pids, inside = named.pids_of(name, arena), checks.inside(arena)
        for cpu, record in enumerate(found["cpus"]):
            record |= {"inside": cpu in inside, "pid": pids[cpu] if pids and cpu < len(pids) else None}
        held, found["locks_doubt"] = arenas.held_locks(arena, lock, pids)
        found["held_locks"] = None if held is None else [one._asdict() for one in held]
    return found
