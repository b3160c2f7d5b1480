"""unregister: the last CPU takes away the probe of the function that the others call: beside its entry, and its return.

Inside the function a CPU passes a quiescent state, as one does whose task sleeps there: a grace period may end meanwhile, and
the call that is in flight loses its probe.
"""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.explore.snapshot import REGISTRATION
from shmkret.kernel import kprobes
from shmkret.kernel.rcu import idle_enter, idle_exit, quiescent_state
from shmkret.kernel.registration import unregister_probe
from shmkret.kernel.task import call_site, check_return
from shmkret.text.marks import inline


@inline
def call_and_return_later(k: Kernel, cpu: int, n: int) -> None:
    """The n-th call of function 0 by the CPU's task; others may have seen this CPU quiescent before it returns."""
    sp = k.tasks.sp[cpu]
    kprobes.call(k, cpu, cpu, 0, call_site(cpu, n))
    quiescent_state(k, cpu)
    kprobes.ret(k, cpu, cpu)
    check_return(k, cpu, cpu, call_site(cpu, n), sp)


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
                call_and_return_later(k, cpu, n)
        idle_enter(k, cpu)

    return Scene(f"unregister-{last}-{rounds}", asked.world(maxactive=1), body, asked.cpus, REGISTRATION)
