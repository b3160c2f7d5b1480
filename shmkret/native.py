"""The native machine: what each CPU's process runs, compiled by Numba, left plain, or a C peer.

A choice of plug-ins is compiled once and then run on any number of arenas; shmkret.crew runs the processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from shmkret import atomics, cpu, layout, peers, plain
from shmkret.arena import Arena
from shmkret.kernel import held_locks, init_locks, kernel_of
from shmkret.layout import Kernel
from shmkret.registry import Plugin

Body = Callable[[], None]
Bodies = Callable[[Arena, plain.PlainMachine], list[Body]]
"""The body of each CPU's process, for one arena and the machine that made its locks."""


@dataclass(frozen=True)
class Build:
    """One choice of everything that is compiled into a CPU's loop."""

    arch: Plugin
    scheme: Plugin
    lock: Plugin
    worker: Plugin
    padding: str

    def cache(self) -> Path | None:
        """The folder of compiled code for these sources; None when there can be none."""
        from shmkret import compile as compiling  # Numba is imported only when something is compiled

        compiling.require_supported_machine()
        plugins = (self.arch, self.scheme, self.lock, self.worker)
        return compiling.cache_folder(tuple(plugin.digest for plugin in plugins if not plugin.built_in))

    def kernel(self, arena: Arena) -> Kernel:
        """The arena as the uncompiled text sees it."""
        column = partial(plain.column, arena)
        return kernel_of(arena, column, arch=self.arch, scheme=self.scheme, lock=self.lock, worker=self.worker)

    def held_locks(self, arena: Arena, machine: plain.PlainMachine) -> list[str]:
        """The locks that are not free though every CPU has stopped, in a sentence."""
        return held_locks(machine, self.kernel(arena).scheme.locks, arena.geometry.nr_locks, self.lock)

    def init_locks(self, arena: Arena, machine: plain.PlainMachine) -> None:
        """Make every lock of the arena free."""
        init_locks(machine, self.kernel(arena).scheme.locks, arena.geometry.nr_locks, self.lock)


def compiled(build: Build) -> Bodies:
    """The text compiled. Raises PluginError when a plug-in's function does not compile."""
    from shmkret import compile as compiling

    loop = compiling.compile_cpu(
        cpu.run_cpu,
        arch=build.arch.record,
        scheme=build.scheme.record,
        lock=build.lock.record,
        worker=build.worker.record,
        padding=build.padding,
        cache=build.cache(),
    )

    def bodies(arena: Arena, _: plain.PlainMachine) -> list[Body]:
        names = [*layout.SECTION_NAMES[: len(layout.RECORDS)], "locks"]
        addresses = [arena.address + arena.sections[name].offset for name in names]
        g = arena.geometry
        integers = (g.nr_cpus, g.nr_tasks, g.nr_instances, g.script_words, int(arena.header["hash_multiplier"][0]))
        return [partial(loop, *addresses, *integers, i) for i in range(g.nr_cpus)]

    return bodies


def uncompiled(build: Build) -> Bodies:
    """The text as it is, on the same arena."""
    plain.PlainMachine(build.cache()).prepare()

    def body(machine: plain.PlainMachine, k: Kernel, i: int) -> None:
        with atomics.use(machine):
            cpu.run_cpu(k, i)

    def bodies(arena: Arena, machine: plain.PlainMachine) -> list[Body]:
        k = build.kernel(arena)
        return [partial(body, machine, k, i) for i in range(arena.geometry.nr_cpus)]

    return bodies


def peer(build: Build, name: str) -> Bodies:
    """A C program in place of the text. Raises UnfitMachine when it cannot be compiled."""
    command = peers.build(name, scheme=build.scheme, lock=build.lock, padding=build.padding, cache=build.cache())

    def bodies(arena: Arena, _: plain.PlainMachine) -> list[Body]:
        return [partial(peers.execute, command, arena, i) for i in range(arena.geometry.nr_cpus)]

    return bodies
