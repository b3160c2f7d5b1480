"""The rehearsal: what is the user's own is stepped through before it is measured.

step_through()    rounds on each CPU in turn, every index checked
rehearse_lock()   a lock of the user's by itself: see shmkret.explore.rehearsal.by_itself
rehearse()        one round each on two CPUs under every interleaving, and once more with their tasks in one bucket, where they
                  are in two
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from shmkret.arena.hashing import hash_ptr
from shmkret.arena.layout import Geometry
from shmkret.arena.records import Kernel
from shmkret.errors import PluginError
from shmkret.explore.greenlets.bounded import RunsOn, guarded, watched
from shmkret.explore.greenlets.cpu import WaitsForever
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.rehearsal.by_itself import by_itself
from shmkret.explore.scenario import Outcome, Rehearsal, Scenario
from shmkret.explore.schedule import explore
from shmkret.explore.snapshot import REGISTRATION, Snapshot
from shmkret.kernel import registration
from shmkret.kernel.cpu import one_round
from shmkret.machines.build import Build
from shmkret.machines.world import World
from shmkret.moves import oracle
from shmkret.moves.intents import calls_of
from shmkret.plugins.calls import blamed, place
from shmkret.text import atomics

T = TypeVar("T")

ROUNDS = 200
MOST_STATES = 60_000
"""The largest lock that comes with shmkret, `owner` under `hashed`, has 52,360."""
LONGEST_S = 30.0
LARGEST = 20_000
LONGEST_SEARCH = 2_000
IS_PRIVATE = "is private to one CPU"
NOT_AS_TAKEN = (
    "a lock is not given back by the verb that belongs to the one which took it: lock_table() and unlock_table() are for the"
    " array `table`, lock_probe() and unlock_probe() for `locks`"
)


def step_through(world: World) -> None:
    """A few rounds on each CPU in turn, every index checked.

    Raises: PluginError, with file and line, when the code raises, leaves its arrays, waits for ever, makes no call, or gives a
    lock back as another than it took.
    """
    small = _small(world)
    if small is not None:
        asked = world.over(asks=True)
        with asked.create_arena(small) as arena:
            _in_turn(asked.build, Snapshot(asked, arena))


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


def rehearse_lock(build: Build) -> Rehearsal:
    """What is wrong with its lock by itself, where that is the user's own. Raises: PluginError, as by_itself()."""
    return Rehearsal() if build.lock.path.parent == build.lock.kind.folder else by_itself(build.lock)


def _rehearse_anew(world: World) -> Rehearsal:
    small = _small(world)
    if small is None:
        return Rehearsal(doubts=("not rehearsed: the arena is too large to step through",))
    shared: Collection[str] = REGISTRATION if _registers(world.build) else ()
    found = _rehearse(world, small, shared)
    if any(IS_PRIVATE in flaw for flaw in found.flaws):  # it registers probes by a way that we do not recognise
        shared = REGISTRATION
        found = _rehearse(world, small, shared)
    if found.flaws or not _has_two_buckets(world, small):
        return found
    return found.beside(_rehearse(world, small, shared, " whose tasks are in one bucket"))


def _has_two_buckets(world: World, small: Geometry) -> bool:
    """Whether the tasks of the first two CPUs hang their instances in different ones."""
    with world.create_arena(small) as arena:
        addresses, multiplier = arena.records("tasks")["address"], int(arena.header["hash_multiplier"][0])
        return len({hash_ptr(int(address), multiplier) for address in addresses[:2]}) > 1


def _rehearse(world: World, small: Geometry, shared: Collection[str], one_bucket: str = "") -> Rehearsal:
    """one_bucket: words for two CPUs whose tasks are in one."""
    with world.create_arena(small) as arena:
        if one_bucket:
            arena.header["hash_multiplier"][0] = 0
        snapshot = Snapshot(world, arena, shared=shared)

        def scenario(machine: ExploredMachine) -> Scenario:
            k = snapshot.kernel(machine)

            def body(i: int) -> Callable[[], None]:
                return lambda: one_round(k, i, i, 0)

            return Scenario([body(0), body(1)], lambda: snapshot.audit(machine, k))

        outcome = explore(scenario, MOST_STATES, LONGEST_S)
    return _said(world, outcome, f"round 0 on two CPUs{one_bucket}")


