"""Processes that a run has not started join it, are killed by others, and are recovered; nobody of the run touches them."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from shmkret.arena.segment import SHM
from shmkret.audit import arenas
from shmkret.cli.main import main
from shmkret.host import ofd
from shmkret.machines import native
from shmkret.machines.world import World
from shmkret.recovery.taking import LIVE
from tests.test_stress import SOUND
from tests.worlds import build_of

SHMKRET = [sys.executable, "-m", "shmkret"]


def starts(*argv):
    return subprocess.Popen([*SHMKRET, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def started_run(lock, seconds):
    """A run with one slot for guests, and its arena's name. Its loop is compiled while nobody runs, and guests find it."""
    native.compiled(World.of(replace(build_of("hot", "hashed", lock, nr_cpus=3), recoverable=True)))
    faults = "random=kill;parent=0.1%kill"
    run = starts(
        *("stress", "--lock", lock, "--guests", "1", "--kills", "10000000", "--round", "200", "--seconds", str(seconds)),
        *("--fault", faults, "--seed", "1", "--json", "-"),
    )
    for line in run.stderr:
        name = re.search(r"join (shmkret\.[0-9a-f]{16})", line)
        if name:
            return run, name[1]
    raise AssertionError(run.communicate())


def ended(*processes):
    """Kill them, and wait for them."""
    for process in processes:
        process.kill()
        process.communicate()


def begins_in_s():
    """How long a process of ours takes to begin, now."""
    began = time.monotonic()
    subprocess.run([*SHMKRET, "list", "locks"], capture_output=True)
    return time.monotonic() - began


def stopped_inside(arena, guests, run):
    """A guest, and its child that is a CPU now, which stands still from now on; None when the run is over before."""
    records = arena.records("recovery")
    while run.poll() is None:
        for guest in guests:
            for cpu in psutil.Process(guest.pid).children():
                if records["pid"][2] == cpu.pid and records["life"][2] == LIVE:
                    cpu.suspend()
                    if records["pid"][2] == cpu.pid:
                        return guest, cpu
                    cpu.resume()
        time.sleep(0.001)
    return None


@pytest.mark.timeout(200)
@pytest.mark.parametrize(
    ("lock", "deaths"),
    [
        ("owner", 1),
        pytest.param("owner", 4, marks=pytest.mark.full),
        pytest.param("sem", 4, marks=pytest.mark.full),
        pytest.param("pthread-robust", 4, marks=pytest.mark.full),
    ],
)
def test_guests_come_die_and_are_recovered(lock, deaths):
    """Two want the one slot; now the one that has it is killed, now its child, which is the CPU. Each death is counted."""
    run, name = started_run(lock, 3 + 3 * (deaths + 1) * begins_in_s())
    guests = [starts("join", name)]
    lost = 0
    try:
        assert re.fullmatch(r"cpu 2, pid \d+\n", guests[0].stdout.readline())
        with arenas.attach(name) as arena:
            guests.append(starts("join", name))
            rng = random.Random(1)
            while lost < deaths and (found := stopped_inside(arena, guests, run)):
                time.sleep(rng.random() * 0.2)
                inside, cpu = found
                (cpu if lost % 2 else inside).kill()
                assert bool(lost % 2) == ("was killed by SIGKILL" in inside.communicate()[1])
                lost += 1
                guests.remove(inside)
                guests.append(starts("join", name))
        output, errors = run.communicate()
        assert run.returncode == 0, errors
        (found,) = json.loads(output)["runs"]
        assert {key: found[key] for key in SOUND} == SOUND
        assert found["lost_guests"] == lost > 0
        assert found["kills"] > 0
        for guest in guests:
            came_in, said = guest.communicate(timeout=30)
            is_late = f"{name}: No such file" in said  # on a busy machine the run is over before it looks
            assert is_late or re.search(r"^[\d,]+ calls$", came_in, re.MULTILINE), said
        assert not (SHM / name).exists()
    finally:
        ended(run, *guests)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_guest_ends_with_its_run_however_that_ends(how):
    run, name = started_run("sem", 60)
    guest = starts("join", name)
    try:
        assert guest.stdout.readline()
        run.send_signal(how)
        run.communicate()
        assert re.search(r"^[\d,]+ calls$", guest.communicate(timeout=20)[0], re.MULTILINE)
    finally:
        ended(run, guest)
        (SHM / name).unlink(missing_ok=True)


def test_ctrl_c_ends_a_guest_and_its_cpu():
    run, name = started_run("sem", 60)
    guest = starts("join", name)
    try:
        pid = int(guest.stdout.readline().split()[-1])
        guest.send_signal(signal.SIGINT)
        guest.communicate(timeout=20)
        assert guest.returncode == 130
        assert not psutil.pid_exists(pid)
    finally:
        ended(run, guest)
        (SHM / name).unlink(missing_ok=True)


@pytest.mark.full
def test_a_guest_that_stands_still_is_named_and_left_alive():
    """A stopped process is alive: the run waits, says whom for, and does not kill it."""
    run, name = started_run("sem", 60)
    guest = starts("join", name)
    try:
        pid = int(guest.stdout.readline().split()[-1])
        os.kill(pid, signal.SIGSTOP)
        output, _ = run.communicate(timeout=90)
        findings = json.loads(output)["runs"][0]["findings"]
        assert any(f"cpu 2 is process {pid}, not ours, in state T" in what for what in findings), findings
        # The run has not killed it: it has ended by itself, as its run has.
        assert re.search(r"^[\d,]+ calls$", guest.communicate(timeout=30)[0], re.MULTILINE)
        assert guest.returncode == 0
    finally:
        ended(run, guest)


def test_a_byte_is_somebodys_until_that_process_is_dead(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    ours, other = (os.open(path, os.O_RDWR) for _ in range(2))
    try:
        pid = os.fork()
        if pid == 0:
            own = os.open(path, os.O_RDWR)
            os.close(os.open(path, os.O_RDWR))  # with a record lock of POSIX this would let go of it
            os.kill(os.getpid(), signal.SIGSTOP if ofd.try_lock(own, 3) else signal.SIGKILL)
            os._exit(0)
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        assert ofd.is_locked(ours, 3)
        assert not ofd.is_locked(ours, 2)
        assert not ofd.try_lock(other, 3)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert not ofd.is_locked(ours, 3)
        assert ofd.try_lock(other, 3)
        assert ofd.is_locked(ours, 3)
        ofd.unlock(other, 3)
        assert not ofd.is_locked(ours, 3)
    finally:
        os.close(ours)
        os.close(other)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["join", "nothing"], "is no arena's name"),
        (["join", "shmkret.0123456789abcdef"], "No such file"),
        (["stress", "--guests", "-1"], "--guests is -1"),
        (["stress", "--guests", "1", "--fault", "nth=all"], "no nth and no --unprotected beside it"),
        (["stress", "--guests", "1", "--lock", "sem-named"], "mean nothing outside the run's own processes"),
    ],
)
def test_what_cannot_be_is_refused(argv, words, capsys):
    assert main(argv) != 0
    assert words in capsys.readouterr().err


def test_another_worker_does_not_join():
    run, name = started_run("sem", 20)
    try:
        other = subprocess.run([*SHMKRET, "join", name, "--worker", "exits"], capture_output=True, text=True)
        assert other.returncode != 0
        assert "runs another worker" in other.stderr
    finally:
        run.send_signal(signal.SIGINT)
        run.communicate()
