"""own-words: what one CPU has seen is kept in a word of its own alone. That it has seen what the other wrote must be seen."""

from dataclasses import replace

from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.mutants.litmus import X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.machines.world import World
from shmkret.text import inline, load_acquire, store_release


def scene(asked: Asked) -> Scene:
    """Two CPUs; the first keeps what it has seen with its task."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            k.tasks.retval[0] = load_acquire(k.script.word, X)
        else:
            store_release(k.script.word, X, 1)

    def check(_: World, arena: Arena) -> list[str]:
        return ["own-words: 1 is seen"] if int(arena.records("tasks")["retval"][0]) == 1 else []

    return replace(program(asked, "own-words", body, 2), check=check)
