"""`shmkret stress`: real processes are killed, and what must hold afterwards holds; what is wrong is caught."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from shmkret.arena.chains import chain
from shmkret.audit.checks import audit
from shmkret.audit.findings import sentences
from shmkret.cli.main import main
from shmkret.errors import RunFailed, UnfitMachine, UsageError
from shmkret.kernel.registration import slab_alloc
from shmkret.machines import native, plain
from shmkret.machines.control import Control
from shmkret.machines.plain import PlainMachine
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import NotFree, World
from shmkret.moves.intents import end_wait, pass_gate
from shmkret.recovery import taking as survive
from shmkret.stress import faults, shortage, spec, unprotected
from shmkret.stress.nemesis import Plan
from shmkret.stress.record import Record
from shmkret.stress.session import run
from shmkret.text import atomics
from shmkret.text.atomics import NIL
from tests.worlds import build_of, busted_gate

EVERYTHING = (
    "random=60%kill;mover=10%kill;holder=5%kill;waiter=5%kill;poster=5%kill;recoverer=10%kill;all=5%kill;parent=1%kill;"
    "random=5%stop(1ms);random=5%delay(1ms);random=5%interrupt;arena=flip;arena=wild;arena=torn;arena=truncate;"
    "pool=50%drain(1);alloc=50%fail(3)"
)
SOUND = {"lost": 0, "doubled": 0, "stuck": 0, "count_errors": 0, "other": 0, "findings": []}


def stressed(worker="hot", scheme="hashed", lock="sem", kills=300, fault="random=kill", mutant="", nr_cpus=2, **plan):
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


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("worker", "scheme", "lock"),
    [
        ("churn", "hashed", "owner"),
        pytest.param("exits", "global", "sem", marks=pytest.mark.full),
        pytest.param("syscalls", "hashed", "pthread-robust", marks=pytest.mark.full),
    ],
)
def test_whatever_happens_the_others_go_on(worker, scheme, lock):
    """CPUs die in a move, with a lock, asleep, all at once; the recoverer; the supervisor itself; and the arena suffers."""
    found = stressed(worker, scheme, lock, kills=600, fault=EVERYTHING, nr_cpus=3, round_kills=40)
    assert {name: found[name] for name in SOUND} == SOUND
    struck = {term: count["struck"] for term, count in found["faults"].items()}
    assert min(struck.values()) > 0, struck
    assert found["stops"] == struck["random=5%stop(1ms)"]
    assert found["damaged"] == sum(count for term, count in struck.items() if term.startswith("arena="))


def test_all_cpus_at_once_while_they_register_and_take_away():
    """The recoverer waits for a grace period of a CPU that died as well, and buries that one meanwhile."""
    found = stressed("churn", "hashed", "owner", kills=300, fault="all=kill", round_kills=60)
    assert {name: found[name] for name in SOUND} == SOUND


@pytest.mark.full
@pytest.mark.timeout(200)
def test_a_grace_period_that_ends_while_locks_are_repaired_does_not_let_its_waiter_in():
    """Who waits for a grace period counts as parked; when it ends, the gate may be closed."""
    found = stressed("churn", "hashed", "sem", kills=2500, fault="random=kill", round_kills=100, nr_cpus=4)
    assert {name: found[name] for name in SOUND} == SOUND


def test_who_counted_as_parked_does_not_pass_a_closed_gate(monkeypatch):
    """It parks, and looks again: the gate may close again at once."""
    build = replace(build_of("hot", "hashed", "ttas"), recoverable=True)
    world = World.of(build)
    with world.create_arena(world.geometry(1)) as arena:
        k = plain.kernel(world, arena)
        parked = []

        def park(k, cpu):
            parked.append(cpu)
            if len(parked) % 2 == 0:
                k.run.gate[0] = 0

        monkeypatch.setattr(survive, "park", park)
        with atomics.use(PlainMachine(build.common_cache())):
            for leave in (end_wait, pass_gate):
                k.run.gate[0] = 1
                leave(k.mode.recovery, k, 1)
        assert parked == [1, 1, 1, 1]


def test_one_may_not_be_stopped_for_ever_while_another_is_fenced():
    found = stressed("hot", "hashed", "sem", kills=30, fault="all=stop(6ms);random=kill", fence_s=0.0005, nr_cpus=4)
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["fenced"] > 0


@pytest.mark.parametrize(
    ("options", "what"),
    [({"seconds": 1e-9}, "no fault struck"), ({"fault": "random=after=99999999:kill", "seconds": 0.1}, "no fault struck")],
)
def test_a_run_in_which_nothing_happened_did_not_hold(options, what):
    findings = stressed(**options)["findings"]
    assert [what in finding for finding in findings] == [True], findings


def test_a_lock_that_is_held_after_a_round_is_a_finding(monkeypatch):
    monkeypatch.setattr("shmkret.stress.nemesis.native.still_held", lambda *_: NotFree(["locks[3]"], []))

    assert stressed(kills=3)["findings"] == ["1 locks are not free, such as locks[3], and no CPU is inside"]


def test_each_death_is_counted_once(monkeypatch):
    """One counted twice would excuse a call that was never counted."""
    record = Record()
    monkeypatch.setattr("shmkret.stress.session.Record", lambda: record)
    found = stressed(kills=100)

    assert sum(record.deaths(2)) == found["kills"] >= 100


def test_calls_that_came_to_no_end_are_no_more_than_deaths(monkeypatch):
    """One whose death is not counted is one too many."""
    monkeypatch.setattr(Record, "add_deaths", lambda *_: None)
    found = stressed(kills=200)

    assert found["open_calls"] > 0
    assert all(
        re.fullmatch(r"cpu \d: -?\d+ calls have come to no end, and it has died 0 times", what) for what in found["findings"]
    )
    assert found["findings"]


@pytest.mark.full
def test_refusals_are_counted_whenever_a_cpu_dies():
    found = stressed("refuse", kills=60)

    assert {name: found[name] for name in SOUND} == SOUND, found["findings"]
    assert abs(found["open_calls"]) <= found["kills"]


def test_a_recoverer_that_dies_by_itself_is_named_at_once(monkeypatch):
    """Not as a recovery that is stuck: nobody but itself is to blame."""
    kill = faults.STRIKES["kill"]

    def with_recoverer(stage, i, term, victims):
        signal.pidfd_send_signal(stage.supervisor._pidfds[stage.supervisor.recoverer], signal.SIGKILL)
        return kill(stage, i, term, victims)

    monkeypatch.setitem(faults.STRIKES, "kill", with_recoverer)
    findings = stressed()["findings"]
    said = r"the recoverer in slot \d ended by SIGKILL, and nobody had killed it"
    assert [bool(re.fullmatch(said, finding)) for finding in findings] == [True], findings


@pytest.mark.parametrize("kills", [20, pytest.param(60, marks=pytest.mark.full)])
def test_a_poster_dies_between_the_add_and_the_wake(kills):
    """By ptrace."""
    woken = stressed("hot", "hashed", "sem", kills=kills, fault="poster=kill")
    assert {name: woken[name] for name in SOUND} == SOUND
    assert woken["faults"]["poster=kill"]["elsewhere"] < kills // 2


@pytest.mark.full
def test_where_no_lock_sleeps_the_report_says_that_it_was_no_poster():
    spun = stressed("hot", "hashed", "ttas", kills=6, fault="poster=kill")
    assert spun["faults"]["poster=kill"]["struck"] == 6
    assert spun["faults"]["poster=kill"]["elsewhere"] > 0


@pytest.mark.parametrize("lock", ["sem", pytest.param("mcs", marks=pytest.mark.full)])
def test_a_semaphore_that_is_emptied_is_full_again_after_the_next_recovery(lock):
    """As is a queue that somebody has entered who is nobody."""
    found = stressed("hot", "hashed", lock, kills=60, fault="lock=steal")
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["faults"]["lock=steal"]["elsewhere"] < 30


def test_a_lock_that_cannot_be_tried_cannot_be_stolen():
    with pytest.raises(UsageError, match=r"the fault lock=steal needs try_acquire\(\), which .*clh.py does not have"):
        stressed("hot", "hashed", "clh", kills=60, fault="lock=steal")


def test_a_stranger_with_the_pid_of_a_dead_cpu_is_left_alone():
    if not os.access(faults.LAST_PID, os.W_OK):
        with pytest.raises(UnfitMachine, match="CAP_CHECKPOINT_RESTORE"):
            stressed(fault="random=reuse", kills=1)
        return
    found = stressed("hot", "hashed", "sem", kills=60, fault="random=reuse")
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["faults"]["random=reuse"]["elsewhere"] < 30


def test_a_stranger_that_is_signalled_is_a_finding(monkeypatch):
    """The check can fail: the recoverer kicks whoever a slot's pid names, if its death is announced too late."""
    if not os.access(faults.LAST_PID, os.W_OK):
        pytest.skip("no pid can be had again without CAP_CHECKPOINT_RESTORE")
    started = faults._stranger

    def signalled(pid):
        stranger = started(pid)
        os.kill(stranger, signal.SIGURG)
        return stranger

    monkeypatch.setattr(faults, "_stranger", signalled)
    found = stressed("hot", "hashed", "sem", kills=10, fault="random=reuse")
    assert "was signalled" in found["findings"][0]


