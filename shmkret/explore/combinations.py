"""What is searched: scenarios with schemes with locks; what stands in a file of the user's, and with what it is searched.

    a scenario's name or file    it, with each scheme and each lock
    a lock's file                the lock by itself, in OF_LOCKS as its abilities allow
    a scheme's file              all other scenarios with it, and with each lock
    a worker's file              the scenarios of a worker program with it, with each scheme and each lock
    nothing                      every scenario there is, with each scheme and each lock

Always    what cannot be searched is refused, or left out and named, before the first search
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

from shmkret.errors import UsageError
from shmkret.explore.scenarios import SCENARIO, Asked, asked_of, scene_of
from shmkret.kernel.program import WORKER, step
from shmkret.locks import LOCK
from shmkret.plugins import registry
from shmkret.plugins.contract import Contract, Source
from shmkret.plugins.registry import Plugin, find, is_path
from shmkret.schemes import SCHEME

OF_LOCKS = ("lock", "lock-death")
"""Scenarios of a lock by itself, whatever the scheme."""


class With(NamedTuple):
    """What scenarios are searched with. schemes, locks: names or paths. The others None: as the scenario has it."""

    schemes: Sequence[str]
    locks: Sequence[str]
    cpus: int = 2
    rounds: int = 1
    deaths: int | None = None
    maxactive: int | None = None
    worker: str | None = None
    model: str = "sc"


class _Chosen(NamedTuple):
    """Scenarios, of which those are left out that cannot be searched with the rest, if nobody has named them."""

    scenarios: Sequence[str]
    schemes: list[Plugin]
    locks: list[Plugin]
    named: bool
    worker: str | None = None


def combinations(names: Sequence[str], beside: With, left_out: Callable[[str], None] = lambda _: None) -> list[Asked]:
    """All that is to be searched, every scene tried to be made before the first search.

    Args:    names: of scenarios, or files; none: every scenario. left_out: told what is left out, and why, in a sentence.
    Raises:  UsageError and its kinds.
    """
    schemes = [find(SCHEME, name) for name in beside.schemes]
    locks = [find(LOCK, name) for name in beside.locks]
    if not schemes or not locks:
        raise UsageError("no scheme or no lock is named: give one of each, or several")
    chosen = [_chosen(name, schemes, locks) for name in names]
    return [
        asked
        for one in chosen or [_Chosen(registry.names(SCENARIO), schemes, locks, named=False)]
        for name, scheme, lock in product(one.scenarios, one.schemes, one.locks)
        for asked in _asked(name, scheme, lock, beside._replace(worker=one.worker or beside.worker), left_out, named=one.named)
    ]


def _chosen(name: str, schemes: list[Plugin], locks: list[Plugin]) -> _Chosen:
    kind = kind_of(Path(name)) if is_path(name) else SCENARIO
    if kind is LOCK:
        return _Chosen(OF_LOCKS, schemes[:1], [find(LOCK, name)], named=False)
    if kind is SCHEME:
        others = [one for one in registry.names(SCENARIO) if one not in OF_LOCKS]
        return _Chosen(others, [find(SCHEME, name)], locks, named=False)
    if kind is WORKER:
        return _Chosen(_of_workers(), schemes, locks, named=True, worker=name)
    return _Chosen([name], schemes, locks, named=True)


def _of_workers() -> list[str]:
    return [name for name in registry.names(SCENARIO) if find(SCENARIO, name).constants.worker]


def _asked(
    name: str, scheme: Plugin, lock: Plugin, beside: With, left_out: Callable[[str], None], *, named: bool
) -> list[Asked]:
    """The one that this is, or none. Where nobody has named it, it has deaths if it can, and is left out where it cannot be,
    and where somebody is stopped: of most paths it is known that one waits for another.
    """
    can = find(SCENARIO, name).constants
    if can.stops and not named:
        left_out(f"{name} is left out: whoever waits for a lock waits for one that has stopped. Name it, to ask who does")
        return []
    dies = can.deaths
    deaths = beside.deaths if named or dies else None
    numbers = (beside.cpus, beside.rounds, deaths, beside.maxactive)
    worker = beside.worker if named or can.worker else None
    try:
        asked = asked_of(name, scheme, lock, *numbers, worker, beside.model)
        scene_of(asked)
    except UsageError as error:
        if named or not dies:
            raise
        left_out(f"{name} is left out: {error}")
        return []
    return [asked]


NEEDS = {
    SCENARIO: ("scene",),
    LOCK: ("acquire", "release"),
    SCHEME: ("obtain", "begin_walk"),
    WORKER: (step.__name__,),
}
"""By which of its functions a file is told."""


def kind_of(path: Path) -> Contract:
    """Whether a file is a scenario, a lock, a scheme or a worker program; a scenario, where it cannot be read: who loads it
    says why not.

    Raises:  UsageError for any other.
    """
    try:
        source = Source.of(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return SCENARIO
    defined = source.names.union(source.functions)
    kinds = [kind for kind, functions in NEEDS.items() if defined.issuperset(functions)]
    if not kinds:
        raise UsageError(
            f"{path} is none of these: a scenario, which defines scene(), a lock, which defines acquire() and release(), a "
            "worker program, which defines step(), or a scheme"
        )
    return kinds[0]
