"""A real process kills itself before its k-th store or lock operation, k = 1, 2, 3 ... until its rounds are complete.

Nothing is sampled: between two stores the arena does not change, so that these are all the places at which a CPU can die. The
text is left uncompiled, on a real arena with real locks; what recovers it is the text that recovers compiled runs.
"""

import os
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from shmkret import atomics, native, plain, recovery
from shmkret.atomics import NIL
from shmkret.audit import audit, books
from shmkret.cpu import end_round
from shmkret.kernel import Sizes, create_arena, geometry_of, kernel_of
from shmkret.oracle import WORKER_BUG
from shmkret.plain import PlainMachine, PlainWords
from shmkret.program import step
from shmkret.rcu import idle_enter, idle_exit
from shmkret.sched import schedule, yield_cpu
from shmkret.survive import LIVE
from tests.worlds import build_of

RECOVERER = 2
FAMILIES = ("owner", "pthread-robust", "sem")
ROUNDS = {
    "churn": (255,),
    "nested": (0,),
    "exits": (0,),
    "refuse": (0, 1),
    "handlers": (0,),
    "sleepers": (0, 1),
    "migrate": (0, 1),
}


class DyingMachine(PlainMachine):
    """Counts the accesses that change something; before the one that is told, SIGKILL."""

    def __init__(self, folder, die_at):
        super().__init__(folder)
        self.left = die_at

    def count(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def counted(name):
    def call(self, *args):
        self.count()
        return getattr(PlainMachine, name)(self, *args)

    return call


CHANGING = (
    "store_release", "exchange", "fetch_add", "cmpxchg", "sem_trywait", "sem_wait_unless", "sem_post", "robust_lock",
    "robust_unlock", "futex_wake", "mutex_trylock", "mutex_lock_unless", "mutex_unlock",
)  # fmt: skip
for name in CHANGING:
    setattr(DyingMachine, name, counted(name))


class DyingWords(PlainWords):
    """A column whose plain stores count too."""

    __slots__ = ("machine",)

    def __setitem__(self, i, value):
        self.machine.count()
        super().__setitem__(i, value)


def rounds(k, cpu, numbers):
    """Rounds of the worker program, with the scheduling around them."""
    idle_exit(k, cpu)
    task = schedule(k, cpu, NIL)
    for n in numbers:
        if task != NIL:
            step(k.worker, k, cpu, task, n)
            yield_cpu(k, cpu)
            task = end_round(k, cpu, task)
    idle_enter(k, cpu)


def die_at(build, k_th, numbers):
    """One death. Whether the rounds were completed instead; and what was wrong afterwards."""
    sizes = Sizes(maxactive=3)
    script = np.zeros(1, np.int64)
    with create_arena(build, sizes, script, geometry_of(build, sizes, 1, 2)) as arena:
        machine = PlainMachine(build.cache())
        native.free_locks(arena, machine, build, sizes)
        arena.records("runqueues")["quiescent"] = 1
        arena.records("recovery")["life"][[0, 1, RECOVERER]] = LIVE
        arena.records("recovery")["parked"][1] = 1
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                dying = DyingMachine(build.cache(), k_th)

                def column(section, field):
                    words = DyingWords(arena.records(section)[field])
                    words.machine = dying
                    return words

                with atomics.use(dying):
                    rounds(kernel_of(arena, column, build, sizes), 0, numbers)
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL)
        k = kernel_of(arena, partial(plain.column, arena), build, sizes)
        with atomics.use(machine):
            recovery.announce(k, 0)
            recovery.recover(k, RECOVERER)
            wrong = audit(arena, build.scheme, at_rest=False)
            # The slot is used again, and so are the lists: what was repaired must also work.
            k.recovery.life[0] = LIVE
            rounds(k, 1, numbers)
            rounds(k, 0, numbers)
        wrong += audit(arena, build.scheme, at_rest=False) + native.still_held(arena, machine, build, sizes)
        # Who dies between taking a probe away and putting it back leaves it away, which the worker program does not expect.
        wrong += [f"bug {bug}" for bug in arena.records("cpus")["bug"].tolist() if bug not in (0, WORKER_BUG)]
        counts = books(arena)
        if counts["calls"] == 0:
            wrong.append("no call was made")
        return status == 0, wrong


def crash_points(build, numbers):
    """Every k: how many there were, and what was wrong at which."""
    plain.PlainMachine(build.cache()).prepare()
    bad = {}
    for k_th in range(1, 5000):
        complete, wrong = die_at(build, k_th, numbers)
        if wrong:
            bad[k_th] = wrong
        if complete:
            return k_th, bad
    raise AssertionError("it never completes")


QUICK = [
    ("hashed", "owner", "nested"), ("global", "sem", "exits"),
]  # fmt: skip
ALL = [
    (scheme, lock, worker)
    for scheme in ("global", "hashed")
    for lock in ("owner", "pthread-robust", "sem")
    for worker in ROUNDS
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("scheme", "lock", "worker"), [pytest.param(*one, marks=() if one in QUICK else pytest.mark.full) for one in ALL]
)
def test_every_store_is_a_place_to_die(scheme, lock, worker):
    points, bad = crash_points(replace(build_of(worker, scheme, lock), recoverable=True), ROUNDS[worker])
    assert bad == {}
    assert points > 40


@pytest.mark.parametrize("mutant", ["late-intent"])
def test_a_wrong_order_of_writes_is_caught(mutant):
    build = replace(build_of("nested", "hashed", "owner"), recoverable=True, mutant=mutant)
    _, bad = crash_points(build, ROUNDS["nested"])
    assert bad != {}


if __name__ == "__main__":
    import sys
    import time

    for one in ALL:
        if len(sys.argv) > 1 and one[1] not in sys.argv[1:]:
            continue
        began = time.time()
        build = replace(build_of(one[2], *one[:2]), recoverable=True)
        points, bad = crash_points(build, ROUNDS[one[2]])
        print(*one, points, len(bad), list(bad.items())[:2], round(time.time() - began, 1), flush=True)
