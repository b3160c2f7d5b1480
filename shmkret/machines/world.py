"""An arena for a build, and the arena as the uncompiled text sees it; the plain and the explored machine bring the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.layout import Geometry
from shmkret.arena.records import INTEGERS, KRETPROBE, Boot, Kernel, fields_of
from shmkret.arena.segment import Arena
from shmkret.kernel.mode import Mode
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes, geometry_of, maxactive_of
from shmkret.plugins.calls import blamed
from shmkret.text import atomics
from shmkret.text.atomics import Machine, Words

LOCK_SECTIONS = ("table_locks", "locks", "system_locks")


def create_arena(
    build: Build, sizes: Sizes, script: NDArray[np.int64], geometry: Geometry | None = None, *, named: bool = False
) -> Arena:
    """An arena with the worker's probes registered and its script written; the locks are not initialised yet.

    Raises: ArenaError, GeometryError, PluginError, UnknownName.
    """
    geometry = geometry or geometry_of(build, sizes, len(script))
    arena = Arena.create(
        geometry,
        lock=build.lock.record,
        names={kind: getattr(build, kind).reference for kind in ("scheme", "lock", "arch")} | {"build": build.identity},
        hash_name=sizes.hash,
        task_address=sizes.task_address,
        named=named,
        boot=_boot(build, min(maxactive_of(build, sizes), geometry.maxactive), geometry),
    )
    arena.records("script")["word"] = script
    arena.records("run")["work_ns"] = sizes.work_ns
    arena.records("functions")["blacklisted"][list(build.blacklist)] = 1
    return arena


def _boot(build: Build, maxactive: int, geometry: Geometry) -> list[Boot]:
    """The worker's probes; --probes adds some that nobody registers."""
    declared = build.declared.boot
    boot = [probe._replace(maxactive=min(probe.maxactive or maxactive, geometry.maxactive)) for probe in declared]
    return boot + [Boot(0, KRETPROBE, registered=False)] * (geometry.nr_probes - len(boot))


def integers_of(arena: Arena, build: Build, sizes: Sizes) -> dict[str, int]:
    """The whole numbers of a Kernel."""
    g = arena.geometry
    known = {name: getattr(g, name) for name in INTEGERS if hasattr(g, name)}
    handler_ns = getattr(build.worker.module, "HANDLER_NS", 0) if sizes.handler_ns is None else sizes.handler_ns
    multiplier = int(arena.header["hash_multiplier"][0])
    return {**known, "hash_multiplier": multiplier, "handler_ns": handler_ns}


def kernel_of(arena: Arena, column: Callable[[str, str], Words], build: Build, sizes: Sizes) -> Kernel:
    """The whole arena as records of columns; `column(section, field)` makes one."""

    def records(section: str) -> Any:
        record = arena.sections[section].record
        return record(*[column(section, field) for field in fields_of(record)])

    parts: dict[str, Any] = dict(integers_of(arena, build, sizes))
    return Kernel(
        **{name: records(name) for name in Kernel._fields if name in arena.sections},
        arch=build.arch.record(records("stack")),
        scheme=build.scheme.record(records("table_locks"), records("locks")),
        worker=build.worker.record(0),
        mode=Mode(*(mode(0) for mode in build.mode_classes)),
        **parts,
    )


def init_locks(machine: Machine, k: Kernel, arena: Arena, build: Build) -> None:
    """Make every lock free, where all zeros is not free."""
    init = getattr(build.lock.module, "init", None)
    if init is not None:
        with atomics.use(machine), blamed([build.lock.path], "init()"):
            for _, locks, i in _locks(k, arena):
                init(locks, i)


def held_locks(machine: Machine, k: Kernel, arena: Arena, build: Build) -> list[str]:
    """The locks that are not free, in a sentence; empty when all are, or when the lock cannot say."""
    is_free = getattr(build.lock.module, "is_free", None)
    if is_free is None:
        return []
    with atomics.use(machine), blamed([build.lock.path], "is_free()"):
        held = [f"{section}[{i}]" for section, locks, i in _locks(k, arena) if not is_free(locks, i)]
    return [f"{len(held)} locks are not free, such as {held[0]}, and no CPU is inside"] if held else []


def _locks(k: Kernel, arena: Arena) -> Iterator[tuple[str, Any, int]]:
    arrays = (k.scheme.table, k.scheme.locks, k.system_locks)
    for section, locks in zip(LOCK_SECTIONS, arrays, strict=True):
        for i in range(arena.sections[section].nr):
            yield section, locks, i
