"""The arena as the uncompiled text sees it; the plain and the explored machine bring their own columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shmkret import atomics
from shmkret.arena import Arena
from shmkret.atomics import Machine, Words
from shmkret.errors import PluginError, UnfitMachine
from shmkret.layout import Kernel, fields_of
from shmkret.registry import Plugin


def kernel_of(
    arena: Arena,
    column: Callable[[str, str], Words],
    *,
    arch: Plugin,
    scheme: Plugin,
    lock: Plugin,
    worker: Plugin,
) -> Kernel:
    """The whole arena as records of columns; `column(section, field)` makes one."""

    def records(section: str, record: type) -> Any:
        return record(*[column(section, field) for field in fields_of(record)])

    parts = {name: records(name, s.record) for name, s in arena.sections.items() if name in Kernel._fields}
    g = arena.geometry
    return Kernel(
        **parts,
        arch=arch.record(records("stack", arena.sections["stack"].record)),
        scheme=scheme.record(records("locks", lock.record)),
        worker=worker.record(0),
        nr_cpus=g.nr_cpus,
        nr_tasks=g.nr_tasks,
        nr_instances=g.nr_instances,
        script_words=g.script_words,
        hash_multiplier=int(arena.header["hash_multiplier"][0]),
    )


def init_locks(machine: Machine, locks: Any, nr_locks: int, lock: Plugin) -> None:
    """Make every lock free, where all zeros is not free."""
    init = getattr(lock.module, "init", None)
    if init is not None:
        with atomics.use(machine):
            try:
                for i in range(nr_locks):
                    init(locks, i)
            except UnfitMachine:
                raise
            except Exception as error:
                raise PluginError(f"{lock.path}: init() raised {type(error).__name__}: {error}") from error


def held_locks(machine: Machine, locks: Any, nr_locks: int, lock: Plugin) -> list[str]:
    """The locks that are not free, in a sentence; empty when all are, or when the lock cannot say."""
    is_free = getattr(lock.module, "is_free", None)
    if is_free is None:
        return []
    with atomics.use(machine):
        held = [i for i in range(nr_locks) if not is_free(locks, i)]
    return [f"{len(held)} locks are not free, such as lock {held[0]}, and no CPU is inside"] if held else []
