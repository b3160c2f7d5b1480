"""Mutants: the data are those of today's text, a kill is by what was broken, and a slip reaches no other process."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from shmkret.cli import mutants as command
from shmkret.cli.main import main, parser
from shmkret.errors import UnknownName
from shmkret.explore.mutants import Mutant, areas, chosen, every, patched
from shmkret.explore.mutants.verdict import Verdict, judged
from shmkret.explore.scenarios import SCENARIO
from shmkret.explore.scene import wrong_chains
from shmkret.machines.compiled import cache
from shmkret.plugins.registry import find
from shmkret.text import NIL

from .conftest import REPOSITORY

ALL = every()
LEAST = {"path": 10, "schemes": 10, "locks": 14, "recovery": 10, "registration": 6, "handlers": 4, "explorer": 8}


def text_of(mutant):
    return Path(importlib.util.find_spec(mutant.module).origin).read_text()


@pytest.mark.parametrize("name", ALL)
def test_what_a_mutant_replaces_stands_once_in_its_module_and_what_replaces_it_is_other_code(name):
    text = text_of(ALL[name])

    assert ast.dump(ast.parse(patched.source_of(ALL[name], text))) != ast.dump(ast.parse(text))


@pytest.mark.parametrize(("text", "times"), [("b", 0), ("a b a", 2)])
def test_a_mutant_of_another_text_is_stale(text, times):
    with pytest.raises(patched.Stale, match=f"the mutant one is stale: what it replaces stands {times} times in m"):
        patched.source_of(MUTANT, text)


def test_no_two_are_alike():
    assert len({patched.source_of(one, text_of(one)) for one in ALL.values()}) == len(ALL)
    assert len({one.breaks for one in ALL.values()}) == len(ALL)


def test_every_area_has_its_share():
    found = Counter(one.area for one in ALL.values())

    assert sorted(found) == areas() == sorted(LEAST)
    assert [area for area, least in LEAST.items() if found[area] < least] == []
    assert len(ALL) >= 60


@pytest.mark.parametrize("name", ALL)
def test_a_mutant_says_how_it_is_known(name):
    one = ALL[name]
    (known_by,) = filter(None, (one.by, one.misses, one.harmless))

    if known_by is not one.harmless:
        assert len(known_by) > 8
        assert not re.search(known_by, "cpu 0, after its step load of x, crashes: SIGSEGV")
        assert not re.search(known_by, "cpu 0: its code raises an exception, after a step on x")
        assert not re.search(known_by, "")
    (scenario,) = parser().parse_args(["explore", *one.words]).scenarios
    find(SCENARIO, scenario)


def test_a_mutant_is_chosen_by_its_name_or_its_area():
    assert chosen([]) == list(ALL.values())
    assert [one.area for one in chosen(["handlers", "ttas-tries-once"])].count("handlers") == len(chosen(["handlers"]))
    assert chosen(["ttas-tries-once"]) == [ALL["ttas-tries-once"]]
    with pytest.raises(UnknownName, match="ttas-tries-once"):
        chosen(["ttas-tries-on"])


# Verdicts.

MUTANT = Mutant("path", "one", "breaks it", "m", "a", "b", "calls", by="data race on instances")
CLEAN = {"complete": True, "bound": None, "violations": []}
BOUNDED = {"complete": False, "bound": "time", "violations": []}


def wrong(what, preemptions=1):
    return {"complete": False, "bound": None, "violations": [{"what": what, "preemptions": preemptions, "replay": "again"}]}


RACE = wrong("data race on instances[0].next: cpu 0 is at load, cpu 1 at store")


def changed(**values):
    return Mutant(**{**vars(MUTANT), **values})


VERDICTS = {
    "killed": (MUTANT, RACE, CLEAN, (True, True)),
    "by other words": (MUTANT, wrong("deadlock: cpu 0 waits"), CLEAN, (False, False)),
    "by a crash": (changed(by="crashes"), wrong("cpu 0, before its first step, crashes: SIGSEGV"), CLEAN, (False, False)),
    "by an exception": (changed(by="raises"), wrong("cpu 0: its code raises an exception, after"), CLEAN, (False, False)),
    "by a loop": (changed(by="runs on"), wrong("cpu 0 runs on for 3 s"), CLEAN, (False, False)),
    "by a deadline": (MUTANT, "it has not ended after 900 s", CLEAN, (False, False)),
    "without a pattern": (changed(by="", harmless="says who"), RACE, CLEAN, (False, False)),
    "not seen": (MUTANT, CLEAN, CLEAN, (False, False)),
    "bounded": (MUTANT, BOUNDED, CLEAN, (False, False)),
    "what stands there is wrong": (MUTANT, RACE, RACE, (False, False)),
    "what stands there is not known": (MUTANT, RACE, BOUNDED, (False, False)),
    "what stands there has no search": (MUTANT, RACE, "exit code 2", (False, False)),
    "four preemptions": (MUTANT, wrong("data race on instances", 4), CLEAN, (True, False)),
    "preemptions not known": (MUTANT, wrong("data race on instances", None), CLEAN, (True, False)),
    "harmless": (changed(by="", harmless="it is"), CLEAN, CLEAN, (False, True)),
    "harmless, they say": (changed(by="", harmless="it is"), BOUNDED, CLEAN, (False, False)),
    "missed": (changed(by="", misses="data race"), CLEAN, RACE, (True, True)),
    "missed, but it gave up": (changed(by="", misses="data race"), BOUNDED, RACE, (False, False)),
    "seen all the same": (changed(by="", misses="data race"), RACE, RACE, (False, False)),
    "nothing to miss": (changed(by="", misses="data race"), CLEAN, CLEAN, (False, False)),
    "another to miss": (changed(by="", misses="deadlock"), CLEAN, RACE, (False, False)),
}  # fmt: skip


@pytest.mark.parametrize(("mutant", "mutated", "stands", "wanted"), VERDICTS.values(), ids=VERDICTS)
def test_a_mutant_is_killed_by_what_it_broke_beside_a_clean_search_and_by_nothing_else(mutant, mutated, stands, wanted):
    verdict = judged(mutant, mutated, stands)

    assert (verdict.killed, verdict.expected) == wanted
    assert verdict.by


# The command.


def answered(monkeypatch, tmp_path, tried, *words):
    """The exit code and the rows, where the searches have these answers."""
    monkeypatch.setattr(command, "_tried", tried)
    code = main(["explore", *words, "--json", str(tmp_path / "out.json"), "--mutants"])
    return code, json.loads((tmp_path / "out.json").read_text())["mutants"]


ROW = {"seconds": 0.25, "compile_seconds": 4.0, "states": 10}
KILLED = Verdict(True, True, "data race", 1, "shmkret replay x")


@pytest.mark.parametrize(
    ("second", "code"), [(KILLED, 0), (Verdict(False, True, "it is harmless"), 0), (Verdict(False, False, "?"), 1)]
)
def test_the_exit_code_says_whether_all_end_as_they_should(second, code, monkeypatch, tmp_path, capsys):
    names = ["ttas-tries-once", "two-wait-for-each-other"]

    def tried(mutants, processes):
        assert (len(mutants), processes) == (len(ALL), 3)
        yield ALL[names[1]], second, ROW
        yield ALL[names[0]], KILLED, ROW

    found, rows = answered(monkeypatch, tmp_path, tried, "--processes", "3")
    said = capsys.readouterr().out

    assert found == code
    assert [row["name"] for row in rows] == sorted(names)
    assert {row["name"]: (row["killed"], row["expected"]) for row in rows} == dict(
        zip(names, ((True, True), second[:2]), strict=True)
    )
    row = next(row for row in rows if row["name"] == names[0])
    assert (row["seconds"], row["by"], row["preemptions"]) == (0.25, "data race", 1)
    assert row["replay"] == f"python -m shmkret.cli.patched {names[0]} replay x"
    assert f"{1 + second.killed} of 2 killed" in said
    assert "median search 0.25 s, compiling before it 4.0 s" in said


def test_interrupted_it_says_what_is_known(monkeypatch, tmp_path, capsys):
    def tried(mutants, processes):
        yield mutants[0], KILLED, ROW
        raise KeyboardInterrupt

    code, rows = answered(monkeypatch, tmp_path, tried)

    assert (code, len(rows)) == (130, 1)
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["calls", "--mutants"], ["--processes", "0", "--mutants"], ["--mutants", "x"]])
def test_what_cannot_be_asked_of_mutants_is_refused(words):
    assert main(["explore", *words]) == 2


def test_mutants_are_listed_beside_those_of_stress(capsys):
    assert main(["list", "mutants"]) == 0
    said = capsys.readouterr().out
    assert "locks: who has waited goes in without having taken the lock" in said
    assert "no-intent       stress: locks are recovered, lists are not" in said


# Really run.


def python(*arguments):
    """A process of this package, not of one that is installed; its exit code and its words."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "names", [["ttas-tries-once"], pytest.param(["ttas-tries-once", "deadlocks-are-not-told"], marks=pytest.mark.full)], ids=len
)
def test_a_slip_is_seen_and_its_schedule_goes_wrong_again_and_no_other_process_has_it(names, tmp_path, capsys):
    """The search without a slip comes first: what both need is compiled for it, once."""
    place = tmp_path / "out.json"
    assert main(["explore", *ALL["ttas-tries-once"].words]) == 0
    assert main(["explore", "--mutants", *names, "--json", str(place)]) == 0
    rows = {row["name"]: row for row in json.loads(place.read_text())["mutants"]}

    assert list(rows) == sorted(names, key=lambda name: (ALL[name].area, name))
    assert {row["killed"] for row in rows.values()} == {True}
    row = rows["ttas-tries-once"]
    assert row.keys() >= {"name", "killed", "by", "seconds", "preemptions", "replay"}
    assert "data race" in row["by"]
    assert row["preemptions"] <= 3
    assert f"{len(names)} of {len(names)} killed" in capsys.readouterr().out
    module, *words = row["replay"].removeprefix("python -m ").split()
    code, said = python(module, *words)
    assert code == 1
    assert row["by"] in said
    assert main(["explore", *ALL["ttas-tries-once"].words]) == 0


