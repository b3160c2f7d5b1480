"""private: two CPUs use a word that is taken for one's own until another uses it. That each reads the other's must be seen.

The words are `place` of two tasks, which no CPU shares in other scenarios.
"""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import inline, load_acquire, store_release


def scene(asked: Asked) -> Scene:
    """Two CPUs; each answers what the other has written, if it has."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        store_release(k.tasks.place, cpu, 1)
        store_release(k.script.word, ANSWER + cpu, load_acquire(k.tasks.place, 1 - cpu))
        store_release(k.tasks.place, cpu, 0)

    return program(asked, "private", body, 2, seen=[(1, 1)])
