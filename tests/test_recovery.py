"""Recovery under the explorer: a CPU dies before any of its steps, beside another and a recoverer."""

import contextlib
import itertools
import sys
from dataclasses import replace
from functools import partial

import pytest

from shmkret.arena.hashing import hash_ptr
from shmkret.explore.scenario import Scenario
from shmkret.explore.schedule import explore
from shmkret.explore.snapshot import Snapshot
from shmkret.kernel.sched import schedule
from shmkret.kernel.task import call_and_return
from shmkret.machines import plain
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.moves.always import told
from shmkret.moves.intents import HAND, TABLE, begin_wait, number_of
from shmkret.moves.locking import lock_inside, lock_probe, lock_table, unlock_probe, unlock_table
from shmkret.recovery import recoverer as recovery
from shmkret.recovery.taking import LIVE, free_locks
from shmkret.schemes import always
from shmkret.schemes.global_ import LACKS
from shmkret.text import atomics
from shmkret.text.atomics import NIL, store_release
from tests.worlds import build_of, busted_gate


def recoverable(scheme, lock, mutant="", worker="hot", nr_cpus=2):
    return replace(build_of(worker, scheme, lock, nr_cpus=nr_cpus), recoverable=True, mutant=mutant)


class NoSuchStep(Exception):
    """CPU 0 has ended before it comes to that step."""


class AtStep:
    """Who is mortal when CPU 0 is so before its k-th step alone."""

    def __init__(self, machine, kth, mortal):
        self.machine, self.kth, self.mortal = machine, kth, mortal

    def __iter__(self):
        steps = self.machine.cpus[0].steps
        return (cpu for cpu in self.mortal if cpu != 0 or steps == self.kth)


def die_once(build, body, mortal=(0,), deaths=1, limit=400_000, nr_recoverers=1, at=None, **sizes):
    """`body(k, cpu)` on every CPU, and recoverers; each of `mortal` may die at any step, or CPU 0 before its step `at`."""
    world = World.of(build, Sizes(**{"maxactive": 2, **sizes}))
    recoverers = range(build.nr_cpus, build.nr_cpus + nr_recoverers)
    with world.create_arena(world.geometry(nr_recoverers)) as arena:
        multiplier = int(arena.header["hash_multiplier"][0])
        buckets = {hash_ptr(int(address), multiplier) for address in arena.records("tasks")["address"]}
        arena.records("recovery")["life"][: build.nr_cpus + 1] = LIVE
        arena.records("runqueues")["quiescent"] = 0
        snapshot = Snapshot(world, arena, (), buckets)

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
                    store_release(life, r, LIVE)
                    store_release(deaths, 0, 0)
                    recovery.recover(k, r)
                ended.add(r)

            def announce(i):
                ended.add(i)
                died.add(i)
                recovery.announce(k, i)

            def check():
                return snapshot.audit(machine, k)

            bodies = [partial(cpu, i) for i in range(build.nr_cpus)] + [partial(recoverer, r) for r in recoverers]
            return Scenario(bodies, check, mortal if at is None else AtStep(machine, at, mortal), deaths, announce)

        died = set()
        outcome = explore(scenario, limit)
    if at is not None and 0 not in died and not outcome.violations:
        raise NoSuchStep(at)
    return outcome


def one_call(k, cpu):
    call_and_return(k, cpu, k.cpus.task[cpu], 0, 0)


COMPLETE = {
    ("global", "pthread-robust"): (0, 10, 30, 40),
    ("hashed", "pthread-robust"): (0, 10, 30),
    ("global", "sem"): (0, 10),
    ("hashed", "sem"): (0, 10),
}
"""Steps at which a death is searched to the end within some 60,000 states. All others are searched compiled."""


@pytest.mark.parametrize(
    ("scheme", "lock", "at"),
    [
        pytest.param(*build, at, marks=() if (build, at) == (("hashed", "sem"), 10) else pytest.mark.full)
        for build, steps in COMPLETE.items()
        for at in steps
    ],
)
def test_nothing_is_lost_when_a_cpu_dies_at_this_step_beside_another(scheme, lock, at):
    outcome = die_once(recoverable(scheme, lock), one_call, at=at)
    assert outcome.violations == []
    assert outcome.complete


