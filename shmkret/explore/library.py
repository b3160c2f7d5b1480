"""shmkret.explore(): a lock, a scheme, a worker or a scenario of yours under every interleaving, from a program of your own.

    found = shmkret.explore("one-bucket", lock="mylock.py")
    for wrong in found.violations:
        print(wrong.what, wrong.replay)

The search is that of `shmkret explore`, in a process of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

from shmkret.explore.scenarios import asked_of
from shmkret.explore.search import Found, How, search, size_of
from shmkret.explore.stacks.watching import USUAL
from shmkret.locks import LOCK
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME


def explore(
    scenario: str | Path = "calls",
    *,
    scheme: str | Path = "hashed",
    lock: str | Path = "sem",
    worker: str | Path | None = None,
    cpus: int = 2,
    rounds: int = 1,
    deaths: int | None = None,
    maxactive: int | None = None,
    engine: str = "states",
    model: str = "sc",
    seconds: float = math.inf,
    memory: int | str | None = None,
    seed: int = 0,
    runs: int | None = None,
    depth: int = 3,
    monitors: Collection[str] = USUAL,
    preemptions: int | None = None,
    symmetric: bool = False,
) -> Found:
    """Search one scenario, as `shmkret explore` does, in a process of its own.

    Args:    scenario, scheme, lock: a name that `shmkret list` shows, or the path of a file. worker: likewise, of the scenario
             rounds. deaths: how many may die in one run, None: as the scenario has it. maxactive: instances a probe. engine,
             model: see `shmkret list engines`; sc, tso or ra. seconds: give up after that long. memory: bytes, or a size like
             "4G", for the table of states; None: half of what is free. seed, runs, depth: of an engine that draws at random,
             see shmkret.explore.search.How. monitors: what watches beside, of MONITORS there.
             preemptions: the most that a schedule may have; None: any number. symmetric: CPUs that are alike are explored
             once, where scenario, scheme and lock say that they are.
    Returns: what it has found; a violation is no error.
    Raises:  UsageError and its kinds, PluginError among them; RunFailed; UnfitMachine; KeyboardInterrupt.
    """
    asked = asked_of(
        str(scenario),
        find(SCHEME, str(scheme)),
        find(LOCK, str(lock)),
        cpus,
        rounds,
        deaths,
        maxactive,
        str(worker) if worker else None,
        model,
    )
    table = size_of(memory) if isinstance(memory, str) else memory
    found = search(asked, How(engine, model, seconds, table, seed, runs, depth, tuple(monitors), preemptions, symmetric))
    if found.interrupted:
        raise KeyboardInterrupt
    return found


class Explore(ModuleType):
    """What `shmkret.explore` is: a package, and a function."""

    __call__ = staticmethod(explore)
