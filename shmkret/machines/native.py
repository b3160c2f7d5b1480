"""The native machine: what each CPU's process runs, compiled by Numba, left plain, or a C peer.

A build is compiled once and then run on any number of arenas; shmkret.crew runs the processes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.kernel import cpu
from shmkret.machines import peers, plain
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import held_locks, init_locks, integers_of, kernel_of
from shmkret.text import atomics

Body = Callable[[], None]
Bodies = Callable[[Arena, plain.PlainMachine], list[Body]]
"""The body of each CPU's process, for one arena and the machine that made its locks."""


def kernel(arena: Arena, build: Build, sizes: Sizes) -> Kernel:
    """The arena as the uncompiled text sees it."""
    return kernel_of(arena, partial(plain.column, arena), build, sizes)


def free_locks(arena: Arena, machine: plain.PlainMachine, build: Build, sizes: Sizes) -> None:
    """Make every lock of the arena free."""
    init_locks(machine, kernel(arena, build, sizes), arena, build)


def still_held(arena: Arena, machine: plain.PlainMachine, build: Build, sizes: Sizes) -> list[str]:
    """The locks that are not free though every CPU has stopped, in a sentence."""
    return held_locks(machine, kernel(arena, build, sizes), arena, build)


def compiled(build: Build, sizes: Sizes, loop_of: Callable[[Kernel, int], None] = cpu.run_cpu) -> Bodies:
    """The text compiled: a CPU's loop. Raises PluginError when a plug-in's function does not compile."""
    from shmkret.machines import compiled as compiling

    loop = compiling.compile_cpu(loop_of, build, build.cache())

    def bodies(arena: Arena, _: plain.PlainMachine) -> list[Body]:
        addresses = [arena.address + section.offset for section in arena.sections.values()]
        integers = integers_of(arena, build, sizes).values()
        return [partial(loop, *addresses, *integers, i) for i in range(arena.geometry.nr_slots)]

    return bodies


def uncompiled(build: Build, sizes: Sizes) -> Bodies:
    """The text as it is, on the same arena."""
    plain.PlainMachine(build.cache()).prepare()

    def body(machine: plain.PlainMachine, k: Kernel, i: int) -> None:
        with atomics.use(machine):
            cpu.run_cpu(k, i)

    def bodies(arena: Arena, machine: plain.PlainMachine) -> list[Body]:
        k = kernel(arena, build, sizes)
        return [partial(body, machine, k, i) for i in range(arena.geometry.nr_cpus)]

    return bodies


def peer(build: Build, name: str) -> Bodies:
    """A C program in place of the text. Raises UnfitMachine when it cannot be compiled."""
    command = peers.build(name, build=build, cache=build.cache())

    def bodies(arena: Arena, _: plain.PlainMachine) -> list[Body]:
        return [partial(peers.execute, command, arena, i) for i in range(arena.geometry.nr_cpus)]

    return bodies


def clock_ns(build: Build) -> float:
    """What two readings of the clock cost in compiled code, ns: the least of many."""
    from shmkret.machines import compiled as compiling

    return float(compiling.compile_helpers(build.cache())["clock_pair"](0))
