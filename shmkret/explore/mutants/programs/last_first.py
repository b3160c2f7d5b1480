"""last-first: three exchange one word. That the last CPU comes first, the first second, must be seen."""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import exchange, inline, store_release


def scene(asked: Asked) -> Scene:
    """Three CPUs; each answers who came before it."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        store_release(k.script.word, ANSWER + cpu, exchange(k.script.word, X, 1 + cpu))

    return program(asked, "last-first", body, 3, seen=[(3, 1, 0)])
