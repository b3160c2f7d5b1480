"""flush: CPU 0's task exits inside the probed function from which the others return; all are in one bucket."""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel import kprobes
from shmkret.kernel.kretprobes import kprobe_flush_task
from shmkret.kernel.task import call_and_return, call_site, fork_task
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` exits, beside as many calls of every other CPU."""
    rounds = asked.rounds

    @inline
    def body(k: Kernel, cpu: int) -> None:
        k.cpus.task[cpu] = cpu
        for n in range(rounds):
            if cpu == 0:
                kprobes.call(k, cpu, cpu, 0, call_site(cpu, n))
                kprobe_flush_task(k, cpu, cpu)
                fork_task(k, cpu)
            else:
                call_and_return(k, cpu, cpu, 0, n)

    return Scene(f"flush-{rounds}", asked.world(one_bucket=True), body, asked.cpus)
