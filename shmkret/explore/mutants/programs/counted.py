"""counted: each adds to a word in two steps. That what the first adds is lost must be seen."""

from shmkret.arena.records import Kernel
from shmkret.explore.mutants.litmus import ANSWER, X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import EQ, fetch_add, inline, load_relaxed, store_relaxed, wait_until


def scene(asked: Asked) -> Scene:
    """Two CPUs, which add 1 and 2; both answer the sum."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        word = k.script.word
        store_relaxed(word, X, load_relaxed(word, X) + 1 + cpu)
        fetch_add(word, X + 1, 1)
        wait_until(word, X + 1, EQ, 2)
        store_relaxed(word, ANSWER + cpu, load_relaxed(word, X))

    return program(asked, "counted", body, 2, seen=[(2, 2)])
