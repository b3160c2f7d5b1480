"""The same entry and return that native processes run, under every interleaving of one call each on two CPUs."""

import mmap
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from shmkret.arena.fields import dtype_of, parts_of
from shmkret.errors import UnknownName
from shmkret.explore.engines import ENGINE
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.monitors import MONITOR
from shmkret.explore.scenario import Outcome, Scenario
from shmkret.explore.schedule import explore
from shmkret.kernel import kprobes, kretprobes, program, task
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines.plain import PlainMachine, PlainWords
from shmkret.plugins import registry
from shmkret.schemes import SCHEME
from shmkret.text import atomics, marks, verbs
from shmkret.text.atomics import EQ, exchange, load_acquire, store_release, wait_unless

from .worlds import ARCHS, SCHEMES, SOUND, Explored, build_of, of_the_last_attempt, one_round_each

LOCKING = [scheme for scheme in SCHEMES if parts_of(registry.find(SCHEME, scheme).record).locks]
"""The schemes whose path takes a lock: for the others, every lock is the same search."""


def slow(*one, when):
    """A case that runs with `pytest -m full` only, where another like it runs always."""
    return pytest.param(*one, marks=pytest.mark.full if when else [])


@pytest.mark.parametrize(
    ("scheme", "lock"),
    [slow(scheme, lock, when=lock == "owner" and scheme != "hashed") for scheme in LOCKING for lock in SOUND],
)
def test_one_call_each_is_right_under_every_interleaving(scheme, lock):
    outcome = one_round_each(scheme=scheme, lock=lock)

    assert outcome.violations == []
    assert outcome.complete
    assert outcome.schedules > 1


@pytest.mark.parametrize(
    ("scheme", "arch"),
    [
        # Every architecture and every scheme; every pair with `pytest -m full`.
        pytest.param(scheme, arch, marks=[] if scheme == "hashed" or i == j else pytest.mark.full)
        for i, scheme in enumerate(SCHEMES)
        for j, arch in enumerate(ARCHS)
    ],
)
def test_every_architecture_is_right_under_every_interleaving(scheme, arch):
    outcome = one_round_each(scheme=scheme, lock="ttas", arch=arch)

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize(
    ("scheme", "worker", "arch"),
    [
        slow(scheme, *chain, when=scheme == "rfc" or chain[0] == "nested")
        for scheme in SCHEMES
        for chain in (("nested", "ia64"), ("tailcall", "sparc64"))
    ]
    + [slow("global", "recursion", "x86-64", when=True), slow("hashed", "recursion", "x86-64", when=True)],
)
def test_chained_calls_are_right_under_every_interleaving_even_when_some_are_missed(scheme, worker, arch):
    """Two tasks in one bucket, and too few instances for both: hit and missed calls mix in one chain."""
    outcome = one_round_each(scheme=scheme, lock="ttas", worker=worker, arch=arch, maxactive=1, task_address="ia64-stack")

    assert (outcome.violations, outcome.complete) == ([], True)


def test_one_takes_from_a_ring_into_which_another_pushes():
    """Nested calls of both, with one instance a probe: whoever has none in its own ring takes the other's."""
    outcome = one_round_each(scheme="objpool", lock="ttas", worker="nested", arch="x86-64", maxactive=1)

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_tasks_in_one_bucket_are_right_under_every_interleaving(scheme):
    """ia64's addresses put all tasks into one bucket, so that each walk meets the other's instance."""
    outcome = one_round_each(scheme=scheme, lock="ttas", task_address="ia64-stack")

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_pool_of_one_is_missed_or_hit_but_never_lost(scheme):
    outcome = one_round_each(scheme=scheme, lock="ttas", maxactive=1)

    assert (outcome.violations, outcome.complete) == ([], True)
    assert outcome.schedules > 1


@pytest.mark.parametrize("lock", ["empty", "busted"])
@pytest.mark.parametrize("scheme", LOCKING)
def test_the_control_is_caught(scheme, lock):
    outcome = one_round_each(scheme=scheme, lock=lock)

    assert len(outcome.violations) == 1
    assert "data race" in outcome.violations[0].what


def test_a_lost_update_is_found_without_the_race_checker(monkeypatch):
    """The end state alone gives `busted` away: the checks are independent."""
    monkeypatch.setattr("shmkret.explore.monitors.races.watch", lambda run: lambda: "")

    outcome = one_round_each(scheme="hashed", lock="busted")

    assert len(outcome.violations) == 1
    assert "data race" not in outcome.violations[0].what


def test_locks_taken_in_the_wrong_order_are_a_deadlock():
    ttas = registry.find(LOCK, "ttas")

    def scenario(machine: ExploredMachine) -> Scenario:
        lock = ttas.record(machine.words("locks.locked", [0, 0]))

        def body(first: int, second: int) -> None:
            ttas.module.acquire(lock, first)
            ttas.module.acquire(lock, second)
            ttas.module.release(lock, second)
            ttas.module.release(lock, first)

        return Scenario([lambda: body(0, 1), lambda: body(1, 0)], list)

    outcome = explore(scenario)

    assert "deadlock" in outcome.violations[0].what


