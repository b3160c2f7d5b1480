"""`shmkret stress`: real processes are killed, and what must hold afterwards holds; what is wrong is caught."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from shmkret.cli import main
from shmkret.errors import UsageError
from shmkret.kernel import Sizes
from shmkret.stress import spec, unprotected
from shmkret.stress.nemesis import Plan
from shmkret.stress.session import run
from shmkret.stress.supervisor import Supervisor
from tests.worlds import build_of, busted_gate

EVERYTHING = (
    "random=70%kill;mover=10%kill;holder=5%kill;waiter=5%kill;recoverer=10%kill;all=5%kill;random=5%stop(1ms);parent=1%kill"
)
SOUND = {"lost": 0, "doubled": 0, "stuck": 0, "count_errors": 0, "other": 0, "findings": []}


def stressed(worker="hot", scheme="hashed", lock="owner", kills=300, fault="random=kill", mutant="", nr_cpus=2, **plan):
    build = replace(build_of(worker, scheme, lock, nr_cpus=nr_cpus), recoverable=True, mutant=mutant)
    plan = {"round_kills": max(1, kills // 3), "seed": 1, **plan}
    return run(build, Sizes(), Plan(kills, terms=spec.parse(fault), **plan))


@pytest.mark.timeout(250)
@pytest.mark.parametrize(("lock", "kills"), [("owner", 8000), ("sem", 8000), ("pthread-robust", 4000)])
def test_twenty_thousand_real_deaths_lose_nothing(lock, kills):
    """In a process of its own: a test session has thousands of mappings of machine code, which every fork copies."""
    asked = ["--lock", lock, "--kills", str(kills), "--round", str(kills // 10), "--seed", "1", "--json", "-"]
    ended = subprocess.run([sys.executable, "-m", "shmkret", "stress", *asked], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    (found,) = json.loads(ended.stdout)["runs"]
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["kills"] >= kills
    assert found["recoveries"] == found["kills"]
    assert found["rounds"] == 10
    assert found["calls"] > found["kills"]


@pytest.mark.full
@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("worker", "scheme", "lock"),
    [("exits", "global", "sem"), pytest.param("syscalls", "hashed", "owner", marks=pytest.mark.full)],
)
def test_whoever_dies_the_others_go_on(worker, scheme, lock):
    """CPUs in a move, with a lock, asleep, all at once; the recoverer; the supervisor itself."""
    found = stressed(worker, scheme, lock, kills=500, fault=EVERYTHING, nr_cpus=3)
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["stops"] > 0


@pytest.mark.full
@pytest.mark.parametrize("mutant", ["no-intent", "early-unlock"])
def test_wrong_orders_are_caught_under_real_kills(mutant):
    found = stressed("exits", "hashed", "owner", kills=6000, fault="mover=kill", mutant=mutant, round_kills=50)
    assert found["findings"]


@pytest.mark.full
def test_repair_without_the_gate_is_caught():
    assert stressed("hot", "hashed", "sem", mutant="no-gate", kills=2000, round_kills=50)["findings"]


@pytest.mark.full
def test_a_lock_that_lets_two_in_is_caught(tmp_path):
    assert stressed("hot", "hashed", busted_gate(tmp_path), kills=2000)["findings"]


def test_damage_between_rounds_is_found_named_and_repaired():
    damage = "random=kill;arena=flip;arena=cycle;arena=cross;arena=wild"
    found = stressed("hot", "hashed", "owner", kills=200, fault=damage, round_kills=10)
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["damaged"] == 4 * found["rounds"] > 40


def test_damage_that_the_audit_does_not_see_is_a_finding(monkeypatch):
    monkeypatch.setattr("shmkret.stress.damage.audit", lambda *args: [])
    found = stressed("hot", "hashed", "owner", kills=20, fault="random=kill;arena=cycle", round_kills=10)
    assert found["findings"][0].startswith("damage not found: instances.next[")


def test_a_stopped_holder_is_reported_and_killed_only_when_asked():
    stops = {"fault": "holder=60%stop(8ms);random=kill", "kills": 200}
    found = stressed(**stops)
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["stopped_holders"] > 0
    assert "stood still for" in found["note"]
    assert found["fenced"] == 0
    fenced = stressed(**stops, fence_s=0.001)
    assert {name: fenced[name] for name in SOUND} == SOUND
    assert fenced["fenced"] > 0


def test_nth_is_every_store_in_turn_or_one(capsys):
    assert main(["stress", "--fault", "nth=all", "--worker", "nested", "--lock", "ttas", "--json", "-"]) == 0
    every = json.loads(capsys.readouterr().out)["runs"][0]
    assert (every["bad"], every["findings"]) == (0, [])
    assert every["places"] > 100
    wrong = ["stress", "--fault", "nth=30", "--worker", "nested", "--lock", "owner", "--mutant", "late-next", "--json", "-"]
    assert main(wrong) == 1
    one = json.loads(capsys.readouterr().out)["runs"][0]
    assert (one["places"], one["bad"]) == (1, 1)
    assert main(["stress", "--fault", "nth=99999", "--worker", "nested", "--lock", "ttas"]) == 2
    assert "are complete before their store 99999" in capsys.readouterr().err


def test_a_lock_that_says_nothing_of_recovery_is_refused():
    with pytest.raises(UsageError, match="the lock empty is not recoverable: its file says no RECOVERY"):
        stressed(lock="empty")


def test_a_scheme_that_says_nothing_of_recovery_is_refused():
    with pytest.raises(UsageError, match="the scheme rfc is not recoverable"):
        stressed(scheme="rfc")


@pytest.mark.full
def test_a_semaphore_whose_holder_died_says_nothing_and_a_robust_mutex_does():
    """The table of --unprotected: where nothing is recoverable, a death in a move costs something."""
    found = unprotected.trials(build_of("hot", "global", "ttas"), Sizes(), 6, seed=1)
    assert sum(found[outcome] for outcome in unprotected.OUTCOMES) == found["trials"] == 6
    assert found["unharmed"] < 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("random=klil", "character 8: 'k' where an action (kill, stop, off) is expected"),
        ("nowhere=kill", "character 1: 'n' where a point (random, mover"),
        ("random", "character 7: the end where '=' is expected"),
        ("random=kill;", "character 13: the end where a point"),
        ("random=kill kill", "character 12: ' ' where ';' or the end is expected"),
        ("random=stop(5h)", "where a time such as 5ms and ')' is expected"),
        ("random=0%kill", "0% is no share"),
        ("random=off", "nothing ever happens"),
        ("arena=flip", "nothing ever happens"),
        ("random=kill;arena=kill", "character 19: 'k' where an action (flip, cycle, cross, wild) is expected"),
        ("nth=x", "character 5: 'x' where all or a number is expected"),
        ("nth=1;random=kill", "character 6: ';' where the end is expected"),
        ("nth=0", "stores are counted from 1"),
        ("parent=stop", "parent can be killed, not stopped"),
    ],
)
def test_a_malformed_specification_names_the_character_and_what_there_is(text, words, capsys):
    assert main(["stress", "--fault", text]) == 2
    assert words in capsys.readouterr().err


def test_a_specification_is_read_as_written():
    first, second = spec.parse("random=90%3*after=2:every=5:cpu=0+1:kill ; holder=stop(5ms)")
    assert (first.share, first.most, first.after, first.every, first.cpus) == (90.0, 3, 2, 5, (0, 1))
    assert [n for n in range(14) if first.may(n)] == [2, 7, 12]
    assert (second.action, second.arg) == ("stop", 0.005)


def test_the_command_prints_one_object_as_its_contract_says(capsys):
    assert main(["stress", "--kills", "60", "--lock", "owner", "--seed", "3", "--json", "-"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert (found["command"], found["seed"]) == ("stress", 3)
    (one,) = found["runs"]
    assert one["replay"] == "shmkret stress --kills 60 --lock owner --seed 3 --json -"
    assert set(one["recovery_ms"]) == {"p50", "p99", "max"}
    assert one["kills"] >= 60


def test_nobody_is_signalled_but_children(monkeypatch):
    """A slot that has no process of ours is not signalled, whatever pid the arena says."""
    sent = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *args: sent.append(args))
    monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
    supervisor = Supervisor.__new__(Supervisor)
    supervisor._pidfds = {}
    supervisor.expected = set()
    assert not supervisor.send(0, signal.SIGKILL)
    assert sent == []
