"""Recovery under the explorer: one CPU dies before any of its steps, beside another and a recoverer, under every interleaving."""

from functools import partial

import numpy as np
import pytest

from shmkret import recovery
from shmkret.atomics import NIL, store_release
from shmkret.audit import audit
from shmkret.cpu import STOP
from shmkret.explored import Scenario, Snapshot, explore
from shmkret.hash import hash_ptr
from shmkret.intents import MUTANTS, begin_wait
from shmkret.kernel import Sizes, create_arena, geometry_of
from shmkret.probes import call_and_return
from shmkret.recovery import EMPTY, LIVE
from shmkret.sched import schedule
from tests.worlds import build_of
from dataclasses import replace


def recoverable(scheme, lock, mutant="", worker="hot", nr_cpus=2):
    return replace(build_of(worker, scheme, lock, nr_cpus=nr_cpus), recoverable=True, mutant=mutant)


def die_once(build, body, mortal=(0,), deaths=1, limit=400_000, seconds=500.0, nr_recoverers=1, same_bucket=False, **sizes):
    """`body(k, cpu)` on every CPU, and recoverers; each of `mortal` may die at any step."""
    sizes = Sizes(**{"maxactive": 2, **sizes})
    geometry = geometry_of(build, sizes, 1, nr_recoverers)
    recoverers = range(build.nr_cpus, build.nr_cpus + nr_recoverers)
    with create_arena(build, sizes, np.zeros(1, np.int64), geometry) as arena:
        multiplier = int(arena.header["hash_multiplier"][0])
        if same_bucket:
            arena.records("tasks")["address"] = arena.records("tasks")["address"][0]
        buckets = {hash_ptr(int(address), multiplier) for address in arena.records("tasks")["address"]}
        arena.records("recovery")["life"] = LIVE
        arena.records("runqueues")["quiescent"] = 0
        snapshot = Snapshot(arena, build, sizes, (), buckets)

        def scenario(machine):
            k = snapshot.kernel(machine)
            ended = set()

            def cpu(i):
                schedule(k, i, NIL)
                body(k, i)
                begin_wait(k.mode.recovery, k, i)
                ended.add(i)

            def recoverer(r):
                """It takes the place of the one before it, when that is dead; it ends when all others have."""

                def called():
                    return all(life.values[before] != LIVE for before in range(build.nr_cpus, r)) and deaths.values[0] != 0

                life, deaths = k.recovery.life, k.run.deaths
                while True:
                    machine.access("wait", deaths, 0, writes=False, possible=lambda: called() or len(ended) >= r)
                    if not called():
                        break
                    store_release(deaths, 0, 0)
                    recovery.recover(k, r)
                ended.add(r)

            def announce(i):
                ended.add(i)
                recovery.announce(k, i)

            def check():
                return snapshot.audit(machine, k)

            bodies = [partial(cpu, i) for i in range(build.nr_cpus)] + [partial(recoverer, r) for r in recoverers]
            return Scenario(bodies, check, mortal, deaths, announce)

        return explore(scenario, limit, seconds)


if __name__ == "__main__":
    import sys, time
    for scheme in ("global", "hashed"):
        for lock in sys.argv[2:] or ("owner", "pthread-robust", "sem", "ttas"):
            began = time.time()
            o = die_once(recoverable(scheme, lock), lambda k, i: call_and_return(k, i, k.cpus.task[i], 0, 0), seconds=float(sys.argv[1]), limit=5_000_000)
            print(scheme, lock, o.complete, o.states, o.schedules, round(time.time() - began, 1), o.violations[:1], flush=True)
