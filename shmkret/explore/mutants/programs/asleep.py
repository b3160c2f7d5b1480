"""asleep: one sleeps unless a word has changed; the other wakes, and changes the word after. That it sleeps for ever must be
seen.
"""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import futex_wait, futex_wake, inline, store_release


def scene(asked: Asked) -> Scene:
    """Two CPUs."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            futex_wait(k.script.word, X, 0)
        else:
            futex_wake(k.script.word, X, 1)
            store_release(k.script.word, X, 1)

    return program(asked, "asleep", body, 2)
