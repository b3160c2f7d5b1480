"""What a run asks for, and the geometry that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret.arena import hashing
from shmkret.arena.fields import parts_of
from shmkret.arena.layout import Geometry
from shmkret.errors import PluginError
from shmkret.machines.build import Build
from shmkret.moves.clock import CLASSES, HISTOGRAM_WORDS
from shmkret.plugins.calls import blamed
from shmkret.text.domains import PER_PROBE

MOST_INSTANCES = 1 << 24


def _size(default: Any, metavar: str, help: str, **bounds: int) -> Any:
    return field(default=default, metadata={"metavar": metavar, "help": help, **bounds})


@dataclass(frozen=True)
class Sizes:
    """What a run asks for; data_size in bytes. None: what the kernel or the worker program would choose.

    The metadata of a field explains and bounds a value, for whoever asks people for one.
    """

    probes: int | None = _size(None, "N", "probe records; default what the worker needs")
    tasks: int | None = _size(None, "N", "tasks on the run queues of their CPUs; default one a CPU")
    maxactive: int | None = _size(None, "N", "instances a probe; default max(10, 2 * cpus)", least=1, most=MOST_INSTANCES)
    data_size: int | None = _size(None, "BYTES", "private bytes an instance; default what handlers need")
    hash: str = _size("mult-2008-64", "NAME", f"{', '.join(hashing.MULTIPLIERS)}; default the first")
    task_address: str = _size("slab", "MODEL", f"{', '.join(hashing.ADDRESS_MODELS)}; default the first")
    handler_ns: int | None = _size(None, "NS", "how long the handlers of slow_handler take")
    work_ns: int = _size(0, "NS", "work of the task after each round")


def default_maxactive(nr_cpus: int) -> int:
    """The kernel's default with preemption: max(10, 2 * NR_CPUS)."""
    return max(10, 2 * nr_cpus)


def geometry_of(build: Build, sizes: Sizes, script_words: int, nr_recoverers: int = 0, nr_nodes: int = 1) -> Geometry:
    """The geometry of an arena for this build. Raises GeometryError, PluginError."""
    declared = build.declared.boot
    nr_probes = len(declared) if sizes.probes is None else sizes.probes
    own_data = build.worker.constants.data_size
    return Geometry(
        nr_cpus=build.nr_cpus,
        nr_tasks=_nr_tasks(build, sizes),
        nr_functions=build.nr_functions,
        nr_probes=nr_probes,
        maxactive=max([maxactive_of(build, sizes), *(probe.maxactive for probe in declared)]),
        nr_locks=max(1, nr_probes) if parts_of(build.scheme.record).locks.get("locks") == PER_PROBE else 1,
        data_size=own_data if sizes.data_size is None else sizes.data_size,
        script_words=script_words,
        nr_recoverers=nr_recoverers,
        nr_nodes=nr_nodes,
        recoverable=int(build.recoverable),
        latency_words=build.nr_cpus * len(CLASSES) * HISTOGRAM_WORDS if build.timed else 1,
        padding=build.padding,
        table_padding=build.table_padding,
    )


def script_of(build: Build, cpus: int, seed: int) -> NDArray[np.int64]:
    """The words that the worker program reads, drawn from a seed; one zero where it has none. Raises PluginError."""
    write = build.worker.own("script")
    path = build.worker.path
    if write is None:
        return np.zeros(1, np.int64)
    with blamed([path], f"script({cpus})"):
        script = np.asarray(write(cpus, np.random.default_rng(seed)))
    if script.ndim != 1 or not len(script) or script.dtype.kind not in "iu":
        kind = f"an array of {script.dtype} of shape {script.shape}"
        raise PluginError(f"{path}: script({cpus}) returned {kind}, not of whole numbers in a row")
    if script.max() > np.iinfo(np.int64).max:
        raise PluginError(f"{path}: script({cpus}) returned {script.max()}, which is no signed 64-bit number")
    return script.astype(np.int64)


def maxactive_of(build: Build, sizes: Sizes) -> int:
    """Instances a probe, where it does not say so itself."""
    if sizes.maxactive is not None:
        return sizes.maxactive
    # Where tasks sleep inside probed calls, every task may be inside one.
    sleeping = _nr_tasks(build, sizes) if build.worker.sets("TASKS_PER_CPU") else 0
    return max(default_maxactive(build.nr_cpus), sleeping)


def _nr_tasks(build: Build, sizes: Sizes) -> int:
    tasks = build.nr_cpus * int(build.worker.constants.tasks_per_cpu) if sizes.tasks is None else sizes.tasks
    return max(tasks, build.nr_cpus)
