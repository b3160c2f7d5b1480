"""told: one waits for a word that nobody writes, unless it is told to stop, which it is. It goes on."""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import EQ, inline, store_release, wait_unless


def scene(asked: Asked) -> Scene:
    """Two CPUs; run.gate is the stop word."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            came = wait_unless(k.script.word, X, EQ, 1, k.run.gate)
            store_release(k.script.word, ANSWER, 1 if came else 0)
        else:
            store_release(k.run.gate, 0, 1)

    return program(asked, "told", body, 2, never=any)
