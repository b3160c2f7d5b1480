"""Engines: which schedules of a scenario are tried, and in which order. One a file, found by its name.

    search(begin, limit, seconds) -> Outcome             `with begin() as run:` is a run that is not yet begun, of
                                                         shmkret.explore.greenlets.run
    search(stacks, limit, seconds, seen) -> Outcome      where EXECUTOR = "stacks": a scene, as
                                                         shmkret.explore.stacks.executor runs it; seen() is called every now
                                                         and then

    prepare(stacks)                                      optional: compile what it needs, before it is given a process

An engine begins as many runs as it likes, leads each with run.go_on(), asks run.wrong() of every new state and run.check() at
the end, and gives up after `limit` states or `seconds`: then it is not complete. What run.begin() and run.go_on() raise is a
violation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shmkret.plugins.contract import Constant, Contract, Signature
from shmkret.plugins.registry import find, names


def of_stacks() -> list[str]:
    """The names of those that search compiled code."""
    return [name for name in names(ENGINE) if find(ENGINE, name).constants.executor == "stacks"]


def one_of(*known: str) -> Callable[[Any], str]:
    """The check of a name."""
    return lambda value: "" if value in known else f"give one of {', '.join(known)}"


ENGINE = Contract(
    name="engine",
    folder=Path(__file__).parent,
    package="shmkret.explore.engines",
    record=lambda _contract, _path, _module: object,
    signatures=(Signature("search", ("begin", "limit", "seconds", "seen"), 1),),
    outside=(Signature("prepare", ("stacks",)),),
    constants=(Constant("EXECUTOR", "greenlets", one_of("greenlets", "stacks")),),
)
