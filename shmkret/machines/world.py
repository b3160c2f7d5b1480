"""A world: a build, the sizes of its arenas, and the script that its workers read; and what any machine does with its
arenas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shmkret.arena import boot
from shmkret.arena.fields import parts_of
from shmkret.arena.layout import ARRAYS, OTHER_ARRAY, SYSTEM_ARRAY, TABLE_ARRAY, Geometry
from shmkret.arena.records import INTEGERS, KRETPROBE, Boot, Kernel
from shmkret.arena.segment import Arena
from shmkret.arena.shape import numbers_of, realize
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes, geometry_of, maxactive_of, script_of
from shmkret.plugins.calls import blamed
from shmkret.text import atomics
from shmkret.text.atomics import Machine, Words
from shmkret.text.domains import Home


class NotFree(NamedTuple):
    """What is not given back. locks: as `table_locks[3]`; queued: a CPU, and the array in which it is not idle. Empty where the
    lock cannot say.
    """

    locks: list[str]
    queued: list[tuple[int, str]]


@dataclass(frozen=True, eq=False)
class World:
    """What a run is made of. From one world come any number of arenas.

    homes: the memory node of each CPU's core, numbered from 0; whoever is not named is on node 0.
    """

    build: Build
    sizes: Sizes
    script: NDArray[np.int64]
    homes: tuple[int, ...] = ()

    @classmethod
    def of(cls, build: Build, sizes: Sizes | None = None, seed: int = 0, homes: tuple[int, ...] = ()) -> Self:
        """With a script drawn from a seed. Raises PluginError."""
        return cls(build, sizes or Sizes(), script_of(build, build.nr_cpus, seed), homes)

    def over(self, **changes: Any) -> World:
        """The same with some fields of its build changed."""
        return replace(self, build=replace(self.build, **changes))

    def geometry(self, nr_recoverers: int = 0) -> Geometry:
        """The sizes of its arenas. Raises GeometryError, PluginError."""
        nr_nodes = 1 + max(self.homes, default=0)
        return geometry_of(self.build, self.sizes, len(self.script), nr_recoverers, nr_nodes)

    def create_arena(self, geometry: Geometry | None = None, *, named: bool = False) -> Arena:
        """An arena with the worker's probes registered and its script written; the locks are not initialised yet.

        Raises: ArenaError, GeometryError, PluginError, UnknownName.
        """
        build, sizes = self.build, self.sizes
        geometry = geometry or self.geometry()
        arena = Arena.create(
            geometry,
            lock=build.lock.record,
            scheme=build.scheme.record,
            names={kind: getattr(build, kind).reference for kind in ("scheme", "lock", "arch")} | {"build": build.identity},
            hash_name=sizes.hash,
            task_address=sizes.task_address,
            named=named,
            boot=_boot(build, min(maxactive_of(build, sizes), geometry.maxactive), geometry),
        )
        arena.lists = build.scheme.constants.lists
        boot.populate(arena)
        self._send_home(arena)
        populate = build.scheme.own("populate")
        if populate is not None:
            with blamed([build.scheme.path], "populate()"):
                populate(arena)
        arena.records("script")["word"] = self.script
        arena.records("run")["work_ns"] = sizes.work_ns
        arena.records("functions")["blacklisted"][list(build.blacklist)] = 1
        return arena

    def _send_home(self, arena: Arena) -> None:
        """Write the nodes of the CPUs where the lock asks for them."""
        asked = [field for field, table in parts_of(self.build.lock.record).tables.items() if table.record is Home]
        for section in (f"{array}.{field}" for array in ARRAYS for field in asked):
            if section in arena.sections:
                arena.records(section)["node"][: len(self.homes)] = self.homes

    def numbers(self, arena: Arena) -> dict[str, int]:
        """The whole numbers of a Kernel, and those that locks and schemes ask for."""
        g, build = arena.geometry, self.build
        own = build.worker.constants.handler_ns
        known = {
            **{name: getattr(g, name) for name in (*INTEGERS, "nr_nodes", "ring_words") if hasattr(g, name)},
            **{f"{name}.nr": placed.nr for name, placed in arena.sections.items()},
            "hash_multiplier": int(arena.header["hash_multiplier"][0]),
            "handler_ns": own if self.sizes.handler_ns is None else self.sizes.handler_ns,
        }
        return {name: known[name] for name in numbers_of(build.shape)}

    def parameters(self, arena: Arena) -> NDArray[np.int64]:
        """What compiled code makes its Kernel of: where each section lies in this process, then the numbers."""
        addresses = [arena.address + section.offset for section in arena.sections.values()]
        return np.array([*addresses, *self.numbers(arena).values()], np.int64)

    def kernel(self, arena: Arena, column: Callable[[str, str], Words]) -> Kernel:
        """The whole arena as records of columns; `column(section, field)` makes one."""
        numbers = self.numbers(arena)
        return realize(self.build.shape, column, numbers.__getitem__)  # type: ignore[no-any-return]

    def free_locks(self, machine: Machine, k: Kernel, arena: Arena) -> None:
        """Make every lock free, where all zeros is not free, and every CPU's records ready."""
        lock = self.build.lock
        init, init_cpu = lock.own("init"), lock.own("init_cpu")
        with atomics.use(machine), blamed([lock.path], "init()"):
            if init is not None:
                for _, locks, i in every_lock(arena, arrays(k, arena)):
                    init(locks, i)
            if init_cpu is not None:
                for _, locks in arrays(k, arena):
                    for cpu in range(arena.geometry.nr_slots):
                        init_cpu(locks, cpu)

    def held_locks(self, machine: Machine, k: Kernel, arena: Arena) -> NotFree:
        """The locks that are not free; or else the CPUs that are not idle in them."""
        lock = self.build.lock
        is_free, is_idle = lock.own("is_free"), lock.own("is_idle")
        with atomics.use(machine), blamed([lock.path], "is_free()"):
            every = every_lock(arena, arrays(k, arena)) if is_free is not None else ()
            held = [f"{name}[{i}]" for name, locks, i in every if is_free is not None and not is_free(locks, i)]
            queued = [
                (cpu, name)
                for name, locks in (arrays(k, arena) if is_idle is not None and not held else ())
                for cpu in range(arena.geometry.nr_slots)
                if is_idle is not None and not is_idle(locks, cpu)
            ]
        return NotFree(held, queued)


