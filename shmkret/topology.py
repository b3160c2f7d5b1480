"""Which cores we may use, and in which order: whole cores first, their second hardware threads last.

Source    /sys/devices/system/cpu/cpu*/topology, Documentation/admin-guide/cputopology.rst
"""

from __future__ import annotations

import os
from pathlib import Path

from shmkret.errors import UsageError

SYSFS = Path("/sys/devices/system/cpu")


def allowed_cores() -> list[int]:
    """The logical CPUs of our affinity mask, first threads of all cores before second ones."""
    allowed = sorted(os.sched_getaffinity(0))
    rank: dict[int, int] = {}
    for core in allowed:
        siblings = _siblings(core)
        rank[core] = sorted(s for s in siblings if s in allowed).index(core) if core in siblings else 0
    return sorted(allowed, key=lambda core: (rank[core], core))


def place(nr_cpus: int, workers_per_core: int) -> list[int]:
    """The core of each worker. Raises UsageError when there are not enough cores."""
    cores = allowed_cores()
    needed = -(-nr_cpus // workers_per_core)
    if needed > len(cores):
        raise UsageError(
            f"{nr_cpus} CPUs at {workers_per_core} a core need {needed} cores, and this process may use {len(cores)}: "
            f"ask for --cpus {len(cores) * workers_per_core} at most, or raise --workers-per-core"
        )
    return [cores[cpu // workers_per_core] for cpu in range(nr_cpus)]


def powers_of_two(largest: int) -> list[int]:
    """1, 2, 4 ... and `largest` itself."""
    counts = [1]
    while counts[-1] * 2 <= largest:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == largest else [*counts, largest]


def _siblings(core: int) -> list[int]:
    try:
        text = (SYSFS / f"cpu{core}/topology/thread_siblings_list").read_text()
    except OSError:
        return [core]
    return _parse_cpu_list(text)


def _parse_cpu_list(text: str) -> list[int]:
    cores: list[int] = []
    for part in text.strip().split(","):
        low, _, high = part.partition("-")
        cores += range(int(low), int(high or low) + 1)
    return cores