def test_a_process_with_a_slip_in_what_it_does_not_import_says_so():
    code, said = python("shmkret.cli.patched", "ttas-tries-once", "list", "engines")

    assert code == 2
    assert "shmkret.locks.ttas is not imported" in said


def test_what_a_slip_changes_is_compiled_apart_and_all_else_is_shared(tmp_path, monkeypatch):
    monkeypatch.setenv("SHMKRET_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "_apart", None)
    usual = cache.cache_folder(("worker",))
    for name in ("search", "search-descend", "calls-watched", "hot-always-watched"):
        (usual / name).mkdir()
        (usual / name / "code").write_text(name)
    shared, folders = {}, {usual, cache.cache_folder(())}
    modules = ("locks.ttas", "explore.stacks.choices", "machines.compiled.watched", "explore.engines.states", "text.libc")
    for module in (*modules, "explore.always", "explore.scenarios.calls"):
        cache.keep_apart(module, patched.anew_of(f"shmkret.{module}"))
        own = cache.cache_folder(("worker",))
        assert own == cache.cache_folder(("worker",))
        folders.add(own)
        shared[module] = sorted(entry.name for entry in own.iterdir() if (entry / "code").read_text() == entry.name)

    assert len(folders) == 9
    searches, scenes = ["search", "search-descend"], ["calls-watched", "hot-always-watched"]
    assert shared == {
        "locks.ttas": searches,
        "explore.stacks.choices": [*scenes, "search"],
        "machines.compiled.watched": scenes,
        "explore.engines.states": [*scenes, *searches],
        "text.libc": [],
        "explore.always": ["calls-watched", *searches],
        "explore.scenarios.calls": searches,
    }


def test_a_process_without_the_name_of_a_mutant_says_so():
    assert python("shmkret.cli.patched", "none", "list", "engines")[0] == 2


def test_a_search_that_comes_to_nothing_says_why_and_one_that_is_left_leaves_no_process(tmp_path):
    before = set(psutil.Process().children())
    found = command._searched([(("", "a"), ["calls", "--cpus", "0"]), (("", "b"), ["death", "--rounds", "9"])], 2, tmp_path)

    key, answer = next(found)
    assert key == ("", "a")
    assert answer == "exit code 2: shmkret: 0 cpus were asked for: give a number from 1 to 8"
    assert len(set(psutil.Process().children()) - before) == 1
    found.close()
    assert set(psutil.Process().children()) == before


# What an end is asked, since mutants were not seen.


def chained(registered, first, following):
    """What is said of probes in these states, where the only function begins with one, and each leads to another."""
    words = {
        "probes": {"registered": np.array(registered), "next": np.array(following)},
        "functions": {"kprobe": np.array([first])},
    }
    return wrong_chains(SimpleNamespace(records=words.__getitem__))


def test_a_chain_has_the_probes_that_are_registered_and_no_others():
    assert chained([1, 1, 0], 1, [NIL, 0, 0]) == []
    assert chained([1, 1, 0], 1, [NIL, NIL, 0]) == ["probe 0 is registered, and not on the chain of its function"]
    assert chained([1, 0, 0], 1, [NIL, 0, 0]) == ["probe 1 is on the chain of a function, and not registered"]
    assert chained([0, 0, 0], NIL, [1, 2, 0]) == []
    assert chained([1, 1, 1], 2, [2, 0, 1]) == []