def arrays(k: Kernel, arena: Arena) -> Iterator[tuple[str, Any]]:
    """The arrays of locks of an arena: the name of the section, and the array; in the order in which locks are numbered."""
    found = {SYSTEM_ARRAY: k.system_locks, TABLE_ARRAY: k.table_locks, OTHER_ARRAY: k.other_locks}
    return ((name, locks) for name, locks in found.items() if name in arena.sections)


def every_lock(arena: Arena, of_arrays: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any, int]]:
    """Every lock of these arrays of an arena: the name of its section, the array, and its index there."""
    for name, locks in of_arrays:
        for i in range(arena.sections[name].nr):
            yield name, locks, i


def lock_name(arena: Arena, number: int) -> str:
    """The lock of that number, of all, such as locks[3]."""
    i = number
    for name in ARRAYS:
        nr = arena.sections[name].nr if name in arena.sections else 0
        if i < nr:
            return f"{name}[{i}]"
        i -= nr
    return f"lock {number}"


def _boot(build: Build, maxactive: int, geometry: Geometry) -> list[Boot]:
    """The worker's probes; Sizes.probes adds some that nobody registers."""
    declared = build.declared.boot
    boot = [probe._replace(maxactive=min(probe.maxactive or maxactive, geometry.maxactive)) for probe in declared]
    return boot + [Boot(0, KRETPROBE, registered=False)] * (geometry.nr_probes - len(boot))