def _said(world: World, outcome: Outcome, what: str) -> Rehearsal:
    scheme = world.build.scheme
    if outcome.violations:
        by_nature = " and ".join(sorted(scheme.constants.bugs))
        note = f" ({scheme.name} has {by_nature} by nature)" if by_nature else ""
        said = f"rehearsal: under some interleaving of {what}: "
        return Rehearsal(tuple(v.told(f"{said}{v.what}{note}") for v in outcome.violations))
    on = f"{world.build.scheme.name} with {world.build.lock.name}, {what} of {world.build.worker.name}"
    if not outcome.complete:
        gave_up = f"the rehearsal gave up after {outcome.states} states, {outcome.gave_up}"
        return Rehearsal(doubts=(f"{gave_up}: not all interleavings were tried of {on}",))
    return Rehearsal(proved=(f"every interleaving: {on}",))


def _registers(build: Build) -> bool:
    """Whether the worker registers or unregisters probes while it runs."""
    uses = vars(build.worker.module).values()
    return any(getattr(used, "__module__", None) == registration.__name__ for used in uses)


class _Strict(ExploredMachine):
    """Raises where a function is called that there is not, and where a lock is not given back as it was taken, which is all
    that CPUs that run in turn can find inside: with the line, which a bug of the oracle has not.
    """

    def store_release(self, words: Any, i: int, value: int) -> None:
        if words.column == "cpus.bug" and value in (oracle.NO_FUNCTION, oracle.TWO_INSIDE):
            seen, expected = (self.columns[f"cpus.{name}"].values[i] for name in ("bug_seen", "bug_expected"))
            if value == oracle.NO_FUNCTION:
                raise IndexError(f"function {seen}, of which there are {expected}")
            raise ValueError(NOT_AS_TAKEN)
        super().store_release(words, i, value)


def _in_turn(build: Build, snapshot: Snapshot) -> None:
    machine = _Strict()
    with atomics.use(machine), watched():
        k = _bounded(lambda: snapshot.kernel(machine))
        for n in range(ROUNDS):
            for i in range(build.nr_cpus):
                machine.begin_call()
                _step(build, k, i, n)
        calls = sum(calls_of(k, i) for i in range(build.nr_cpus))
    if not calls:
        raise PluginError(f"{build.worker.path}: step() hit no kretprobe in {ROUNDS} rounds: there is nothing to measure")


def locate(world: World) -> str:
    """Where compiled code may have raised: the same rounds uncompiled, on one CPU; empty when nothing is raised there.

    Compiled, an operation that fails (a division by zero) has no line.
    """
    with world.create_arena() as arena:
        machine = ExploredMachine()
        with atomics.use(machine), watched():
            k = _bounded(lambda: Snapshot(world, arena).kernel(machine))
            try:
                for n in range(LONGEST_SEARCH):
                    machine.begin_call()
                    guarded(partial(one_round, k, 0, 0, n))
            except (WaitsForever, RunsOn):
                return ""
            except PluginError as error:
                return str(error)
            except Exception as error:
                return f"{place(error, _paths(world.build))}: {type(error).__name__}: {error}"
    return ""


def _bounded(act: Callable[[], T]) -> T:
    try:
        return guarded(act)
    except RunsOn as error:
        raise PluginError(str(error)) from error


def _step(build: Build, k: Kernel, i: int, n: int) -> None:
    try:
        with blamed(_paths(build), f"an uncompiled round of CPU {i}"):
            _bounded(lambda: one_round(k, i, i, n))
    except PluginError as error:
        if isinstance(error.__cause__, WaitsForever):
            where = place(error.__cause__, _paths(build))
            raise PluginError(f"{where}: one CPU alone waits for ever: {error.__cause__}") from error
        raise


def _paths(build: Build) -> list[Path]:
    return [build.worker.path, build.scheme.path, build.lock.path, build.arch.path]
