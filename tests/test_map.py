"""What is reached by the tests: each state at a crash, each branch of the oracle, each reason of a verdict; or the list says
why not. The sentences of the audit are in test_findings, those of a search in test_watching.
"""

import ast
import inspect
import re
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from shmkret.arena.records import BLOCKED, LEAVING, QUEUED, QUEUING, REGISTERED, REGISTERING, RUNNING, UNREGISTERED, WOKEN
from shmkret.audit.checks import audit
from shmkret.audit.findings import sentences
from shmkret.host.books import Clock, Conditions, Way
from shmkret.kernel import cpu as loop
from shmkret.kernel import kprobes, kretprobes, rcu, running, task
from shmkret.kernel.program import WORKER, step
from shmkret.kernel.sched import wake
from shmkret.machines import compiled, native, plain
from shmkret.machines.plain import PlainMachine, PlainWords
from shmkret.machines.world import World
from shmkret.measure import validity
from shmkret.measure.latency import Histogram
from shmkret.measure.statistics import Estimate
from shmkret.moves import alone, oracle
from shmkret.moves.intents import AT_REST, FLUSHED, HAND, IN_FLIGHT, NOTHING, OPS, REFUSAL, RETURNED, SYSTEM, op_of, why_of
from shmkret.recovery import recoverer as recovery
from shmkret.recovery.taking import BURIED, DEAD, EMPTY, LIVE, UNLOCKED
from shmkret.stress.crash_points import ACCESSES, RECOVERERS, rounds
from shmkret.text import atomics
from shmkret.text.libc import CALLS
from tests.test_crash_points import PAIRS, ROUNDS, SIZES
from tests.test_doubts import of_timed
from tests.test_instrument import ABOUT, CELL, doubts
from tests.worlds import build_of

# States at a crash.

SLOTS = {EMPTY: "empty", LIVE: "live", DEAD: "dead", UNLOCKED: "unlocked", BURIED: "buried"}
TASKS = {RUNNING: "running", QUEUED: "queued", BLOCKED: "blocked", WOKEN: "woken"}
PROBES = {UNREGISTERED: "unregistered", REGISTERED: "registered"}
INSTANCES = {AT_REST: "at rest", IN_FLIGHT: "in flight"}
WHYS = {NOTHING: "", RETURNED: ", returned", FLUSHED: ", flushed", REFUSAL: ", refused"}


class Dead(BaseException):
    """This CPU goes no further."""


class NotingMachine(PlainMachine):
    """Notes how all stands before each access that changes something; before the one that is told, it ends."""

    def __init__(self, folder, arena, seen, die_at=0):
        super().__init__(folder)
        self.seen = seen
        self.left = die_at
        self.columns = {
            (section, field): arena.records(section)[field]
            for section, field in (
                ("recovery", "life"),
                ("recovery", "intent"),
                ("entities", "state"),
                ("probes", "registered"),
                ("instances", "state"),
            )
        }

    def count(self):
        at = self.columns
        self.seen["slot"].update(SLOTS[n] for n in at["recovery", "life"].tolist())
        self.seen["task"].update(TASKS.get(n, "queuing" if n >= QUEUING else n) for n in at["entities", "state"].tolist())
        self.seen["probe"].update(map(probe, at["probes", "registered"].tolist()))
        self.seen["instance"].update(INSTANCES.get(n, "in hand" if n >= HAND else n) for n in at["instances", "state"].tolist())
        self.seen["move"].update(OPS[op_of(n)] + WHYS[why_of(n)] for n in at["recovery", "intent"].tolist())
        self.left -= 1
        if self.left == 0:
            raise Dead

    def libc(self, name, *args):
        if CALLS[name].changes:
            self.count()
        return super().libc(name, *args)


def probe(registered):
    """The state of a probe; the number of who is at it is added to two of them."""
    if registered in PROBES:
        return PROBES[registered]
    return "leaving" if registered >= LEAVING else "registering" if registered <= REGISTERING else registered


def _noting(name):
    def call(self, *args):
        self.count()
        return getattr(PlainMachine, name)(self, *args)

    return call


for _name in ACCESSES:
    setattr(NotingMachine, _name, _noting(_name))


class NotingWords(PlainWords):
    """A column whose plain stores are noted, too."""

    __slots__ = ("machine",)

    def __setitem__(self, i, value):
        self.machine.count()
        super().__setitem__(i, value)


def noted(world, arena, machine):
    def column(section, field):
        words = NotingWords(arena.records(section)[field])
        words.machine = machine
        return words

    return world.kernel(arena, column)


