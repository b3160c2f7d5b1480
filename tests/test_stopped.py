"""Who stands still for good: each rule by a small program, both executors, both searches, and the scenario."""

import math
import random
import re
from dataclasses import replace

import pytest
from hypothesis import example, given, settings

from shmkret.cli.main import main
from shmkret.explore.engines import states
from shmkret.explore.stacks.executor import Stacks

from . import programs
from .programs import MUTEX, ROBUST, X, Y
from .random_programs import drawn_with_deaths
from .test_stacks import ALIKE, COLUMNS, for_greenlets, on_stacks, same_words, searches
from .test_traces import assert_the_same, both
from .twin import Greenlets, states_of


def wrong(program, stopped=(0,)):
    """What a search says is wrong where one of these may stop."""
    return searches().find(program, mortal=stopped, stops=1).wrong


WAITED_FOR = {
    "of a mutex": [[("lock", MUTEX), ("unlock", MUTEX)]] * 2,
    "of a robust mutex": [[("robust", ROBUST), ("unlock robust", ROBUST)]] * 2,
    "who is to post": [[("up", X)], [("down", X)]],
    "who is to store": [[("store", X, 1)], [("wait", X, 1)]],
    "who is to wake": [[("store", X, 1), ("wake", X, 1)], [("sleep", X, 0)]],
    "who is woken in another's place": [[("sleep", X, 0)], [("sleep", X, 0)], [("load", Y), ("wake", X, 1), ("wake", X, 1)]],
}


@pytest.mark.parametrize("program", WAITED_FOR.values(), ids=WAITED_FOR)
def test_who_waits_for_one_that_stands_still_is_told(program):
    found = wrong(program)
    told = re.compile(r"deadlock: cpu 1 waits in .*; cpu 0 stands still before a step on \S+")
    assert any(map(told.fullmatch, found)), found


FREE = {
    "of a mutex that is tried": [[("lock", MUTEX), ("unlock", MUTEX)], [("try lock", MUTEX)]],
    "that stores": [[("store", X, 1), ("store", X, 2)], [("exchange", X, 3), ("cmpxchg", X, 3, 4)]],
    "that sleeps": [[("sleep", X, 0)], [("store", X, 1), ("wake", X, 1)]],
}


@pytest.mark.parametrize("program", FREE.values(), ids=FREE)
def test_who_does_not_wait_for_it_ends(program):
    found = searches().find(program, mortal=(0,), stops=1)
    stopped = {seen[0] is None for seen, _ in found.ends}
    assert stopped == {False, True}
    assert [one for one in found.wrong if "cpu 1" in one] == []


SOME, MANY = 50, 2_000


@pytest.mark.parametrize("seeds", [range(SOME), pytest.param(range(SOME, MANY), marks=pytest.mark.full)], ids=str)
def test_any_program_in_which_some_stop_ends_by_traces_as_by_states(seeds):
    for n in seeds:
        asked = drawn_with_deaths(random.Random(f"stops-{n}"))
        asked |= {"mortal": asked.get("mortal") or (0,), "announcements": ()}
        try:
            assert_the_same(*both(**asked, stops=1), more=True)
        except AssertionError as error:
            raise AssertionError(f"{n}: {asked}") from error


ROBUSTLY = [("robust", ROBUST), ("unlock robust", ROBUST)]


@settings(max_examples=40)
@given(ALIKE)
@example([ROBUSTLY] * 2)
@example([[("sleep", X, 0)], [("sleep", X, 0)], [("wake", X, 1), ("wake", X, 1)]])
@example([[("down", X), ("up", X)], [("down", X)], [("up", X)]])
@example([[("sleep", X, 0)], [("up", X)], [("down", X)]])
@example([[("down", X)], [("sleep", X, 0)], [("up", X), ("wake", X, 1)]])
def test_both_executors_visit_the_same_states_where_one_stops(program):
    own = searches()
    own.load(program)
    columns = {"buckets.first": own.stacks.arena.records("buckets")["first"]}
    scene = replace(programs.scene(program, (), (0, 1), 1, for_greenlets), stops=True)
    greenlets = Greenlets(scene, COLUMNS, lambda _, words: same_words(words))
    assert states_of(own.stacks, columns, on_stacks, mortal=3, deaths=1, announces=0, stops=1) == greenlets.states


def test_an_end_in_which_none_has_stopped_is_checked_though_one_with_the_same_words_was():
    """X is 1 where CPU 1 has stopped before its store, and where CPU 0's store came last: the former is found first."""
    program = [[("store", X, 1)], [("store", X, 2)]]

    def is_2(_, arena):
        return [] if arena.records("buckets")["first"][X] == 2 else ["X is not 2"]

    scene = replace(programs.scene(program, (), (0, 1), 1, check=is_2), stops=True)
    with Stacks(scene, 1 << 14, monitors=()) as stacks:
        outcome = states.search(stacks, 1 << 40, math.inf)
    assert [one.what for one in outcome.violations] == ["X is not 2"]


@pytest.mark.parametrize("lock", ["ttas", pytest.param("pthread-robust", marks=pytest.mark.full)])
def test_a_path_with_locks_makes_others_wait_for_who_has_stopped_and_is_shown_again(lock, capsys):
    assert main(["explore", "stopped", "--lock", lock]) == 1
    said = capsys.readouterr().out
    assert "hashed with " in said
    assert "1 CPU stopped for good at any step" in said
    assert re.search(r"deadlock: cpu 1 waits in .* of locks\[0\]\.\w+; cpu 0 stands still before a step on locks\[0\]", said)
    assert re.search(r"^ +\d+ +stands still$", said, re.MULTILINE)
    (again,) = re.findall(r"shmkret replay (\S+)", said)
    assert main(["replay", again]) == 1
    assert "cpu 0 stands still before a step on locks[0]" in capsys.readouterr().out
