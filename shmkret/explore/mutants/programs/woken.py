"""woken: two sleep unless a word has changed; a third changes it, and wakes both. Nobody sleeps for ever, and no sleep ends
before the word has changed.
"""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import futex_wait, futex_wake, inline, load_acquire, store_release


def scene(asked: Asked) -> Scene:
    """Three CPUs; who has slept answers 1 where the word has not changed."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        word = k.script.word
        if cpu < 2:
            futex_wait(word, X, 0)
            store_release(word, ANSWER + cpu, 1 - load_acquire(word, X))
        else:
            store_release(word, X, 1)
            futex_wake(word, X, 2)

    return program(asked, "woken", body, 3, never=any)
