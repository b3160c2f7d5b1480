"""The native machine: what each CPU's process runs, compiled by Numba, left plain, or a C peer.

A world is compiled once and then run on any number of arenas; shmkret.host.crew runs the processes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.kernel import cpu
from shmkret.machines import peers, plain
from shmkret.machines.build import Build
from shmkret.machines.world import NotFree, World
from shmkret.text import atomics

Body = Callable[[], None]
Bodies = Callable[[Arena, plain.PlainMachine], list[Body]]
"""The body of each CPU's process, for one arena and the machine that made its locks."""


def free_locks(world: World, arena: Arena, machine: plain.PlainMachine) -> None:
    """Make every lock of the arena free."""
    world.free_locks(machine, plain.kernel(world, arena), arena)


def still_held(world: World, arena: Arena, machine: plain.PlainMachine) -> NotFree:
    """The locks that are not free though every CPU has stopped."""
    return world.held_locks(machine, plain.kernel(world, arena), arena)


def compiled(world: World, loop_of: Callable[[Kernel, int], None] = cpu.run_cpu) -> Bodies:
    """The text compiled: a CPU's loop. Raises PluginError when a plug-in's function does not compile."""
    from shmkret.machines import compiled as compiling

    build = world.build
    folder = build.cache()
    place = folder and folder / f"{build.digest}-{loop_of.__name__}"
    loop = compiling.compile_cpu(loop_of, build.shape, build.strides, place)

    def bodies(arena: Arena, _: plain.PlainMachine) -> list[Body]:
        parameters = world.parameters(arena)

        def body(i: int) -> None:
            loop(parameters.ctypes.data, i)  # which keeps the parameters alive

        return [partial(body, i) for i in range(arena.geometry.nr_slots)]

    return bodies


def uncompiled(world: World) -> Bodies:
    """The text as it is, on the same arena."""
    plain.PlainMachine(world.build.common_cache()).prepare()

    def body(machine: plain.PlainMachine, k: Kernel, i: int) -> None:
        with atomics.use(machine):
            cpu.run_cpu(k, i)

    def bodies(arena: Arena, machine: plain.PlainMachine) -> list[Body]:
        k = plain.kernel(world, arena)
        return [partial(body, machine, k, i) for i in range(arena.geometry.nr_cpus)]

    return bodies


def peer(world: World, name: str) -> Bodies:
    """A C program in place of the text. Raises UnfitMachine when it cannot be compiled."""
    command = peers.build(name, build=world.build, cache=world.build.cache())

    def bodies(arena: Arena, _: plain.PlainMachine) -> list[Body]:
        return [partial(peers.execute, command, arena, i) for i in range(arena.geometry.nr_cpus)]

    return bodies


def clock_ns(build: Build) -> float:
    """What two readings of the clock cost in compiled code, ns: the least of many."""
    from shmkret.machines import compiled as compiling

    return float(compiling.helpers_of(build.common_cache())["clock_pair"](10_000))
