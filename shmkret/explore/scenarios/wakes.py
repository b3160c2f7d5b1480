"""wakes: CPU 0's task goes to sleep, and the last CPU wakes it, at any time from then on that it might; it runs again.

run.gate     how often the task has been about to sleep, and has been woken: it is odd while a waking is to come
"""

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene, at_rest
from shmkret.kernel.sched import block, schedule, wake
from shmkret.machines.world import World
from shmkret.text.atomics import EQ, NE, NIL, fetch_add, wait_until
from shmkret.text.marks import inline


def scene(asked: Asked) -> Scene:
    """`rounds` sleeps. CPUs between the first and the last yield meanwhile."""
    rounds, last = asked.rounds, asked.cpus - 1

    @inline
    def body(k: Kernel, cpu: int) -> None:
        task = schedule(k, cpu, NIL)
        for n in range(rounds):
            if cpu == 0:
                block(k, cpu)
                fetch_add(k.run.gate, 0, 1)
                task = schedule(k, cpu, task)
                while task == NIL:
                    wait_until(k.runqueues.first, cpu, NE, NIL)
                    task = schedule(k, cpu, NIL)
                wait_until(k.run.gate, 0, EQ, 2 * n + 2)
            elif cpu == last:
                wait_until(k.run.gate, 0, EQ, 2 * n + 1)
                wake(k, cpu, 0)
                fetch_add(k.run.gate, 0, 1)
            else:
                task = schedule(k, cpu, task)

    def prepare(arena: Arena) -> None:
        arena.records("run")["gate"] = 0

    def check(world: World, arena: Arena) -> list[str]:
        queued = int(arena.records("runqueues")["first"][0])
        return [*at_rest(world, arena), *([f"task {queued} runs on cpu 0, and is on its queue"] if queued != NIL else ())]

    shared = ("cpus", "tasks")
    return Scene(f"wakes-{last}-{rounds}", asked.world(), body, asked.cpus, shared, prepare=prepare, check=check)
