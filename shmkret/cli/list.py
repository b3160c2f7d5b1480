"""`shmkret list`: what there is to choose from."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from shmkret.arch import ARCH
from shmkret.cli import output
from shmkret.cli.options import add_command, add_json
from shmkret.errors import ShmkretError, UnknownName
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines import peers
from shmkret.moves import bugs
from shmkret.plugins import registry
from shmkret.plugins.contract import Contract
from shmkret.schemes import SCHEME

Rows = list[dict[str, str]]


def add(commands: Any) -> None:
    """The command and its options."""
    listing = add_command(commands, "list", run, help="what there is to choose from")
    listing.add_argument("what", metavar="WHAT", help=", ".join(LISTS))
    add_json(listing)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """A line for each that there is. Raises UnknownName."""
    if options.what not in LISTS:
        raise UnknownName("list", options.what, LISTS)
    rows = LISTS[options.what]()
    if options.json:
        output.write_json(options.json, {**output.headed("list", argv), options.what: rows})
        if options.json == "-":
            return output.EXIT_HELD
    for row in rows:
        print("  ".join([f"{row['name']:14}", row["summary"]]).rstrip())
    return output.EXIT_HELD


def _plugins(kind: Contract) -> Rows:
    return [{"name": name, "summary": _summary(kind, name)} for name in registry.names(kind)]


def _summary(kind: Contract, name: str) -> str:
    """The first line about a plug-in, or why there is none: one that is broken hides no other."""
    try:
        return registry.find(kind, name).summary
    except ShmkretError as error:
        return f"cannot be loaded: {' '.join(str(error).split())}"


def _suites() -> Rows:
    from shmkret.measure import suite

    return [{"name": name, "summary": suite.title(name)} for name in suite.names()]


def _arenas() -> Rows:
    from shmkret.arena import named

    return [{"name": n.name, "summary": f"{n.state}, pid {n.pid}, {n.size >> 10} KiB, {n.summary}"} for n in named.listing()]


def _faults() -> Rows:
    from shmkret.stress import spec

    where = [(name, f"{point.summary} ({', '.join(point.actions)})") for name, point in spec.POINTS.items()]
    what = [(name, action.summary) for name, action in spec.ACTIONS.items()]
    kinds = (("where", [*where, *spec.NTH.items()]), ("what", what))
    return [{"name": name, "summary": f"{kind}: {text}"} for kind, rows in kinds for name, text in rows]


def _mutants() -> Rows:
    from shmkret.explore.mutants import every
    from shmkret.moves.intents import MUTANTS

    stressed = [{"name": name, "summary": f"stress: {summary}"} for name, summary in MUTANTS.items()]
    return [*stressed, *({"name": one.name, "summary": f"{one.area}: {one.breaks}"} for one in every().values())]


def _scenarios() -> Rows:
    from shmkret.explore.scenarios import SCENARIO

    return _plugins(SCENARIO)


def _engines() -> Rows:
    from shmkret.explore.engines import ENGINE

    return _plugins(ENGINE)


def _monitors() -> Rows:
    from shmkret.explore.monitors import MONITOR

    return _plugins(MONITOR)


LISTS: dict[str, Callable[[], Rows]] = {
    "locks": lambda: _plugins(LOCK),
    "schemes": lambda: _plugins(SCHEME),
    "archs": lambda: _plugins(ARCH),
    "workers": lambda: _plugins(WORKER),
    "suites": _suites,
    "bugs": lambda: [{"name": b.name, "summary": f"{b.summary} (fixed: {b.fixed})"} for b in bugs.CATALOGUE],
    "arenas": _arenas,
    "faults": _faults,
    "mutants": _mutants,
    "scenarios": _scenarios,
    "engines": _engines,
    "monitors": _monitors,
    "peers": lambda: [{"name": name, "summary": peers.summary(name)} for name in peers.names()],
}
