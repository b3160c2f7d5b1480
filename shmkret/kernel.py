"""An arena for a build, and the arena as the uncompiled text sees it; the plain and the explored machine bring the columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret import atomics
from shmkret.arena import Arena
from shmkret.atomics import Machine, Words
from shmkret.build import Build, ask_size
from shmkret.clock import CLASSES, HISTOGRAM_WORDS
from shmkret.errors import PluginError
from shmkret.layout import INTEGERS, KRETPROBE, Boot, Geometry, Kernel, fields_of
from shmkret.mode import Mode
from shmkret.plugin_calls import blamed

LOCK_SECTIONS = ("table_locks", "locks", "system_locks")


@dataclass(frozen=True)
class Sizes:
    """What a run asks for; data_size in bytes. None: what the kernel or the worker program would choose."""

    probes: int | None = None
    tasks: int | None = None
    maxactive: int | None = None
    data_size: int | None = None
    hash: str = "mult-2008-64"
    task_address: str = "slab"
    handler_ns: int | None = None
    work_ns: int = 0


def default_maxactive(nr_cpus: int) -> int:
    """The kernel's default with preemption: max(10, 2 * NR_CPUS)."""
    return max(10, 2 * nr_cpus)


def geometry_of(build: Build, sizes: Sizes, script_words: int, nr_recoverers: int = 0) -> Geometry:
    """The geometry of an arena for this build. Raises GeometryError, PluginError."""
    declared = build.declared.boot
    nr_probes = len(declared) if sizes.probes is None else sizes.probes
    own_data = getattr(build.worker.module, "DATA_SIZE", 0)
    return Geometry(
        nr_cpus=build.nr_cpus,
        nr_tasks=_nr_tasks(build, sizes),
        nr_functions=build.nr_functions,
        nr_probes=nr_probes,
        maxactive=max([_maxactive(build, sizes), *(probe.maxactive for probe in declared)]),
        nr_locks=ask_size(build.scheme, "nr_locks", max(1, nr_probes)),
        data_size=own_data if sizes.data_size is None else sizes.data_size,
        script_words=script_words,
        nr_recoverers=nr_recoverers,
        recoverable=int(build.recoverable),
        latency_words=build.nr_cpus * len(CLASSES) * HISTOGRAM_WORDS if build.timed else 1,
        padding=build.padding,
        table_padding=build.table_padding,
    )


def script_of(build: Build, cpus: int, seed: int) -> NDArray[np.int64]:
    """The words that the worker program reads, drawn from a seed; one zero where it has none. Raises PluginError."""
    write = getattr(build.worker.module, "script", None)
    path = build.worker.path
    if write is None:
        return np.zeros(1, np.int64)
    if not callable(write):
        raise PluginError(f"{path}: script is {write!r}, not a function")
    with blamed([path], f"script({cpus})"):
        script = np.asarray(write(cpus, np.random.default_rng(seed)))
    if script.ndim != 1 or not len(script) or script.dtype.kind not in "iu":
        kind = f"an array of {script.dtype} of shape {script.shape}"
        raise PluginError(f"{path}: script({cpus}) returned {kind}, not of whole numbers in a row")
    if script.max() > np.iinfo(np.int64).max:
        raise PluginError(f"{path}: script({cpus}) returned {script.max()}, which is no signed 64-bit number")
    return script.astype(np.int64)


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
        boot=_boot(build, min(_maxactive(build, sizes), geometry.maxactive), geometry),
    )
    arena.records("script")["word"] = script
    arena.records("run")["work_ns"] = sizes.work_ns
    arena.records("functions")["blacklisted"][list(build.blacklist)] = 1
    return arena


def _maxactive(build: Build, sizes: Sizes) -> int:
    if sizes.maxactive is not None:
        return sizes.maxactive
    # Where tasks sleep inside probed calls, every task may be inside one.
    sleeping = _nr_tasks(build, sizes) if hasattr(build.worker.module, "TASKS_PER_CPU") else 0
    return max(default_maxactive(build.nr_cpus), sleeping)


def _nr_tasks(build: Build, sizes: Sizes) -> int:
    tasks = build.nr_cpus * int(getattr(build.worker.module, "TASKS_PER_CPU", 1)) if sizes.tasks is None else sizes.tasks
    return max(tasks, build.nr_cpus)


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