def one_death(world, numbers, at_rounds, at_recovery, kth, *, is_woken=False):
    """CPU 0 ends before its k-th change, and is recovered. Whether there was one. is_woken: its task is woken before."""
    with world.create_arena(world.geometry(RECOVERERS)) as arena:
        folder, nr = world.build.common_cache(), world.build.nr_cpus
        native.free_locks(world, arena, PlainMachine(folder))
        arena.records("runqueues")["quiescent"] = 1
        arena.records("recovery")["life"][: nr + 1] = LIVE
        arena.records("recovery")["parked"][1:nr] = 1
        dying = NotingMachine(folder, arena, at_rounds, kth)
        try:
            with atomics.use(dying):
                rounds(noted(world, arena, dying), 0, numbers)
            died = False
        except Dead:
            died = True
            if is_woken:
                k, machine = plain.kernel(world, arena), NotingMachine(folder, arena, at_rounds)
                with atomics.use(machine):
                    if k.entities.state[k.cpus.task[0]] == RUNNING:  # else who wakes it waits for a lock of the dead
                        wake(k, 1, k.cpus.task[0])
                        machine.count()
        recovering = NotingMachine(folder, arena, at_recovery)
        with atomics.use(recovering):
            k = noted(world, arena, recovering)
            recovery.announce(k, 0)
            recovery.recover(k, nr)
        assert sentences(audit(arena, world.build.scheme, at_rest=False)) == []
        assert WOKEN not in arena.records("entities")["state"]
        return died


MOVES = {
    "none", "pop", "hang", "remove, returned", "remove, flushed", "push", "push, refused", "slab pop", "slab push", "enqueue",
    "dequeue", "orphan",
}  # fmt: skip
STATES = {
    "slot": {"empty", "live", "dead", "unlocked", "buried"},
    "task": {"running", "queued", "queuing", "blocked", "woken"},
    "probe": {"unregistered", "registering", "registered", "leaving"},
    "instance": {"at rest", "in flight", "in hand"},
    "move": MOVES,
}


@pytest.mark.full
@pytest.mark.timeout(600)
def test_each_state_is_one_in_which_a_cpu_dies():
    """Before each change that the crash points of `PAIRS` try; a robust mutex apart, as its holder is this process here.

    A slot is dead, unlocked or buried while a recoverer is at work: in which of these one dies, no crash point tries, and every
    search of `death --deaths 2` does.
    """
    at_rounds, at_recovery = defaultdict(set), defaultdict(set)
    for scheme, lock, worker in sorted(PAIRS):
        if lock == "pthread-robust":  # its holder is this process, and not dead
            continue
        world = World.of(replace(build_of(worker, scheme, lock), recoverable=True), SIZES, 1)
        kth = 1
        while one_death(world, ROUNDS[worker], at_rounds, at_recovery, kth):
            kth += 11
            if worker == "sleepers":
                one_death(world, ROUNDS[worker], at_rounds, at_recovery, kth, is_woken=True)
    assert {move.partition(",")[0] for move in MOVES} == set(OPS)
    assert {f",{move.partition(',')[2]}" for move in MOVES} == {why or "," for why in WHYS.values()}
    assert {name: at_rounds[name] | (at_recovery[name] if name == "slot" else set()) for name in STATES} == STATES


# The oracle: what each branch is made to say by, on an arena where nothing else is wrong.


def kernel_of(arena, world, machine):
    k = plain.kernel(world, arena)
    native.free_locks(world, arena, machine)
    return k


def comes_back(**wrong):
    def goes_wrong(k):
        right = {"pc": task.call_site(0, 3), "sp": 40, "retval": task.call_site(0, 3) + 1, "saved": task.call_site(0, 3)}
        for name, value in (right | wrong).items():
            getattr(k.tasks, name)[0] = value
        task.check_return(k, 0, 0, task.call_site(0, 3), 40)

    return goes_wrong


def is_preempted(k):
    k.cpus.preempt_count[0] = 1
    loop.tick(k, 0, 0)


def may_not_sleep(k):
    k.cpus.irqs_off[0] = 1
    rcu.might_sleep(k, 0)


def calls_nothing(k):
    kprobes.enter(k, 0, 0, k.nr_functions)


def says_it_is_wrong(k):
    oracle.report_bug(k.cpus, 0, oracle.WORKER_BUG, 0, 1, 2)


