"""Which cores we may use, and in which order workers are pinned to them.

    cores      whole cores first, their second hardware threads last (the default)
    siblings   both threads of a core before the next core
    caches     core by core through one last-level cache, then through the next
    nodes      a core of each memory node in turn
    linear     by number

Respected: the affinity mask, and the CPU quota of our control group, which allows fewer CPUs than there are.

Source    /sys/devices/system/cpu/cpu*/topology and cache, /sys/devices/system/node; Documentation/admin-guide/cputopology.rst
          and cgroup-v2.rst, "CPU Interface Files"
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from shmkret.errors import UnknownName, UsageError

SYSFS = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


class Core(NamedTuple):
    """A logical CPU that we may use: the lowest sibling of its core, its rank among them, its last-level cache, its node."""

    number: int
    core: int
    thread: int
    cache: int
    node: int


ORDERS = {
    "cores": lambda c: (c.thread, c.number),
    "siblings": lambda c: (c.core, c.thread),
    "caches": lambda c: (c.cache, c.thread, c.number),
    "linear": lambda c: c.number,
}
PIN_ORDERS = (*ORDERS, "nodes")


def topology() -> list[Core]:
    """The logical CPUs of our affinity mask, by number; what sysfs does not say is taken as all alike."""
    allowed = sorted(os.sched_getaffinity(0))
    found = []
    for number in allowed:
        siblings = [s for s in _cpu_list(SYSFS / f"cpu{number}/topology/thread_siblings_list") if s in allowed] or [number]
        found.append(Core(number, siblings[0], siblings.index(number), _last_cache(number), _node(number)))
    return found


def allowed_cores(order: str = "cores") -> list[int]:
    """The logical CPUs that we may use, in a pin order. Raises UnknownName."""
    if order not in PIN_ORDERS:
        raise UnknownName("pin order", order, PIN_ORDERS)
    cores = topology()
    if order != "nodes":
        return [c.number for c in sorted(cores, key=ORDERS[order])]
    cores.sort(key=ORDERS["cores"])
    by_node = [[c.number for c in cores if c.node == node] for node in sorted({c.node for c in cores})]
    return [n for turn in itertools.zip_longest(*by_node) for n in turn if n is not None]


def quota() -> float | None:
    """How many CPUs our control group may use at once: the least of its own quota and those above it; None for no limit."""
    found = []
    for line in _read(OWN_CGROUP).splitlines():
        _, controllers, path = line.split(":", 2)
        root, read = (CGROUP, _cpu_max) if not controllers else (CGROUP / "cpu", _cfs_quota)
        if not controllers or "cpu" in controllers.split(","):
            place = root / path.lstrip("/")
            found += [read(group) for group in (place, *place.parents) if group.is_relative_to(root)]
    return min((limit for limit in found if limit is not None), default=None)


def _cpu_max(group: Path) -> float | None:
    return _limit(_read(group / "cpu.max").split())


def _cfs_quota(group: Path) -> float | None:
    return _limit([_read(group / f"cpu.cfs_{word}_us") for word in ("quota", "period")])


def _limit(text: list[str]) -> float | None:
    return int(text[0]) / int(text[1]) if len(text) == 2 and all(text) and text[0] not in ("max", "-1") else None


def usable() -> int:
    """How many workers can run at once: the affinity mask's cores, or as many as the quota pays for."""
    limit = quota()
    cores = len(os.sched_getaffinity(0))
    return cores if limit is None else max(1, min(cores, math.floor(limit)))


def place(nr_cpus: int, workers_per_core: int, order: str = "cores") -> list[int]:
    """The core of each worker. Raises UnknownName; UsageError when there are not enough cores."""
    cores = allowed_cores(order)
    most = usable()
    needed = -(-nr_cpus // workers_per_core)
    if needed > most:
        why = "its control group may use" if most < len(cores) else "this process may use"
        raise UsageError(
            f"{nr_cpus} CPUs at {workers_per_core} a core need {needed} cores, and {why} {most}: "
            f"ask for `cpus` {most * workers_per_core} at most, or raise `workers_per_core`"
        )
    return [cores[cpu // workers_per_core] for cpu in range(nr_cpus)]


def homes(cores: Sequence[int]) -> tuple[int, ...]:
    """The memory node of each of these cores; the nodes that they are on are numbered from 0."""
    nodes = [_node(core) for core in cores]
    return tuple(sorted(set(nodes)).index(node) for node in nodes)


def powers_of_two(largest: int) -> list[int]:
    """1, 2, 4 ... and `largest` itself."""
    counts = [1]
    while counts[-1] * 2 <= largest:
        counts.append(counts[-1] * 2)
    return counts if counts[-1] == largest else [*counts, largest]


def _last_cache(number: int) -> int:
    """The lowest CPU that shares the last-level cache; 0 where sysfs does not say."""
    levels = [(int(_read(index / "level") or 0), index) for index in (SYSFS / f"cpu{number}/cache").glob("index*")]
    return min(_cpu_list(max(levels)[1] / "shared_cpu_list"), default=0) if levels else 0


def _node(number: int) -> int:
    nodes = sorted((SYSFS / f"cpu{number}").glob("node[0-9]*"))
    return int(nodes[0].name.removeprefix("node")) if nodes else 0


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _cpu_list(path: Path) -> list[int]:
    cores: list[int] = []
    for part in filter(None, _read(path).split(",")):
        low, _, high = part.partition("-")
        cores += range(int(low), int(high or low) + 1)
    return cores
