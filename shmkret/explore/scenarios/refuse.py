"""refuse: each CPU calls one probed function, whose entry handler refuses every second call; CPU 0 begins with one that is."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel.task import call_and_return
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

    return Scene(f"refuse-{rounds}", asked.world("refuse"), body, asked.cpus)
