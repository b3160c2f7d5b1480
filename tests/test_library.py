"""Named arenas, plug-ins by entry point, conformance, the pytest plug-in, the library, and what the documents show."""

import fcntl
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

import shmkret
from shmkret import conformance, pytest_plugin
from shmkret.arena import header as layout
from shmkret.arena import named, segment
from shmkret.arena.layout import Geometry
from shmkret.arena.segment import Arena
from shmkret.audit import arenas
from shmkret.cli.main import main
from shmkret.errors import ArenaError, GeometryError, PluginError, UsageError
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.rehearsal import trials
from shmkret.explore.rehearsal.alone import Alone
from shmkret.locks import LOCK
from shmkret.locks.sem import Sem
from shmkret.measure import cell as measuring
from shmkret.measure import suite
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.plugins import registry
from shmkret.plugins.registry import find
from shmkret.text import atomics
from tests.worlds import SOUND

REPOSITORY = Path(__file__).parent.parent
SIZES = Geometry(nr_cpus=2, nr_tasks=2, nr_probes=3, maxactive=4, nr_locks=3)
TEXTS = {"scheme": "hashed", "lock": "sem", "arch": "x86-64"}


@pytest.fixture
def live():
    with Arena.create(SIZES, lock=Sem, names=TEXTS, named=True) as arena:
        yield arena


def state_of(name):
    (found,) = [one for one in named.listing() if one.name == name]
    return found.state


# Live and left over.


def test_an_arena_is_live_while_its_maker_lives_and_is_not_cleaned(live, capsys):
    assert state_of(live.name) == named.IN_USE
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == ""
    assert (segment.SHM / live.name).exists()
    assert main(["list", "arenas"]) == 0
    assert f"{live.name}  live, pid {os.getpid()}" in capsys.readouterr().out


MAKES = """
import sys
from shmkret.arena import Arena
from shmkret.arena import Geometry
from shmkret.locks.sem import Sem
arena = Arena.create(Geometry(2, 2, 3, 4, 3), lock=Sem, names={"scheme": "hashed", "lock": "sem", "arch": "x86-64"}, named=True)
print(arena.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def left_over():
    """An arena whose maker was killed."""
    with subprocess.Popen([sys.executable, "-c", MAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as maker:
        name = maker.stdout.readline().strip()
        assert state_of(name) == named.IN_USE
        maker.kill()
    yield name
    (segment.SHM / name).unlink(missing_ok=True)


def test_what_a_killed_process_leaves_over_is_told_and_cleaned(left_over, live, capsys):
    assert state_of(left_over) == named.LEFT_OVER
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == f"{left_over}\n"
    assert named.names() == [live.name]
    assert main(["clean", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["removed"], err) == ([], "nothing is left over\n")


def test_whoever_attaches_keeps_an_arena_alive(left_over):
    with arenas.attach(left_over) as attached:
        assert state_of(left_over) == named.IN_USE
        assert named.clean() == []
        assert attached.geometry == SIZES
        assert attached.name == left_over
    assert named.clean() == [left_over]


def test_two_who_look_at_the_same_time_do_not_take_each_other_for_the_owner(left_over, monkeypatch):
    fd = os.open(segment.SHM / left_over, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)  # another list, in the middle of its question
    monkeypatch.setattr(named, "_pause", lambda: fcntl.flock(fd, fcntl.LOCK_UN))

    assert state_of(left_over) == named.LEFT_OVER
    os.close(fd)


def in_a_child(function):
    """Run it in a forked process; returns its exit status, 0 when nothing was raised."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_that_leaves_the_block_takes_nothing_from_its_parent(live):
    assert in_a_child(live.close) == 0

    assert (segment.SHM / live.name).exists()
    assert state_of(live.name) == named.IN_USE


