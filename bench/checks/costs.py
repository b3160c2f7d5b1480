"""What checks cost against the size of an arena: python bench/checks/costs.py [MOST INSTANCES]

The arena is one of `hot` under `hashed` with `sem`, as a run begins: one probe has its instances, all others lie on the slab.
Each time is the least of five, of the CPU, in milliseconds.
"""

import sys
import time
from dataclasses import replace
from typing import Any

from shmkret.arch import ARCH
from shmkret.arena.chains import statistics
from shmkret.audit.checks import audit
from shmkret.audit.repair import repair
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines.build import Build
from shmkret.machines.plain import PlainMachine, kernel
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME
from shmkret.text import atomics

REPETITIONS = 5
PER_PROBE = 245


def least_ms(check: Any) -> float:
    times = []
    for _ in range(REPETITIONS):
        began = time.process_time()
        check()
        times.append(time.process_time() - began)
    return 1000 * min(times)


def costs(nr_instances: int) -> list[float]:
    build = Build(
        arch=find(ARCH, "x86-64"), scheme=find(SCHEME, "hashed"), lock=find(LOCK, "sem"), worker=find(WORKER, "hot"),
        padding="packed", nr_cpus=2, recoverable=True,
    )  # fmt: skip
    probes = max(1, nr_instances // PER_PROBE)
    world = World.of(replace(build), Sizes(maxactive=nr_instances // probes, probes=probes), seed=1)
    with world.create_arena(world.geometry(1)) as arena:
        machine = PlainMachine(build.common_cache())
        with atomics.use(machine):
            world.free_locks(machine, kernel(world, arena), arena)
            scheme = build.scheme
            return [
                arena.geometry.nr_instances,
                least_ms(lambda: audit(arena, scheme)),
                least_ms(lambda: statistics(arena)),
                least_ms(lambda: repair(arena, scheme, None)),
            ]


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_003_520
    print("| instances | audit | what `inspect` shows | `repair` of what is whole |\n|---:|---:|---:|---:|")
    for size in (10, 100, 1_000, 10_000, 100_000, 1_003_520):
        if size <= most:
            nr, *times = costs(size)
            print(f"| {nr:,.0f} | " + " | ".join(f"{ms:.2f}" if ms < 10 else f"{ms:.0f}" for ms in times) + " |", flush=True)


if __name__ == "__main__":
    main()
