"""orphans: as `unregister`, and CPU 0's task exits inside the probed function instead of returning from it.

All tasks are in one bucket.
"""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scenarios.unregister import call_and_return_later
from shmkret.explore.scene import Scene
from shmkret.explore.snapshot import REGISTRATION
from shmkret.kernel import kprobes
from shmkret.kernel.kretprobes import kprobe_flush_task
from shmkret.kernel.rcu import idle_enter, idle_exit, quiescent_state
from shmkret.kernel.registration import unregister_probe
from shmkret.kernel.task import call_site, fork_task
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` exits, beside as many calls of every CPU but the last."""
    rounds, last = asked.rounds, asked.cpus - 1

    @inline
    def body(k: Kernel, cpu: int) -> None:
        idle_exit(k, cpu)
        k.cpus.task[cpu] = cpu
        if cpu == last:
            unregister_probe(k, cpu, 0)
        else:
            for n in range(rounds):
                if cpu == 0:
                    kprobes.call(k, cpu, cpu, 0, call_site(cpu, n))
                    quiescent_state(k, cpu)
                    kprobe_flush_task(k, cpu, cpu)
                    fork_task(k, cpu)
                else:
                    call_and_return_later(k, cpu, n)
        idle_enter(k, cpu)

    return Scene(f"orphans-{last}-{rounds}", asked.world(one_bucket=True, maxactive=1), body, asked.cpus, REGISTRATION)