@pytest.fixture
def strange(request):
    path = segment.SHM / "shmkret.0123456789abcdef"
    request.param(path)
    yield path
    path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.parametrize(
    ("strange", "words"),
    [
        (Path.mkdir, "a folder"),
        (os.mkfifo, "a FIFO"),
        (lambda path: path.write_bytes(b"ELF" * 2000), "it begins with b'ELFELFEL'"),
    ],
    indirect=["strange"],
)
def test_what_only_has_an_arenas_name_is_listed_as_no_arena(strange, words, capsys):
    assert main(["list", "arenas"]) == 0
    assert f"{strange.name}  not an arena, pid 0, " in capsys.readouterr().out
    assert main(["inspect", strange.name]) == 2
    assert "not an arena" in capsys.readouterr().err
    assert named.listing()[0].summary == words
    assert main(["clean"]) == 0
    assert strange.exists()


def arena_of(process):
    """The arena that a run has made by now, if it has."""
    return next((one.name for one in named.listing() if one.pid == process.pid and one.summary != "half built"), None)


def test_a_run_can_be_looked_at_while_it_runs(tmp_path, capsys):
    command = [
        sys.executable,
        "-m",
        "shmkret",
        "bench",
        "--worker",
        "hot",
        "--scheme",
        "hashed",
        "--lock",
        "ttas",
        "--cpus",
        "1",
    ]
    command += ["--seconds", "60", "--named", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}) as process:
        try:
            calls = 0
            while not calls:
                assert process.poll() is None
                time.sleep(0.05)
                name = arena_of(process)
                if name:
                    with arenas.copied(name) as copy:
                        calls = copy.statistics()["cpus"][0]["calls"]
            assert main(["inspect", "--audit", "--json", str(tmp_path / "i.json")]) == 0  # the newest live one
            found = json.loads((tmp_path / "i.json").read_text())
            assert found["arena"] == name
            assert [cpu["pid"] for cpu in found["cpus"]] == [child.pid for child in psutil.Process(process.pid).children()]
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
        finally:
            process.kill()
    assert name not in named.names()


# Inspecting, and refusing.


def test_inspect_shows_what_is_in_an_arena(live, capsys, tmp_path):
    live.records("cpus")["calls"] = [7, 9]
    live.records("buckets")["first"][5] = 2
    live.records("instances")["task"][2] = 1
    live.records("instances")["next"][2] = -1
    assert main(["inspect", live.name, "--json", str(tmp_path / "i.json")]) == 0
    found = json.loads((tmp_path / "i.json").read_text())

    assert [cpu["calls"] for cpu in found["cpus"]] == [7, 9]
    assert found["buckets"] == {"5": [{"instance": 2, "task": 1}]}
    assert found["plugins"]["lock"] == "sem"
    assert "locks[0]" in [held["lock"] for held in found["held_locks"]]  # a semaphore that nobody has made free yet
    assert "bucket 5: instance 2 of task 1" in capsys.readouterr().out


def test_an_audit_of_a_damaged_arena_fails(live, capsys):
    assert main(["inspect", live.name, "--audit"]) == 0
    live.records("probes")["free"][1] = 0
    assert main(["inspect", live.name, "--audit"]) == 1
    assert "audit: " in capsys.readouterr().out


def bumped(live, copy):
    """A copy of an arena that moves on between two copies."""

    def copy_and_move(*args):
        copy(*args)
        live.records("cpus")["calls"][0] += 1

    return copy_and_move


@pytest.mark.parametrize("why", ["it moves", "cpu 1 is inside"])
def test_what_an_audit_sees_of_an_arena_that_is_at_work_is_no_finding(why, live, monkeypatch, capsys):
    live.records("probes")["free"][1] = 0
    if why == "it moves":
        monkeypatch.setattr(arenas, "copy_bytes", bumped(live, arenas.copy_bytes))
    else:
        live.records("cpus")["preempt_count"][1] = 1

    assert main(["inspect", live.name, "--audit"]) == 0
    assert f"audit: {why}, not a finding: " in capsys.readouterr().out


def test_a_lock_that_a_killed_run_holds_is_a_finding(left_over, capsys):
    """The semaphores of this one have never been made free."""
    assert main(["inspect", left_over, "--audit"]) == 1
    assert "audit: 71 locks are not free, such as system_locks[0], and nobody is alive" in capsys.readouterr().out


