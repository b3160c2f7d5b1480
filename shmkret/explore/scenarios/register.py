"""register: the last CPU puts a second probe on the function that the others call, and takes it away again.

Where free instances are in lists, the first probe has none, so that each of its hits is missed and counted: none of them may
fail to come.
"""

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene, at_rest
from shmkret.explore.snapshot import REGISTRATION
from shmkret.kernel.rcu import idle_enter, idle_exit
from shmkret.kernel.registration import register_kretprobe, unregister_probe
from shmkret.kernel.task import call_and_return
from shmkret.machines.world import World
from shmkret.moves import IN_BUCKETS
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` calls of every CPU but the last. Probe `cpus` of the worker program `churn` is on function 0, as probe 0 is."""
    rounds, last = asked.rounds, asked.cpus - 1
    in_lists = set(asked.scheme.constants.lists) == set(IN_BUCKETS)

    @inline
    def body(k: Kernel, cpu: int) -> None:
        idle_exit(k, cpu)
        k.cpus.task[cpu] = cpu
        if cpu == last:
            register_kretprobe(k, cpu, last + 1)
            unregister_probe(k, cpu, last + 1)
        else:
            for n in range(rounds):
                call_and_return(k, cpu, cpu, 0, n)
        idle_enter(k, cpu)

    def prepare(arena: Arena) -> None:
        if not in_lists:
            return
        probes, instances, registry = (arena.records(name) for name in ("probes", "instances", "registry"))
        ri = int(probes["free"][0])
        instances["rp"][ri], instances["next"][ri], probes["free"][0] = NIL, registry["slab"][0], NIL
        registry["slab"][0] = ri
        probes["maxactive"][0] = 0  # as many as it has: the audit counts them

    def check(world: World, arena: Arena) -> list[str]:
        calls, hits = rounds * last, int(arena.records("probes")["nmissed"][0])
        lost = [f"{calls} calls, but {hits} hits of their first probe"] if in_lists and hits != calls else []
        return [*at_rest(world, arena), *lost]

    world = asked.world("churn", maxactive=1)
    return Scene(f"register-{last}-{rounds}", world, body, asked.cpus, REGISTRATION, prepare=prepare, check=check)
