"""`shmkret explore`: every interleaving of a scenario, of the same compiled text that is measured."""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, names
from shmkret.errors import UnfitMachine, UsageError
from shmkret.host import signals

if TYPE_CHECKING:
    from shmkret.explore.scenarios import Asked
    from shmkret.explore.stacks.apart import Progress

ENGINES, MODELS = ("states",), ("sc",)
UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
LEAST_BITS = 12
"""The smallest table has 2**12 places."""


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
    explore.add_argument("--engine", default="states", metavar="NAME", help="which schedules are tried: states")
    explore.add_argument("--model", default="sc", metavar="NAME", help="how memory behaves: sc, sequentially consistent")
    explore.add_argument(
        "--seconds", type=float, default=math.inf, metavar="S", help="give up after that long, for each search"
    )
    explore.add_argument(
        "--memory", type=_bytes, metavar="SIZE", help="for the table of states, such as 4G; default half of what is free"
    )
    explore.add_argument("--require-complete", action="store_true", help="exit 3 when a search is not complete")
    explore.add_argument(
        "--mutants", nargs="*", metavar="NAME", help="try slips that searches must see, all or these: `shmkret list mutants`"
    )
    explore.add_argument("--processes", type=int, metavar="N", help="how many mutants are tried at once; default: cores")
    add_json(explore)


