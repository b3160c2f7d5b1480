"""Real processes on real arenas: every lock and scheme, compiled and plain."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from shmkret import layout, posix, registry
from shmkret.crew import Crew, WorkerHung, WorkerLost
from shmkret.errors import UnfitMachine
from shmkret.measure.cell import Cell, Params, Prepared, Sample
from shmkret.registry import ARCH, LOCK, SCHEME, WORKER

from .conftest import TWO_CORES, needs_two_cores

SOUND = sorted(set(registry.names(LOCK)) - {"empty", "busted"})
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
    assert sample.calls == sample.hits + sample.nmissed
    assert sample.hits > 0


@pytest.mark.parametrize("lock", SOUND)
@pytest.mark.parametrize("scheme", registry.names(SCHEME))
def test_compiled_every_lock_loses_nothing(scheme, lock):
    assert_right(run(scheme=scheme, lock=lock))


@pytest.mark.parametrize("lock", SOUND)
@pytest.mark.parametrize("scheme", registry.names(SCHEME))
def test_plain_every_lock_loses_nothing(scheme, lock):
    assert_right(run(scheme=scheme, lock=lock, plain=True))


@pytest.mark.parametrize("worker", registry.names(WORKER))
@pytest.mark.parametrize("padding", layout.PADDINGS)
def test_every_worker_runs_with_either_padding(worker, padding):
    assert_right(run(worker=worker, padding=padding))


@pytest.mark.parametrize("scheme", registry.names(SCHEME))
@pytest.mark.parametrize("worker", registry.names(WORKER))
@pytest.mark.parametrize("arch", registry.names(ARCH))
def test_plain_every_worker_on_every_architecture(arch, worker, scheme):
    assert_right(run(arch=arch, worker=worker, scheme=scheme, plain=True))


@pytest.mark.parametrize("arch", registry.names(ARCH))
def test_compiled_nested_calls_on_every_architecture(arch):
    assert_right(run(arch=arch, worker="nested"))


@needs_two_cores
@pytest.mark.parametrize("worker", ["nested", "tailcall", "recursion", "exits"])
def test_chains_of_hit_and_missed_calls_come_back_right(worker):
    sample = run(worker=worker, maxactive=1, seconds=0.2)

    assert_right(sample)
    assert sample.nmissed > 0


@needs_two_cores
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("lock", ["busted", "empty"])
@pytest.mark.parametrize("scheme", registry.names(SCHEME))
def test_the_control_is_caught_by_the_oracle_or_the_audit(scheme, lock, plain):
    sample = run(scheme=scheme, lock=lock, cpus=2, seconds=2.0 if plain else 0.3, plain=plain)

    assert sample.flaws != ()
    assert sample.rate is None
    if not plain:
        assert sample.flaws[0].startswith("oracle: cpu ")


@needs_two_cores
def test_a_pool_too_small_for_its_callers_is_missed_and_counted():
    """One instance, two CPUs: the books must balance with misses in them."""
    sample = run(maxactive=1, seconds=0.3)

    assert_right(sample)
    assert sample.nmissed > 0


def test_tasks_take_turns_on_their_cpu():
    assert_right(run(tasks=7 * CPUS))


@needs_two_cores
def test_ia64_addresses_put_all_tasks_into_one_bucket_and_lengthen_the_walk():
    apart, together = (run(worker="spread", seconds=0.2, task_address=model) for model in ("slab", "ia64-stack"))

    assert_right(apart)
    assert_right(together)
    assert apart.walked == apart.hits
    assert together.walked > together.hits


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
