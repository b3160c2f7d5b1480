"""message: a value, then a flag that it is there. Who sees the flag sees the value."""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, Y, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import NE, inline, load_acquire, store_release, wait_until


def scene(asked: Asked) -> Scene:
    """Three CPUs: one says, one hands on, one listens."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        word = k.script.word
        if cpu == 0:
            word[X] = 5
            store_release(word, Y, 1)
        elif cpu == 1:
            seen = load_acquire(word, Y)
            store_release(word, ANSWER + cpu, word[X] - 5 if seen == 1 else 0)
        else:
            wait_until(word, Y, NE, 0)
            store_release(word, ANSWER + cpu, word[X] - 5)

    return program(asked, "message", body, 3, never=any)
