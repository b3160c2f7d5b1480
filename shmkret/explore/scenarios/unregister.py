"""unregister: the last CPU takes away the probe of the function that the others call: beside its entry, and its return."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.explore.snapshot import REGISTRATION
from shmkret.kernel.rcu import idle_enter, idle_exit
from shmkret.kernel.registration import unregister_probe
from shmkret.kernel.task import call_and_return
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` calls of every CPU but the last."""
    rounds, last = asked.rounds, asked.cpus - 1

    @inline
    def body(k: Kernel, cpu: int) -> None:
        idle_exit(k, cpu)
        k.cpus.task[cpu] = cpu
        if cpu == last:
            unregister_probe(k, cpu, 0)
        else:
            for n in range(rounds):
                call_and_return(k, cpu, cpu, 0, n)
        idle_enter(k, cpu)

    return Scene(f"unregister-{last}-{rounds}", asked.world(maxactive=1), body, asked.cpus, REGISTRATION)
