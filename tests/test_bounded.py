"""Code of a user's that runs on without a step is named with its line, and left; and explored time passes."""

import gc
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from contextlib import suppress

import pytest

from shmkret.cli.main import main
from shmkret.explore.greenlets import bounded
from shmkret.explore.greenlets.clock import STEP_NS
from shmkret.explore.rehearsal import by_itself as module
from shmkret.explore.rehearsal import rehearse as rehearsal
from shmkret.explore.rehearsal.rehearse import rehearse, rehearse_lock
from shmkret.explore.scenario import Scenario
from shmkret.explore.schedule import explore
from shmkret.locks import LOCK
from shmkret.measure.cell import Cell
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME
from shmkret.text import atomics
from shmkret.text.atomics import cpu_relax, delay_ns, exchange, load_acquire, monotonic_ns, store_release

from .wrong_locks import RIGHT, WRONG


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(bounded, "PATIENCE_S", 0.3)
    for one in (module, rehearsal):
        monkeypatch.setattr(one, "LONGEST_S", 1e6)


def explored(*bodies, limit=10_000, check=lambda words: []):
    """CPUs that run body(words) each."""

    def scenario(machine):
        words = machine.words("word", [0, 0])
        return Scenario([lambda body=body: body(words) for body in bodies], lambda: check(words))

    return explore(scenario, limit)


def spins(words=None):
    while True: pass  # noqa: E701  # fmt: skip


def swallows(words=None):
    while True:
        with suppress(BaseException):
            spins()


def spins_in_a_library(words=None):
    while True: textwrap.wrap("word " * 10_000)  # noqa: E701  # fmt: skip


def never_ends(words):
    while True:
        with suppress(BaseException):
            load_acquire(words, 0)


@pytest.mark.parametrize("runs", [spins, swallows])
def test_a_cpu_that_runs_on_is_left_and_named_with_its_line(runs):
    found = explored(lambda words: exchange(words, 0, 1), lambda words: load_acquire(words, 0) or runs())

    (violation,) = found.violations
    assert violation.what.startswith(f"{__file__}:{spins.__code__.co_firstlineno + 1}: cpu 1 runs on: no step")
    assert violation.schedule


@pytest.mark.parametrize("runs", [spins, swallows])
def test_a_check_and_the_making_of_a_world_are_left_too(runs):
    here = f"{__file__}:{spins.__code__.co_firstlineno + 1}: a function that is asked for an answer runs on"

    assert explored(lambda words: exchange(words, 0, 1), check=runs).violations[0].what.startswith(here)
    assert explore(runs, 10).violations[0].what.startswith(here)


def test_a_users_line_is_named_though_it_calls_a_library():
    line = f"{__file__}:{spins_in_a_library.__code__.co_firstlineno + 1}"

    (violation,) = explored(spins_in_a_library).violations
    assert violation.what.startswith(f"{line}: cpu 0 runs on")


def test_an_installed_plug_in_is_named_with_its_line():
    path = f"{sysconfig.get_path('purelib')}/installed.py"
    names = {}
    exec(compile("def wrong(words):\n    return 1 // (words[0] * 0)\n", path, "exec"), names)

    (violation,) = explored(names["wrong"]).violations
    assert f"{path}:2" in violation.what


def test_a_cpu_that_catches_its_end_and_goes_on_is_named():
    found = explored(never_ends, lambda words: words.__setitem__(0, 1), limit=100)

    assert [v.what for v in found.violations] == ["cpu 0 catches what ends it, and goes on"]


def test_who_runs_on_is_left_in_any_thread_and_beside_a_timer_of_others():
    found = []
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000)
        thread = threading.Thread(target=lambda: found.append(explored(swallows)))
        thread.start()
        thread.join()
        found.append(explored(swallows))

        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        assert signal.getsignal(signal.SIGALRM) == signal.SIG_IGN
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [one.violations[0].what.partition(": ")[2][:13] for one in found] == ["cpu 0 runs on"] * 2
    assert [thread.name for thread in threading.enumerate() if thread.name == "shmkret-watch"] == []


