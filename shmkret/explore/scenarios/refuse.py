"""refuse: each CPU calls one probed function; its entry handler refuses any of the calls, or none.

script.word[0]           1 while calls are refused: one who is no CPU changes it at any time, as often as there are calls
script.word[1 + cpu]     how many calls of the CPU were to be refused
"""

from dataclasses import replace

import numpy as np

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.audit.checks import books
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene, at_rest
from shmkret.kernel.task import call_and_return
from shmkret.machines.world import World
from shmkret.text.atomics import exchange, load_acquire
from shmkret.text.marks import inline

REFUSED, TAKEN = 7, 8
"""Numbers of calls, as the worker program `refuse` has them."""


def scene(asked: Asked) -> Scene:
    """`rounds` calls a CPU."""
    cpus, rounds = asked.cpus, asked.rounds
    changes = cpus * rounds

    @inline
    def body(k: Kernel, cpu: int) -> None:
        if cpu == cpus:
            for n in range(changes):
                exchange(k.script.word, 0, 1 - n % 2)
        else:
            k.cpus.task[cpu] = cpu
            for _ in range(rounds):
                refused = load_acquire(k.script.word, 0)
                k.script.word[1 + cpu] = k.script.word[1 + cpu] + refused
                call_and_return(k, cpu, cpu, 0, REFUSED if refused != 0 else TAKEN)

    def check(world: World, arena: Arena) -> list[str]:
        counts, refused = books(arena), int(arena.records("script")["word"][1 : 1 + cpus].sum())
        taken = refused - counts["refused"] - counts["nmissed"]  # who finds no instance is not asked
        return [*at_rest(world, arena), *([f"{taken} calls that were refused have been probed"] if taken > 0 else ())]

    world = replace(asked.world("refuse"), script=np.zeros(1 + cpus, np.int64))
    return Scene(f"refuse-any-{cpus}-{rounds}", world, body, cpus + 1, ("script",), check=check)
