"""passage: each CPU takes and releases one lock, `rounds` times, and nothing else: no counter, no end that others see."""

from shmkret import locks
from shmkret.explore.scene import Scene
from shmkret.text.marks import inline


def scene(asked):
    rounds = asked.rounds

    @inline
    def body(k, cpu):
        for _ in range(rounds):
            locks.acquire(k.other_locks, 0, cpu)
            locks.release(k.other_locks, 0, cpu)

    return Scene(f"passage-{rounds}", asked.world(), body, asked.cpus, check=lambda *_: [])
