"""A lock by itself as scenes: the trials of shmkret.explore.rehearsal.trials, written as the text, for the compiled executor.

Not here   `combine`, whose section is an object of Python's
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from shmkret.arch import ARCH
from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.explore.engines import states
from shmkret.explore.rehearsal.trial_text import (
    ADDED,
    COUNTER,
    DIED,
    FATE,
    FLAW,
    FLAWS,
    HOLDS,
    MET,
    NR_WORDS,
    ORPHAN,
    PARKED,
    ends,
    passes,
    reads,
    reads_two,
    resets,
    takes,
    takes_over,
    takes_robust,
    tries,
    tries_robust,
    waits,
    writes_two,
)
from shmkret.explore.scenario import Outcome, Violation
from shmkret.explore.scene import Scene
from shmkret.explore.stacks.executor import Stacks
from shmkret.kernel.program import WORKER
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins.registry import Plugin, find
from shmkret.schemes import SCHEME
from shmkret.text.atomics import NE, load_acquire, store_release, wait_until
from shmkret.text.marks import inline

Body = Callable[[Kernel, int], None]


def _bodies(cpus: int, rounds: int, nr_locks: int, slots: int) -> dict[str, tuple[str, Body, int]]:
    """By the name of a trial: the ability that it asks for, what CPUs do in it, how many of them there are."""

    @inline
    def acquire(k: Kernel, cpu: int) -> None:
        takes(k, cpu, rounds, nr_locks)
        ends(k, cpus, slots, nr_locks)

    @inline
    def try_acquire(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            takes(k, cpu, rounds, nr_locks)
        else:
            tries(k, cpu, rounds, nr_locks)
        ends(k, cpus, slots, nr_locks)

    @inline
    def shared(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            takes(k, cpu, rounds, nr_locks)
        else:
            reads(k, cpu, rounds, nr_locks)
        ends(k, cpus, slots, nr_locks)

    @inline
    def sequence(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            writes_two(k, cpu, rounds, nr_locks)
        else:
            reads_two(k, cpu, rounds, nr_locks)

    @inline
    def give_up(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            takes(k, cpu, rounds, nr_locks)
        elif cpu < cpus:
            waits(k, cpu, rounds, nr_locks)
        else:
            store_release(k.run.gate, 0, 1)
        ends(k, cpus + 1, slots, nr_locks)

    @inline
    def gate(k: Kernel, cpu: int) -> None:
        if cpu < cpus:
            passes(k, cpu, rounds, nr_locks)
        else:
            resets(k, cpus, slots, nr_locks)
        ends(k, cpus + 1, slots, nr_locks)

    @inline
    def died(k: Kernel) -> bool:
        wait_until(k.script.word, FATE, NE, 0)
        return load_acquire(k.script.word, FATE) == DIED

    @inline
    def announce(k: Kernel, dead: int) -> None:
        store_release(k.script.word, HOLDS + dead, 0)
        store_release(k.script.word, PARKED + dead, 1)
        store_release(k.script.word, FATE, DIED)

    @inline
    def lives(k: Kernel, cpu: int) -> None:
        if cpu == 0:
            store_release(k.script.word, FATE, 1)  # its last step; who recovers ends for it
        else:
            ends(k, cpus, slots, nr_locks)

    @inline
    def repair(k: Kernel, cpu: int) -> None:
        if cpu < cpus:
            passes(k, cpu, rounds, nr_locks)
            lives(k, cpu)
        elif cpu == cpus:
            if died(k):
                resets(k, cpus, slots, nr_locks)
            ends(k, cpus, slots, nr_locks)
        else:
            announce(k, cpu - cpus - 1)

    @inline
    def take_over(k: Kernel, cpu: int) -> None:
        if cpu < cpus:
            takes(k, cpu, rounds, nr_locks)
            lives(k, cpu)
        elif cpu == cpus:
            if died(k):
                takes_over(k, cpus, nr_locks)
            ends(k, cpus, slots, nr_locks)
        else:
            announce(k, cpu - cpus - 1)

    @inline
    def robust(k: Kernel, cpu: int) -> None:
        if cpu < cpus:
            takes_robust(k, cpu, rounds, nr_locks)
            lives(k, cpu)
        elif cpu == cpus:
            if died(k):
                tries_robust(k, cpus, nr_locks)
            ends(k, cpus, slots, nr_locks)
        else:
            announce(k, cpu - cpus - 1)

    return {
        "acquire": ("", acquire, cpus),
        "try": ("try", try_acquire, cpus),
        "shared": ("shared", shared, cpus),
        "sequence": ("sequence", sequence, cpus),
        "give up": ("owner", give_up, cpus + 1),
        "gate": ("gate", gate, cpus + 1),
        "repair": ("gate", repair, cpus + 1),
        "take over": ("owner", take_over, cpus + 1),
        "robust": ("robust", robust, cpus + 1),
    }


LARGEST, PLACES = 100_000_000, 1 << 28
NAMES = tuple(_bodies(2, 1, 1, 3))
MORTAL = ("repair", "take over", "robust")


def scene_of(
    lock: Plugin,
    trial: str,
    cpus: int = 2,
    rounds: int = 1,
    nr_locks: int = 1,
    seen: Callable[[Arena], object] = lambda _: None,
) -> Scene:
    """A lock in one trial. seen: called with the arena at each end. Raises: KeyError for a trial that is not here."""
    _, body, actors = _bodies(cpus, rounds, nr_locks, cpus + 1)[trial]
    build = Build(
        arch=find(ARCH, "x86-64"), scheme=find(SCHEME, "hashed"), lock=lock, worker=find(WORKER, "hot"), padding="packed",
        nr_cpus=cpus + 1, recoverable=False,
    )  # fmt: skip
    world = World(build, Sizes(maxactive=1, tasks=cpus + 1, probes=nr_locks), np.zeros(NR_WORDS, np.int64))
    name = f"{trial.replace(' ', '-')}-{cpus}-{rounds}-{nr_locks}"
    deadly = trial in MORTAL

    def check(_: World, arena: Arena) -> list[str]:
        seen(arena)
        return wrong(arena, nr_locks, deadly=deadly)

    return Scene(name, world, body, actors, SHARED, (0,) if deadly else (), int(deadly), deadly, check=check, only_locks=True)


SHARED = ("script", "run")


def wrong(arena: Arena, nr_locks: int, *, deadly: bool) -> list[str]:
    """What is wrong where every CPU has ended."""
    word = arena.records("script")["word"]
    found = [FLAWS[int(word[FLAW])]] if word[FLAW] else []
    total, added = int((word[COUNTER : COUNTER + nr_locks] & (ORPHAN - 1)).sum()), int(word[ADDED : ADDED + 16].sum())
    if total not in (added, added + int(deadly)):  # who dies may have added, and not said so
        found.append(f"{added} critical sections have counted to {total}")
    return found


def tried(lock: Plugin, trial: str, cpus: int = 2, rounds: int = 1, nr_locks: int = 1, limit: int = LARGEST) -> Outcome:
    """As shmkret.explore.rehearsal.trials.tried(), compiled: a lock in one trial, under every interleaving."""
    met: set[bool] = set()
    scene = scene_of(
        lock, trial, cpus, rounds, nr_locks, lambda arena: met.add(bool(arena.records("script")["word"][MET] >> 16))
    )
    with Stacks(scene, PLACES) as stacks:
        outcome = states.search(stacks, limit, math.inf)
    if trial == "shared" and cpus > 2 and outcome.complete and True not in met:
        outcome.violations.append(Violation("no two readers were ever inside at once", []))
    return outcome
