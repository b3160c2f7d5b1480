"""The conformance suite for locks, for pytest: a lock of your own takes part in one line.

    from shmkret.conformance import lock_suite

    TestMyLock = lock_suite("mylock.py")      # beside this test file; or the name of an installed lock

Source    the suites of trio and Concurrency Kit, which run every lock through the same tests
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from shmkret import locks
from shmkret.explore.greenlets.bounded import RunsOn, guarded, watched
from shmkret.explore.greenlets.cpu import WaitsForever
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.rehearsal import trials
from shmkret.explore.rehearsal.rehearse import rehearse, step_through
from shmkret.explore.snapshot import Snapshot
from shmkret.locks import GATE, LOCK, OWNER, ROBUST
from shmkret.locks import family as family_of
from shmkret.machines.world import World
from shmkret.measure.cell import Cell, most_cpus
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.plugins.registry import Plugin, find
from shmkret.text import atomics, libc
from shmkret.text.atomics import NIL, Words
from shmkret.text.verbs import has_verb

SECONDS = 0.1
MOST_STATES = 50_000
"""Of one trial: some ten seconds."""


def lock_suite(lock: str | Path) -> type:
    """A class of tests for a lock: a path, relative to the calling file, or a name.

    Raises: PluginError, UnknownName, when the test file is collected.
    """
    name = str(lock)
    if "/" in name or name.endswith(".py"):
        name = str(Path(sys._getframe(1).f_globals.get("__file__", os.curdir)).resolve().parent / name)
    plugin = find(LOCK, name)
    own = {"lock": name, "__doc__": f"The lock {plugin.name}.", "__module__": __name__}
    return type("LockSuite", (_LockSuite,), {**own, "test_it_does_by_itself_what_it_can": _by_itself(plugin)})


def _by_itself(plugin: Plugin) -> Callable[..., None]:
    """A test of each trial of shmkret.explore.rehearsal.trials that the lock has the ability for, at each size."""
    import pytest

    def test_it_does_by_itself_what_it_can(self: Any, trial: str, size: tuple[int, int, int]) -> None:
        """CPUs x rounds x locks, and nothing but the lock, under every interleaving."""
        outcome = trials.tried(plugin, trial, *size, limit=MOST_STATES)
        _fail_with(violation.told() for violation in outcome.violations)
        if not outcome.complete:
            pytest.skip(f"more than {MOST_STATES:,} states: not all interleavings were tried")

    cases = [
        pytest.param(trial, size, id=f"{trial}-{'x'.join(map(str, size))}")
        for trial in trials.of(plugin.abilities)
        for size in trials.sizes(trial)
    ]
    marked: Callable[..., None] = pytest.mark.parametrize(("trial", "size"), cases)(test_it_does_by_itself_what_it_can)
    return marked


def _fail_with(words: Iterable[str]) -> None:
    """Fail with these, if there are any: in sentences, whether pytest has rewritten this module's assertions or not."""
    import pytest

    found = list(words)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


class _Flaw(Exception):
    """What a verb did that it must not."""


def recovery_flaw(world: World, family: str) -> str:
    """What a verb of recovery does that it must not; empty: nothing. One lock, three CPUs, under the scheduler that sees a wait
    that nobody will end.
    """
    machine = ExploredMachine()
    world = world.over(nr_cpus=3)
    with world.create_arena() as arena, atomics.use(machine), watched():
        try:
            k = guarded(lambda: Snapshot(world, arena).kernel(machine))
            guarded(lambda: _ask_recovery(k.table_locks, k.run.gate, family, k.nr_slots - 1))
        except (_Flaw, RunsOn) as flaw:
            return str(flaw)
        except WaitsForever as wait:
            return f"it waits for ever: {wait}"
    return ""


