"""Real processes on real arenas: every lock and scheme, compiled and plain."""

import errno
import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from shmkret.errors import PluginError, UnfitMachine
from shmkret.explore.rehearsal import rehearse as rehearsal
from shmkret.host import posix
from shmkret.host.crew import Crew, WorkerHung, WorkerLost
from shmkret.machines.compiled.loop import INT, compile_function
from shmkret.measure.cell import Cell, Params, Sample
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.measure.window import _why_hung
from shmkret.text.arithmetic import bit_length
from shmkret.text.atomics import NIL

from .conftest import TWO_CORES, needs_two_cores
from .worlds import ARCHS, HERE, SCHEMES, SOUND, WORKERS

CPUS = 2 if TWO_CORES else 1


def run(
    worker="hot", scheme="hashed", lock="ttas", padding="cacheline", cpus=CPUS, seconds=0.05, arch="x86-64", **params
) -> Sample:
    prepared = Prepared(Cell(worker, scheme, lock, arch, padding, cpus, params=Params(**params)), seed=7)
    prepared.compile()
    return prepared.repeat(seconds, warm_up=0.01)


def assert_right(sample: Sample) -> None:
    assert sample.flaws == ()
    assert sample.rate > 0
    c = sample.counts
    assert c["calls"] == c["hits"] + c["nmissed"] + c["kp_nmissed"] + c["refused"]
    assert c["hits"] > 0


EACH_SCHEME = {("mcs", "objpool"), ("owner", "global"), ("sem-named", "rfc"), ("ttas", "hashed")}


@pytest.mark.parametrize(
    ("lock", "scheme"),
    [
        # Four seconds of compiling each: each scheme once; each lock on two schemes with `full`; every pair with `record`.
        pytest.param(
            lock,
            scheme,
            marks=[] if (lock, scheme) in EACH_SCHEME else pytest.mark.full if (i + j) % 2 == 0 else pytest.mark.record,
        )
        for i, lock in enumerate(SOUND)
        for j, scheme in enumerate(SCHEMES)
    ],
)
def test_compiled_every_lock_loses_nothing(scheme, lock):
    assert_right(run(scheme=scheme, lock=lock))


@pytest.mark.parametrize("lock", SOUND)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_plain_every_lock_loses_nothing(scheme, lock):
    assert_right(run(scheme=scheme, lock=lock, plain=True))


SOUND_PAIRS = [(worker, scheme) for worker in WORKERS for scheme in SCHEMES if (worker, scheme) != ("refuse", "rfc")]


QUICK = {"churn", "interrupts", "migrate", "sleepers"}
"""Those that do what no other does; plain, every worker runs always."""
WITHOUT_LOCKS = {"churn", "exits", "interrupts", "migrate", "nested", "refuse", "sleepers"}
"""Those whose instances go ways of their own where no lock orders them."""


@pytest.mark.parametrize("worker", [pytest.param(w, marks=[] if w in QUICK else pytest.mark.full) for w in WORKERS])
def test_compiled_every_worker_loses_nothing(worker):
    assert_right(run(worker=worker, handler_ns=0))


@pytest.mark.parametrize(
    "worker", [pytest.param(w, marks=[] if w == "churn" else pytest.mark.full) for w in sorted(WITHOUT_LOCKS)]
)
def test_compiled_without_locks_nothing_is_lost(worker):
    """With 7 tasks a CPU, so that instances come home to rings that others have emptied."""
    assert_right(run(worker=worker, scheme="objpool", tasks=7 * CPUS, handler_ns=0, seconds=0.2))


def test_compiled_packed_loses_nothing():
    assert_right(run(worker="spread", padding="packed"))


@pytest.mark.parametrize(("worker", "scheme"), SOUND_PAIRS)
def test_plain_every_worker_on_every_scheme(worker, scheme):
    """Architectures in turn: test_scenarios.py has them all."""
    arch = ARCHS[(WORKERS.index(worker) + SCHEMES.index(scheme)) % len(ARCHS)]
    assert_right(run(arch=arch, worker=worker, scheme=scheme, plain=True, handler_ns=0))


def test_the_seed_runs_out_of_instances_when_its_handler_refuses():
    sample = run(worker="refuse", scheme="rfc", cpus=1)

    lacks = "audit: probe 0 has 0 free instances and 0 in flight, and its maxactive is 10"
    assert sample.flaws == ("audit: 10 instances lost, such as instance 0", lacks)
    assert sample.counts["refused"] == 10
    assert sample.counts["nmissed"] > 0


@needs_two_cores
@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_churn_waits_for_grace_periods_and_counts_what_they_cost(scheme):
    sample = run(worker="churn", scheme=scheme, seconds=0.2)

    assert_right(sample)
    assert sample.counts["grace_periods"] > 0
    assert sample.counts["grace_ns"] > 0


