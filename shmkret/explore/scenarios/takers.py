"""takers: one function has a probe of each CPU, and each takes its own away, all of them at once."""

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.explore.snapshot import REGISTRATION
from shmkret.kernel.rcu import idle_enter, idle_exit
from shmkret.kernel.registration import register_probe, unregister_probe
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` times a CPU, which puts it back between two times."""
    rounds, cpus = asked.rounds, asked.cpus

    @inline
    def body(k: Kernel, cpu: int) -> None:
        idle_exit(k, cpu)
        k.cpus.task[cpu] = cpu
        for n in range(rounds):
            if n > 0:
                register_probe(k, cpu, cpu)
            unregister_probe(k, cpu, cpu)
        idle_enter(k, cpu)

    def prepare(arena: Arena) -> None:
        probes, functions = arena.records("probes"), arena.records("functions")
        probes["function"][:cpus], probes["next"][:cpus] = 0, [NIL, *range(cpus - 1)]
        functions["kprobe"][0], functions["kprobe"][1:] = cpus - 1, NIL

    return Scene(f"takers-{cpus}-{rounds}", asked.world("spread", maxactive=1), body, cpus, REGISTRATION, prepare=prepare)
