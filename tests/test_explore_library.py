"""shmkret.explore() and the fixture shmkret_explore: a search from a program, and from a test."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import shmkret
import shmkret.explore.scene
from shmkret import pytest_plugin
from shmkret.cli.main import main
from shmkret.errors import PluginError, UnknownName, UsageError
from shmkret.explore import library, search
from shmkret.explore.scenarios import asked_of
from shmkret.explore.stacks import apart, walks
from shmkret.locks import LOCK
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME

from .conftest import REPOSITORY
from .test_library import plugin_is_installed, pytest_run

PLUGIN = ["-p", "shmkret.pytest_plugin"] if not plugin_is_installed() else []


def test_the_package_is_a_function_and_still_a_package():
    from shmkret.explore import stacks

    assert shmkret.explore is sys.modules["shmkret.explore"]
    assert callable(shmkret.explore)
    assert shmkret.explore.stacks is stacks
    assert shmkret.explore.scene.Scene is not None
    assert "explore" in shmkret.__all__
    assert shmkret.Found is search.Found


USES = """
import shmkret
import shmkret.explore.stacks
from shmkret.explore.stacks import control

found: shmkret.Found = shmkret.explore("lock", lock="sem", seconds=1.0)
words: list[str] = [wrong.what for wrong in found.violations]
last: int = shmkret.explore.stacks.control.DEPTH + control.DEPTH
reveal_type(found.complete)
"""
MISUSES = """
import shmkret

