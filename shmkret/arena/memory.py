"""Whether what an arena needs is to be had, before it is reserved."""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from shmkret.arena import layout
from shmkret.arena.layout import Geometry
from shmkret.errors import ArenaError

BYTES_BESIDE_AN_INSTANCE = 256


def require_room(geometry: Geometry, lock: type, scheme: type | None = None) -> None:
    """Raises ArenaError when an arena of that geometry does not fit into memory; GeometryError when it never would."""
    size = layout.arena_bytes(layout.sections(geometry, lock, scheme))
    # Building and auditing take memory of their own: Python's lists of all instances.
    own = BYTES_BESIDE_AN_INSTANCE * geometry.nr_instances
    require_memory(size, "the arena", own, ": lower `nr_probes`, `maxactive`, `data_size` or `nr_tasks`")


def require_memory(size: int, what: str, beside: int = 0, remedy: str = "") -> None:
    """Raises ArenaError when that many bytes, and those beside them, are not to be had."""
    available = _available_bytes()
    if size + beside > available:
        raise ArenaError(f"{what} would take {mib(size)} and {mib(available)} of memory are available{remedy}")


def _available_bytes() -> int:
    """What can still be reserved: fallocate() on a memfd is stopped by the OOM killer, not by an error."""
    limits = [int(psutil.virtual_memory().available)]
    group = Path("/sys/fs/cgroup")
    for limit_file, used_file in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit, used = (int((group / file).read_text()) for file in (limit_file, used_file))
            # The page cache counts as used, and goes when memory is needed.
            cached = re.search(
                r"^(?:total_)?inactive_file (\d+)", (group / limit_file).with_name("memory.stat").read_text(), re.M
            )
            limits.append(limit - used + int(cached[1] if cached else 0))
        except (OSError, ValueError):
            continue
    return max(0, min(limits))


def mib(size: int) -> str:
    """A size for people."""
    return f"{size / (1 << 20):,.0f} MiB" if size >= 10 << 20 else f"{size / (1 << 10):,.0f} KiB"
