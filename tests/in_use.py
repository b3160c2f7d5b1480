"""An arena that has been used, and now is not: the ground for what an audit says, and what repair does."""

from contextlib import contextmanager
from dataclasses import replace

from shmkret.audit.checks import audit
from shmkret.audit.findings import sentences
from shmkret.machines import native, plain
from shmkret.machines.plain import PlainMachine
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.recovery.taking import LIVE
from shmkret.stress.crash_points import rounds
from shmkret.text import atomics
from tests.worlds import build_of

SIZES = Sizes(maxactive=4, probes=2)


@contextmanager
def arena_in_use(scheme, *, lock="ttas", worker="sleepers", is_named=False):
    """An arena with instances in flight, some on free lists, some on the slab, recoverable if it can be; no CPU is at work."""
    build = replace(build_of(worker, scheme, lock), recoverable=scheme != "objpool")
    world = World.of(build, SIZES)
    with world.create_arena(world.geometry(int(build.recoverable)), named=is_named) as arena:
        machine = PlainMachine(build.common_cache())
        native.free_locks(world, arena, machine)
        arena.records("runqueues")["quiescent"] = 1
        arena.records("recovery")["life"][: 1 + build.recoverable] = LIVE
        arena.records("tasks")["address"] = arena.records("tasks")["address"][0]  # one bucket for all
        k = plain.kernel(world, arena)
        with atomics.use(machine):
            rounds(k, 0, (0, 1))
        wrong = sentences(audit(arena, build.scheme))
        assert wrong == [], wrong
        yield arena, build
