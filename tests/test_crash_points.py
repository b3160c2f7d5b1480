"""Every store of a round as a place to die (shmkret.stress.crash_points): all of them are recovered, wrong orders are not."""

import itertools
import os
from dataclasses import replace
from functools import partial

import pytest

from shmkret.audit.checks import audit, books
from shmkret.audit.findings import sentences
from shmkret.audit.repair import repair
from shmkret.errors import UsageError
from shmkret.host import posix
from shmkret.machines import native
from shmkret.machines.plain import PlainMachine
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.recovery.taking import LIVE
from shmkret.stress import crash_points as points_of
from shmkret.stress.crash_points import crash_points
from tests.worlds import build_of

SIZES = Sizes(maxactive=3)
ROUNDS = {
    "churn": (255,),
    "nested": (0,),
    "exits": (0,),
    "refuse": (6, 7),
    "handlers": (0,),
    "sleepers": (0, 1),
    "migrate": (0, 1),
}


QUICK = [("hashed", "owner", "nested"), ("global", "mcs", "nested"), ("global", "clh", "nested")]
LOCKS = ("owner", "pthread-robust", "sem", "mcs", "clh")
PAIRS = {
    (("global", "hashed")[(i + j) % 2], lock, worker) for i, lock in enumerate(LOCKS) for j, worker in enumerate(sorted(ROUNDS))
}
"""Each lock with each worker, the schemes in turn, so that each scheme has every lock and every worker, too. All else is for
the record `triples`."""
ALL = [(scheme, lock, worker) for scheme in ("global", "hashed") for lock in LOCKS for worker in ROUNDS]


def marks_of(one):
    return () if one in QUICK else pytest.mark.full if one in PAIRS else pytest.mark.record


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("scheme", "lock", "worker"), [pytest.param(*one, marks=marks_of(one)) for one in ALL])
def test_every_store_is_a_place_to_die(scheme, lock, worker):
    points, bad = crash_points(replace(build_of(worker, scheme, lock), recoverable=True), SIZES, ROUNDS[worker])
    assert bad == {}
    assert points > 40


def left_by_a_death(world, arena, kth, numbers):
    """CPU 0 has died before its k-th store, and nobody recovers what it left. Whether it came to the end of its rounds."""
    machine = PlainMachine(world.build.common_cache())
    native.free_locks(world, arena, machine)
    arena.records("runqueues")["quiescent"] = 1
    arena.records("recovery")["life"][: world.build.nr_cpus] = LIVE
    pid = posix.fork_child(partial(points_of._die, world, arena, kth, numbers))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("scheme", "lock", "worker"),
    [
        ("hashed", "owner", "nested"),
        *(
            pytest.param(*one, marks=pytest.mark.full)
            for one in [("global", "mcs", "churn"), ("hashed", "sem", "refuse"), ("global", "clh", "exits")]
        ),
    ],
)
def test_wherever_a_cpu_died_repair_alone_puts_right_what_it_left(scheme, lock, worker):
    build = replace(build_of(worker, scheme, lock), recoverable=True)
    world, said = World.of(build, SIZES), {}
    for kth in itertools.count(1):
        with world.create_arena(world.geometry(1)) as arena:
            is_over = left_by_a_death(world, arena, kth, ROUNDS[worker])
            done = repair(arena, build.scheme, build.lock)
            wrong = sentences(audit(arena, build.scheme, at_rest=False))
            held = native.still_held(world, arena, PlainMachine(build.common_cache()))
            assert (wrong, held) == ([], ([], [])), (kth, done)
            said |= {what.split(" ")[0]: what for what in done}
        if is_over:
            break
    assert kth > 40
    assert {"slot", "cpu"} <= set(said)


def test_the_calls_at_whose_stores_a_cpu_dies_are_refused_too():
    world = World.of(replace(build_of("refuse", "hashed", "ttas"), recoverable=True), SIZES)
    with world.create_arena(world.geometry(1)) as arena:
        assert left_by_a_death(world, arena, 1 << 40, ROUNDS["refuse"])
        assert books(arena)["refused"] > 0


def test_what_is_wrong_without_a_death_is_said_before_that_there_is_no_such_store(monkeypatch):
    build = replace(build_of("nested", "hashed", "ttas"), recoverable=True)
    monkeypatch.setattr(points_of.PlainMachine, "prepare", lambda _: None)
    monkeypatch.setattr(points_of, "die_at", lambda *_: (True, ["a lock is held"]))
    assert crash_points(build, SIZES, (0,), only=7) == (1, {7: ["a lock is held"]})
    monkeypatch.setattr(points_of, "die_at", lambda *_: (True, []))
    with pytest.raises(UsageError, match="are complete before their store 7"):
        crash_points(build, SIZES, (0,), only=7)


@pytest.mark.full
@pytest.mark.parametrize("mutant", ["late-intent", "late-next", "early-clear", "no-intent"])
def test_a_wrong_order_of_writes_is_caught(mutant):
    build = replace(build_of("nested", "hashed", "owner"), recoverable=True, mutant=mutant)
    _, bad = crash_points(build, SIZES, ROUNDS["nested"])
    assert bad != {}
