"""stopped: as `calls`, and any CPU may stand still for good before any of its steps: does anybody wait for it?

Who is stopped for a while needs no scenario: to any search that is another order of the steps. Where a lock is on the path,
its holder may stop, and the search finds who waits for it. Of a path that is complete here nobody waits for another.
"""

from shmkret.arena.records import Kernel
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.kernel.task import call_and_return
from shmkret.text.marks import inline

DEATHS = 1
STOPS = True


def scene(asked: Asked) -> Scene:
    """`rounds` calls a CPU."""
    rounds = asked.rounds

    @inline
    def body(k: Kernel, cpu: int) -> None:
        k.cpus.task[cpu] = cpu
        for n in range(rounds):
            call_and_return(k, cpu, cpu, 0, n)

    return Scene(
        f"stopped-{rounds}",
        asked.world(),
        body,
        asked.cpus,
        mortal=tuple(range(asked.cpus)),
        deaths=asked.deaths,
        stops=True,
    )
