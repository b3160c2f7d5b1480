"""plainly: a plain store beside an atomic load. It must be seen as a race."""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import inline, load_acquire, store_release


def scene(asked: Asked) -> Scene:
    """Two CPUs."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        word = k.script.word
        if cpu == 0:
            word[X] = 1
        else:
            store_release(word, ANSWER + cpu, load_acquire(word, X))

    return program(asked, "plainly", body, 2)
