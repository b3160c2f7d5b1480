"""refuse: each CPU calls one probed function, whose entry handler refuses every second call; CPU 0 begins with one that is."""

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.audit.checks import books
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene, at_rest
from shmkret.kernel.task import call_and_return
from shmkret.machines.world import World
from shmkret.text.marks import inline

REFUSED, TAKEN = 7, 8
"""Numbers of calls, as the worker program `refuse` has them."""


def scene(asked: Asked) -> Scene:
    """`rounds` calls a CPU."""
    rounds = asked.rounds

    @inline
    def body(k: Kernel, cpu: int) -> None:
        k.cpus.task[cpu] = cpu
        for n in range(rounds):
            call_and_return(k, cpu, cpu, 0, TAKEN if (cpu + n) % 2 else REFUSED)

    refused = sum((cpu + n) % 2 == 0 for cpu in range(asked.cpus) for n in range(rounds))

    def check(world: World, arena: Arena) -> list[str]:
        counts = books(arena)
        taken = refused - counts["refused"] - counts["nmissed"]  # who finds no instance is not asked
        return [*at_rest(world, arena), *([f"{taken} calls that were refused have been probed"] if taken > 0 else ())]

    return Scene(f"refuse-{rounds}", asked.world("refuse"), body, asked.cpus, check=check)