def test_faults_that_kill_nobody_are_counted_themselves():
    found = stressed(kills=40, fault="random=50%delay(1ms);random=interrupt", round_kills=20)
    assert {name: found[name] for name in SOUND} == SOUND
    assert (found["kills"], found["rounds"]) == (0, 2)
    assert sum(count["struck"] for count in found["faults"].values()) == 40


def test_who_watches_sees_kills_recoveries_times_and_calls():
    seen = []

    def watch(record, seconds):
        seen.append((record["kills"], record["recoveries"], record.times_ms()["p50"], record["calls"], seconds))

    build = replace(build_of("hot", "hashed", "owner"), recoverable=True)
    run(build, Sizes(), Plan(10**9, 100, spec.parse("random=kill"), 1, seconds=1.5), watch)
    assert len(seen) > 1
    kills, recoveries, p50, calls, seconds = seen[-1]
    assert kills > 0
    assert recoveries > 0
    assert p50 > 0
    assert calls > seen[0][3] >= 0
    assert seconds > 0


def test_a_term_that_strikes_so_often_at_most_ends_there():
    found = stressed(kills=40, fault="random=3*kill;parent=2*kill")
    assert found["faults"] == {"random=3*kill": {"struck": 3, "elsewhere": 0}, "parent=2*kill": {"struck": 2, "elsewhere": 0}}
    assert found["findings"] == []