@pytest.mark.parametrize(
    ("scheme", "lock"),
    [("hashed", "owner"), ("hashed", "sem"), ("global", "pthread-robust"), ("hashed", "mcs"), ("hashed", "clh")],
)
def test_no_death_of_a_cpu_that_is_alone_is_lost(scheme, lock):
    """One CPU and a recoverer: every step is a place to die, and the search is complete."""
    outcome = die_once(recoverable(scheme, lock, nr_cpus=1), one_call)
    assert outcome.complete
    assert outcome.violations == []
    assert outcome.states > 1000


def nobodys(record):
    """One CPU at most uses these words."""
    for field in record:
        if isinstance(field, tuple):
            nobodys(field)
        elif not isinstance(field, int):
            field.private = True


def die_on_one_lock(lock, nr_cpus=2, limit=100_000):
    """CPUs take one lock, and no other; CPU 0 may die at any step. The text is that of a run, but for what is no lock."""
    world = World.of(recoverable("global", lock, nr_cpus=nr_cpus), Sizes(maxactive=2))
    with world.create_arena(world.geometry(1)) as arena:
        arena.records("recovery")["life"][: nr_cpus + 1] = LIVE
        snapshot = Snapshot(world, arena)

        def scenario(machine):
            k = snapshot.kernel(machine)
            nobodys((k.system_locks, k.recovery.since_ns))
            ended = set()

            def cpu(i):
                lock_probe(k, i, k.scheme.locks, 0)
                k.registry.slab[0] = k.registry.slab[0]
                unlock_probe(k, i, k.scheme.locks, 0)
                begin_wait(k.mode.recovery, k, i)
                ended.add(i)

            def recoverer():
                deaths = k.run.deaths
                has_died = partial(machine.access, "wait", deaths, 0, writes=False)
                if has_died(possible=lambda: deaths.values[0] != 0 or len(ended) == nr_cpus) != 0:
                    free_locks(k, nr_cpus, NIL)

            def announce(i):
                ended.add(i)
                recovery.announce(k, i)

            bodies = [*(partial(cpu, i) for i in range(nr_cpus)), recoverer]
            return Scenario(bodies, lambda: snapshot.audit(machine, k), (0,), 1, announce)

        return explore(scenario, limit)


@pytest.mark.parametrize("lock", ["mcs", "clh"])
def test_a_queue_is_made_anew_whoever_of_it_has_died(lock):
    """With the gate as it is; tests/test_gate.py has three CPUs, and a model of the gate."""
    outcome = die_on_one_lock(lock)
    assert outcome.violations == []
    assert outcome.complete


def nested_locks(k, cpu):
    """CPU 0 takes the probe's lock; the others take it inside their bucket's."""
    if cpu == 0:
        lock_probe(k, cpu, k.scheme.locks, 0)
        unlock_probe(k, cpu, k.scheme.locks, 0)
    else:
        bucket = hash_ptr(k.tasks.address[k.cpus.task[cpu]], k.hash_multiplier)
        lock_table(k, cpu, k.scheme.table, bucket)
        lock_inside(k, cpu, k.scheme.locks, 0, number_of(k, TABLE, bucket))
        unlock_probe(k, cpu, k.scheme.locks, 0)
        unlock_table(k, cpu, k.scheme.table, bucket)


@pytest.mark.parametrize(
    "lock", ["pthread-robust", "sem", *(pytest.param(lock, marks=pytest.mark.full) for lock in ("owner", "ttas", "ticket"))]
)
def test_a_bucket_lock_stays_with_who_waits_inside_it_for_a_dead_cpu(lock):
    outcome = die_once(recoverable("hashed", lock), nested_locks, limit=600_000)
    assert outcome.violations == []
    assert outcome.complete


