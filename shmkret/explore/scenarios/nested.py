"""nested: each CPU's task calls a probed function that calls another; all tasks are in one bucket."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel.program import step
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` of the worker program `nested`."""
    rounds = asked.rounds

    @inline
    def body(k: Kernel, cpu: int) -> None:
        k.cpus.task[cpu] = cpu
        for n in range(rounds):
            step(k.worker, k, cpu, cpu, n)

    return Scene(f"nested-{rounds}", asked.world("nested", one_bucket=True), body, asked.cpus)
