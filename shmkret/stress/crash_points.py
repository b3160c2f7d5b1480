"""A real process kills itself before its k-th store or lock operation, k = 1, 2, 3 ... until its rounds are complete.

Nothing is sampled: between two stores the arena does not change, so that these are all the places at which a CPU can die. The
text is left uncompiled, on a real arena with real locks; what recovers it is the text that recovers compiled runs. Then every
CPU makes the same rounds: what was repaired must also work.

Source    do_malloc_test, SQLite; die_at_nth of tdb's tests; fail-nth, Documentation/fault-injection, Linux
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from shmkret.arena.records import Kernel
from shmkret.audit.checks import audit, books, not_given_back
from shmkret.audit.findings import sentences
from shmkret.errors import RunFailed, UsageError
from shmkret.host import posix
from shmkret.kernel.cpu import end_round
from shmkret.kernel.program import step
from shmkret.kernel.rcu import idle_enter, idle_exit
from shmkret.kernel.sched import schedule, yield_cpu
from shmkret.machines import native, plain
from shmkret.machines.build import Build
from shmkret.machines.plain import PlainMachine, PlainWords
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.moves.oracle import BUGS
from shmkret.recovery import recoverer as recovery
from shmkret.recovery.taking import LIVE
from shmkret.text import atomics
from shmkret.text.atomics import NIL
from shmkret.text.libc import CALLS

MOST_POINTS = 100_000
RECOVERERS = 2


class DyingMachine(PlainMachine):
    """Counts the accesses that change something; before the one that is told, SIGKILL."""

    def __init__(self, folder: Any, die_at: int) -> None:
        super().__init__(folder)
        self.left = die_at

    def count(self) -> None:
        """One more."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def libc(self, name: str, *args: Any) -> Any:
        """A call that changes something counts, too."""
        if CALLS[name].changes:
            self.count()
        return super().libc(name, *args)


def _counted(name: str) -> Callable[..., Any]:
    def call(self: DyingMachine, *args: Any) -> Any:
        self.count()
        return getattr(PlainMachine, name)(self, *args)

    return call


ACCESSES = ("store_relaxed", "store_release", "exchange", "fetch_add", "cmpxchg", "futex_wake")
for _name in ACCESSES:
    setattr(DyingMachine, _name, _counted(_name))


class DyingWords(PlainWords):
    """A column whose plain stores count too."""

    __slots__ = ("machine",)
    machine: DyingMachine

    def __setitem__(self, i: int, value: int) -> None:
        self.machine.count()
        super().__setitem__(i, value)


def rounds(k: Kernel, cpu: int, numbers: Sequence[int]) -> None:
    """Rounds of the worker program, with the scheduling around them."""
    idle_exit(k, cpu)
    task = schedule(k, cpu, NIL)
    for n in numbers:
        if task != NIL:
            step(k.worker, k, cpu, task, n)
            yield_cpu(k, cpu)
            task = end_round(k, cpu, task)
    idle_enter(k, cpu)


def die_at(world: World, kth: int, numbers: Sequence[int]) -> tuple[bool, list[str]]:
    """One death of CPU 0 of two. Whether the rounds were completed instead; and what was wrong afterwards."""
    build = world.build
    recoverer = build.nr_cpus
    with world.create_arena(world.geometry(RECOVERERS)) as arena:
        machine = PlainMachine(build.common_cache())
        native.free_locks(world, arena, machine)
        arena.records("runqueues")["quiescent"] = 1
        arena.records("recovery")["life"][: recoverer + 1] = LIVE
        arena.records("recovery")["parked"][1:recoverer] = 1
        pid = posix.fork_child(partial(_die, world, arena, kth, numbers))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status not in (0, -signal.SIGKILL):
            raise RunFailed(f"a round of {build.worker.name} ended with status {status}, and nobody had killed it")
        k = plain.kernel(world, arena)
        with atomics.use(machine):
            recovery.announce(k, 0)
            recovery.recover(k, recoverer)
            wrong = sentences(audit(arena, build.scheme, at_rest=False))
            k.recovery.life[0] = LIVE
            for cpu in reversed(range(build.nr_cpus)):
                rounds(k, cpu, numbers)
        wrong += sentences(audit(arena, build.scheme, at_rest=False) + not_given_back(native.still_held(world, arena, machine)))
        bugs = arena.records("cpus")["bug"].tolist()
        wrong += [f"cpu {cpu}: {BUGS[bug]}" for cpu, bug in enumerate(bugs) if bug]
        if books(arena)["calls"] == 0:
            wrong.append("no call was made")
        return status == 0, wrong


def _die(world: World, arena: Any, kth: int, numbers: Sequence[int]) -> int:
    """The process that does."""
    dying = DyingMachine(world.build.common_cache(), kth)

    def column(section: str, field: str) -> Any:
        words = DyingWords(arena.records(section)[field])
        words.machine = dying
        return words

    with atomics.use(dying):
        rounds(world.kernel(arena, column), 0, numbers)
    return 0


def crash_points(
    build: Build, sizes: Sizes, numbers: Sequence[int], only: int | None = None, watch: Callable[[int], None] = lambda _: None
) -> tuple[int, dict[int, list[str]]]:
    """Die at every store in turn, or at one: how many there were, and what was wrong at which.

    Args:    numbers: the rounds of the worker program, by their numbers. only: the k-th alone. watch(k): called before each.
    Raises:  UsageError when there is no such store, and nothing is wrong without a death; RunFailed when a round fails by
             itself, or has more than MOST_POINTS.
    """
    world = World.of(build, sizes, 1)
    PlainMachine(build.common_cache()).prepare()
    bad = {}
    for kth in range(1, MOST_POINTS) if only is None else [only]:
        watch(kth)
        complete, wrong = die_at(world, kth, numbers)
        if wrong:
            bad[kth] = wrong
        if complete and only is not None and not wrong:
            raise UsageError(f"the rounds {list(numbers)} of {build.worker.name} are complete before their store {only}")
        if only is not None:
            return 1, bad
        if complete:
            return kth - 1, bad
    raise RunFailed(f"the rounds {list(numbers)} of {build.worker.name} do not complete within {MOST_POINTS} stores")