def test_without_an_arena_the_newest_live_one_is_inspected(live, left_over, capsys):
    assert main(["inspect"]) == 0
    assert f"made by pid {os.getpid()}" in capsys.readouterr().out
    live.close()
    assert main(["inspect"]) == 2
    assert "no arena is live" in capsys.readouterr().err


OWN_LOCK = """
from pathlib import Path
from typing import NamedTuple
from shmkret.text import EQ, Words, exchange, store_release, wait_until

Path(__file__).with_suffix(".ran").touch()

class Own(NamedTuple):
    owner: Words
    spare: Words

def acquire(lock, i):
    while exchange(lock.owner, i, 1) != 0:
        wait_until(lock.owner, i, EQ, 0)

def release(lock, i):
    store_release(lock.owner, i, 0)

def is_free(lock, i):
    return lock.owner[i] == 0

def holder(lock, i):
    return lock.owner[i] - 1
"""


@pytest.fixture
def own_lock(tmp_path):
    path = tmp_path / "ticket.py"  # a name that a built-in lock has too
    path.write_text(OWN_LOCK)
    return path


@pytest.fixture
def with_own_lock(own_lock):
    """An arena of a run with a lock of the user's, as `bench --named --lock ./ticket.py` makes it; CPU 1 has locks[2]."""
    sizes = measuring.Params()
    cell = measuring.Cell("hot", "hashed", os.path.relpath(own_lock), "x86-64", "cacheline", 2, params=sizes)
    prepared = Prepared(cell, seed=1)
    with replace(prepared.world, sizes=sizes).create_arena(named=True) as arena:
        arena.records("locks")["owner"][0] = 2
        own_lock.with_suffix(".ran").unlink()
        del registry._loaded[LOCK, own_lock]  # as in another process
        yield arena


def test_an_arena_with_a_lock_of_the_users_is_inspected_without_running_its_file(with_own_lock, own_lock, capsys):
    assert main(["inspect", with_own_lock.name]) == 0
    out = capsys.readouterr().out
    assert f"lock {own_lock}, arch" in out
    assert f"locks held: cannot be told: {own_lock} is not run because an arena says so; give its file with --lock" in out
    with arenas.attach(with_own_lock.name) as attached:
        assert attached.records("locks").dtype.names == ("owner", "spare")
    assert not own_lock.with_suffix(".ran").exists()


def test_a_lock_given_by_hand_says_who_holds_it(with_own_lock, own_lock, capsys, tmp_path):
    options = ["--lock", str(own_lock), "--json", str(tmp_path / "i.json")]
    assert main(["inspect", with_own_lock.name, *options]) == 0
    assert "locks held: locks[0] by cpu 1\n" in capsys.readouterr().out
    assert json.loads((tmp_path / "i.json").read_text())["held_locks"] == [{"lock": "locks[0]", "cpu": 1, "pid": None}]
    with_own_lock.records("locks")["owner"][0] = 99
    with arenas.copied(with_own_lock.name, str(own_lock)) as copy:
        assert arenas.held_locks(copy, str(own_lock)).held == [arenas.Held("locks[0]", None, None)]
    assert main(["inspect", with_own_lock.name, "--lock", "ttas"]) == 2
    assert "layout" in capsys.readouterr().err


def test_the_owner_lock_names_its_owner_and_the_arena_his_process(capsys):
    owner = registry.find(LOCK, "owner").record
    with Arena.create(SIZES, lock=owner, names={**TEXTS, "lock": "owner"}, named=True) as arena:
        arena.records("locks")["owner"][2] = 1 << 31 | 2  # CPU 1, and somebody may sleep
        arena.records("recovery")["pid"][:2] = os.getpid()
        assert main(["inspect", arena.name]) == 0
    assert f"locks held: locks[2] by cpu 1 (pid {os.getpid()})\n" in capsys.readouterr().out


def test_a_holder_that_is_no_number_is_the_files_fault(with_own_lock, own_lock, capsys):
    own_lock.write_text(OWN_LOCK.replace("lock.owner[i] - 1", "'me'"))

    assert main(["inspect", with_own_lock.name, "--lock", str(own_lock)]) == 2
    assert f"{own_lock}: holder() returned 'me'" in capsys.readouterr().err


