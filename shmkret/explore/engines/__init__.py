"""Engines: which schedules of a scenario are tried, and in which order. One a file, found by its name.

    search(begin, limit, seconds) -> Outcome             `with begin() as run:` is a run that is not yet begun, of
                                                         shmkret.explore.greenlets.run
    search(stacks, limit, seconds, seen) -> Outcome      where EXECUTOR = "stacks": a scene, as
                                                         shmkret.explore.stacks.executor runs it; seen() is called every now
                                                         and then

    prepare(stacks)                                      it may have: compiles what search() will run
    TABLE                                                whether it keeps a table of states; else it counts runs
    DRAWS                                                whether it draws at random, from a seed: it is never complete, and its
                                                         limit is one of runs
    MODELS                                               how memory may behave in its searches, of shmkret.explore.scene; sc

An engine begins as many runs as it likes, leads each with run.go_on(), asks run.wrong() of every new state and run.check() at
the end, and gives up after `limit` states or `seconds`: then it is not complete. What run.begin() and run.go_on() raise is a
violation.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from shmkret.plugins import registry
from shmkret.plugins.contract import Constant, Contract, Signature, truth


def one_of(*names: str) -> Callable[[Any], str]:
    """The check of a name."""
    return lambda value: "" if value in names else f"give one of {', '.join(names)}"


def some_of(*names: str) -> Callable[[Any], str]:
    """The check of several names."""
    return lambda value: "" if isinstance(value, tuple) and {*value} <= {*names} else f"give a tuple of {', '.join(names)}"


ENGINE = Contract(
    name="engine",
    folder=Path(__file__).parent,
    package="shmkret.explore.engines",
    record=lambda _contract, _path, _module: object,
    signatures=(Signature("search", ("begin", "limit", "seconds", "seen"), 1),),
    outside=(Signature("prepare", ("stacks",)),),
    constants=(
        Constant("EXECUTOR", "greenlets", one_of("greenlets", "stacks")),
        Constant("DRAWS", False, truth),
        Constant("MODELS", ("sc",), some_of("sc", "tso", "ra")),
        Constant("TABLE", True, truth),
    ),
)


def of_stacks() -> tuple[str, ...]:
    """The names of the engines that search on stacks."""
    return tuple(name for name in registry.names(ENGINE) if registry.find(ENGINE, name).constants.executor == "stacks")