def _bytes(text: str) -> int:
    """A size such as 512M. Raises ArgumentTypeError."""
    found = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", text)
    if not found or int(found[1]) << UNITS[found[2]] < 8 << LEAST_BITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 512M or 4G, of {8 << LEAST_BITS >> 10}K at least")
    return int(found[1]) << UNITS[found[2]]


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Search each combination; 1 when one has a violation."""
    if options.mutants is not None:
        from shmkret.cli import mutants

        if options.scenarios:
            raise UsageError("a mutant has its own search: give names of mutants behind --mutants, and no scenario")
        return mutants.run(options.mutants, options.processes, options.json, argv)
    if options.processes is not None:
        raise UsageError("--processes is for --mutants")
    output.require_writable(options.json)
    asked = _asked(options)
    place = sys.stderr if options.json == "-" else sys.stdout
    memory = options.memory or _half_of_free()
    found: list[_Searched] = []
    for one in asked:
        found.append(_search(one, options.seconds, memory, place))
        if found[-1].bound == INTERRUPTED:
            break
    result = output.headed("explore", argv)
    result["scenarios"] = [one.row for one in found]
    output.write_json(options.json, result)
    return _code(found, require_complete=options.require_complete)


INTERRUPTED = "interrupted"


class _Searched(NamedTuple):
    """A row of the object, and why the search is not complete."""

    row: dict[str, Any]
    bound: str | None


def _code(found: list[_Searched], *, require_complete: bool) -> int:
    if any(one.bound == INTERRUPTED for one in found):
        output.say("shmkret: interrupted; what is known by now is above")
        return signals.EXIT_INTERRUPTED
    if any(one.row["violations"] for one in found):
        return output.EXIT_FAILED
    if require_complete and not all(one.row["complete"] for one in found):
        return UnfitMachine.exit_code
    return output.EXIT_HELD


def _asked(options: argparse.Namespace) -> list[Asked]:
    """The searches, every scene tried to be made before the first. Raises UsageError and its kinds."""
    from itertools import product

    from shmkret.explore.scenarios import SCENARIO, asked_of, scene_of
    from shmkret.locks import LOCK
    from shmkret.plugins import registry
    from shmkret.schemes import SCHEME

    for option, value, known in (("engine", options.engine, ENGINES), ("model", options.model, MODELS)):
        if value not in known:
            raise UsageError(f"--{option} is {value!r}: there is {', '.join(known)}")
    if not options.seconds > 0:
        raise UsageError(f"--seconds is {options.seconds:g}: give more than 0")
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


def _half_of_free() -> int:
    import psutil

    return int(psutil.virtual_memory().available) // 2


def _search(asked: Asked, seconds: float, memory: int, place: TextIO) -> _Searched:
    """One search, told before and after."""
    from shmkret.explore.scenarios import scene_of
    from shmkret.explore.stacks import apart
    from shmkret.explore.stacks.executor import Stacks

    said = title(asked)
    print(f"{said}; sequentially consistent, every interleaving", file=place, flush=True)
    live = Live()
    live.show("compiling")
    scene, began = scene_of(asked), time.monotonic()
    try:
        with signals.on_the_spot():  # a callback of LLVM's would swallow an interrupt
            stacks = Stacks(scene, (memory // 8).bit_length() - 1)
    finally:
        live.clear()
    with stacks:
        compiled = time.monotonic()
        try:
            outcome = apart.search(stacks, seconds, live.show_progress)
        finally:
            live.clear()
        searched = time.monotonic() - compiled
        bound = None if outcome.complete or outcome.violations else outcome.gave_up or "it has not ended"
        last = apart.progress(stacks, searched)
        row = {
            "name": asked.scenario.name, "scheme": asked.scheme.name, "lock": asked.lock.name, "cpus": asked.cpus,
            "rounds": asked.rounds, "deaths": asked.deaths, "maxactive": asked.maxactive, "engine": "states", "model": "sc",
            "bound": bound, "complete": outcome.complete, "schedules": outcome.schedules, "states": outcome.states,
            "seconds": searched, "compile_seconds": compiled - began, "table_bytes": last.table, "table_share": last.share,
            "odds_of_a_missed_state": outcome.states**2 / 2**65, "violations": [],
        }  # fmt: skip
        print(f"  {_summary(row)}", file=place, flush=True)
        row["violations"] = [told(asked, stacks, violation, place) for violation in outcome.violations]
    return _Searched(row, INTERRUPTED if outcome.gave_up == apart.INTERRUPTED else bound)


def title(asked: Asked) -> str:
    """What is searched."""
    rounds = f"{_counted(asked.cpus, 'CPU')} x {_counted(asked.rounds, 'round')}"
    deaths = f", {_counted(asked.deaths, 'death')} at any step" if asked.deaths else ""
    return f"{asked.scenario.name}: {asked.scheme.name} with {asked.lock.name}, {rounds}{deaths}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _summary(row: dict[str, Any]) -> str:
    held = "complete" if row["complete"] else f"bounded: {row['bound']}" if row["bound"] else "a violation"
    rate = row["states"] / row["seconds"] / 1e6
    return (
        f"{held}; {row['states']:,} states, {row['schedules']:,} ends; compiled in {row['compile_seconds']:.1f} s, searched in "
        f"{row['seconds']:.1f} s ({rate:.2f} million states/s); table of {row['table_bytes'] / 2**20:,.0f} MiB "
        f"{100 * row['table_share']:.0f} % full; odds of a missed state {row['odds_of_a_missed_state']:.0e}"
    )


def told(asked: Asked, stacks: Any, violation: Any, place: TextIO) -> dict[str, Any]:
    """A violation: what is wrong, its lanes, and the command that runs it again."""
    from shmkret.explore.shown import lanes
    from shmkret.explore.shown.strings import spelt
    from shmkret.explore.stacks import sight

    nr, schedule = stacks.scene.nr_cpus, violation.schedule
    followed = lanes.follow_apart(stacks, schedule)
    what = "; ".join(followed.wrong) or f"{violation.what} (but not when its schedule is followed again)"
    print("\n".join(f"  {line}" for line in [what, *lanes.drawn(followed, nr)]), file=place)
    string = spelt(asked, sight.shared(stacks), schedule, nr)
    preemptions = "" if violation.preemptions is None else f", {_counted(violation.preemptions, 'preemption')}"
    print(f"  {_counted(len(schedule), 'step')}{preemptions}; again:\n  shmkret replay {string}", file=place, flush=True)
    return {
        "what": what,
        "schedule": schedule,
        "preemptions": violation.preemptions,
        "replay": f"shmkret replay {string}",
    }


class Live:
    """A line on a terminal that says how far it is; nothing elsewhere."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def show(self, words: str) -> None:
        """This, in the place of what was shown before."""
        if self._shown:
            print(f"\r  {words}\x1b[K", end="", file=sys.stderr, flush=True)

    def show_progress(self, now: Progress) -> None:
        """States, rate, depth, share of the table."""
        rate = now.states / now.seconds / 1e6 if now.seconds else 0.0
        self.show(
            f"{now.states:,} states  {rate:.2f} million/s  depth {now.depth}  table of {now.table >> 20:,} MiB "
            f"{100 * now.share:.0f} % full  {now.seconds:.0f} s"
        )

    def clear(self) -> None:
        """Leave nothing of it."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
