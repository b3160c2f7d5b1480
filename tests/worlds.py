"""Builds and small arenas for tests, and the explored worlds on them."""

from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from shmkret.arch import ARCH
from shmkret.explore.engines import exhaustive
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.scenario import Outcome, Scenario
from shmkret.explore.schedule import explore
from shmkret.explore.snapshot import Snapshot
from shmkret.kernel.cpu import one_round
from shmkret.kernel.program import WORKER, step
from shmkret.locks import LOCK
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins import registry
from shmkret.schemes import SCHEME

HERE = Path(__file__).parent
SOUND = sorted(set(registry.names(LOCK)) - {"empty", "busted"})
SCHEMES = registry.names(SCHEME)
ARCHS = registry.names(ARCH)
WORKERS = registry.names(WORKER)


def build_of(worker="hot", scheme="hashed", lock="ttas", arch="x86-64", nr_cpus=2, bugs=(), padding="cacheline") -> Build:
    return Build(
        arch=registry.find(ARCH, arch),
        scheme=registry.find(SCHEME, scheme),
        lock=registry.find(LOCK, lock),
        worker=registry.find(WORKER, str(worker)),
        padding=padding,
        nr_cpus=nr_cpus,
        extra_bugs=frozenset(bugs),
    )


class Explored:
    """A small arena of a world, to be explored."""

    def __init__(self, build: Build, shared=(), **sizes):
        self.build = build
        self.world = World.of(build, Sizes(**{"maxactive": 2, **sizes}), seed=1)
        self.arena = self.world.create_arena()
        self.snapshot = Snapshot(self.world, self.arena, shared)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.arena.close()

    def explore(self, bodies, at_rest=True, limit=2_000_000, after=lambda k: None) -> Outcome:
        """Every interleaving of `bodies(k)`, one a CPU, and the audit after each; then `after(k)`."""

        def scenario(machine: ExploredMachine) -> Scenario:
            k = self.snapshot.kernel(machine)

            def check():
                after(k)
                return self.snapshot.audit(machine, k, at_rest=at_rest)

            return Scenario(bodies(k), check)

        return explore(scenario, limit)


def one_round_each(worker="hot", scheme="hashed", lock="ttas", arch="x86-64", nr_cpus=2, bugs=(), n=0, shared=(), **sizes):
    """CPUs, each one round of the worker program, under every interleaving. Quiescent states only where probes come and go."""

    def only_step(k, i):
        k.cpus.task[i] = i
        step(k.worker, k, i, i, n)

    def whole_round(k, i):
        one_round(k, i, i, n)

    body = whole_round if shared else only_step
    with Explored(build_of(worker, scheme, lock, arch, nr_cpus, bugs), shared, **sizes) as world:
        return world.explore(lambda k: [partial(body, k, i) for i in range(nr_cpus)])


@contextmanager
def of_the_last_attempt(seen):
    """A search begins anew when it learns that a word is shared. What was seen before that is forgotten, or it would make up
    for what the last attempt leaves out.
    """

    class Attempt(exhaustive._Attempt):
        def __init__(self, *args):
            seen.clear()
            super().__init__(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exhaustive, "_Attempt", Attempt)
        yield


def busted_gate(folder):
    """The control `busted` as a recoverable lock, in a file; its path."""
    source = (build_of(lock="busted").lock.path).read_text()
    path = folder / "busted_gate.py"
    path.write_text(
        source.replace("CONTROL = True\n", "").replace("import EQ, Words", "import EQ, NIL, Words, wait_unless")
        + "\n\ndef acquire_unless(lock, i, stop):\n"
        "    if not wait_unless(lock.locked, i, EQ, 0, stop):\n        return False\n"
        "    store_release(lock.locked, i, 1)\n    return True\n\n\n"
        "def reset(lock, i, owner):\n    store_release(lock.locked, i, 0 if owner == NIL else 1)\n"
    )
    return str(path)