def is_not_alone(k):
    alone.comes_in(k.mode.alone, k, 0, SYSTEM, 1)
    alone.comes_in(k.mode.alone, k, 1, SYSTEM, 1)
    k.cpus.bug[0] = k.cpus.bug[1]


BRANCHES = {
    oracle.KRETPROBE_BUG: lambda k: kretprobes.kretprobe_assert(k, 0, 0, 0),
    oracle.WRONG_ADDRESS: comes_back(pc=7),
    oracle.WRONG_STACK: comes_back(sp=41),
    oracle.WRONG_VALUE: comes_back(retval=7),
    oracle.WRONG_REGISTER: comes_back(saved=7),
    oracle.PREEMPTED: is_preempted,
    oracle.NOT_BUSY: lambda k: running.Busy(0).hit(k, 0, 0, 0),
    oracle.WORKER_BUG: says_it_is_wrong,
    oracle.MAY_NOT_SLEEP: may_not_sleep,
    oracle.NO_FUNCTION: calls_nothing,
    oracle.TWO_INSIDE: is_not_alone,
}


@pytest.mark.parametrize("bug", range(1, len(oracle.BUGS)), ids=lambda bug: oracle.BUGS[bug])
def test_each_branch_of_the_oracle_is_one_that_something_wrong_takes(bug, tmp_path):
    own = tmp_path / "own.py"  # a user's file: its calls are checked
    own.write_text((WORKER.folder / "handlers.py").read_text())
    world = World.of(replace(build_of(own), asks=True))
    with world.create_arena() as arena:
        machine = PlainMachine(world.build.common_cache())
        k = kernel_of(arena, world, machine)
        with atomics.use(machine):
            rcu.idle_exit(k, 0)
            step(k.worker, k, 0, 0, 0)
            assert arena.records("cpus")["bug"].tolist() == [0, 0]
            BRANCHES[bug](k)
        assert arena.records("cpus")["bug"][0] == bug


# The reasons of a verdict: each is given by something, and by nothing else that is given here.


def patterns():
    """One for each sentence that shmkret.measure.validity has, by its text."""
    for node in ast.walk(ast.parse(inspect.getsource(validity))):
        if isinstance(node, ast.Yield | ast.Return) and isinstance(node.value, ast.JoinedStr):
            parts = (re.escape(part.value) if isinstance(part, ast.Constant) else ".*" for part in node.value.values)
            yield re.compile("".join(parts))


def given():
    """What cells are doubted for of which one thing is not as it should be."""
    virtual = {**ABOUT, "hypervisor": True}
    waits = Histogram(np.array([0, 3000]), 3000 * 2100, 9999, 60_000, 3000, 1)
    yield doubts(concurrency=0.9)
    yield doubts(counts={"calls": 1000, "nmissed": 500})
    yield doubts(repetitions=5)
    yield doubts(estimate=Estimate(1e6, (0.9e6, 1.1e6)))
    yield doubts(control=True)
    yield doubts(cell=CELL.over(workers_per_core=2))
    yield doubts(conditions=Conditions(waited=0.2))
    yield doubts(conditions=Conditions(preempted=60))
    yield doubts(conditions=Conditions(moved=1))
    yield doubts(conditions=Conditions(stolen=0.1))
    yield doubts(conditions=Conditions(clocks=(Clock(0, 1200, 3000, None),)))
    yield doubts(conditions=Conditions(clocks=(Clock(0, 1200, 1201, 3000),)))
    yield doubts(conditions=Conditions(ways=(Way(0, 1, 30, 90),)))
    yield doubts(about={**ABOUT, "governor": "powersave"})
    yield doubts(about=virtual, conditions=Conditions(slept=900))
    yield of_timed(rate=0.85e6)
    yield of_timed(waits)


def test_each_reason_of_a_verdict_is_given_for_one_thing(monkeypatch):
    reasons = list(given())
    monkeypatch.setattr(compiled, "unusual_settings", lambda: ["NUMBA_OPT=0"])
    reasons.append(doubts())
    known = [one for one in patterns() if not one.pattern.startswith(".*.*")]  # which has that suffix
    assert len(known) > 15
    for found in reasons:
        (reason,) = found
        reason = reason.removeprefix("where locks were timed: ").removesuffix(": fix the frequency, switch boost off")
        matching = [one for one in known if one.fullmatch(reason)]
        assert len(matching) == 1, (reason, matching)
        known.remove(matching[0])
    assert [one.pattern for one in known] == [r"where\ .*\ were\ timed:\ .*"]
