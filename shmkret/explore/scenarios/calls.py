"""calls: each CPU calls one probed function and returns, its task in a bucket of its own."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel.task import call_and_return
from shmkret.text.marks import inline

SYMMETRIC = True


def scene(asked: Asked) -> Scene:
    """`rounds` calls a CPU."""
    rounds = asked.rounds

    @inline
    def body(k: Kernel, cpu: int) -> None:
        k.cpus.task[cpu] = cpu
        for n in range(rounds):
            call_and_return(k, cpu, cpu, 0, n)

    return Scene(f"calls-{rounds}", asked.world(), body, asked.cpus)
