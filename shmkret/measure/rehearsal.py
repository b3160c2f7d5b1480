"""The rehearsal: what is the user's own is stepped through before it is measured.

First a few rounds on each CPU in turn, every index checked; then one round each on two CPUs under every interleaving, as the
test suite does with everything that comes with shmkret.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret import atomics, cpu
from shmkret.arena import Arena
from shmkret.errors import PluginError
from shmkret.explored import ExploredMachine, Scenario, Snapshot, WaitsForever, explore
from shmkret.layout import Geometry, Kernel
from shmkret.native import Build

ROUNDS = 3
MOST_CALLS = 1 << 31
MOST_STATES = 50_000
LARGEST = 20_000


class Rehearsal(NamedTuple):
    """flaws: why nothing must be measured. doubts: what was not looked at."""

    flaws: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def rehearse(build: Build, geometry: Geometry, script: NDArray[np.int64]) -> Rehearsal:
    """What is wrong with a user's plug-ins, before any process runs them.

    Raises: PluginError, with file and line, when the code raises, leaves its arrays, or returns no count of calls.
    """
    small = replace(geometry, maxactive=min(geometry.maxactive, 2), data_size=0)
    if small.nr_instances + small.script_words > LARGEST:
        return Rehearsal(doubts=("not rehearsed: the arena is too large to step through",))
    with Arena.create(small, lock=build.lock.record) as arena:
        arena.records("script")["word"] = script
        snapshot = Snapshot(arena, arch=build.arch, scheme=build.scheme, lock=build.lock, worker=build.worker)

        def scenario(machine: ExploredMachine) -> Scenario:
            k = snapshot.kernel(machine)

            def body(i: int) -> Callable[[], None]:
                return lambda: k.cpus.calls.__setitem__(i, cpu.step(k.worker, k, i, i, 0))

            return Scenario([body(0), body(1)], lambda: snapshot.audit(machine, k))

        _in_turn(build, snapshot, geometry.nr_cpus)
        outcome = explore(scenario, MOST_STATES)
    if outcome.violations:
        return Rehearsal(tuple(f"rehearsal: under some interleaving of one round each: {v.what}" for v in outcome.violations))
    if not outcome.complete:
        return Rehearsal(doubts=(f"the rehearsal gave up after {outcome.states} states",))
    return Rehearsal()


def _in_turn(build: Build, snapshot: Snapshot, nr_cpus: int) -> None:
    made = 0
    machine = ExploredMachine()
    k = snapshot.kernel(machine)
    with atomics.use(machine):
        for n in range(ROUNDS):
            for i in range(nr_cpus):
                calls = _step(build, k, i, n)
                if not isinstance(calls, int) or isinstance(calls, bool) or not 0 <= calls < MOST_CALLS:
                    raise PluginError(f"{build.worker.path}: step() returned {calls!r}, not the number of probed calls it made")
                made += calls
    if not made:
        raise PluginError(f"{build.worker.path}: step() made no call in {ROUNDS} rounds: there is nothing to measure")


def _step(build: Build, k: Kernel, i: int, n: int) -> object:
    try:
        return cpu.step(k.worker, k, i, i, n)
    except WaitsForever as error:
        raise PluginError(f"{_place(error, build)}: one CPU alone waits for ever: {error}") from error
    except (Exception, SystemExit) as error:
        raise PluginError(f"{_place(error, build)}: {type(error).__name__}: {error}") from error


def _place(error: BaseException, build: Build) -> str:
    """The last line of a file of the user's that the error went through."""
    own = {str(p.path) for p in (build.worker, build.scheme, build.lock)}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(build.worker.path)
