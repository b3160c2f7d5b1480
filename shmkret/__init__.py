"""The Linux kernel's kretprobe instance machinery, run for real between processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shmkret.api import Knobs, Result, run
    from shmkret.arena import Arena
    from shmkret.layout import Geometry
    from shmkret.measure.conditions import Conditions
    from shmkret.measure.latency import Histogram
    from shmkret.named import attach

__version__ = "0.1.0"
__all__ = ["Arena", "Conditions", "Geometry", "Histogram", "Knobs", "Result", "__version__", "attach", "run"]

_HOMES = {
    "Knobs": "api",
    "Result": "api",
    "run": "api",
    "Arena": "arena",
    "Geometry": "layout",
    "Conditions": "measure.conditions",
    "Histogram": "measure.latency",
    "attach": "named",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: matplotlib and Numba are slow to come."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shmkret' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"shmkret.{_HOMES[name]}"), name)