def test_who_takes_its_time_between_two_steps_is_not_left():
    def slow(words):
        for _ in range(4):
            end = time.thread_time() + 0.1
            while time.thread_time() < end:
                pass
            load_acquire(words, 0)

    found = explored(slow)
    assert (found.complete, found.violations) == (True, [])


WORKER = """from shmkret.kernel import call_and_return

def nr_probes(nr_cpus): return 1

def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
    while cpu == 1 and n == 2:
        try:
            while n == 2:
                pass
        except BaseException:
            pass
"""


def test_a_worker_that_runs_on_is_refused_before_anything_is_compiled(tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text(WORKER)

    assert main(["bench", "--worker", str(own), "--cpus", "1", "--repeat", "1", "--out", str(tmp_path / "out")]) == 2
    assert f"{own}:9: a function that is asked for an answer runs on" in capsys.readouterr().err


# Time.


@pytest.mark.parametrize("ns", [1, 1_000, 1_000_000, 1_000_000_000, 10_000_000_000])
def test_a_wait_for_the_clock_ends_soon_however_long_it_is(ns):
    looks = []

    def waits(words):
        end = monotonic_ns() + ns
        while monotonic_ns() < end:
            looks[-1].append(load_acquire(words, 0))

    def scenario(machine):
        words = machine.words("word", [0])
        looks.append([])
        return Scenario([lambda: waits(words), lambda: exchange(words, 0, 1)], list)

    found = explore(scenario)

    assert found.complete
    assert found.states < 1_000
    assert {len(one) for one in looks} <= set(range(31))
    assert len({tuple(one) for one in looks}) == 1 + len(looks[0]) or ns == 1  # the other one wrote between any two of them


def test_a_clock_grows_with_readings_steps_and_delays_and_is_the_cpus_own():
    read = []

    def reads(words):
        read.append([monotonic_ns(), monotonic_ns()])
        store_release(words, 0, 1)
        read[-1].append(monotonic_ns())
        delay_ns(5_000_000)
        read[-1].append(monotonic_ns())
        cpu_relax()

    found = explored(reads, lambda words: [load_acquire(words, 0) and delay_ns(77) for _ in range(3)])

    assert found.complete
    assert len({tuple(one) for one in read}) == 1  # whatever the other has done
    a, b, c, d = read[0]
    assert 0 < a < b
    assert (c - b) - (b - a) == STEP_NS  # a step more; at each place it is asked for the first time
    assert d - c > 5_000_000


# What a search says when it gave up.


def test_a_search_that_gave_up_says_which_limit_it_reached():
    def counts(words):
        for _ in range(20):
            exchange(words, 0, 1)

    assert explored(counts, counts, limit=20).gave_up == "the limit of 20 states"
    assert explored(counts, counts, limit=100_000).gave_up == ""


def test_a_spin_without_a_bound_is_named_though_the_search_gave_up_before(monkeypatch):
    def waits(words):
        while load_acquire(words, 0) == 0:
            cpu_relax()

    found = explored(lambda words: [exchange(words, 1, 1) for _ in range(3)] and store_release(words, 0, 1), waits, limit=50)

    assert len(found.violations) == 1
    assert found.violations[0].what.startswith(
        f"{__file__}:{waits.__code__.co_firstlineno + 1}: cpu 1 spins: load_acquire of word[0]"
    )
    assert "3,001 steps in one run" in found.violations[0].what


# On the worker's path.


def prepared(lock, scheme="hashed"):
    return Prepared(Cell("spread", scheme, lock, "x86-64", "cacheline", 2), seed=1)


def test_a_scheme_that_forgets_the_locks_of_its_buckets_is_refused(tmp_path):
    """The tasks of the two CPUs have a bucket of their own each, and are tried in one as well."""
    own = tmp_path / "own.py"
    text = (SCHEME.folder / "hashed.py").read_text()
    for verb in ("lock_table", "unlock_table"):
        text = text.replace(f"    {verb}(k, cpu, scheme.table, bucket)\n", "")
    own.write_text(text)

    assert [
        "whose tasks are in one bucket: data race" in flaw for flaw in rehearse(prepared("ttas", str(own)).world).flaws
    ] == [True]


def test_a_lock_that_runs_on_in_a_function_outside_the_text_is_left_and_no_timer_stays(tmp_path):
    """Each of them has a deadline of its own elsewhere, which is put away by code that is not come back to."""
    own = tmp_path / "own.py"
    own.write_text(WRONG["does nothing"][0].replace("    return lock.locked[i] == 0", "    while True:\n        pass"))
    others = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        (flaw,) = rehearse(prepared(str(own)).world).flaws
        timer = signal.getitimer(signal.ITIMER_REAL)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *others)

    assert f"{own}:" in flaw
    assert "runs on: no step" in flaw
    assert timer == (0, 0)
    assert atomics.depth() == 0  # else every other thread would wait for this one


