"""rounds: each CPU does rounds of a worker program, its task in a bucket of its own."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel.cpu import one_round
from shmkret.text.marks import inline

WORKER = "hot"


def scene(asked: Asked) -> Scene:
    """`rounds` of them a CPU."""
    rounds = asked.rounds

    @inline
    def body(k: Kernel, cpu: int) -> None:
        for n in range(rounds):
            one_round(k, cpu, cpu, n)

    return Scene(f"rounds-{rounds}", asked.world(WORKER), body, asked.cpus)
