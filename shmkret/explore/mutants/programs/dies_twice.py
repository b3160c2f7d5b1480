"""dies-twice: two CPUs may die, at most one of them does. So one at least comes to its end."""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import EQ, fetch_add, inline, store_release, wait_until


def scene(asked: Asked) -> Scene:
    """Three CPUs; the third waits until both have ended or died, and answers 1 where both have died."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        word = k.script.word
        if cpu < 2:
            fetch_add(word, X, 1)
        elif cpu == 2:
            wait_until(word, X, EQ, 2)
            store_release(word, ANSWER + 2, word[ANSWER] * word[ANSWER + 1])
        else:
            store_release(word, ANSWER + cpu - 3, 1)
            fetch_add(word, X, 1)

    def both_died(answers: tuple[int, ...]) -> bool:
        return answers[2] == 1

    return program(asked, "dies-twice", body, 3, never=both_died, mortal=(0, 1), announces=True)
