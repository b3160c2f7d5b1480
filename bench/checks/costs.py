"""What checks cost against the size of an arena: python bench/checks/costs.py [MOST INSTANCES [FILE.svg]]

The arena is one of `hot` under `hashed` with `sem`, as a run begins: one probe has its instances, all others lie on the slab.
Each time is the least of five, of the CPU, in milliseconds.
"""

import sys
import time
from dataclasses import replace
from typing import Any

from shmkret.arch import ARCH
from shmkret.arena.chains import statistics
from shmkret.audit.checks import audit, left_open
from shmkret.audit.repair import repair
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines import native
from shmkret.machines.build import Build
from shmkret.machines.plain import PlainMachine, kernel
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME
from shmkret.text import atomics

REPETITIONS = 5
CHECKS = ("audit", "all that `stress` asks after a round", "what `inspect` shows", "`repair` of what is whole")
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
                least_ms(lambda: (audit(arena, scheme), left_open(arena, [0, 0]), native.still_held(world, arena, machine))),
                least_ms(lambda: statistics(arena)),
                least_ms(lambda: repair(arena, scheme, None)),
            ]


def draw(rows: list[list[float]], place: str) -> None:
    """Each check over the instances, both axes logarithmic."""
    import matplotlib.pyplot as plt

    plt.rcParams["svg.hashsalt"] = "shmkret"
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for i, name in enumerate(CHECKS, 1):
        axes.loglog([row[0] for row in rows], [row[i] for row in rows], "o-", label=name.replace("`", ""))
    axes.set(xlabel="instances of the arena", ylabel="CPU time, ms")
    axes.grid(which="major", alpha=0.3)
    axes.legend()
    figure.savefig(place, metadata={"Date": None})


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_003_520
    print(f"| instances | {' | '.join(CHECKS)} |\n|---:|" + "---:|" * len(CHECKS))
    rows = []
    for size in (10, 100, 1_000, 10_000, 100_000, 1_003_520):
        if size <= most:
            rows.append(costs(size))
            nr, *times = rows[-1]
            print(f"| {nr:,.0f} | " + " | ".join(f"{ms:.2f}" if ms < 10 else f"{ms:.0f}" for ms in times) + " |", flush=True)
    if len(sys.argv) > 2:
        draw(rows, sys.argv[2])


if __name__ == "__main__":
    main()
