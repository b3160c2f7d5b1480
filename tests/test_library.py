"""Named arenas, plug-ins by entry point, conformance, the pytest plug-in, the library, and what the documents show."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import shmkret
from shmkret import arena as arenas
from shmkret import conformance, layout, named, registry
from shmkret.arena import Arena
from shmkret.cli import main
from shmkret.errors import ArenaError, PluginError, UsageError
from shmkret.layout import Geometry
from shmkret.locks.sem import Sem

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
    assert state_of(live.name) == named.LIVE
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == ""
    assert (arenas.SHM / live.name).exists()
    assert main(["list", "arenas"]) == 0
    assert f"{live.name}  live, pid {os.getpid()}" in capsys.readouterr().out


MAKES = """
import sys
from shmkret.arena import Arena
from shmkret.layout import Geometry
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
        assert state_of(name) == named.LIVE
        maker.kill()
    yield name
    (arenas.SHM / name).unlink(missing_ok=True)


def test_what_a_killed_process_leaves_over_is_told_and_cleaned(left_over, live, capsys):
    assert state_of(left_over) == named.LEFT_OVER
    assert main(["clean"]) == 0
    assert capsys.readouterr().out == f"{left_over}\n"
    assert named.names() == [live.name]


def test_whoever_attaches_keeps_an_arena_alive(left_over):
    with named.attach(left_over) as attached:
        assert state_of(left_over) == named.LIVE
        assert named.clean() == []
        assert attached.geometry == SIZES
    assert named.clean() == [left_over]


def test_a_run_can_be_looked_at_while_it_runs(tmp_path):
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
        calls = 0
        while not calls:
            assert process.poll() is None
            time.sleep(0.05)
            for name in named.names():
                with named.copied(name) as copy:
                    calls = copy.statistics()["cpus"][0]["calls"]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert named.names() == []


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
    assert "locks[0]" in found["held_locks"]  # a semaphore that nobody has made free yet
    assert "bucket 5: instance 2 of task 1" in capsys.readouterr().out


def test_an_audit_of_a_damaged_arena_fails(live, capsys):
    assert main(["inspect", live.name, "--audit"]) == 0
    live.records("probes")["free"][1] = 0
    assert main(["inspect", live.name, "--audit"]) == 1
    assert "audit: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"ELF" * 2000), "not an arena"),
        (lambda path: os.truncate(path, 100), "not an arena"),
        (lambda path: os.truncate(path, path.stat().st_size - 4096), "was truncated"),
        (lambda path: patched(path, "version", 99), "has version 99"),
        (lambda path: patched(path, "geometry", np.full((1, 9), 1 << 40)), "does not add up"),
        (lambda path: patched(path, "lock", b"nosuch"), "no lock is called"),
    ],
)
def test_attaching_refuses_with_the_reason(left_over, damage, words, capsys):
    path = arenas.SHM / left_over
    damage(path)
    is_arena = path.read_bytes().startswith(layout.MAGIC)

    with pytest.raises((ArenaError, UsageError), match=words):
        named.attach(left_over)
    assert main(["inspect", left_over]) == 2
    assert words in capsys.readouterr().err
    assert named.clean() == ([left_over] if is_arena else [])  # what has no magic may be an arena that is being built


def patched(path, field, value):
    data = bytearray(path.read_bytes())
    header = np.frombuffer(data, layout.HEADER, count=1)
    header[field] = value
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["nosuch", "../etc/passwd", "shmkret.0123456789abcdef", ""])
def test_a_name_that_is_none_is_bad_input(name, capsys):
    assert main(["inspect", name]) == 2
    assert "shmkret list arenas" in capsys.readouterr().err


# Plug-ins by entry point.


def test_a_lock_of_an_installed_package_is_found_by_name(tmp_path, monkeypatch, capsys):
    (tmp_path / "their_locks.py").write_text((REPOSITORY / "shmkret" / "locks" / "ttas.py").read_text())
    info = tmp_path / "their_locks-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their_locks\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[shmkret.locks]\ntheirs = their_locks\nbroken = no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._installed.cache_clear()
    try:
        assert {"theirs", "ttas"} <= set(registry.names(registry.LOCK))
        options = [
            "--worker",
            "hot",
            "--scheme",
            "hashed",
            "--lock",
            "theirs",
            "--cpus",
            "1",
            "--seconds",
            "0.05",
            "--repeat",
            "1",
        ]
        assert main(["bench", *options, "--out", str(tmp_path / "out")]) == 0
        with pytest.raises(PluginError, match="no Python file"):
            registry.find(registry.LOCK, "broken")
    finally:
        registry._installed.cache_clear()


# Conformance, and the pytest plug-in.

TestSem = conformance.lock_suite("sem")


def pytest_run(tmp_path, text, *options):
    (tmp_path / "test_it.py").write_text(textwrap.dedent(text))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=110)


def test_a_users_lock_takes_part_in_conformance_by_one_line(tmp_path):
    (tmp_path / "own.py").write_text((REPOSITORY / "shmkret" / "locks" / "ticket.py").read_text())
    done = pytest_run(tmp_path, "from shmkret.conformance import lock_suite\nTestOwn = lock_suite('own.py')\n")

    assert "3 passed" in done.stdout, done.stdout


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
        from shmkret.layout import Geometry
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
    assert "left behind: /dev/shm/shmkret." in done.stdout


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
    assert json.loads(json.dumps(result.statistics()))["latency_ns"]["entry"]["p50"] > 0


def test_a_run_whose_oracle_fails_has_no_number():
    result = shmkret.run("refuse", scheme="rfc", lock="ttas", cpus=1, seconds=0.05, repeat=1)

    assert (result.samples, result.median, result.ci95, result.verdict) == ((), None, None, "withheld")
    assert "instances lost" in result.reasons[0]


def test_an_unknown_knob_is_named():
    with pytest.raises(UsageError, match="no knob 'task'"):
        shmkret.run("hot", task=1)


# What the documents show.

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))


def shown():
    """The Python files that the pages show, by the first word of their docstring."""
    blocks = [block for page in PAGES for block in re.findall(r"```python\n(\"\"\".*?)```", page.read_text(), re.DOTALL)]
    return {re.match(r'"""(\w+)', block)[1]: block for block in blocks}


KINDS = {"anderson": "--lock", "coarse": "--scheme", "riscv": "--arch"}


def test_the_pages_show_a_lock_a_scheme_an_architecture_and_the_library():
    assert set(shown()) == {*KINDS, "library", "arena"}


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


@pytest.mark.parametrize("name", ["library", "arena"])
def test_a_program_that_a_page_shows_runs(name, tmp_path):
    (tmp_path / f"{name}.py").write_text(shown()[name])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, f"{name}.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert {"library": "suspect" in done.stdout or "valid" in done.stdout, "arena": "shmkret." in done.stdout}[name]


def test_the_suite_that_a_page_shows_is_one(tmp_path):
    (text,) = re.findall(r"```toml\n(title.*?)```", (REPOSITORY / "docs" / "first-run.md").read_text(), re.DOTALL)
    (tmp_path / "mine.toml").write_text(text)

    assert main(["bench", str(tmp_path / "mine.toml"), "--worker", "hot", "--lock", "ttas", "--cpus", "1", "--scheme", "hashed",
                 "--repeat", "1", "--seconds", "0.02", "--out", str(tmp_path / "out")]) == 0  # fmt: skip