@needs_two_cores
@pytest.mark.parametrize("scheme", ["hashed", pytest.param("objpool", marks=pytest.mark.full)])
def test_without_grace_periods_churn_is_caught(scheme):
    """By chance: 20 of 20 runs were caught under each, so nine in ten at the least, and ten in a row are spared once in 10**8
    times at the most. The explorer finds it for sure (test_scenarios.py)."""
    assert any(run(worker="churn", scheme=scheme, seconds=1.0, bug="no-grace-period").flaws for _ in range(10))


@needs_two_cores
def test_a_grace_period_ends_beside_a_cpu_that_only_calls():
    """What it waits for is the quiescent state between two batches of rounds: that CPU is never idle."""
    sample = run(worker=str(HERE / "one_churns.py"), seconds=0.2)

    assert_right(sample)
    assert sample.counts["grace_periods"] > 0


@needs_two_cores
@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_churn_goes_on_with_one_instance_a_probe(scheme):
    assert_right(run(worker="churn", scheme=scheme, maxactive=1, seconds=0.2))


@needs_two_cores
@pytest.mark.parametrize("scheme", ["hashed", pytest.param("objpool", marks=pytest.mark.full)])
def test_tasks_that_migrate_come_back_on_the_other_cpu(scheme):
    sample = run(worker="migrate", scheme=scheme, seconds=0.2)

    assert_right(sample)
    assert sample.counts["switches"] > 0


@needs_two_cores
def test_sleepers_lengthen_the_walk_where_their_tasks_share_a_bucket():
    apart, together = (run(worker="sleepers", tasks=32, task_address=model) for model in ("slab", "ia64-stack"))

    assert_right(apart)
    assert_right(together)
    assert together.counts["walked"] > 5 * together.counts["returns"]
    assert apart.counts["walked"] < 5 * apart.counts["returns"]


@pytest.mark.parametrize("scheme", ["hashed", pytest.param("objpool", marks=pytest.mark.full)])
def test_interrupts_come_and_are_counted(scheme):
    sample = run(worker="interrupts", scheme=scheme, seconds=0.1)

    assert_right(sample)
    assert sample.counts["irqs"] > 0


def test_a_lock_wait_is_timed_in_a_run_apart():
    prepared = Prepared(Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 1), seed=7)
    prepared.compile()
    sample, waits = prepared.timed("locks", 0.05)

    assert sample.flaws == ()
    assert set(waits) == {"table_lock", "probe_lock"}
    assert all(wait.total_ns / wait.nr >= prepared.clock_ns() > 0 for wait in waits.values())


def test_both_halves_of_a_call_are_timed_in_a_run_apart():
    prepared = Prepared(Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 1), seed=7)
    prepared.compile()
    sample, halves = prepared.timed("calls", 0.05)

    assert sample.flaws == ()
    assert set(halves) == {"entry", "return"}
    assert halves["entry"].nr == halves["return"].nr > 1000
    for half in halves.values():
        times = [half.quantile(q) for q in (0.5, 0.9, 0.99, 0.999)]
        assert prepared.clock_ns() <= times[0] <= times[-1] <= half.max_ns
        assert times == sorted(times)


RAISES = """
from shmkret.kernel import Kretprobe
from shmkret.kernel import call_and_return

def divides(k, cpu, task, ri):
    return 1 // (k.cpus.hits[cpu] - 700)

def probes(nr_cpus):
    return [Kretprobe(0, None, divides)]

def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
"""


@pytest.mark.parametrize("plain", [True, False])
def test_a_handler_that_raises_is_reported_with_its_line(plain, tmp_path):
    """Not at its first call, where the rehearsal would find it, but at its seven hundredth."""
    own = tmp_path / "raises.py"
    own.write_text(RAISES)
    with pytest.raises(WorkerLost, match=r"^cpu 0, .*ZeroDivisionError: .*raises\.py:6\b.*$") as caught:
        run(worker=str(own), cpus=1, plain=plain, seconds=5)  # seven hundred calls come long before
    assert "\n" not in str(caught.value)


