"""dies-between: a CPU stores two words, and may die before any step. That another sees the first without the second for ever,
and that it dies before both, must be possible: the announcement says what was there.
"""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, Y, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import inline, load_acquire, store_release


def scene(asked: Asked) -> Scene:
    """Two CPUs, the first of which may die; then its answer is 10, and the first word."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        word = k.script.word
        if cpu == 0:
            store_release(word, X, 1)
            store_release(word, Y, 1)
        elif cpu == 1:
            store_release(word, ANSWER + 1, load_acquire(word, Y))
        else:
            store_release(word, ANSWER, 10 + load_acquire(word, X))

    return program(asked, "dies-between", body, 2, seen=[(11, 0)], mortal=(0,), announces=True)
