"""Each lock of the family `gate` by itself: a CPU dies at any step, with the lock or in its queue. The others let go and begin
anew; nobody waits for the dead.

The gate is a model here, so that three CPUs fit in a complete search. Whoever lets go stands still, in one step. When all who
live stand still, the recoverer resets everything, in one step. tests/test_recovery.py has the text of the gate itself.
"""

from dataclasses import replace
from functools import partial

import pytest

from shmkret.explore.scenario import Scenario
from shmkret.explore.schedule import explore
from shmkret.explore.snapshot import Snapshot
from shmkret.locks import LOCK, acquire_unless, release, reset
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins import find
from shmkret.recovery.taking import reset_records
from shmkret.text.atomics import NIL, load_acquire, store_release
from tests.worlds import SOUND, build_of

QUEUES = ("mcs", "clh")
QUEUE, AGAIN = (1, 1, 1), (2, 2)
"""How often each CPU takes the lock: a holder and a waiter beside the one that dies; and those who come again."""
GATED = sorted(lock for lock in SOUND if find(LOCK, lock).can("gate"))


class Gate:
    """Who stands still, who is dead, and who holds the lock meanwhile."""

    def __init__(self, machine, k, nr_cpus):
        self.machine, self.k = machine, k
        self.everybody = set(range(nr_cpus))
        self.still, self.ended, self.dead, self.owner = set(), set(), set(), NIL

    def stand_still(self, cpu):
        self.still.add(cpu)
        self.machine.access("park", self.k.run.gate, 0, writes=False, possible=lambda: self.k.run.gate.values[0] == 0)
        self.still.remove(cpu)

    def stand_still_with_the_lock(self, cpu):
        self.owner = cpu
        self.stand_still(cpu)
        self.owner = NIL

    def die(self, cpu):
        self.dead.add(cpu)
        self.owner = NIL if self.owner == cpu else self.owner
        store_release(self.k.run.deaths, 0, 1)

    def is_quiet(self):
        return self.still | self.ended | self.dead == self.everybody

    def has_died_or_all_have_ended(self):
        """Wait for that, in one step; whether somebody has died of whom the recoverer does not know."""
        deaths = self.k.run.deaths

        def may_go_on():
            return deaths.values[0] != 0 or self.ended | self.dead == self.everybody

        return self.machine.access("wait", deaths, 0, writes=False, possible=may_go_on) != 0

    def recover(self):
        """Close the gate, reset every record and the lock, and open it again."""
        k, nr_slots = self.k, len(self.everybody) + 1

        def reset_all():
            for cpu in range(nr_slots):
                reset_records(k.other_locks, cpu)
            reset(k.other_locks, 0, self.owner)

        store_release(k.run.deaths, 0, 0)
        store_release(k.run.gate, 0, 1)
        self.machine.access("close", k.run.gate, 0, writes=False, possible=self.is_quiet)
        self.machine.alone(reset_all)
        store_release(k.run.gate, 0, 0)

    def take_as_recoverer(self):
        """Nobody but this CPU could free it from waiting for a dead one."""
        k, me = self.k, len(self.everybody)
        while not acquire_unless(k.other_locks, 0, k.run.deaths, me):
            self.recover()
        critical_section(k)
        release(k.other_locks, 0, me)


def critical_section(k):
    """Two in it at once are a data race."""
    k.registry.slab[0] = k.registry.slab[0]


def take_and_give(gate, k, cpu, times):
    """The lock, `times` times. With it this CPU may have to stand still, as one does who waits for another lock meanwhile."""
    for _ in range(times):
        while not acquire_unless(k.other_locks, 0, k.run.gate, cpu):
            gate.stand_still(cpu)
        critical_section(k)
        if load_acquire(k.run.gate, 0) != 0:
            gate.stand_still_with_the_lock(cpu)
            critical_section(k)
        release(k.other_locks, 0, cpu)
    gate.ended.add(cpu)


def shared_nodes(k, nr_slots):
    """What the header of clh promises under Always: each node is the tail of one lock, or some CPU's own."""
    if not hasattr(k.other_locks, "cpu"):
        return []
    nodes = [k.other_locks.tail.values[0], *k.other_locks.cpu.own.values[:nr_slots]]
    return [] if len(set(nodes)) == len(nodes) else [f"two have one node: {nodes}"]


