"""The Linux kernel's kretprobe instance machinery, run for real between processes.

What is imported from here is `__all__`. A module path of before the rooms, such as `atomics` or `probes`, still imports: it
looks its names up in the modules that have them now, and warns once, with the path to write instead.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shmkret.api import Knobs, Result, run
    from shmkret.arena.layout import Geometry
    from shmkret.arena.segment import Arena
    from shmkret.audit.arenas import attach
    from shmkret.explore.library import Explore
    from shmkret.explore.search import Found
    from shmkret.measure.cell import Conditions
    from shmkret.measure.latency import Histogram

    explore: Explore

__version__ = "0.1.0"
__all__ = [
    "Arena",
    "Conditions",
    "Found",
    "Geometry",
    "Histogram",
    "Knobs",
    "Result",
    "__version__",
    "attach",
    "explore",
    "run",
]

_HOMES = {
    "Knobs": "api",
    "Result": "api",
    "run": "api",
    "Arena": "arena.segment",
    "Geometry": "arena.layout",
    "Conditions": "measure.cell",
    "Histogram": "measure.latency",
    "attach": "audit.arenas",
    "Found": "explore.search",
}

_MOVED = {
    "atomics": "text.atomics text.arithmetic",
    "libc": "text.libc",
    "posix": "host.posix",
    "signals": "host.signals",
    "topology": "host.topology",
    "crew": "host.crew",
    "stress.ofd": "host.ofd",
    "stress.tracer": "host.ptrace",
    "measure.machine": "host.description",
    "measure.conditions": "host.books",
    "hash": "arena.hashing",
    "layout": "arena.records arena.layout arena.header",
    "named": "arena.named audit.arenas",
    "plugin_calls": "plugins.calls",
    "sources": "plugins.sources",
    "registry": "plugins.registry",
    "return_stack": "arch._stack",
    "link_register": "arch._link",
    "bugs": "moves.bugs",
    "clock": "moves.clock",
    "intents": "moves.intents",
    "irqflags": "moves.irqflags",
    "lists": "moves.lists",
    "locking": "moves.locking",
    "busy": "kernel.busy",
    "cpu": "kernel.cpu",
    "handlers": "kernel.handlers",
    "irq": "kernel.irq",
    "mode": "kernel.mode",
    "oracle": "moves.oracle",
    "probes": "kernel.task kernel.kprobes kernel.kretprobes kernel.running kernel.primitives moves.oracle",
    "program": "kernel.program",
    "rcu": "kernel.rcu",
    "registration": "kernel.registration",
    "sched": "kernel.sched",
    "redo": "recovery.redo",
    "survive": "recovery.taking",
    "build": "machines.build",
    "plain": "machines.plain",
    "native": "machines.native",
    "peers": "machines.peers",
    "compile": "machines.compiled.cache machines.compiled.loop machines.compiled.helpers machines.compiled.verbs",
    "repair": "audit.repair",
    "explored": "explore.schedule explore.scenario explore.greenlets.machine explore.snapshot",
    "measure.rehearsal": "explore.rehearsal.rehearse",
    "measure.folder": "measure.report.folder",
    "measure.html": "measure.report.html",
    "measure.panels": "measure.report.panels",
    "measure.plots": "measure.report.plots",
    "measure.pyperf": "measure.report.pyperf",
    "measure.rows": "measure.report.rows",
    "measure.tables": "measure.report.tables",
}
"""Modules of before the rooms: which have their names now, those asked first that have most of them."""

_FACES = ("text", "arena", "moves", "kernel", "audit")
"""Rooms that are imported from as a whole."""


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: matplotlib and Numba are slow to come."""
    if name == "explore":  # a package that can be called
        return importlib.import_module("shmkret.explore")
    if name not in _HOMES:
        raise AttributeError(f"module 'shmkret' has no attribute {name!r}")
    return getattr(importlib.import_module(f"shmkret.{_HOMES[name]}"), name)


def _instead(old: str) -> str:
    """What to import from instead: the room where it has a face, or else the module."""
    homes = _MOVED[old].split()
    rooms = [home.partition(".")[0] for home in homes]
    said = [room if room in _FACES else home for room, home in zip(rooms, homes, strict=True)]
    return " or ".join(f"shmkret.{one}" for one in dict.fromkeys(said))


class _Moved(ModuleType):
    """A module of before the rooms: it has no names of its own."""

    def __getattr__(self, name: str) -> Any:
        homes = _MOVED[self.__name__.removeprefix("shmkret.")].split()
        for home in homes if not name.startswith("__") else ():
            module = importlib.import_module(f"shmkret.{home}")
            if name in vars(module):
                return vars(module)[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


class _Before(MetaPathFinder, Loader):
    """Finds the modules of before the rooms; asked last, after everything that has a file."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name.startswith("shmkret.") and name[8:] in _MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Moved(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        # One level up, since warnings skip the import system's own frames: the line that has the import.
        warnings.warn(f"{name} has moved: import from {_instead(name[8:])}", DeprecationWarning, stacklevel=2)


sys.meta_path.append(_Before())
