"""interrupts: the last CPU interrupts CPU 0, at any poll or at none; the interrupt calls the function that CPU 0 calls."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel.irq import raise_irq
from shmkret.kernel.task import call_and_return
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` calls of every CPU but the last, which interrupts once."""
    rounds, last = asked.rounds, asked.cpus - 1

    @inline
    def body(k: Kernel, cpu: int) -> None:
        k.cpus.task[cpu] = cpu
        if cpu == last:
            raise_irq(k, 0, 1)
        else:
            for n in range(rounds):
                call_and_return(k, cpu, cpu, 0, 1 + n)  # the call of the interrupt is number 0

    return Scene(f"interrupts-{last}-{rounds}", asked.world("irqsave"), body, asked.cpus, ("cpus",))