def test_an_arena_whose_lock_cannot_be_asked_from_outside_is_inspected_all_the_same(capsys):
    lock = registry.find(LOCK, "sem-named")
    with Arena.create(SIZES, lock=lock.record, names={**TEXTS, "lock": "sem-named"}, named=True) as arena:
        arena.records("locks")["address"] = 8  # nothing is there
        assert main(["inspect", arena.name]) == 0
    assert "locks held: cannot be told: the words of the lock sem-named mean nothing" in capsys.readouterr().out


def test_an_arena_that_says_no_names_is_inspected(capsys):
    with Arena.create(SIZES, lock=Sem, named=True) as arena:
        assert main(["inspect", arena.name, "--audit"]) == 0
    assert "scheme not said, lock not said" in capsys.readouterr().out


def test_another_users_arena_is_neither_looked_into_nor_attached_to(left_over, monkeypatch, capsys):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    words = f"the arena belongs to user {os.getuid()}, we are 4711"

    assert main(["inspect", left_over]) == 2
    assert words in capsys.readouterr().err
    with pytest.raises(ArenaError, match=words):
        arenas.attach(left_over)
    assert named.clean() == []


def test_what_is_refused_is_refused_before_it_is_copied(left_over, monkeypatch):
    path = segment.SHM / left_over
    os.truncate(path, 3 << 30)  # sparse
    monkeypatch.setattr(arenas, "copy_bytes", lambda *args: pytest.fail("it was copied"))

    with pytest.raises(ArenaError, match="was truncated"), arenas.copied(left_over):
        pass


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"ELF" * 2000), "not an arena"),
        (lambda path: os.truncate(path, 100), "not an arena"),
        (lambda path: os.truncate(path, path.stat().st_size - 4096), "was truncated"),
        (lambda path: patched(path, "version", 99), "has version 99"),
        (lambda path: patched(path, "geometry", np.full((1, len(layout.GEOMETRY_FIELDS)), 1 << 40)), "does not add up"),
        (lambda path: patched(path, "layout", b"0" * 32), "layout 000"),
    ],
)
def test_attaching_refuses_with_the_reason(left_over, damage, words, capsys):
    path = segment.SHM / left_over
    damage(path)
    is_arena = path.read_bytes().startswith(layout.MAGIC)

    with pytest.raises((ArenaError, UsageError), match=words):
        arenas.attach(left_over)
    assert main(["inspect", left_over]) == 2
    assert words in capsys.readouterr().err
    assert named.clean() == ([left_over] if is_arena else [])  # what has no magic may be an arena that is being built


@pytest.mark.parametrize(
    "described", [b"", b"Sem", b"Sem 4 sem", b"Sem x sem", b"1 16 sem", b"Sem 16 class", b"Sem 16 sem sem", b"\xff"]
)
def test_a_header_that_does_not_describe_its_locks_is_refused(left_over, described, capsys):
    patched(segment.SHM / left_over, "lock", b"nosuch")
    patched(segment.SHM / left_over, "lock_record", described)

    assert main(["inspect", left_over]) == 2
    assert "no lock is called 'nosuch'" in capsys.readouterr().err


def patched(path, field, value):
    data = bytearray(path.read_bytes())
    header = np.frombuffer(data, layout.HEADER, count=1)
    header[field] = value
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["nosuch", "../etc/passwd", "shmkret.0123456789abcdef", ""])
def test_a_name_that_is_none_is_bad_input(name, capsys):
    assert main(["inspect", name]) == 2
    assert "shmkret list arenas" in capsys.readouterr().err
    with pytest.raises(ArenaError):
        arenas.attach(name or None)