LAZY = """
from shmkret.explore.scenario import Outcome


def search(begin, limit, seconds):
    return Outcome(complete=False)
"""


def test_an_engine_and_a_monitor_are_files_that_are_found_by_their_names(tmp_path, monkeypatch):
    """An engine that gives up at once, and a monitor that cannot stand CPU 1."""
    (tmp_path / "lazy.py").write_text(LAZY)
    engines, monitors = (replace(kind, folder=tmp_path, package="dropped") for kind in (ENGINE, MONITOR))

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("x", [0])
        return Scenario([partial(store_release, words, 0, 1)] * 2, list)

    assert explore(scenario).complete
    with monkeypatch.context() as patch:
        patch.setattr("shmkret.explore.schedule.ENGINE", engines)
        assert explore(scenario, engine="lazy") == Outcome(complete=False)
    (tmp_path / "lazy.py").unlink()
    (tmp_path / "dislikes.py").write_text("def watch(run):\n    return lambda: 'it is cpu 1' if 1 in run.schedule else ''\n")
    monkeypatch.setattr("shmkret.explore.schedule.MONITOR", monitors)
    assert [v.what for v in explore(scenario).violations] == ["it is cpu 1"]
    with pytest.raises(UnknownName, match="engine"):
        explore(scenario, engine="lazy")


def test_a_search_whose_time_is_over_after_one_run_is_not_complete():
    """That run shows which words are shared; nothing has been tried yet."""

    def scenario(machine: ExploredMachine) -> Scenario:
        time.sleep(0.1)
        words = machine.words("x", [0])
        return Scenario([partial(store_release, words, 0, 1)] * 2, list)

    assert not explore(scenario, seconds=0.05).complete
    assert explore(scenario, seconds=60).complete


def test_a_wait_that_may_be_given_up_is_one_step():
    """Whoever counts what a CPU has seen counts its steps: a death before the k-th."""
    steps = []

    def scenario(machine: ExploredMachine) -> Scenario:
        words, stop = machine.words("x", [0]), machine.words("stop", [1])

        def body():
            wait_unless(words, 0, EQ, 0, stop)
            load_acquire(words, 0)
            steps.append(machine.cpus[0].steps)

        return Scenario([body], list)

    assert explore(scenario).complete
    assert set(steps) == {2}


def test_a_wait_that_may_be_given_up_may_be_over_before_it_is_told_to_stop():
    """A word that only one CPU writes is not that CPU's alone where another looks at it as it waits."""
    ends = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        words, stop = machine.words("x", [0]), machine.words("stop", [0])

        def waits() -> None:
            ends.add((wait_unless(words, 0, EQ, 1, stop), stop.values[0]))

        return Scenario([waits, partial(store_release, words, 0, 1), partial(store_release, stop, 0, 1)], list)

    with of_the_last_attempt(ends):
        assert explore(scenario).complete
    assert ends == {(False, 1), (True, 0), (True, 1)}


def test_a_death_is_announced_before_and_after_what_others_do_with_the_same_word():
    """A word that is written from outside is shared, though one CPU alone uses it."""
    seen = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        told, mine = machine.words("told", [0]), machine.words("mine", [0])

        def asks() -> None:
            seen.add(exchange(told, 0, 2))

        bodies = [asks, partial(store_release, mine, 0, 1)]
        return Scenario(bodies, list, mortal=(1,), announce=lambda _: told.__setitem__(0, 1))

    with of_the_last_attempt(seen):
        assert explore(scenario).complete
    assert seen == {0, 1}


def test_both_outcomes_of_a_race_are_seen():
    """The search is complete in the other direction too: it reaches every outcome that is allowed."""
    outcomes = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("x", [0])
        last = machine.words("seen", [0, 0], private=True)

        def body(i: int) -> None:
            last[i] = exchange(words, 0, i + 1)

        def check() -> list[str]:
            outcomes.add(tuple(last.values))
            return []

        return Scenario([lambda: body(0), lambda: body(1)], check)

    with of_the_last_attempt(outcomes):
        outcome = explore(scenario)

    assert outcome.complete
    assert outcomes == {(0, 1), (2, 0)}


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        ("shmkret.arch.x86_64", "prepare_kretprobe", "in buckets, and their tasks are at rest"),
        ("shmkret.arch.x86_64", "resume_at", "the task came back to another address"),
        ("shmkret.schemes.global_", "unlink_used", "used list"),
    ],
)
def test_a_step_left_out_of_the_path_is_found(module, name, words, monkeypatch):
    """Each checker is itself checked: leave out one step, and the search goes red."""

    def left_out(*args):
        if name == "prepare_kretprobe":
            arch, k, ri, task = args
            k.instances.ret_addr[ri] = arch.stack.word[k.tasks.sp[task]]

    build_of(scheme="global", lock="ttas")  # its files are read and checked as they are
    monkeypatch.setattr(f"{module}.{name}", left_out)
    outcome = one_round_each(scheme="global", lock="ttas")

    assert words in outcome.violations[0].what