def test_what_compiled_code_alone_has_raised_is_said_in_a_sentence(tmp_path, monkeypatch):
    own = tmp_path / "raises.py"
    own.write_text(RAISES.replace("70", "7000000"))
    monkeypatch.setattr(rehearsal, "LONGEST_SEARCH", 3)
    params = Params(plain=False)
    prepared = Prepared(Cell(str(own), "hashed", "ttas", "x86-64", "packed", 1, params=params), seed=7)
    ended, trace = "cpu 0, pid 5, ended with exit status 1", 'Traceback (most recent call last):\n  File "{}", line 6\n{}\n'

    said = prepared._in_a_sentence(f"{ended}:\n{trace.format('native.py', 'ZeroDivisionError: by zero')}")
    assert said.startswith(f"{ended}: compiled code has raised ZeroDivisionError: by zero; it has no lines, and ")
    assert "\n" not in said
    of_a_handler = prepared._in_a_sentence(f"{ended}:\n{trace.format(own, 'ValueError: no')}")
    assert of_a_handler == f"{ended}: ValueError: no, at {own}:6"
    no_word = prepared._in_a_sentence(f"{ended}:\n{trace.format(own, f'shmkret.errors.NotAWord: {own}:6: 0.5 is no word')}")
    assert no_word == f"{ended}: {own}:6: 0.5 is no word"
    assert prepared._in_a_sentence(ended) == ended


LATE = """
from shmkret.kernel import call_and_return

def nr_probes(nr_cpus):
    return 1

def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, n // 5000 * 50, n)
"""


def test_a_function_that_is_not_there_is_not_called(tmp_path):
    """However late: beyond the table lies something else of the arena."""
    own = tmp_path / "late.py"
    own.write_text(LATE)
    found = run(worker=str(own), cpus=1)

    assert found.flaws == ("oracle: cpu 0, task 0: a function is called that there is not: function 50, of 1",)


@needs_two_cores
def test_a_stopped_cpu_that_others_wait_for_is_named(monkeypatch):
    monkeypatch.setattr("shmkret.measure.window.PATIENCE_S", 1.5)
    real = Crew.watch

    def stops(self, seconds):
        if seconds > 0.1:  # the window
            os.kill(self._pids[1], signal.SIGSTOP)
        real(self, seconds)

    monkeypatch.setattr(Crew, "watch", stops)
    sample = run(worker="churn", cpus=2, seconds=0.3)

    # It waits for a grace period, or for a lock that the stopped CPU holds.
    assert re.search(r"cpu 1(, which)? is stopped", " ".join(sample.flaws)), sample.flaws


@needs_two_cores
@pytest.mark.parametrize(
    "worker", ["exits", *(pytest.param(worker, marks=pytest.mark.full) for worker in ("nested", "tailcall", "recursion"))]
)
def test_chains_of_hit_and_missed_calls_come_back_right(worker):
    sample = run(worker=worker, maxactive=1, seconds=0.2)

    assert_right(sample)
    assert sample.counts["nmissed"] > 0


@needs_two_cores
@pytest.mark.parametrize(
    ("lock", "plain"),
    [("busted", True), ("empty", True), *(pytest.param(lock, False, marks=pytest.mark.full) for lock in ("busted", "empty"))],
)
@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme != "objpool"])  # which has no lock on its path
def test_the_control_is_caught_by_the_oracle_or_the_audit(scheme, lock, plain):
    sample = run(scheme=scheme, lock=lock, cpus=2, seconds=2.0 if plain else 0.3, plain=plain)

    assert sample.flaws != ()
    assert sample.rate is None
    if not plain:
        assert sample.flaws[0].startswith("oracle: cpu ")


@needs_two_cores
@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_a_pool_too_small_for_its_callers_is_missed_and_counted(scheme):
    """One instance, two CPUs: the books must balance with misses in them."""
    sample = run(scheme=scheme, maxactive=1, seconds=0.3)

    assert_right(sample)
    assert sample.counts["nmissed"] > 0


def test_tasks_take_turns_on_their_cpu():
    assert_right(run(tasks=7 * CPUS))


@needs_two_cores
def test_ia64_addresses_put_all_tasks_into_one_bucket_and_lengthen_the_walk():
    apart, together = (run(worker="spread", seconds=0.2, task_address=model) for model in ("slab", "ia64-stack"))

    assert_right(apart)
    assert_right(together)
    assert apart.counts["walked"] == apart.counts["hits"]
    assert together.counts["walked"] > together.counts["hits"]


def test_the_data_of_a_million_bytes_an_instance_fits():
    assert_right(run(data_size=1 << 20))


def test_a_worker_that_is_killed_is_named_with_its_signal():
    words = r"cpu 0, pid \d+, on core \d+, was killed by SIGKILL"
    with pytest.raises(WorkerLost, match=words), Crew([lambda: os.kill(os.getpid(), 9)], [_core()]) as crew:
        crew.watch(10)


def test_a_worker_that_raises_is_reported_with_its_own_words():
    def body():
        raise ValueError("from the worker")

    words = r"(?s)exit status 1.*ValueError: from the worker"
    with pytest.raises(WorkerLost, match=words), Crew([body], [_core()]) as crew:
        crew.watch(10)


