"""`shmkret explore`: every interleaving of a scenario, of the same compiled text that is measured."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING, Any

from shmkret.cli import output
from shmkret.cli.monitors import add_monitors, chosen_monitors
from shmkret.cli.options import add_command, add_json, names
from shmkret.errors import UsageError

if TYPE_CHECKING:
    from shmkret.explore.pieces import Folder, Piece
    from shmkret.explore.scenarios import Asked


def add(commands: Any) -> None:
    """The command and its options."""
    explore = add_command(
        commands,
        "explore",
        run,
        help="every interleaving of a scenario: complete, bounded, or a schedule that goes wrong",
        description="Searches every order of the steps of a few CPUs, in compiled code. See `shmkret list scenarios`.",
    )
    explore.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO|FILE",
        help="names, or files: of scenarios, locks, schemes, workers; default every scenario",
    )
    explore.add_argument("--scheme", type=names, default=["hashed"], metavar="A,B", help="schemes; hashed")
    explore.add_argument("--lock", type=names, default=["sem"], metavar="A,B", help="locks; sem")
    explore.add_argument("--worker", metavar="NAME", help="the worker program of the scenario rounds; hot")
    explore.add_argument("--cpus", type=int, default=2, metavar="N", help="CPUs, more than cores if you like; 2")
    explore.add_argument("--rounds", type=int, default=1, metavar="N", help="what each CPU does, so many times; 1")
    explore.add_argument(
        "--deaths", type=int, metavar="N", help="how many may die in one run, or stop; default as the scenario has it"
    )
    explore.add_argument("--maxactive", type=int, metavar="N", help="instances a probe; default as the scenario has it")
    explore.add_argument(
        "--engine", default="states", metavar="NAME", help="which schedules are tried: `shmkret list engines`; states"
    )
    explore.add_argument(
        "--model",
        default="sc",
        metavar="NAME",
        help="how memory behaves: sc, sequentially consistent, tso, as x86, or ra, for Arm; sc",
    )
    explore.add_argument(
        "--preemptions", type=int, metavar="N", help="at most so many in a schedule, and so bounded by that; any number"
    )
    explore.add_argument("--symmetric", action="store_true", help="of CPUs that are alike, one order in which they begin")
    explore.add_argument(
        "--seconds", type=float, default=math.inf, metavar="S", help="give up after that long, for each search"
    )
    explore.add_argument("--memory", metavar="SIZE", help="for the table of states, such as 4G; default half of what is free")
    explore.add_argument("--seed", type=int, default=0, metavar="N", help="for an engine that draws at random; 0")
    explore.add_argument("--runs", type=int, metavar="N", help="of an engine that draws at random; default as time allows")
    explore.add_argument("--depth", type=int, default=3, metavar="D", help="of pct: that of the bugs it looks for; 3")
    explore.add_argument(
        "--processes", type=int, metavar="N", help="so many searches at once, with a share of --memory; of mutants, one a core"
    )
    explore.add_argument("--out", metavar="DIR", help="a folder for the result of each combination, as JSON")
    explore.add_argument("--resume", metavar="DIR", help="go on with what was asked there: search what has no result")
    add_monitors(explore)
    explore.add_argument("--require-complete", action="store_true", help="exit 3 when a search is not complete")
    explore.add_argument(
        "--mutants", nargs="*", metavar="NAME", help="try slips that searches must see, all or these: `shmkret list mutants`"
    )
    add_json(explore)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Search each combination; 1 when one has a violation."""
    if options.mutants is not None:
        from shmkret.cli import mutants

        if options.scenarios:
            raise UsageError("a mutant has its own search: give names of mutants behind --mutants, and no scenario")
        return mutants.run(options.mutants, options.processes, options.json, argv)
    from shmkret.cli import explored

    output.require_writable(options.json)
    place = sys.stderr if options.json == "-" else sys.stdout
    folder, pieces = _pieces(options)
    if folder is None and options.processes is None:
        found = explored.one_by_one(pieces, place)
    else:
        processes = 1 if options.processes is None else options.processes
        found = explored.at_once(pieces, processes, folder, place)
    seed = pieces[0].how.seed if pieces and pieces[0].how.draws else None
    output.write_json(options.json, {**output.headed("explore", argv, seed), "scenarios": found.rows})
    return explored.code(found.rows, interrupted=found.interrupted, require_complete=options.require_complete)


MAY_DIFFER = {"run", "resume", "processes", "json", "require_complete"}
"""What may be given beside --resume."""


def _pieces(options: argparse.Namespace) -> tuple[Folder | None, list[Piece]]:
    """What is searched, and where the results lie. Raises UsageError and its kinds."""
    from shmkret.explore.pieces import Folder, Piece

    if options.resume is None:
        how = _how(options)
        pieces = [Piece(asked, how) for asked in _asked(options)]
        folder = None if options.out is None else Folder(options.out)
        if folder:
            folder.make(pieces)
        return folder, pieces
    parser = argparse.ArgumentParser()
    add(parser.add_subparsers())
    usual = vars(parser.parse_args(["explore"]))
    given = [name for name, value in vars(options).items() if name not in MAY_DIFFER and value != usual[name]]
    if given:
        said = "scenarios" if given[0] == "scenarios" else f"--{given[0].replace('_', '-')}"
        raise UsageError(f"--resume goes on with what was asked before: leave out {said}")
    folder = Folder(options.resume)
    return folder, folder.pieces()


def _how(options: argparse.Namespace) -> Any:
    """How each is searched. Raises UsageError."""
    from shmkret.explore.search import How, size_of

    memory = None if options.memory is None else size_of(options.memory)
    drawn = (options.seed, options.runs, options.depth)
    bounds = (options.preemptions, options.symmetric)
    how = How(options.engine, options.model, options.seconds, memory, *drawn, chosen_monitors(options), *bounds)
    how.require_right()
    return how


def _asked(options: argparse.Namespace) -> list[Asked]:
    """The searches. Raises UsageError and its kinds."""
    from shmkret.explore.combinations import With, combinations

    numbers = (options.cpus, options.rounds, options.deaths, options.maxactive)
    beside = With(options.scheme, options.lock, *numbers, options.worker, options.model)
    return combinations(options.scenarios, beside, output.say)
