"""What users wrote before the rooms goes on working: files of 2a01ed1, byte for byte, and every path that its pages name."""

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shmkret
from shmkret.cli.main import main

from .conftest import REPOSITORY

THEN = Path(__file__).parent / "data" / "2a01ed1"
WORKERS = sorted((THEN / "workers").glob("*.py"))
PAGES = ("README.md", "docs/lock.md", "docs/architecture.md", "docs/library.md", "docs/scheme.md", "workers/README.md")
MOVED = {f"shmkret.{name}" for name in shmkret._MOVED}


def shown() -> dict[str, str]:
    """The Python files that the pages of then show, by the first word of the docstring, or their class."""
    blocks = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", (THEN / page).read_text(), re.DOTALL)]
    first = r"\A\"\"\"(\w+)|\A[^\"]*?class (\w+)"
    return {next(filter(None, found.groups())): block for block in blocks if (found := re.search(first, block))}


def imported(source: str) -> set[str]:
    """The modules of then that a text imports."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes} & MOVED


def names_from(source: str, module: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module == module]
    return {alias.name for node in nodes for alias in node.names}


@pytest.fixture(autouse=True)
def nothing_of_then_is_imported(monkeypatch):
    """A module warns when it is imported, not when it is there already."""
    for name in MOVED & sys.modules.keys():
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in MOVED & sys.modules.keys():
        del sys.modules[name]
        parent, _, own = name.rpartition(".")
        vars(sys.modules[parent]).pop(own, None)


def run(source: str, monkeypatch, **plugins):
    """A moment of it, however far its rehearsal comes; each path of then in it warns once and names modules that there are."""
    monkeypatch.setattr("shmkret.explore.rehearsal.rehearse.MOST_STATES", 300)
    with pytest.warns(DeprecationWarning, match="has moved") as warned:
        result = shmkret.run(seconds=0.02, repeat=1, **plugins)
    told = [str(one.message) for one in warned if "has moved" in str(one.message)]

    assert sorted(words.split()[0] for words in told) == sorted(imported(source))
    for old, *new in (re.findall(r"shmkret[\w.]+", words) for words in told):
        there = {name for module in new for name in dir(importlib.import_module(module))}
        assert names_from(source, old) <= there, (old, new)
    assert result.verdict != "withheld", result.reasons
    assert result.counts["calls"] > 0


@pytest.mark.parametrize("name", ["MyLock", "anderson"])
def test_a_lock_of_then_runs(name, tmp_path, monkeypatch):
    own = tmp_path / f"{name}.py"
    own.write_text(shown()[name])

    run(shown()[name], monkeypatch, lock=own)


@pytest.mark.parametrize("name", ["riscv"])
def test_an_architecture_of_then_runs(name, tmp_path, monkeypatch):
    own = tmp_path / f"{name}.py"
    own.write_text(shown()[name])

    run(shown()[name], monkeypatch, worker="nested", arch=own, lock="ttas", plain=True)


@pytest.mark.parametrize("name", ["alternate", "even", "library"])
def test_a_worker_that_the_pages_of_then_show_runs(name, tmp_path, monkeypatch):
    own = tmp_path / f"{name}.py"
    own.write_text(shown()[name])

    run(shown()[name], monkeypatch, worker=own, lock="ttas", plain=True)


@pytest.mark.parametrize("own", WORKERS, ids=lambda path: path.stem)
def test_a_worker_of_then_runs(own, monkeypatch):
    run(own.read_text(), monkeypatch, worker=own, lock="ttas", plain=True)


def test_a_worker_of_then_compiles(tmp_path, monkeypatch):
    """The one that imports from most of them; a copy, since a file that is known already is not imported again."""
    most = max(WORKERS, key=lambda path: len(imported(path.read_text())))
    own = tmp_path / most.name
    own.write_text(most.read_text())

    run(most.read_text(), monkeypatch, worker=own, lock="ttas")


def test_a_scheme_of_then_is_refused_and_told_the_new_verbs(tmp_path, capsys):
    own = tmp_path / "coarse.py"
    own.write_text(shown()["coarse"])

    assert main(["bench", "--scheme", str(own), "--cpus", "1", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert all(verb in said for verb in ("push", "begin_walk", "first", "next", "ri_of", "take", "end_walk"))


def test_the_pages_of_then_show_what_is_tried_here():
    assert shown().keys() == {"MyLock", "anderson", "riscv", "library", "arena", "coarse", "alternate", "even"}


def documented():
    """Module and name of all that the pages, the reference and the workers of then import or list. Schemes have changed."""
    texts = [*(text for name, text in shown().items() if name != "coarse"), *(path.read_text() for path in WORKERS)]
    nodes = [node for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    taken = {(node.module, alias.name) for node in nodes for alias in node.names if node.module.startswith("shmkret")}
    for block in re.findall(r"^::: .*(?:\n .*)*", (THEN / "docs" / "reference.md").read_text(), re.MULTILINE):
        listed = re.search(r"members: \[(.*)\]", block)
        taken |= {(block.split()[1], name) for name in (listed[1].split(", ") if listed else ("__name__",))}
    return sorted(taken | {("shmkret.probes", "report_bug"), ("shmkret.probes", "WORKER_BUG")})


@pytest.mark.filterwarnings("ignore:shmkret:DeprecationWarning")
@pytest.mark.parametrize(
    ("module", "name"), [*documented(), ("shmkret.probes", "report_bug"), ("shmkret.probes", "WORKER_BUG")]
)
def test_what_the_pages_of_then_import_is_there(module, name):
    assert getattr(importlib.import_module(module), name) is not None


@pytest.mark.filterwarnings("ignore:shmkret:DeprecationWarning")
@pytest.mark.parametrize("name", sorted(shmkret._MOVED))
def test_each_path_of_then_has_modules_now(name):
    for home in shmkret._MOVED[name].split():
        importlib.import_module(f"shmkret.{home}")
    old = importlib.import_module(f"shmkret.{name}")

    with pytest.raises(AttributeError, match=f"module 'shmkret.{name}' has no attribute 'nothing'"):
        _ = old.nothing
    with pytest.raises(ImportError):
        importlib.import_module(f"shmkret.{name}.nothing")


def test_a_warning_names_the_line_that_imports_and_ends_nothing(tmp_path):
    """As a user sees it: once, on standard error."""
    (tmp_path / "mylock.py").write_text(shown()["MyLock"])
    command = ["bench", "--lock", "./mylock.py", "--worker", "hot", "--scheme", "hashed", "--cpus", "1", "--plain"]
    done = subprocess.run(
        [sys.executable, "-m", "shmkret", *command, "--seconds", "0.02", "--repeat", "1", "--out", "out"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    line = 1 + shown()["MyLock"].splitlines().index(next(x for x in shown()["MyLock"].splitlines() if "shmkret" in x))

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("DeprecationWarning") == 1
    assert f"mylock.py:{line}: DeprecationWarning: shmkret.atomics has moved: import from shmkret.text" in done.stderr