def test_drained_lists_are_whole_again_and_no_instance_is_lost():
    build = build_of("hot", "hashed", "ttas")
    with World.of(build, Sizes(probes=3, maxactive=4)).create_arena() as arena:
        control = Control(arena, PlainMachine(build.common_cache()))
        free = arena.records("probes")["free"]

        def lengths():
            return [len(chain(arena.records("instances")["next"].tolist(), first)[0]) for first in free.tolist()]

        assert lengths() == [4, 0, 0]
        shortage.drain(arena, 1)
        assert lengths() == [1, 0, 0]
        lacks = "probe 0 has {} free instances and 0 in flight, and its maxactive is 4"
        assert sentences(audit(arena, build.scheme)) == [lacks.format(1)]
        shortage.drain(arena, 0)
        assert free.tolist() == [NIL, NIL, NIL]
        assert sentences(audit(arena, build.scheme)) == [lacks.format(0)]
        arena.records("registry")["alloc_fault"][0] = -3
        shortage.heal(arena, control)
        assert arena.records("registry")["alloc_fault"][0] == 0
        assert lengths() == [4, 0, 0]
        assert audit(arena, build.scheme) == []


def test_a_drained_pool_misses_and_counts_exactly():
    full = stressed("hot", kills=20, fault="random=kill")
    drained = stressed("hot", kills=20, fault="random=kill;pool=drain(0)")
    assert full["findings"] == drained["findings"] == []
    assert drained["misses"] == drained["calls"] > full["misses"]


RAISES = """
from shmkret.kernel import Kretprobe
from shmkret.kernel import call_and_return

DATA_SIZE = 8


def divide(k, cpu, task, ri):
    k.data.word[0] = 1 // (k.tasks.saved[task] & 65535)


def probes(nr_cpus):
    return [Kretprobe(0, handler=divide)]


def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n + 1)
"""