# Plug-ins by entry point.


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package whose entry points are one lock that works, with a relative import, and others that do not."""
    ttas = (REPOSITORY / "shmkret" / "locks" / "ttas.py").read_text()
    package = tmp_path / "their_locks"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_words.py").write_text("from shmkret.text import exchange\n")
    (package / "plain_one.py").write_text(
        ttas.replace("EQ, Words, exchange,", "EQ, Words,") + "\nfrom ._words import exchange\n"
    )
    (package / "raising.py").write_text("x = 1\n1 / 0\n")
    (package / "leaving.py").write_text("raise SystemExit(0)\n")
    points = ["theirs = their_locks.plain_one", "missing = no_such_module", "raising = their_locks.raising"]
    points += ["leaving = their_locks.leaving", "malformed = not a module", "native = math"]
    for name, text in (("their_locks", "\n".join(["[shmkret.locks]", *points])), ("torn", "[shmkret.locks]\nno value")):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"{text}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._installed.cache_clear()
    registry._load_installed.cache_clear()
    yield package
    registry._installed.cache_clear()
    registry._load_installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "their_locks"]:
        del sys.modules[name]


def test_a_lock_of_an_installed_package_is_found_by_name(installed, tmp_path):
    cell = ["--worker", "hot", "--scheme", "hashed", "--lock", "theirs", "--cpus", "1"]

    assert main(["bench", *cell, "--seconds", "0.05", "--repeat", "1", "--out", str(tmp_path / "out")]) == 0
    lock = registry.find(LOCK, "theirs")
    assert (lock.name, lock.reference, lock.path) == ("theirs", "theirs", installed / "plain_one.py")


def test_an_arena_with_a_lock_of_an_installed_package_says_which_locks_are_held(installed, capsys):
    lock = registry.find(LOCK, "theirs")
    with Arena.create(SIZES, lock=lock.record, names={**TEXTS, "lock": lock.reference}, named=True) as arena:
        arena.records("locks")["locked"][1] = 1
        assert main(["inspect", arena.name]) == 0
        arenas.attach(arena.name).close()
    assert "locks held: locks[1]\n" in capsys.readouterr().out


def test_one_broken_entry_point_hides_no_other(installed, capsys):
    assert main(["list", "locks"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())

    assert rows["theirs"].startswith("Test-and-test-and-set")
    assert {"ttas", "sem"} <= rows.keys()
    for name, words in {
        "missing": "ModuleNotFoundError: No module named 'no_such_module'",
        "raising": f"{installed / 'raising.py'}:2: ZeroDivisionError",
        "leaving": f"{installed / 'leaving.py'}:1: SystemExit: 0",
        "malformed": "names the module not a module: ",
        "native": "which is no Python file",
    }.items():
        assert rows[name].startswith(f"cannot be loaded: the entry point '{name}' ")
        assert words in rows[name]
        with pytest.raises(PluginError):
            registry.find(LOCK, name)


# Conformance, and the pytest plug-in.


@pytest.mark.parametrize("lock", sorted(set(SOUND) - {"sem"}))
def test_every_lock_does_what_recovery_asks_of_it(lock):
    conformance.lock_suite(lock)().test_it_does_what_recovery_asks_of_it()


@pytest.mark.parametrize("lock", ["mcs", "owner"])
def test_on_one_core_a_lock_does_it_too(lock, monkeypatch):
    monkeypatch.setattr(conformance, "most_cpus", lambda: 1)
    conformance.lock_suite(lock)().test_it_does_what_recovery_asks_of_it()


@pytest.mark.parametrize(
    ("lock", "right", "wrong", "flaw"),
    [
        (
            "ttas",
            "exchange(lock.locked, i, 1) == 0",
            "exchange(lock.locked, i, 1) < 2",
            "try_acquire() of a lock that was taken",
        ),
        ("ttas", "0 if owner == NIL else 1", "0", "try_acquire() of a lock that reset() gave to cpu"),
        ("owner", "== dead + 1", "!= 0", "take_over() from a CPU that has not the lock"),
        (
            "owner",
            "return cmpxchg(lock.owner, i, 0, cpu + 1) == 0",
            "seen = load_acquire(lock.owner, i)\n"
            "    taken_over_by_another = seen & SLEEPERS != 0 and seen & ~SLEEPERS != cpu + 1\n"
            "    return (seen == 0 or taken_over_by_another) and cmpxchg(lock.owner, i, seen, cpu + 1) == seen",
            "try_acquire() of a lock that was taken over",
        ),
        ("sem", "1 if owner == NIL else 0", "0", "it waits for ever: sem_wait_unless"),
    ],
)
def test_a_lock_that_breaks_a_promise_of_recovery_does_not_conform(lock, right, wrong, flaw, tmp_path):
    source = find(LOCK, lock).path.read_text()
    assert source.count(right) == 1
    (tmp_path / "own.py").write_text(source.replace(right, wrong))
    with pytest.raises(pytest.fail.Exception, match=re.escape(flaw)):
        conformance.lock_suite(tmp_path / "own.py")().test_it_does_what_recovery_asks_of_it()


TestSem = conformance.lock_suite("sem")


def pytest_run(tmp_path, text, *options):
    (tmp_path / "test_it.py").write_text(textwrap.dedent(text))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=110)


@pytest.mark.full  # TestSem is the same suite, and runs always
def test_a_users_lock_takes_part_in_conformance_by_one_line(tmp_path):
    (tmp_path / "own.py").write_text((REPOSITORY / "shmkret" / "locks" / "ticket.py").read_text())
    done = pytest_run(tmp_path, "from shmkret.conformance import lock_suite\nTestOwn = lock_suite('own.py')\n")

    functions = [getattr(TestSem, name) for name in dir(TestSem) if name.startswith("test_")]
    cases = [len(mark.args[1]) for function in functions for mark in getattr(function, "pytestmark", ())]
    assert f"{len(functions) - len(cases) + sum(cases)} passed" in done.stdout, done.stdout


def test_a_file_beside_ours_needs_no_plugin_of_pytests(tmp_path):
    """Whoever has a copy of the repository, and pytest alone."""
    settings = ["-c", str(REPOSITORY / "pyproject.toml"), "--rootdir", str(REPOSITORY), "-p", "no:xdist", "-p", "no:timeout"]
    done = pytest_run(tmp_path, "def test_own():\n    pass\n", *settings, "-p", "no:hypothesispytest")

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_ours_have_a_time_out_and_two_processes_where_pytest_can(pytestconfig):
    asked = pytestconfig.option

    assert getattr(asked, "timeout", 300)
    assert hasattr(pytestconfig, "workerinput") or getattr(asked, "numprocesses", 2) is not None or asked.usepdb


def test_conformance_catches_a_lock_that_lets_two_in(tmp_path):
    (tmp_path / "own.py").write_text((REPOSITORY / "shmkret" / "locks" / "busted.py").read_text())
    done = pytest_run(
        tmp_path, "from shmkret.conformance import lock_suite\nTestOwn = lock_suite('own.py')\n", "-k", "interleaving"
    )

    assert "1 failed" in done.stdout, done.stdout


def test_the_fixture_fails_a_test_that_leaves_something_behind(tmp_path):
    done = pytest_run(
        tmp_path,
        """
        from shmkret.arena import Arena
        from shmkret.arena import Geometry
        from shmkret.locks.sem import Sem
        kept = []

        def test_leaves(shmkret_leaks):
            kept.append(Arena.create(Geometry(1, 1, 1, 1, 1), lock=Sem, named=True))

        def test_leaves_nothing(shmkret_leaks):
            kept.pop().close()
        """,
        *(["-p", "shmkret.pytest_plugin"] if not plugin_is_installed() else []),
    )

    assert "2 passed, 1 error" in done.stdout, done.stdout
    assert f"left behind: {segment.SHM}/shmkret." in done.stdout


@pytest.fixture
def anothers():
    """An arena of a process that lives and is none of ours."""
    starter = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {MAKES!r}], start_new_session=True)"
    ours, theirs = os.pipe()
    with subprocess.Popen([sys.executable, "-c", starter], stdin=ours, stdout=subprocess.PIPE, text=True) as started:
        name = started.stdout.readline().strip()
    os.close(ours)
    (found,) = [one for one in named.listing() if one.name == name]
    maker = psutil.Process(found.pid)
    yield name
    os.close(theirs)  # the end of its input is the end of it
    maker.wait()
    (segment.SHM / name).unlink()


def test_what_another_program_has_in_shared_memory_is_not_left_behind_by_us(anothers, left_over):
    found = pytest_plugin.left_behind()

    assert str(segment.SHM / anothers) not in found
    assert str(segment.SHM / left_over) in found


def test_pythons_own_processes_are_not_left_behind(tmp_path):
    done = pytest_run(
        tmp_path,
        """
        from multiprocessing.shared_memory import SharedMemory

        def test_starts_the_resource_tracker(shmkret_leaks):
            memory = SharedMemory(create=True, size=8)
            memory.close()
            memory.unlink()
        """,
        *(["-p", "shmkret.pytest_plugin"] if not plugin_is_installed() else []),
    )

    assert done.returncode == 0, done.stdout


def plugin_is_installed():
    from importlib import metadata

    return any(point.value == "shmkret.pytest_plugin" for point in metadata.entry_points(group="pytest11"))


# The library.


def test_run_gives_plain_records():
    result = shmkret.run("hot", lock="ttas", cpus=1, seconds=0.05, repeat=6, latency=True)

    assert len(result.samples) == 6
    assert result.ci95[0] <= result.median <= result.ci95[1]
    assert result.counts["calls"] == result.counts["hits"]
    assert result.verdict in ("valid", "suspect")
    assert len(result.conditions) == len(result.concurrency) == 6
    assert result.conditions[0].preempted is not None
    found = result.statistics()
    assert json.loads(json.dumps(found)) == found  # no tuples
    assert found["latency_ns"]["entry"]["p50"] > 0
    assert 0 < found["latency_ns"]["clock"] == result.clock_ns
    assert found["concurrency"] == [1.0] * 6


def test_a_run_whose_oracle_fails_has_no_number():
    result = shmkret.run("refuse", scheme="rfc", lock="ttas", cpus=1, seconds=0.2, repeat=1, plain=True)

    assert (result.samples, result.median, result.ci95, result.verdict) == ((), None, None, "withheld")
    assert "instances lost" in result.reasons[0]


def test_an_unknown_knob_is_named():
    with pytest.raises(UsageError, match="no knob 'task'"):
        shmkret.run("hot", task=1)


@pytest.mark.parametrize(
    "knobs",
    [
        *({"tasks": one} for one in ("8", (1,))),
        *({"cpus": one} for one in ([1, 2], None)),
        *({"repeat": one} for one in (2.5, True)),
        *({"seed": one} for one in (-1, "x")),
        *({"hash": 3}, {"seconds": "x"}, {"plain": "no"}, {"work_ns": 1.5}, {"lock": 3}, {"maxactive": -5}),
        {"padding": ["packed"]},
    ],
    ids=str,
)
def test_a_value_of_the_wrong_type_is_a_usage_error(knobs):
    (name,) = knobs
    with pytest.raises(UsageError, match=rf"{name}\b"):
        shmkret.run("hot", **{"lock": "ttas", "seconds": 0.01, "repeat": 1, **knobs})


def test_a_number_of_numpys_is_a_number(monkeypatch):
    planned = []
    monkeypatch.setattr(suite, "plan", lambda *args: planned.append(args[1]) or pytest.skip("planned"))
    with pytest.raises(pytest.skip.Exception):
        shmkret.run("hot", cpus=np.int64(2), seconds=np.float64(0.5))

    assert (type(planned[0]["cpus"]), type(planned[0]["seconds"])) == (int, float)


@pytest.mark.parametrize("wrong", ["2", 2.0, None, 0])
def test_sizes_that_are_no_numbers_are_a_geometry_error(wrong):
    with pytest.raises(GeometryError, match="nr_cpus is"):
        Geometry(nr_cpus=wrong, nr_tasks=2, nr_probes=3, maxactive=4, nr_locks=3)


# What the documents show.

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))


def shown():
    """The Python files that the pages show, by the first word of their docstring."""
    blocks = [block for page in PAGES for block in re.findall(r"```python\n(\"\"\".*?)```", page.read_text(), re.DOTALL)]
    return {re.match(r'"""(\w+)', block)[1]: block for block in blocks}