def test_ctrl_c_while_workers_are_forked_leaves_none(monkeypatch):
    """The signal is held back until all are forked, and raised where __exit__ will not be called any more."""
    real = os.pidfd_open

    def interrupted(pid, *flags):
        os.kill(os.getpid(), signal.SIGINT)
        return real(pid, *flags)

    monkeypatch.setattr(os, "pidfd_open", interrupted)
    with pytest.raises(KeyboardInterrupt), Crew([lambda: posix._libc.pause()] * 2, [_core()] * 2):
        pytest.fail("the block was entered")


def test_ctrl_c_that_another_thread_is_given_leaves_none(monkeypatch):
    """The mask is this thread's. Python raises here what any thread is given."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    real = os.pidfd_open

    def interrupted(pid, *flags):
        signal.pthread_kill(other.ident, signal.SIGINT)
        time.sleep(0.05)
        return real(pid, *flags)

    monkeypatch.setattr(os, "pidfd_open", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt), Crew([lambda: posix._libc.pause()] * 2, [_core()] * 2):
            pytest.fail("the block was entered")
    finally:
        over.set()
        other.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("stopped", "words"),
    [
        ((), "cpu 1 waits for a grace period of cpu 0"),
        ((0,), "cpu 1 waits for a grace period of cpu 0, which is stopped"),
        ((1,), "cpu 1, which is stopped, waits for a grace period of cpu 0"),
    ],
)
def test_who_is_stopped_is_named_whether_it_waits_or_is_waited_for(stopped, words):
    assert _why_hung([NIL, 0], [1, 1], stopped) == f"; {words}"


def test_who_has_made_no_call_is_named():
    assert _why_hung([NIL, NIL], [3, 0], []) == "; cpu 1 made no call: does it wait in acquire() for ever?"


def test_a_worker_that_cannot_be_watched_is_not_left_behind(monkeypatch):
    def refuse(pid, *flags):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(UnfitMachine, match="raise ulimit -n"), Crew([lambda: posix._libc.pause()], [_core()]):
        pytest.fail("the block was entered")


def test_a_worker_that_never_answers_is_hung_and_reaped():
    words = "not all of 1 workers have answered"
    with pytest.raises(WorkerHung, match=words), Crew([lambda: posix._libc.pause()], [_core()]) as crew:
        crew.watch_until(lambda: False, 0.05, "answered")


def test_workers_run_on_the_core_that_they_were_given():
    cores = sorted(os.sched_getaffinity(0))
    read, write = os.pipe()
    with Crew([lambda: os.write(write, repr(os.sched_getaffinity(0)).encode())], [cores[-1]]) as crew:
        crew.join(10)

    assert os.read(read, 100).decode() == repr({cores[-1]})
    os.close(read)
    os.close(write)


def test_a_name_left_by_a_killed_maker_is_swept_and_a_living_ones_is_not():
    made = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    dead = posix.SHM / f"sem.shmkret.{posix._pid_namespace()}.{int(made.stdout)}.00ff"
    living = posix.SHM / f"sem.shmkret.{posix._pid_namespace()}.{os.getpid()}.00ff"
    elsewhere = posix.SHM / f"sem.shmkret.{posix._pid_namespace() + 1}.{int(made.stdout)}.00ff"
    for path in (dead, living, elsewhere):
        path.write_bytes(b"")
    try:
        assert posix.sweep_names() == [dead.name]
        assert living.exists()
        assert elsewhere.exists()
    finally:
        living.unlink()
        elsewhere.unlink()


def test_named_semaphores_work_without_posix_ipc(monkeypatch):
    """The fallback for Pythons that posix_ipc has no wheel for."""
    monkeypatch.setattr(posix, "posix_ipc", None)

    assert_right(run(lock="sem-named", plain=True))
    assert_right(run(lock="sem-named"))


def _core() -> int:
    return min(os.sched_getaffinity(0))


def test_what_lies_deep_is_compiled_and_a_function_that_calls_itself_is_named(tmp_path):
    """Numba compiles a function inside the compilation of its caller, in Python calls of which there may be a thousand."""

    def deeply(n):
        return deeply(n - 1) if n else compile_function(bit_length, [INT], None)

    assert deeply(sys.getrecursionlimit() - len(inspect.stack()) - 60)(1 << 40) == 41

    own = tmp_path / "itself.py"
    own.write_text(ITSELF)
    with pytest.raises(PluginError, match=r"itself\.py:9: it calls itself, which no function of the text may"):
        run(worker=str(own), cpus=1, seconds=1)


ITSELF = """
from shmkret.kernel import call_and_return
from shmkret.text import inline

@inline
def falls(k, n):
    if n <= 0:
        return 0
    return falls(k, n - 1)

def nr_probes(nr_cpus):
    return 1

def step(worker, k, cpu, task, n):
    falls(k, n & 3)
    call_and_return(k, cpu, task, 0, n)
"""
