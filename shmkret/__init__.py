"""The Linux kernel's kretprobe instance machinery, run for real between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shmkret.api import Knobs, Result, run
    from shmkret.arena.layout import Geometry
    from shmkret.arena.segment import Arena
    from shmkret.audit.arenas import attach
    from shmkret.host.books import Conditions
    from shmkret.measure.latency import Histogram

__version__ = "0.1.0"
__all__ = ["Arena", "Conditions", "Geometry", "Histogram", "Knobs", "Result", "__version__", "attach", "run"]

_HOMES = {
    "Knobs": "api",
    "Result": "api",
    "run": "api",
    "Arena": "arena.segment",
    "Geometry": "arena.layout",
    "Conditions": "host.books",
    "Histogram": "measure.latency",
    "attach": "audit.arenas",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: matplotlib and Numba are slow to come."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shmkret' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"shmkret.{_HOMES[name]}"), name)
