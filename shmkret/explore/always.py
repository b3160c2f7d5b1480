"""What is asked of every new state: what the scheme, the lock and the scene say that always holds, as one question of the text.

    question(scene)                 the question: 0, or what is wrong; None where there is nothing to ask
    sentence(scene, arena, told)    that in words

It depends on the state alone: on the words of the arena, and on no way that led there.
"""

from __future__ import annotations

from collections.abc import Callable

from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.records import RUNQUEUE_LOCKS, Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.scene import Scene, nothing_more
from shmkret.locks import always as lock_always
from shmkret.machines.world import lock_name
from shmkret.moves.always import WHICH
from shmkret.moves.intents import PROBE, SYSTEM, TABLE, has_array, number_of
from shmkret.schemes import always as scheme_always
from shmkret.text.marks import inline
from shmkret.text.verbs import has_verb

FROM_LOCK, FROM_SCENE = 1 << 32, 2 << 32
"""Whose sentence it is; else the scheme's."""


def question(scene: Scene) -> Callable[[Kernel], int] | None:
    """A function of the text."""
    own = scene.always

    @inline
    def asks_locks(k: Kernel) -> int:
        return of_locks(k)

    @inline
    def asks(k: Kernel) -> int:
        told = scheme_always(k.scheme, k)
        if told == 0:
            told = of_locks(k)
        if told == 0:
            told = own(k)
            if told != 0:
                told |= FROM_SCENE
        return told

    if scene.only_locks and own is nothing_more:
        return asks_locks if scene.world.build.lock.own("always") else None
    return asks


@inline
def of_locks(k: Kernel) -> int:
    """The first lock with which something is wrong."""
    told = 0
    if has_verb(k.system_locks, "always"):
        told = of_array(k, k.system_locks, SYSTEM, RUNQUEUE_LOCKS + k.nr_cpus)
        if has_array(k.scheme, "table") and told == 0:
            told = of_array(k, k.table_locks, TABLE, NR_BUCKETS)
        if has_array(k.scheme, "locks") and told == 0:
            told = of_array(k, k.other_locks, PROBE, k.nr_locks)
    return told


@inline
def of_array(k: Kernel, locks: object, array: int, nr: int) -> int:
    """Of one array of locks."""
    told = 0
    for i in range(nr):
        if told == 0:
            told = lock_always(locks, i, k.nr_slots)
            if told != 0:
                told |= FROM_LOCK | (number_of(k, array, i) << WHICH)
    return told


def sentence(scene: Scene, arena: Arena, told: int) -> str:
    """What was answered, in words."""
    build = scene.world.build
    which, number = (told & FROM_LOCK - 1) >> WHICH, told & (1 << WHICH) - 1
    from_whom = told & ~(FROM_LOCK - 1)
    found = {0: build.scheme.constants.always, FROM_LOCK: build.lock.constants.always}.get(from_whom, scene.sentences)
    words = (
        found[number - 1] if 0 < number <= len(found) else f"always() has answered {number}, and ALWAYS has no such sentence"
    )
    return words.format(lock_name(arena, which) if from_whom == FROM_LOCK else which)
