"""`shmkret explore`: every interleaving of a scenario, of the same compiled text that is measured."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING, Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, names
from shmkret.errors import UsageError

if TYPE_CHECKING:
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
        "scenarios", nargs="*", metavar="SCENARIO", help="a name, or the path of a file; default all there are"
    )
    explore.add_argument("--scheme", type=names, default=["hashed"], metavar="A,B", help="schemes; hashed")
    explore.add_argument("--lock", type=names, default=["sem"], metavar="A,B", help="locks; sem")
    explore.add_argument("--cpus", type=int, default=2, metavar="N", help="CPUs, more than cores if you like; 2")
    explore.add_argument("--rounds", type=int, default=1, metavar="N", help="what each CPU does, so many times; 1")
    explore.add_argument("--deaths", type=int, metavar="N", help="how many may die in one run; default as the scenario has it")
    explore.add_argument("--maxactive", type=int, metavar="N", help="instances a probe; default as the scenario has it")
    explore.add_argument(
        "--engine", default="states", metavar="NAME", help="which schedules are tried: `shmkret list engines`; states"
    )
    explore.add_argument("--model", default="sc", metavar="NAME", help="how memory behaves: sc, sequentially consistent")
    explore.add_argument(
        "--seconds", type=float, default=math.inf, metavar="S", help="give up after that long, for each search"
    )
    explore.add_argument("--memory", metavar="SIZE", help="for the table of states, such as 4G; default half of what is free")
    explore.add_argument("--seed", type=int, default=0, metavar="N", help="for an engine that draws at random; 0")
    explore.add_argument("--runs", type=int, metavar="N", help="of an engine that draws at random; default as time allows")
    explore.add_argument("--depth", type=int, default=3, metavar="D", help="of pct: that of the bugs it looks for; 3")
    explore.add_argument("--require-complete", action="store_true", help="exit 3 when a search is not complete")
    add_json(explore)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Search each combination; 1 when one has a violation."""
    from shmkret.cli import explored
    from shmkret.explore.search import search

    output.require_writable(options.json)
    how = _how(options)
    asked = _asked(options)
    place = sys.stderr if options.json == "-" else sys.stdout
    rows, interrupted = [], False
    for one in asked:
        print(f"{explored.title(one)}; {explored.manner(how)}", file=place, flush=True)
        found = search(one, how, explored.Live())
        rows.append(found.statistics())
        explored.tell(rows[-1], place)
        interrupted = found.interrupted
        if interrupted:
            break
    result = output.headed("explore", argv, how.seed if how.draws else None)
    output.write_json(options.json, {**result, "scenarios": rows})
    return explored.code(rows, interrupted=interrupted, require_complete=options.require_complete)


def _how(options: argparse.Namespace) -> Any:
    """How each is searched. Raises UsageError."""
    from shmkret.explore.search import How, size_of

    memory = None if options.memory is None else size_of(options.memory)
    how = How(options.engine, options.model, options.seconds, memory, options.seed, options.runs, options.depth)
    how.require_right()
    return how


def _asked(options: argparse.Namespace) -> list[Asked]:
    """The searches, every scene tried to be made before the first. Raises UsageError and its kinds."""
    from itertools import product

    from shmkret.explore.scenarios import SCENARIO, asked_of, scene_of
    from shmkret.locks import LOCK
    from shmkret.plugins import registry
    from shmkret.schemes import SCHEME

    schemes = [registry.find(SCHEME, name) for name in options.scheme]
    locks = [registry.find(LOCK, name) for name in options.lock]
    if not schemes or not locks:
        raise UsageError("--scheme or --lock names nothing: give one value or several, with commas between them")
    chosen = []
    for name, scheme, lock in product(options.scenarios or registry.names(SCENARIO), schemes, locks):
        dies = registry.find(SCENARIO, name).constants.deaths
        deaths = options.deaths if options.scenarios or dies else None
        try:
            one = asked_of(name, scheme, lock, options.cpus, options.rounds, deaths, options.maxactive)
            scene_of(one)
        except UsageError as error:
            if options.scenarios or not dies:
                raise
            output.say(f"{name} is left out: {error}")
            continue
        chosen.append(one)
    return chosen