def referred():
    """What the reference shows: the name of each module, and what it says of it."""
    text = (REPOSITORY / "docs" / "reference.md").read_text()
    return {block.split()[1]: block for block in re.findall(r"^::: .*(?:\n .*)*", text, re.MULTILINE)}


@pytest.mark.parametrize("name", referred())
def test_everything_that_the_reference_shows_is_there_and_says_what_it_is(name):
    module, block = importlib.import_module(name), referred()[name]
    members = re.search(r"members: \[(.*)\]", block)
    hidden = re.findall(r'"!([^"]+)"', block) or ["^_"]
    homed = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    own = getattr(module, "__all__", homed)
    names = members[1].split(", ") if members else [n for n in own if not any(re.search(one, n) for one in hidden)]
    silent = []
    for name in names:
        subject = getattr(module, name)
        silent += [] if subject.__doc__ else [name]
        functions = vars(subject).items() if inspect.isclass(subject) else ()
        silent += [f"{name}.{f}" for f, own in functions if inspect.isfunction(own) and f[0] != "_" and not own.__doc__]

    assert names
    assert silent == []


KINDS = {"anderson": "--lock", "pausing": "--lock", "coarse": "--scheme", "riscv": "--arch"}


def test_the_pages_show_a_lock_a_scheme_an_architecture_and_the_library():
    assert set(shown()) == {*KINDS, "library", "arena", "explored"}


