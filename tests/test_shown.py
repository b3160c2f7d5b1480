"""What a failure looks like: who holds what, the step after which all is lost, and the steps of what plain Python has found."""

import json

import pytest

from shmkret.cli.main import main
from shmkret.conformance import lock_suite
from shmkret.explore.engines import states
from shmkret.explore.rehearsal import trials
from shmkret.explore.rehearsal.by_itself import by_itself
from shmkret.explore.scenario import Broken, Scenario
from shmkret.explore.schedule import explore
from shmkret.explore.shown import inflection as module
from shmkret.explore.shown.inflection import Inflection, inflection
from shmkret.explore.stacks import control
from shmkret.locks import LOCK
from shmkret.plugins.registry import find
from shmkret.text import load_acquire, store_release

from .programs import Programs, X, Y, Z


@pytest.fixture(scope="module")
def found():
    """found(program, first): the schedule of a violation, and its inflection."""
    search = Programs()

    def find_one(program, first=()):
        search.load(program, first=first)
        search.stacks.begin(mortal=0, deaths=0, announces=0)
        (violation,) = states.search(search.stacks, 1 << 40, 60.0).violations
        return violation.schedule, inflection(search.stacks, violation.schedule)

    find_one.search = search
    return find_one


TWO_SEMAPHORES = [
    [("load", Z), ("down", X), ("down", Y), ("up", Y), ("up", X)],
    [("down", Y), ("down", X), ("up", X), ("up", Y)],
]
"""Each has one, and waits for the other's."""


def test_all_is_lost_with_the_step_after_which_both_wait_for_the_other(found):
    schedule, point = found(TWO_SEMAPHORES, first=(1, 1))

    assert sorted(schedule) == [0, 0, 1]
    assert point == Inflection(3, 2)
    assert point.is_exact
    assert str(point) == "after step 3 every continuation fails, and not before"


def test_what_comes_after_it_is_not_its_step(found):
    """CPU 1 goes on for a while before it waits; another way out is missed earlier."""
    program = [TWO_SEMAPHORES[0], [("down", Y), ("load", Z), ("load", Z), ("down", X), ("up", X), ("up", Y)]]
    schedule, point = found(program, first=(1, 1))

    lost = next(n for n in range(1, len(schedule) + 1) if {0, 1} <= set(schedule[:n]) and schedule[:n].count(0) >= 2)
    assert point == Inflection(lost, lost - 1)
    assert lost < len(schedule)


def test_where_all_is_lost_from_the_beginning_that_is_said(found):
    _, point = found([[("load", X), ("down", Y)]])

    assert point == Inflection(0, -1)
    assert str(point) == "every continuation fails from the beginning: whatever is done, it goes wrong"


def test_an_end_at_which_something_is_wrong_is_no_way_out(found):
    search = found.search
    search.stacks.scene.__dict__["check"] = lambda world, arena: ["both"] if arena.records("buckets")["first"][Z] == 1 else []
    try:
        schedule, point = found([[("load", X), ("store", Z, 1), ("store", Z, 2)], [("store", Z, 1)]])
    finally:
        search.stacks.scene.__dict__["check"] = search._check
    assert schedule == [0, 0, 0, 1]
    assert point == Inflection(3, 2)


def test_a_limit_that_is_reached_is_said(found, monkeypatch):
    schedule, _ = found(TWO_SEMAPHORES, first=(1, 1))
    monkeypatch.setattr(module, "MOST_STATES", 0)
    monkeypatch.setattr(module, "BUDGET", 1)
    point = inflection(found.search.stacks, schedule)

    assert not point.is_exact
    assert "the limit of the search was reached" in str(point)
    assert point.step == 3


def test_a_choice_before_is_not_made_anew(found):
    """Beside the schedule there is a way out, and yet all that follows it is lost."""
    schedule, _ = found(TWO_SEMAPHORES, first=(1, 1))
    assert module.ends_well(found.search.stacks, schedule, float("inf")) is False
    assert module.ends_well(found.search.stacks, schedule[:2], float("inf")) is True
    assert found.search.stacks.get(control.DEPTH) >= 2