@pytest.mark.parametrize("lock", ["owner", "ttas", "sem"])
def test_a_recoverer_keeps_the_bucket_lock_inside_which_it_waits_for_a_dead_cpu(lock):
    """Its own lock is none that it has taken over."""
    world, machine = World.of(recoverable("hashed", lock), Sizes(maxactive=2)), plain.PlainMachine()
    dead, me, bucket = 0, 2, 5
    with world.create_arena(world.geometry(1)) as arena, atomics.use(machine):
        k = plain.kernel(world, arena)
        world.free_locks(machine, k, arena)
        lock_probe(k, dead, k.scheme.locks, 0)
        lock_table(k, me, k.scheme.table, bucket)
        store_release(k.recovery.life, me, LIVE)
        recovery.announce(k, dead)
        lock_inside(k, me, k.scheme.locks, 0, number_of(k, TABLE, bucket))

        assert world.held_locks(machine, k, arena).locks == [f"table_locks[{bucket}]", "locks[0]"]
        unlock_probe(k, me, k.scheme.locks, 0)
        unlock_table(k, me, k.scheme.table, bucket)
        assert not any(world.held_locks(machine, k, arena))
    machine.close()


def test_what_is_in_the_hands_of_the_dead_is_not_lacking():
    """`death` with `global`: one CPU has died on its way from the free list, and another is on that way."""
    world = World.of(recoverable("global", "ttas"), Sizes(maxactive=2))
    with world.create_arena(world.geometry(1)) as arena, atomics.use(plain.PlainMachine()):
        k = plain.kernel(world, arena)
        store_release(k.probes.free, 0, NIL)
        for ri in range(2):
            store_release(k.instances.rp, ri, 0)
        assert always(k.scheme, k) == told(LACKS, 0)
        store_release(k.instances.state, 0, HAND)
        assert always(k.scheme, k) == 0


def recoverers_die(lock, at=None, limit=900_000):
    """The CPU dies at any step, or at one, and the recoverer at any of its own; the second recovers both."""
    return die_once(recoverable("hashed", lock, nr_cpus=1), one_call, (0, 1), 2, limit, nr_recoverers=2, at=at)


@pytest.mark.full
def test_a_recoverer_that_dies_is_followed_by_another_that_starts_over():
    outcome = recoverers_die("pthread-robust")
    assert outcome.complete
    assert outcome.violations == []


@pytest.mark.full
@pytest.mark.parametrize("at", [10, 30])
def test_so_it_is_where_the_recoverer_frees_the_locks_itself(at):
    """At two steps of the CPU, and any of the recoverer; all others, and other locks, compiled: bench/records/searches.toml."""
    outcome = recoverers_die("sem", at)
    assert outcome.complete
    assert outcome.violations == []


@pytest.mark.parametrize("mutant", ["no-intent", "late-intent", "early-clear", "late-next"])
def test_a_wrong_order_is_found_by_the_search(mutant):
    outcome = die_once(recoverable("hashed", "owner", mutant, nr_cpus=1), one_call)
    assert outcome.violations


def test_a_lock_released_before_the_intent_is_cleared_is_found_by_the_search():
    outcome = die_once(recoverable("global", "owner", "early-unlock"), one_call)
    assert outcome.violations


def test_a_lock_that_lets_two_in_is_found_by_the_search(tmp_path):
    outcome = die_once(recoverable("global", busted_gate(tmp_path)), one_call, mortal=(), deaths=0)
    assert outcome.violations


def test_repairing_locks_without_the_gate_is_found_by_the_search():
    outcome = die_once(recoverable("global", "sem", "no-gate"), one_call)
    assert outcome.violations


def searched(scheme, lock, limit, at):
    """One line of the record."""
    if scheme == "recoverers":
        found = recoverers_die(lock, at, limit)
    else:
        found = die_once(recoverable(scheme, lock), one_call, limit=limit, at=at)
    how_far = "complete" if found.complete else f"not complete after {limit} states"
    return f"{scheme} {lock}, death at step {at}: {found.states} states, {how_far}, {found.violations or 'nothing lost'}"


if __name__ == "__main__":
    with contextlib.suppress(NoSuchStep):
        for step in itertools.count():
            print(searched(*sys.argv[1:3], int(sys.argv[3]), step), flush=True)