def test_what_was_shown_of_a_lock_stands_with_the_result(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "AGE", 500)
    own = tmp_path / "own.py"
    own.write_text((LOCK.folder / "pthread.py").read_text())
    world = prepared(str(own)).world
    found = rehearse_lock(world.build).beside(rehearse(world))

    assert (found.flaws, found.doubts) == ((), ())
    assert any(said.startswith("own by itself, every interleaving") for said in found.proved)
    assert any(said.startswith("own by itself, not tried") for said in found.proved)
    assert [said.partition(", round 0")[2] for said in found.proved if said.startswith("every interleaving")] == [
        " on two CPUs of spread",
        " on two CPUs whose tasks are in one bucket of spread",
    ]


def test_a_users_lock_that_is_wrong_is_told_before_it_is_compiled(tmp_path, monkeypatch):
    own = tmp_path / "own.py"
    own.write_text(WRONG["does nothing"][0])
    made = prepared(str(own))
    made.compile()

    assert f"{own}: cpu 1 is inside lock 0" in made.repeat(0.1).flaws[0]
    assert "_bodies" not in vars(made)


def test_what_a_lock_raises_is_told_with_its_line(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(RIGHT["ttas"] + "\ndef start(lock, i, n):\n    lock.locked[i] = n // 0\n")

    with pytest.raises(module.PluginError, match=r"own.py:\d+: ZeroDivisionError"):
        module.by_itself(find(LOCK, str(own)))


def test_stress_refuses_a_lock_that_is_wrong_by_itself(tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text(WRONG["takes nothing over"][0])

    assert main(["stress", "--lock", str(own), "--kills", "1"]) == 1
    out, err = capsys.readouterr()
    assert f"{own}: " in err
    assert "take over 2x1x1" in err
    assert "worker" not in out


TRACED = """
import sys
from shmkret.explore.greenlets import bounded

def spins():
    while True:
        pass

with bounded.watched():
    {inside}

def called():
    return "entered"

sys.settrace(lambda *_: None)
print(called())
"""
INSIDE = {
    "nothing ran on": "pass",
    "code was left": """
    try:
        bounded.guarded(spins)
    except bounded.RunsOn:
        pass""",
    "code ended as its time had come": """
    watch = next(one for one in __import__("threading").enumerate() if one.name == "shmkret-watch")
    watch._asked = True""",
}


@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE)
def test_after_a_watch_functions_are_entered_under_a_trace_function(inside):
    """CPython 3.11 loops for ever in the next function where an asynchronous exception was taken back."""
    program = [sys.executable, "-c", TRACED.format(inside=inside)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "entered\n", "")


def test_a_search_for_garbage_is_not_taken_for_code_that_runs_on(monkeypatch):
    """It stops all threads of a process, for seconds where that is large."""
    monkeypatch.setattr(bounded, "PATIENCE_S", 0.1)
    monkeypatch.setattr(bounded, "LOOK_S", 0.01)
    much = [[i] for i in range(3_000_000)]
    with bounded.watched():
        for _ in range(3):
            assert bounded.guarded(lambda: gc.collect() >= 0)
    assert len(much) == 3_000_000