def test_lanes_and_the_object_say_who_holds_what_and_when_all_was_lost(tmp_path, capsys):
    place = tmp_path / "found.json"
    asked = ["explore", "lock", "--lock", "busted", "--json", str(place)]
    assert main([*asked, "--monitors", "all"]) == 1
    said = capsys.readouterr().out
    (row,) = json.loads(place.read_text())["scenarios"]
    (violation,) = row["violations"]

    assert row["monitors"] == ["always", "holders", "clocks", "order", "fifo"]
    assert violation["inflection"] == {"step": 2, "not_before": 1, "exact": True}
    assert violation["holds"] == {"locks[0]": [0]}
    assert "  cpu 0 holds locks[0]\n  after step 2 every continuation fails, and not before\n" in said

    assert main([*violation["replay"].split()[1:], "--json", str(place)]) == 1
    again = json.loads(place.read_text())
    assert again["wrong"] == [violation["what"]]
    assert again["inflection"] == violation["inflection"]
    assert [step["holds"] for step in again["steps"]][1:4] == [{}, {"locks[0]": [1]}, {"locks[0]": [1]}]

    assert main(asked) == 1
    (row,) = json.loads(place.read_text())["scenarios"]
    assert row["monitors"] == ["always", "holders"]
    assert row["violations"][0]["what"].startswith("cpu 0: it has taken locks[0].locked, which cpu 1 holds")
    assert "--monitors" not in row["violations"][0]["replay"]
    assert main([*asked, "--model", "tso", "--monitors", "all"]) == 1
    assert "x86-TSO, every interleaving; without clocks, not known under x86-TSO\n" in capsys.readouterr().out
    assert json.loads(place.read_text())["scenarios"][0]["monitors"] == ["always", "holders", "order", "fifo"]
    assert main([*asked, "--monitors", "none"]) == 1
    (row,) = json.loads(place.read_text())["scenarios"]
    assert row["monitors"] == []
    assert row["violations"][0]["what"] != violation["what"]
    assert main([*asked, "--monitors", "clocks"]) == 1
    assert json.loads(place.read_text())["scenarios"][0]["violations"][0]["what"].startswith("data race on script[0].word")
    assert main([*asked, "--monitors", "clock"]) == 2


# Plain Python.

BUSTED = [
    "wait_until locks[0].locked 0",
    "* store_release locks[0].locked 0 -> 1",
    "shmkret/locks/busted.py:",
]


def assert_shown(words):
    assert [part for part in BUSTED if part not in words] == []


def test_what_greenlets_find_is_shown_step_by_step():
    (violation,) = trials.tried(find(LOCK, "busted"), "acquire").violations

    assert violation.what == "cpu 1 is inside lock 0 beside cpu 0"
    assert len([line for line in violation.shown if line.strip()[:1].isdigit()]) == len(violation.schedule)
    assert_shown(violation.told())
    assert violation.told("else").startswith("else\n   step  cpu 0")


def test_a_rehearsal_shows_the_steps(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(find(LOCK, "busted").path.read_text())
    (flaw,) = by_itself(find(LOCK, str(own))).flaws

    assert_shown(flaw.replace(str(own), "shmkret/locks/busted.py"))
    assert flaw.splitlines()[0].endswith("(CPUs x rounds x locks)")


def test_a_conformance_test_that_fails_says_it_in_a_sentence_with_lanes():
    suite = lock_suite("busted")()
    for fails in (
        lambda: suite.test_it_does_by_itself_what_it_can("acquire", (2, 2, 1)),
        suite.test_it_lets_one_in_under_every_interleaving,
    ):
        with pytest.raises(pytest.fail.Exception) as failed:
            fails()
        assert_shown(str(failed.value))
        assert not failed.value.pytrace


def found_by_greenlets(*bodies, mortal=()):
    def scenario(machine):
        words = machine.words("word", [0, 0])
        return Scenario([lambda body=body: body(words) for body in bodies], lambda: ["it ended"], mortal)

    (violation,) = explore(scenario).violations
    return violation.shown


def raises(words):
    store_release(words, 0, 1)
    if load_acquire(words, 0):
        raise Broken("it is 1")


def test_the_step_after_which_code_raises_is_the_last_and_a_death_has_a_line():
    lines = found_by_greenlets(raises)
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert "load_acquire word[0] 1" in lines[2]
    died = found_by_greenlets(lambda words: store_release(words, 0, 1), lambda words: raises(words), mortal=(0,))
    assert len(died) >= 3
    assert any("load_acquire word[0] 1" in line for line in died)
