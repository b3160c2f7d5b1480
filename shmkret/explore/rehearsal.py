"""The rehearsal: what is the user's own is stepped through before it is measured.

First a few rounds on each CPU in turn, every index checked; then one round each on two CPUs under every interleaving, as the
test suite does with everything that comes with shmkret.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from shmkret.arena.layout import Geometry
from shmkret.arena.records import Kernel
from shmkret.errors import PluginError
from shmkret.explore.machine import ExploredMachine, WaitsForever
from shmkret.explore.scenario import Scenario
from shmkret.explore.schedule import explore
from shmkret.explore.snapshot import REGISTRATION, Snapshot
from shmkret.kernel import registration
from shmkret.kernel.cpu import one_round
from shmkret.machines.build import Build
from shmkret.machines.world import World
from shmkret.plugins.calls import blamed, place
from shmkret.text import atomics

ROUNDS = 3
MOST_STATES = 50_000
LONGEST_S = 30.0
LARGEST = 20_000
LONGEST_SEARCH = 2_000
IS_PRIVATE = "is private to one CPU"


class Rehearsal(NamedTuple):
    """flaws: why nothing must be measured. doubts: what was not looked at."""

    flaws: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def step_through(world: World) -> None:
    """A few rounds on each CPU in turn, every index checked.

    Raises: PluginError, with file and line, when the code raises, leaves its arrays, waits for ever, or makes no call.
    """
    small = _small(world)
    if small is not None:
        with world.create_arena(small) as arena:
            _in_turn(world.build, Snapshot(world, arena))


def _small(world: World) -> Geometry | None:
    """A geometry that is small enough to be stepped through; None when there is none."""
    geometry = world.geometry()
    small = replace(geometry, maxactive=min(geometry.maxactive, 2), data_size=min(geometry.data_size, 64))
    return small if small.nr_instances + small.script_words <= LARGEST else None


def rehearse(world: World) -> Rehearsal:
    """What is wrong with a user's plug-ins, before any process runs them: one round on each CPU, every interleaving."""
    key = (replace(world.build, padding="cacheline"), world.sizes, world.script.tobytes())
    if key not in _known:
        _known[key] = _rehearse_anew(world)
    return _known[key]


_known: dict[Any, Rehearsal] = {}


def _rehearse_anew(world: World) -> Rehearsal:
    small = _small(world)
    if small is None:
        return Rehearsal(doubts=("not rehearsed: the arena is too large to step through",))
    found = _rehearse(world, small, REGISTRATION if _registers(world.build) else ())
    if any(IS_PRIVATE in flaw for flaw in found.flaws):  # it registers probes by a way that we do not recognise
        return _rehearse(world, small, REGISTRATION)
    return found


def _rehearse(world: World, small: Geometry, shared: Collection[str]) -> Rehearsal:
    scheme = world.build.scheme
    with world.create_arena(small) as arena:
        snapshot = Snapshot(world, arena, shared=shared)

        def scenario(machine: ExploredMachine) -> Scenario:
            k = snapshot.kernel(machine)

            def body(i: int) -> Callable[[], None]:
                return lambda: one_round(k, i, i, 0)

            return Scenario([body(0), body(1)], lambda: snapshot.audit(machine, k))

        outcome = explore(scenario, MOST_STATES, LONGEST_S)
    if outcome.violations:
        by_nature = " and ".join(sorted(scheme.constants.bugs))
        note = f" ({scheme.name} has {by_nature} by nature)" if by_nature else ""
        return Rehearsal(
            tuple(f"rehearsal: under some interleaving of round 0 on two CPUs: {v.what}{note}" for v in outcome.violations)
        )
    if not outcome.complete:
        gave_up = f"the rehearsal gave up after {outcome.states} states: not all interleavings were tried"
        return Rehearsal(doubts=(f"{gave_up}; does a loop spin without wait_until()?",))
    return Rehearsal()


def _registers(build: Build) -> bool:
    """Whether the worker registers or unregisters probes while it runs."""
    uses = vars(build.worker.module).values()
    return any(getattr(used, "__module__", None) == registration.__name__ for used in uses)


def _in_turn(build: Build, snapshot: Snapshot) -> None:
    machine = ExploredMachine()
    k = snapshot.kernel(machine)
    with atomics.use(machine):
        for n in range(ROUNDS):
            for i in range(build.nr_cpus):
                _step(build, k, i, n)
        calls = sum(k.cpus.calls[i] for i in range(build.nr_cpus))
    if not calls:
        raise PluginError(f"{build.worker.path}: step() hit no kretprobe in {ROUNDS} rounds: there is nothing to measure")


def locate(world: World) -> str:
    """Where compiled code may have raised: the same rounds uncompiled, on one CPU; empty when nothing is raised there.

    Compiled, an operation that fails (a division by zero) has no line.
    """
    with world.create_arena() as arena:
        machine = ExploredMachine()
        k = Snapshot(world, arena).kernel(machine)
        with atomics.use(machine):
            try:
                for n in range(LONGEST_SEARCH):
                    one_round(k, 0, 0, n)
            except WaitsForever:
                return ""
            except PluginError as error:
                return str(error)
            except Exception as error:
                return f"{place(error, _paths(world.build))}: {type(error).__name__}: {error}"
    return ""


def _step(build: Build, k: Kernel, i: int, n: int) -> None:
    try:
        with blamed(_paths(build), f"an uncompiled round of CPU {i}"):
            one_round(k, i, i, n)
    except PluginError as error:
        if isinstance(error.__cause__, WaitsForever):
            where = place(error.__cause__, _paths(build))
            raise PluginError(f"{where}: one CPU alone waits for ever: {error.__cause__}") from error
        raise


def _paths(build: Build) -> list[Path]:
    return [build.worker.path, build.scheme.path, build.lock.path, build.arch.path]
