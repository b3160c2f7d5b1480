"""third-has-it: a lock is released and taken by a third; who released it dies before it wakes who sleeps.

    CPU 0 releases       CPU 1 sleeps       CPU 2 takes the lock, which it need not wait for

Who recovers does not find the lock with the dead one, nor free. Who sleeps must be woken all the same.
"""

from dataclasses import replace

from shmkret import locks
from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.mutants.litmus import X, program
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.text import NE, inline, load_acquire, store_release, wait_until

LIVED, DIED = 1, 2


def scene(asked: Asked) -> Scene:
    """Three CPUs, the first of which has the lock `owner`, and one who recovers. X: what became of the first."""

    @inline
    def body(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            locks.release(k.other_locks, 0, cpu)
            store_release(k.script.word, X, LIVED)
        elif cpu < 3:
            locks.acquire(k.other_locks, 0, cpu)
            locks.release(k.other_locks, 0, cpu)
        elif cpu == 3:
            wait_until(k.script.word, X, NE, 0)
            if load_acquire(k.script.word, X) == DIED:
                if locks.take_over(k.other_locks, 0, 0, cpu):
                    locks.release(k.other_locks, 0, cpu)
                locks.wake_all(k.other_locks, 0)
        else:
            store_release(k.script.word, X, DIED)

    def prepare(arena: Arena) -> None:
        arena.records("locks")["owner"][0] = 1

    return replace(program(asked, "third-has-it", body, 4, mortal=(0,), announces=True), prepare=prepare)
