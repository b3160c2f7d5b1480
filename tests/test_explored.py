"""The same entry and return that native processes run, under every interleaving of one call each on two CPUs."""

import pytest

from shmkret import cpu, probes, registry, text
from shmkret.arena import Arena
from shmkret.atomics import exchange
from shmkret.explored import ExploredMachine, Outcome, Scenario, Snapshot, explore
from shmkret.layout import Geometry
from shmkret.registry import ARCH, LOCK, SCHEME, WORKER

SOUND = sorted(set(registry.names(LOCK)) - {"empty", "busted"})


def one_call_each(scheme: str, lock: str, worker: str = "hot", maxactive: int = 2, task_address: str = "slab") -> Outcome:
    """Two CPUs, each one round of the worker program, under every interleaving."""
    plugins = {
        "arch": registry.find(ARCH, "x86-64"),
        "scheme": registry.find(SCHEME, scheme),
        "lock": registry.find(LOCK, lock),
        "worker": registry.find(WORKER, worker),
    }
    nr_probes = plugins["worker"].module.nr_probes(2)
    nr_locks = plugins["scheme"].module.nr_locks(nr_probes)
    geometry = Geometry(nr_cpus=2, nr_tasks=2, nr_probes=nr_probes, maxactive=maxactive, nr_locks=nr_locks)
    with Arena.create(geometry, lock=plugins["lock"].record, task_address=task_address) as arena:
        snapshot = Snapshot(arena)

        def scenario(machine: ExploredMachine) -> Scenario:
            k = snapshot.kernel(machine, **plugins)

            def body(i: int) -> None:
                k.cpus.calls[i] = cpu.step(k.worker, k, i, i, 0)

            return Scenario([lambda: body(0), lambda: body(1)], lambda: snapshot.audit(machine))

        return explore(scenario)


@pytest.mark.parametrize("lock", SOUND)
@pytest.mark.parametrize("scheme", registry.names(SCHEME))
def test_one_call_each_is_right_under_every_interleaving(scheme, lock):
    outcome = one_call_each(scheme, lock)

    assert outcome.violations == []
    assert outcome.complete
    assert outcome.schedules > 1


@pytest.mark.parametrize("scheme", registry.names(SCHEME))
def test_two_tasks_in_one_bucket_are_right_under_every_interleaving(scheme):
    """ia64's addresses put all tasks into one bucket, so that each walk meets the other's instance."""
    outcome = one_call_each(scheme, "ttas", task_address="ia64-stack")

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize("scheme", registry.names(SCHEME))
def test_a_pool_of_one_is_missed_or_hit_but_never_lost(scheme):
    outcome = one_call_each(scheme, "ttas", maxactive=1)

    assert (outcome.violations, outcome.complete) == ([], True)


@pytest.mark.parametrize("lock", ["empty", "busted"])
@pytest.mark.parametrize("scheme", registry.names(SCHEME))
def test_the_control_is_caught(scheme, lock):
    outcome = one_call_each(scheme, lock)

    assert len(outcome.violations) == 1
    assert "data race" in outcome.violations[0].what


def test_a_lost_update_is_found_without_the_race_checker(monkeypatch):
    """The end state alone gives `busted` away: the checks are independent."""
    monkeypatch.setattr("shmkret.explored._race", lambda pending: "")

    outcome = one_call_each("hashed", "busted")

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

    outcome = explore(scenario)

    assert outcome.complete
    assert outcomes == {(0, 1), (2, 0)}


def test_the_explored_functions_are_the_compiled_ones():
    """What is proved is what is measured: the text holds each function once, and both machines take it from there."""
    for function in (probes.call_and_return, probes.pre_handler_kretprobe, probes.trampoline_handler, probes.ret):
        assert function in text.inlines
    assert cpu.step in text.generics