def _ask_recovery(lock: Any, stop: Words, family: str, last: int) -> None:
    """What is free can be had, what is held cannot, and both can be arranged. last: the last of three CPUs."""
    _expect_free(lock, stop, family, "that is free")
    _expect_held(lock, stop, family, "that was taken")
    if family == GATE:
        for owner in (last, 0):
            _reset(lock, last, NIL)
            _expect_free(lock, stop, family, "that reset() to NIL made free")
            _reset(lock, last, owner)
            _expect_held(lock, stop, family, f"that reset() gave to cpu {owner}", 1 if owner == 0 else 0)
            _reset(lock, last, owner)  # who gave up may be queued still
            locks.release(lock, 0, owner)
            _expect_free(lock, stop, family, f"that cpu {owner} released after reset()")
    elif family == OWNER:
        _expect("take_over() from a CPU that has not the lock", locks.take_over(lock, 0, 1, 1), False)
        _expect("take_over() from the CPU that has it", locks.take_over(lock, 0, 0, 1), True)
        _expect("take_over() from the CPU that had it", locks.take_over(lock, 0, 0, 1), False)
        _expect_held(lock, stop, family, "that was taken over", last)
    locks.release(lock, 0, 1 if family == OWNER else 0)
    _expect_free(lock, stop, family, "that was released")


def _reset(lock: Any, last: int, owner: int) -> None:
    """As recovery does it: the records of every CPU, then the lock."""
    if has_verb(lock, "reset_cpu"):
        for cpu in range(last + 1):
            locks.reset_cpu(lock, cpu)
    locks.reset(lock, 0, owner)


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise _Flaw(f"{what}: {found!r} and not {wanted!r}")


def _expect_held(lock: Any, stop: Words, family: str, how: str, cpu: int = 1) -> None:
    """cpu: another one than has it, which tries."""
    if family == ROBUST:
        _expect(f"try_acquire_robust() of a lock {how}", locks.try_acquire_robust(lock, 0, cpu), libc.REFUSED)
        return
    if has_verb(lock, "try_acquire"):
        _expect(f"try_acquire() of a lock {how}", bool(locks.try_acquire(lock, 0, cpu)), False)
    stop[0] = 1
    _expect(f"acquire_unless() of a lock {how}, told to stop", bool(locks.acquire_unless(lock, 0, stop, cpu)), False)
    stop[0] = 0


def _expect_free(lock: Any, stop: Words, family: str, how: str) -> None:
    if family == ROBUST:
        _expect(f"acquire_robust() of a lock {how}", locks.acquire_robust(lock, 0, 0), 0)
    elif not (has_verb(lock, "try_acquire") and locks.try_acquire(lock, 0, 0)):
        _expect(f"acquire_unless() of a lock {how}", bool(locks.acquire_unless(lock, 0, stop, 0)), True)


def _expect_sound(prepared: Prepared) -> None:
    _fail_with(prepared.repeat(SECONDS).flaws)


class _LockSuite:
    lock = ""

    def _prepared(self, scheme: str, cpus: int, plain: bool = False) -> Prepared:
        cpus = min(cpus, most_cpus())
        return Prepared(Cell("hot", scheme, self.lock, "x86-64", "cacheline", cpus).over(plain=plain), seed=1)

    def test_it_lets_one_in_under_every_interleaving(self) -> None:
        """One call on each of two CPUs, explored; every index checked before."""
        prepared = self._prepared("hashed", 1)
        world = prepared.world.over(nr_cpus=2)
        step_through(world)
        found = rehearse(world)
        _fail_with(found.flaws)
        _fail_with(found.doubts)

    def test_nothing_is_lost_between_processes(self) -> None:
        """Compiled, contended: the oracle, the audit of all lists and counts, and every lock free in the end."""
        import pytest

        if most_cpus() < 2:
            pytest.skip("a lock that two CPUs contend for needs two cores; this process may use one")
        for scheme in ("global", "hashed"):
            prepared = self._prepared(scheme, 2)
            prepared.compile()
            _expect_sound(prepared)

    def test_it_does_what_recovery_asks_of_it(self) -> None:
        """Where it can survive its holder: what is free can be had, what is held cannot, and both can be arranged."""
        import pytest

        family = family_of(find(LOCK, self.lock).abilities)
        if not family:
            pytest.skip("the lock has none of the abilities by which one survives its holder")
        flaw = recovery_flaw(self._prepared("hashed", 1).world, family)
        _fail_with([flaw] if flaw else ())

    def test_it_does_the_same_uncompiled(self) -> None:
        """The same functions as plain Python."""
        prepared = self._prepared("hashed", 2, plain=True)
        prepared.compile()
        _expect_sound(prepared)
