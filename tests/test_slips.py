"""Slips that the tests must see (tests/mutants): the data are those of today's text, and a seeded part of them is seen."""

import ast
import random
import re
from collections import Counter
from types import SimpleNamespace

import pytest

from shmkret.explore.mutants.patched import source_of
from tests import mutants
from tests.mutants import REPOSITORY, every, judged

ALL = every()
LEAST = {"alike": 6, "alone": 10, "arch": 5, "audit": 23, "hash": 5, "repair": 8, "statistics": 8, "stress": 6, "trace": 10}
LEAST |= {"replay": 4, "verdicts": 12}
SEED = 1
PART = random.Random(SEED).sample(sorted(name for name in ALL if not ALL[name].harmless), 20)


@pytest.mark.parametrize("name", ALL)
def test_what_a_slip_replaces_stands_once_in_its_module_and_what_replaces_it_is_other_code(name):
    text = (REPOSITORY / ALL[name].path).read_text()

    assert ast.dump(ast.parse(source_of(ALL[name], text))) != ast.dump(ast.parse(text))
    assert bool(ALL[name].by) != bool(ALL[name].harmless)


def test_no_two_are_alike_and_every_area_has_its_share():
    assert len({(one.module, one.before, one.after) for one in ALL.values()}) == len(ALL)
    assert len({one.breaks for one in ALL.values()}) == len(ALL)
    found = Counter(one.area for one in ALL.values())
    assert sorted(found) == sorted(LEAST) == mutants.areas()
    assert [area for area, least in LEAST.items() if found[area] < least] == []


@pytest.mark.parametrize(
    ("code", "said", "is_killed"),
    [
        (1, "E       AssertionError: 3 locks are held", True),
        (1, "E       AssertionError: 3 doors are open", False),
        (1, "3 locks are held", False),
        (1, "E       AssertionError: 3 locks are held\nE   TypeError: no", False),
        (1, "E       AssertionError: 3 locks are held\nFatal Python error: x", False),
        (0, "E       AssertionError: 3 locks are held", False),
        (2, "E       AssertionError: 3 locks are held", False),
        (-1, "it ran into the time-out", False),
    ],
)
def test_a_slip_is_killed_by_what_it_broke_and_by_nothing_else(code, said, is_killed):
    one = SimpleNamespace(by="[0-9] locks are held", harmless="")
    verdict = judged(one, code, said, 1.0)

    assert verdict.killed == is_killed
    assert bool(re.match("not killed", verdict.by)) != is_killed


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slips")
    mutants.copy_to(folder)
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [PART[0], *(pytest.param(name, marks=pytest.mark.full) for name in PART[1:])])
def test_a_slip_is_seen(name, copy):
    verdict = mutants.tried(ALL[name], copy)

    assert verdict.killed, verdict.by