def die_at_every_step(lock, times, mortal=(0,), deaths=1, limit=100_000, recoverer_takes=False):
    """CPU i takes the lock times[i] times; `deaths` of `mortal` die, and after each the recoverer may take the lock, too."""
    nr_cpus = len(times)
    world = World.of(replace(build_of("hot", "global", lock, nr_cpus=nr_cpus), recoverable=True), Sizes(maxactive=2))
    with world.create_arena(world.geometry(1)) as arena:
        snapshot = Snapshot(world, arena)

        def scenario(machine):
            k = snapshot.kernel(machine)
            gate = Gate(machine, k, nr_cpus)

            def recoverer():
                while gate.has_died_or_all_have_ended():
                    gate.recover()
                    if recoverer_takes:
                        gate.take_as_recoverer()

            def check():
                return shared_nodes(k, nr_cpus + 1) + snapshot.audit(machine, k)

            cpus = [partial(take_and_give, gate, k, cpu, times[cpu]) for cpu in range(nr_cpus)]
            return Scenario([*cpus, recoverer], check, mortal, deaths, gate.die)

        return explore(scenario, limit)


@pytest.mark.parametrize("times", [QUEUE, AGAIN], ids=["queue", "again"])
@pytest.mark.parametrize("lock", GATED)
def test_nobody_waits_for_a_cpu_that_died_holding_the_lock_or_in_its_queue(lock, times):
    outcome = die_at_every_step(lock, times)
    assert outcome.violations == []
    assert outcome.complete


@pytest.mark.parametrize("lock", [pytest.param(lock, marks=pytest.mark.full if lock in QUEUES else ()) for lock in GATED])
def test_a_holder_and_a_waiter_may_die_one_after_the_other(lock):
    outcome = die_at_every_step(lock, QUEUE, mortal=(0, 1), deaths=2)
    assert outcome.violations == []
    assert outcome.complete


@pytest.mark.parametrize("lock", GATED)
def test_a_recoverer_in_the_queue_is_not_held_up_by_the_next_death(lock):
    outcome = die_at_every_step(lock, (1, 1), mortal=(0, 1), deaths=2, recoverer_takes=True)
    assert outcome.violations == []
    assert outcome.complete


WRONG = {
    "a release that waits for who came, as in the paper": (
        QUEUE,
        "mcs",
        "following = cmpxchg(lock.node.next, cpu, 0, GONE)",
        "wait_until(lock.node.next, cpu, NE, 0)\n        following = load_acquire(lock.node.next, cpu)",
        "waits in wait_until of ('locks.node.next'",
    ),
    "an acquire that waits for who died before it said that it came": (
        AGAIN,
        "mcs",
        "may_come = wait_unless(lock.node.next, cpu, NE, GONE, stop)\n",
        "wait_until(lock.node.next, cpu, NE, GONE)\n    may_come = True\n",
        "waits in wait_until of ('locks.node.next'",
    ),
    "one who comes behind a CPU that is gone, and does not see it": (
        QUEUE,
        "mcs",
        "exchange(lock.node.next, before - 1, 1 + cpu) != GONE",
        "exchange(lock.node.next, before - 1, 1 + cpu) != 2",
        "waits in wait_unless of ('locks.node.locked'",
    ),
    "a queue that is still there when its lock is free": (
        QUEUE,
        "mcs",
        "def reset_cpu(",
        "def forget_cpu(",
        "waits in wait_unless of ('locks.node.locked'",
    ),
    "a lock that is free though somebody stands still with it": (
        QUEUE,
        "mcs",
        "1 + owner)  # of NIL: 0",
        "0)",
        "is not idle",
    ),
    "a waiter that cannot let go": (
        QUEUE,
        "clh",
        "return wait_unless(lock.node.locked, enqueue(lock, i, cpu), EQ, 0, stop)",
        "wait_until(lock.node.locked, enqueue(lock, i, cpu), EQ, 0)\n    return True",
        "waits in wait_until of ('locks.node.locked'",
    ),
    "a node that a CPU took away stays with it": (
        AGAIN,
        "clh",
        "    store_release(lock.cpu.own, cpu, lock.nr + cpu)\n",
        "",
        "two have one node",
    ),
    "the lock's own node is still locked": (
        AGAIN,
        "clh",
        "    store_release(lock.node.locked, i, 0)\n    store_release(lock.tail, i, i if",
        "    store_release(lock.tail, i, i if",
        "waits in wait_unless of ('locks.node.locked'",
    ),
    "nobody waits for who stands still with the lock": (
        QUEUE,
        "clh",
        "        store_release(lock.node.locked, lock.nr + owner, 1)\n",
        "",
        "data race on ('registry.slab', 0): cpu 1 is at store, cpu 2 at load",
    ),
    "who stands still with the lock takes a node away that is another's by now": (
        QUEUE,
        "clh",
        "        store_release(lock.cpu.before, owner, i)\n",
        "",
        "two have one node",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_would_wait_for_the_dead_or_forget_the_living_is_found(wrong, tmp_path):
    times, lock, right, instead, what = WRONG[wrong]
    source = build_of(lock=lock).lock.path.read_text()
    assert source.count(right) == 1
    path = tmp_path / "wrong.py"
    path.write_text(source.replace(right, instead))
    (found,) = die_at_every_step(str(path), times).violations
    assert what in found.what
