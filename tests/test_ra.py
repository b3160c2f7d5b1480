"""The compiled search under release-acquire memory: the same ends as a machine of a few lines has, and as the tables say."""

from functools import cache

import pytest
from hypothesis import given, settings

from shmkret.explore.scene import RA

from .programs import MUTEX, Programs, W, X, Y, Z
from .reference_ra import ends_of
from .test_tso import PROGRAM, STOPS, STRONG, WEAK, sb


@cache
def searches(*, reduced=False):
    return Programs(reduced=reduced, model=RA)


def find(program, *args, reduced=False, **values):
    return (searches(reduced=True) if reduced else searches()).find(program, *args, **values)


def assert_same_as_reference(program, *, reduced=False):
    def padded(seen):
        return tuple((*one, *[0] * (len(own) - len(one))) for one, own in zip(seen, program, strict=True))

    search, by = find(program, reduced=reduced), ends_of(program)
    assert any("race" in one for one in search.wrong) == by.race
    if not by.race:  # beyond a race nothing is looked at
        assert any("deadlock" in one for one in search.wrong) == by.deadlock
        ends = {(padded(seen), words) for seen, words in by.ends}
        # A step that commutes is done at once, and who could have gone on with an old message is stuck then: that is told.
        assert search.ends <= ends if reduced and by.deadlock else search.ends == ends
        assert len(search.wrong) == len([one for one in search.wrong if "deadlock" in one])
    return search


OTHERS = {}
ALL = {**STRONG, **WEAK, **STOPS, **OTHERS}


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("program", ALL.values(), ids=ALL)
def test_a_program_has_the_ends_of_the_reference(program, reduced):
    assert_same_as_reference(program, reduced=reduced)