shmkret.explore("lock", locks="sem")
shmkret.explore("lock", cpus="two")
"""


@pytest.mark.full
@pytest.mark.parametrize(("text", "said"), [(USES, ["bool"]), (MISUSES, ['"locks"', '"cpus"'])])
def test_types_are_known_and_checked(text, said, tmp_path):
    (tmp_path / "uses.py").write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(REPOSITORY / "pyproject.toml")]
    done = subprocess.run(
        [*command, "--cache-dir", str(tmp_path), str(tmp_path / "uses.py")], cwd=REPOSITORY, capture_output=True, text=True
    )

    assert all(words in done.stdout for words in said), done.stdout + done.stderr
    assert ("error:" in done.stdout) == (text is MISUSES), done.stdout


def test_a_search_gives_plain_records():
    found = shmkret.explore("lock", lock="busted")
    (wrong,) = found.violations

    assert (found.complete, found.bound, found.interrupted) == (False, None, False)
    assert found.states > 0
    assert wrong.what == "cpu 0: it has taken locks[0].locked, which cpu 1 holds"
    assert wrong.holds == {"locks[0]": [1]}
    assert set(wrong.schedule) == {0, 1}
    assert wrong.lanes[0].split() == ["step", "cpu", "0", "cpu", "1"]
    assert str(wrong).splitlines()[0] == wrong.what
    assert str(wrong).splitlines()[-1] == f"shmkret replay {wrong.replay}"
    row = found.statistics()
    assert json.loads(json.dumps(row)) == row
    assert row["violations"][0]["lanes"] == list(wrong.lanes)
    assert main(["replay", wrong.replay]) == 1


def test_the_command_says_what_the_library_gives(tmp_path):
    def told(row):
        return {name: value for name, value in row.items() if "seconds" not in name}

    for engine in (["--engine", "pct", "--runs", "3000", "--seed", "5", "--depth", "2"], []):
        place = tmp_path / "found.json"
        main(["explore", "lock", "--lock", "busted", *engine, "--json", str(place)])
        (row,) = json.loads(place.read_text())["scenarios"]
        asked = {"engine": "pct", "runs": 3000, "seed": 5, "depth": 2} if engine else {}
        assert told(shmkret.explore("lock", lock="busted", **asked).statistics()) == told(row)


def test_a_random_search_is_bounded_by_its_runs_and_by_its_time():
    runs = shmkret.explore("lock", lock="sem", engine="pos", runs=500)
    time = shmkret.explore("lock", lock="sem", engine="pos", seconds=0.1)

    assert (runs.complete, runs.bound, runs.states, runs.schedules) == (False, "500 runs", None, 500)
    assert (time.complete, time.bound) == (False, "time")
    assert runs.distinct_ends > 0
    assert time.schedules > 0


def test_what_is_asked_for_reaches_the_engine(monkeypatch):
    """Seed and depth lie in memory that the search reads."""
    seen = []

    def searched(stacks, seconds, watching, limit, engine):
        words = stacks.get(walks.SEED), stacks.get(walks.POINTS), stacks.preemptions
        seen.append((*words, seconds, limit, stacks._most_places, engine.__module__))
        raise KeyboardInterrupt

    monkeypatch.setattr(apart, "search", searched)
    for asked in (
        {"engine": "pct", "seed": 7, "depth": 5, "seconds": 9.0, "runs": 11, "memory": "1M"},
        {"memory": 1 << 21, "preemptions": 3},
    ):
        with pytest.raises(KeyboardInterrupt):
            shmkret.explore("lock", **asked)

    pct, states = (f"shmkret.explore.engines.{name}" for name in ("pct", "states"))
    assert seen == [(7, 4, None, 9.0, 11, 1 << 17, pct), (0, 2, 3, math.inf, apart.EVERY_STATE, 1 << 18, states)]


def test_an_interrupt_is_one_and_what_is_known_by_then_is_there(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(search.Watch, "searching", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shmkret.explore("lock", engine="uniform", seconds=600)
    asked = asked_of("lock", find(SCHEME, "hashed"), find(LOCK, "sem"), 2, 1, None, None)
    found = search.search(asked, search.How("uniform", seconds=600))

    assert (found.interrupted, found.bound, found.complete) == (True, "interrupted", False)
    assert found.schedules > 0
    assert found.distinct_ends > 0
    assert found.steps > found.schedules


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"lock": "smm"}, UnknownName, "did you mean sem"),
        ({"lock": "/no/such.py"}, PluginError, "no such lock file"),
        ({"cpus": 9}, UsageError, "9 cpus were asked for"),
        ({"engine": "exhaustive"}, UsageError, "`engine` is 'exhaustive'"),
        ({"memory": 5}, UsageError, "5 bytes are no memory"),
        ({"memory": "5"}, UsageError, "'5' is no memory"),
        ({"engine": "pct"}, UsageError, "never ends by itself"),
    ],
)
def test_what_cannot_be_asked_is_said(asked, error, words):
    with pytest.raises(error, match=re.escape(words)):
        shmkret.explore("lock", **asked)


def test_the_library_says_what_the_command_has():
    """Every option of a search is an argument, with the same default."""
    import inspect

    from shmkret.cli.main import parser
    from shmkret.cli.monitors import chosen_monitors

    options = vars(parser().parse_args(["explore"]))
    asked = {name: one.default for name, one in inspect.signature(library.explore).parameters.items() if name != "scenario"}

    assert chosen_monitors(parser().parse_args(["explore"])) == asked.pop("monitors")
    assert {name: options[name] for name in asked} == {**asked, "scheme": ["hashed"], "lock": ["sem"]}


FOUND = search.Found(None, search.How(), False, "time", 17, 1, None, None, 1.0, 1.0, 8, 0.0)
DRAWN = replace(FOUND, how=search.How("pct"), states=None)


@pytest.mark.parametrize(
    ("found", "complete", "said"),
    [
        (FOUND, None, "one was not searched to the end: time, after 17 states"),
        (FOUND, True, "one was not searched to the end: time, after 17 states"),
        (FOUND, False, ""),
        (DRAWN, None, ""),
        (replace(FOUND, how=search.How(preemptions=1)), None, ""),
        (replace(FOUND, how=search.How(preemptions=1)), True, "one was not searched to the end: time, after 17 states"),
        (DRAWN, True, "one was not searched to the end: time, after 1 runs"),
        (replace(FOUND, complete=True, bound=None), True, ""),
        (replace(FOUND, violations=[search.Wrong("a flaw", [], None, "", ())]), False, "a flaw"),
    ],
)
def test_the_fixture_fails_what_is_wrong_and_what_is_not_complete_but_should_be(found, complete, said, monkeypatch):
    monkeypatch.setattr(library, "explore", lambda *_, **__: found)
    if said:
        with pytest.raises(pytest.fail.Exception, match=re.escape(said)):
            pytest_plugin.Explore()("one", complete=complete)
    else:
        assert pytest_plugin.Explore()("one", complete=complete) is found


def test_the_fixture_shows_the_lanes_of_a_users_lock_and_how_to_run_them_again(tmp_path):
    (test,) = re.findall(r"```python\n(def test_my_lock.*?)```", (REPOSITORY / "docs" / "library.md").read_text(), re.DOTALL)
    (tmp_path / "mylock.py").write_text(Path(REPOSITORY / "shmkret" / "locks" / "busted.py").read_text())
    right = """
def test_is_right(shmkret_explore):
    assert shmkret_explore("lock").complete
"""
    done = pytest_run(tmp_path, test.replace(", rounds=2", "") + right, *PLUGIN)

    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "shmkret replay lock:hashed:" in done.stdout
    assert " step  cpu 0" in done.stdout
    assert "pytest_plugin.py" not in done.stdout
