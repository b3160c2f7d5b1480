"""`shmkret stress`: kill CPUs at any instant; the others recover, and nothing may be lost."""

from __future__ import annotations

import argparse
import secrets
import sys
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, names
from shmkret.errors import ShmkretError
from shmkret.host import posix


def add(commands: Any) -> None:
    """The command and its options."""
    stress = add_command(
        commands,
        "stress",
        run,
        help="kill CPUs at any instant; the others recover, and nothing may be lost",
        description="Kills worker processes while they run, lets a recoverer repair the arena, and audits it after each round.",
    )
    stress.add_argument("--worker", type=names, default=["hot"], metavar="A,B", help="worker programs; hot")
    stress.add_argument("--scheme", type=names, default=["hashed"], metavar="A,B", help="global, hashed; hashed")
    stress.add_argument(
        "--lock", type=names, default=["owner", "pthread-robust", "sem"], metavar="A,B", help="owner,pthread-robust,sem"
    )
    stress.add_argument("--cpus", type=int, default=2, metavar="N", help="CPUs, more than cores if you like; 2")
    stress.add_argument(
        "--kills", type=int, metavar="N", help="deaths, for each combination; 2000, or as many as --seconds allow"
    )
    stress.add_argument(
        "--round", type=int, default=None, metavar="N", help="deaths between two audits; a tenth of --kills, or 200"
    )
    stress.add_argument("--seconds", type=float, default=None, metavar="S", help="stop after that long, for each combination")
    stress.add_argument(
        "--fault", default="random=kill", metavar="SPEC", help="what goes wrong: see `shmkret list faults`; random=kill"
    )
    stress.add_argument(
        "--fence", type=float, metavar="S", help="kill a stopped CPU that holds a lock after that long; default never"
    )
    stress.add_argument("--mutant", default="", metavar="NAME", help="a wrong order of writes, which must be caught")
    stress.add_argument("--probes", type=int, metavar="N", help="probe records; default what the worker needs")
    stress.add_argument("--maxactive", type=int, metavar="N", help="instances a probe; few of them are soon exhausted")
    stress.add_argument(
        "--unprotected", action="store_true", help="instead: what a death does to each lock where nothing is recoverable"
    )
    stress.add_argument("--guests", type=int, default=0, metavar="N", help="CPUs more, left to processes that `shmkret join`")
    stress.add_argument("--seed", type=int, metavar="N", help="of the faults, not of their timing; default a new one, printed")
    add_json(stress)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Run every combination; 1 when one has findings."""
    from shmkret.cli import combinations, stressed

    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    asked = combinations.asked(options, seed)
    output.require_writable(options.json)
    posix.sweep_names()
    place = sys.stderr if options.json == "-" else sys.stdout
    shown = combinations.rehearsed(asked)
    for words in shown:
        output.say(f"rehearsed: {words}")
    how = stressed.unprotected if options.unprotected else stressed.at_random if asked.nth is None else stressed.every_store
    runs = how(asked, place)
    failed = [run for run in runs if run.get("findings")] if not options.unprotected else []
    replay = output.replay(argv, seed)
    result = output.headed("stress", argv, seed)
    result["rehearsed"] = shown
    result["runs"] = [{**run, "replay": replay} for run in runs]
    try:
        output.write_json(options.json, result)
    except (ShmkretError, OSError):
        if options.json != "-":
            output.write_json("-", result)
            output.say("shmkret: the result is on standard output")
        raise
    if failed:
        output.say(f"{len(failed)} of {len(runs)} runs failed; again: {replay}")
    return output.EXIT_FAILED if failed else output.EXIT_HELD