def test_a_cpu_whose_handler_raises_is_recovered_like_a_dead_one(tmp_path):
    path = tmp_path / "raises.py"
    path.write_text(RAISES)
    found = stressed(str(path), kills=40, fault="random=kill", round_kills=10)
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["raised"] > 0
    assert found["calls"] > 255


@pytest.mark.parametrize(("fault", "failures"), [(0, 4), (2, 4), (-2, 7)])
def test_the_allocation_that_is_told_to_fails_once_or_for_ever(fault, failures):
    """Of eight from a slab of four."""
    build = replace(build_of("hot", "hashed", "ttas"), recoverable=True)
    world = World.of(build, Sizes(maxactive=4))
    with world.create_arena(world.geometry(1)) as arena:
        machine = PlainMachine(build.common_cache())
        native.free_locks(world, arena, machine)
        shortage.drain(arena, 0)
        arena.records("registry")["alloc_fault"][0] = fault
        with atomics.use(machine):
            k = plain.kernel(world, arena)
            got = [slab_alloc(k, 0) for _ in range(8)]
        assert got.count(NIL) == failures
        assert got[0] != NIL
        assert (got[1] == NIL) == (fault != 0)


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
    found = stressed(kills=200, fault=damage, round_kills=10)
    assert {name: found[name] for name in SOUND} == SOUND
    assert found["damaged"] == 4 * found["rounds"] > 40


def test_damage_that_the_audit_does_not_see_is_a_finding(monkeypatch):
    monkeypatch.setattr("shmkret.stress.damage.audit", lambda *args: [])
    found = stressed(kills=20, fault="random=kill;arena=cycle", round_kills=10)
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
    assert main(["stress", "--fault", "nth=all", "--worker", "handlers", "--lock", "ttas", "--json", "-"]) == 0
    every = json.loads(capsys.readouterr().out)["runs"][0]
    assert (every["bad"], every["findings"]) == (0, [])
    assert every["places"] > 80
    wrong = ["stress", "--worker", "nested", "--lock", "owner", "--mutant", "late-next", "--json", "-", "--fault"]
    bad = next(k for k in range(20, 50) if main([*wrong, f"nth={k}"]) == 1)
    capsys.readouterr()
    assert main([*wrong, f"nth={bad}"]) == 1
    one = json.loads(capsys.readouterr().out)["runs"][0]
    assert (one["places"], one["bad"]) == (1, 1)
    assert main(["stress", "--fault", "nth=99999", "--worker", "nested", "--lock", "ttas"]) == 2
    assert "are complete before their store 99999" in capsys.readouterr().err


def test_a_lock_that_says_nothing_of_recovery_is_refused():
    with pytest.raises(UsageError, match="the lock empty is not recoverable: its file has the functions of none of owner, rob"):
        stressed(lock="empty")


def test_a_scheme_that_says_nothing_of_recovery_is_refused():
    with pytest.raises(UsageError, match="the scheme rfc is not recoverable"):
        stressed(scheme="rfc")


@pytest.mark.parametrize("command", [["stress"], ["stress", "--fault", "nth=1"], ["bench", "--recoverable"]])
def test_the_first_generation_without_locks_is_refused_in_one_sentence(command, capsys):
    assert main([*command, "--scheme", "objpool"]) == 2
    output = capsys.readouterr()
    assert output.err == "shmkret: the scheme objpool is not recoverable: its file does not have what recovery asks of one\n"
    assert output.out == ""


@pytest.mark.full
def test_a_semaphore_whose_holder_died_says_nothing_and_a_robust_mutex_does():
    """The table of --unprotected: where nothing is recoverable, a death in a move costs something."""
    found = unprotected.trials(build_of("hot", "global", "ttas"), Sizes(), 6, seed=1)
    assert sum(found[outcome] for outcome in unprotected.OUTCOMES) == found["trials"] == 6
    assert found["unharmed"] < 6