@pytest.mark.parametrize("name", KINDS)
def test_a_plugin_that_a_page_shows_runs(name, tmp_path):
    own = tmp_path / f"{name}.py"
    own.write_text(shown()[name])
    options = {"--lock": "ttas", "--scheme": "hashed", "--arch": "x86-64", KINDS[name]: str(own)}
    flat = [word for pair in options.items() for word in pair]

    assert (
        main(
            [
                "bench",
                *flat,
                "--worker",
                "hot",
                "--cpus",
                "1",
                "--repeat",
                "1",
                "--seconds",
                "0.05",
                "--out",
                str(tmp_path / "o"),
            ]
        )
        == 0
    )


@pytest.mark.parametrize("size", [(2, 2, 2), (3, 1, 1)])
@pytest.mark.parametrize("name", [name for name, option in KINDS.items() if option == "--lock"])
def test_a_lock_that_a_page_shows_is_right_under_every_interleaving(name, size, tmp_path):
    own = tmp_path / f"{name}.py"
    own.write_text(shown()[name])
    outcome = trials.tried(find(LOCK, str(own)), "acquire", *size)

    assert (outcome.violations, outcome.complete) == ([], True)


def test_who_comes_first_to_the_lock_that_is_called_anderson_has_it_first(tmp_path):
    """Each waits for a flag of its own, and it is the next one's that is raised."""
    own = tmp_path / "anderson.py"
    own.write_text(shown()["anderson"])
    lock, machine = find(LOCK, str(own)), ExploredMachine()
    with atomics.use(machine):
        array = Alone(lock, machine, 2, 3, set()).locks
        for turn in range(7):
            raised = [place for place in range(6) if array.flag.up[place]]
            assert raised == [0, 3 + turn % 3]
            lock.module.acquire(array, 1)
            assert not lock.module.is_free(array, 1)
            lock.module.release(array, 1)


@pytest.mark.parametrize("name", ["library", "arena", "explored"])
def test_a_program_that_a_page_shows_runs(name, tmp_path):
    (tmp_path / f"{name}.py").write_text(shown()[name])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, f"{name}.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    said = {
        "library": "suspect|valid",
        "arena": r"shmkret\.",
        "explored": r"sem True None \d+\nbusted False None \d+\ncpu \d: it has taken locks\[0\]\.locked, which cpu \d holds",
    }
    assert re.search(said[name], done.stdout)


def test_the_suite_that_a_page_shows_is_one(tmp_path):
    (text,) = re.findall(r"```toml\n(title.*?)```", (REPOSITORY / "docs" / "first-run.md").read_text(), re.DOTALL)
    (tmp_path / "mine.toml").write_text(text)

    assert main(["bench", str(tmp_path / "mine.toml"), "--worker", "hot", "--lock", "ttas", "--cpus", "1", "--scheme", "hashed",
                 "--repeat", "1", "--seconds", "0.02", "--out", str(tmp_path / "out")]) == 0  # fmt: skip
