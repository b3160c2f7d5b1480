"""register: the last CPU puts a second probe on the function that the others call, whose first one they hit meanwhile."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.explore.snapshot import REGISTRATION
from shmkret.kernel.rcu import idle_enter, idle_exit
from shmkret.kernel.registration import register_kretprobe
from shmkret.kernel.task import call_and_return
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` calls of every CPU but the last. Probe `cpus` of the worker program `churn` is on function 0, as probe 0 is."""
    rounds, last = asked.rounds, asked.cpus - 1

    @inline
    def body(k: Kernel, cpu: int) -> None:
        idle_exit(k, cpu)
        k.cpus.task[cpu] = cpu
        if cpu == last:
            register_kretprobe(k, cpu, last + 1)
        else:
            for n in range(rounds):
                call_and_return(k, cpu, cpu, 0, n)
        idle_enter(k, cpu)

    return Scene(f"register-{last}-{rounds}", asked.world("churn", maxactive=1), body, asked.cpus, REGISTRATION)