def test_a_trial_whose_cpus_do_not_come_to_their_start_is_no_outcome(monkeypatch):
    monkeypatch.setattr(unprotected, "wait_until", lambda *_: False)
    with pytest.raises(RunFailed, match="the CPUs of a trial were not ready within 10 s"):
        unprotected.trials(build_of("hot", "global", "ttas"), Sizes(), 1, seed=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("random=klil", "character 8: 'k' where an action (kill, reuse, stop, delay, interrupt, off) is expected"),
        ("nowhere=kill", "character 1: 'n' where a point (random, mover"),
        ("random", "character 7: the end where '=' is expected"),
        ("random=kill;", "character 13: the end where a point"),
        ("random=kill kill", "character 12: ' ' where ';' or the end is expected"),
        ("random=stop(5h)", "where a time such as 5ms, and ')' is expected"),
        ("random=kill(5ms)", "character 12: '(' where ';' or the end is expected"),
        ("random=stop(5)", "where a time such as 5ms, and ')' is expected"),
        ("random=stop(99s)", "is more than 60 s"),
        ("random=every=0:kill", "every=0 is no distance"),
        ("random=after=1+2:kill", "where a number and ':' is expected"),
        ("parent=cpu=1:kill", "cpu= chooses among CPUs, and parent is none"),
        ("random=kill;alloc=fail(0)", "give a number from 1"),
        ("random=kill;alloc=fail(2ms)", "where a number, and + for all after it, and ')' is expected"),
        ("random=kill;pool=drain(1+)", "where a number, and ')' is expected"),
        ("random=cpu=7:kill", "names cpu 7, and there are 2 CPUs"),
        ("lock=steal", "needs a lock that names nobody, and owner knows its owner"),
        ("random=0%kill", "0% is no share"),
        ("random=0*kill", "0* is never"),
        (f"random={'9' * 5000}*kill", "character 8: '9' where a number of 15 digits at most is expected"),
        (f"nth={'9' * 5000}", "a number of 15 digits at most"),
        ("random=off", "nothing ever happens"),
        ("arena=flip", "nothing ever happens"),
        (
            "random=kill;arena=kill",
            "character 19: 'k' where an action (flip, cycle, cross, wild, torn, truncate, off) is expected",
        ),
        ("nth=x", "character 5: 'x' where all or a number is expected"),
        ("nth=1;random=kill", "character 6: ';' where the end is expected"),
        ("nth=0", "stores are counted from 1"),
        ("parent=stop", "character 8: 's' where an action (kill, off) is expected"),
    ],
)
def test_a_malformed_specification_names_the_character_and_what_there_is(text, words, capsys):
    assert main(["stress", "--fault", text, "--lock", "owner"]) == 2
    assert words in capsys.readouterr().err


def test_a_specification_is_read_as_written():
    first, second = spec.parse("random=90%3*after=2:every=5:cpu=0+1:kill ; holder=stop(5ms)")
    assert (first.share, first.most, first.after, first.every, first.cpus) == (90.0, 3, 2, 5, (0, 1))
    assert [n for n in range(14) if first.may(n, 2)] == [2, 7, 12]
    assert not first.may(2, 3)
    assert (second.action, second.arg) == ("stop", 0.005)
    _, third, fourth = spec.parse("random=kill;alloc=fail(3+);pool=drain")
    assert (third.arg, third.forever, fourth.arg, fourth.forever) == (3, True, 1, False)


def test_the_command_prints_one_object_as_its_contract_says(capsys):
    assert main(["stress", "--kills", "60", "--lock", "sem", "--seed", "3", "--json", "-"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert (found["command"], found["seed"]) == ("stress", 3)
    (one,) = found["runs"]
    assert one["replay"] == "shmkret stress --kills 60 --lock sem --seed 3 --json -"
    assert set(one["recovery_ms"]) == {"p50", "p99", "max"}
    assert one["kills"] >= 60


def test_nobody_is_signalled_in_the_place_of_a_cpu_that_has_no_pid_yet(monkeypatch):
    sent = []
    monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
    machine = PlainMachine(None)
    for pid in (0, -1):
        machine.libc("kick", pid)
    assert sent == []
    machine.libc("kick", 12345)
    assert sent == [(12345, signal.SIGURG)]