@pytest.mark.parametrize("arch", ["x86-64", "ia64"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_flush_beside_a_return_in_the_same_bucket_is_right_under_every_interleaving(scheme, arch):
    """One task exits inside the probed function that another returns from; both hang in one bucket."""
    with Explored(build_of("hot", scheme, arch=arch), task_address="ia64-stack") as world:

        def scenario(machine: ExploredMachine) -> Scenario:
            k = world.snapshot.kernel(machine)

            def exits() -> None:
                kprobes.call(k, 0, 0, 0, 77)
                kretprobes.kprobe_flush_task(k, 0, 0)
                task.fork_task(k, 0)

            def returns() -> None:
                task.call_and_return(k, 1, 1, 0, 0)

            return Scenario([exits, returns], lambda: world.snapshot.audit(machine, k))

        outcome = explore(scenario)

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_task_that_exits_unflushed_leaves_its_instances_in_flight(scheme, monkeypatch):
    monkeypatch.setattr(registry.find(WORKER, "exits").module, "kprobe_flush_task", lambda k, cpu, task: None)
    outcome = one_round_each(scheme=scheme, lock="ttas", worker="exits", nr_cpus=1)

    where = {"objpool": "the lists of tasks"}.get(scheme, "buckets")
    assert f"2 instances are in {where}, and their tasks are at rest" in outcome.violations[0].what


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_call_in_flight_is_on_the_lists_that_it_should_be_on(scheme, monkeypatch):
    """The audit of a world with one task inside a probed function; without push_used() that of `global` goes red."""

    def wrong_in_flight() -> list[str]:
        with Explored(build_of("hot", scheme, nr_cpus=1)) as world:
            machine = ExploredMachine()
            k = world.snapshot.kernel(machine)
            with atomics.use(machine):
                kprobes.call(k, 0, 0, 0, 77)
            return world.snapshot.audit(machine, k, at_rest=False)

    assert wrong_in_flight() == []
    if scheme == "global":
        monkeypatch.setattr("shmkret.schemes.global_.push_used", lambda k, ri, rp: None)
        assert wrong_in_flight() == ["0 instances are on used lists, 1 in buckets"]


def test_a_lock_that_is_not_given_back_is_found(monkeypatch):
    """Nobody waits for the last release of a run; the audit asks the lock."""
    ttas = registry.find(LOCK, "ttas").module
    real = ttas.release
    releases = []

    def release(lock, i):
        releases.append(i)
        if len(releases) % 4:  # one call on one CPU takes four locks under `hashed`
            real(lock, i)

    monkeypatch.setattr(ttas, "release", release)
    outcome = one_round_each(scheme="hashed", lock="ttas", nr_cpus=1)

    assert "1 locks are not free" in outcome.violations[0].what


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda words, own: [None for _ in iter(lambda: atomics.load_acquire(words, 0), 1)], "wait with wait_until"),
        (lambda words, own: own.__setitem__(0, 1), "private to one CPU, and two use it"),
        (lambda words, own: words[7], "of which there are 1"),
    ],
)
def test_text_that_the_explorer_cannot_follow_is_a_violation(body, words):
    def scenario(machine: ExploredMachine) -> Scenario:
        shared, private = machine.words("x", [0]), machine.words("own", [0], private=True)
        return Scenario([lambda: body(shared, private)] * 2, list)

    assert words in explore(scenario).violations[0].what


@pytest.mark.parametrize("lock", ["sem", "pthread"])
def test_the_models_of_libc_agree_with_libc(lock):
    """Free, held, free again: the explored machine and the real one say the same."""
    plugin = registry.find(LOCK, lock)
    histories = []
    records = np.frombuffer(mmap.mmap(-1, 4096), dtype_of(plugin.record, 64), 2)
    (field,) = plugin.record._fields
    for machine in (explored := ExploredMachine(), PlainMachine()):
        column = explored.words(field, [0, 0]) if machine is explored else PlainWords(records[field])
        history = []
        with atomics.use(machine):
            words = plugin.record(column)
            for i in (0, 1):
                plugin.module.init(words, i)
            history.append(plugin.module.is_free(words, 1))
            plugin.module.acquire(words, 1)
            history.append(plugin.module.is_free(words, 1))
            history.append(plugin.module.is_free(words, 0))
            plugin.module.release(words, 1)
            history.append(plugin.module.is_free(words, 1))
        histories.append(history)

    assert histories == [[True, False, True, True]] * 2


def test_the_explored_functions_are_the_compiled_ones():
    """What is proved is what is measured: the text holds each function once, and both machines take it from there."""
    for function in (task.call_and_return, kretprobes.pre_handler_kretprobe, kretprobes.trampoline_handler, kprobes.ret):
        assert function in marks.inlines
    assert program.step in verbs.generics
