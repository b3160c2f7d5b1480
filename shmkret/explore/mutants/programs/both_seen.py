"""both-seen: each stores a word and reads the other's. That both read 1 must be seen, whoever is slow."""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, Y, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import inline, load_acquire, store_release


def scene(asked: Asked) -> Scene:
    """Two CPUs."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        word = k.script.word
        store_release(word, X + cpu, 1)
        store_release(word, ANSWER + cpu, load_acquire(word, Y - cpu))

    return program(asked, "both-seen", body, 2, seen=[(1, 1)])
