"""A user's lock is rehearsed by itself before it is measured: what is wrong is refused, what was not shown is said."""

import pytest

from shmkret.explore.greenlets import bounded
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.rehearsal import by_itself as module
from shmkret.explore.rehearsal import trials
from shmkret.explore.rehearsal.alone import Alone, Past
from shmkret.explore.rehearsal.past import grown_old
from shmkret.locks import LOCK
from shmkret.plugins.registry import find, names

from .wrong_locks import BEYOND, RIGHT, WRONG

OLD = {"right for 65,536 turns", "right for 20,000 turns of the second CPU", "counts to 16 bits"}
"""Wrong after so many turns; the others are grown less old, to be fast."""


@pytest.fixture
def rehearsed(tmp_path, monkeypatch, request):
    monkeypatch.setattr(bounded, "PATIENCE_S", 0.5)
    monkeypatch.setattr(module, "LONGEST_S", 1e6)
    monkeypatch.setattr(module, "MOST_STATES", 8_000)
    monkeypatch.setattr(module, "MOST_STATES_OF_ONE", 3_000)
    if request.node.callspec.params["name"] not in OLD:
        monkeypatch.setattr(module, "AGE", 2_000)

    def rehearse(text):
        own = tmp_path / "own.py"
        own.write_text(text)
        return module.by_itself(find(LOCK, str(own)))

    return rehearse


@pytest.mark.parametrize("name", WRONG)
def test_a_lock_that_is_wrong_is_refused(name, rehearsed):
    text, words = WRONG[name]
    found = rehearsed(text)

    assert [words in flaw for flaw in found.flaws] == [True], found


@pytest.mark.parametrize("name", BEYOND)
def test_what_is_beyond_the_rehearsal_is_said(name, rehearsed):
    text, words = BEYOND[name]
    found = rehearsed(text)

    assert (found.flaws, found.doubts) == ((), ())
    assert words in found.proved[-1]


@pytest.mark.parametrize("name", RIGHT)
def test_a_lock_that_is_right_is_rehearsed_to_the_end(name, rehearsed):
    found = rehearsed(RIGHT[name])

    assert (found.flaws, found.doubts) == ((), ())
    assert "2,000 turns" in found.proved[0]


@pytest.mark.parametrize("name", [name for name in names(LOCK) if find(LOCK, name).own("start")])
@pytest.mark.parametrize("turns", [0, 1, 300])
def test_a_lock_that_comes_with_shmkret_starts_as_if_it_had_really_been_taken(name, turns):
    lock = find(LOCK, name)
    started = Alone(lock, ExploredMachine(), 2, 2, set(), Past(begun=turns))

    assert started.past() == grown_old(lock, "acquire", turns, 2, 2, 2)


@pytest.mark.parametrize("brink", module.BRINKS)
def test_tickets_are_right_where_a_counter_of_so_many_bits_is_full(brink):
    for search in module._started("acquire", brink):
        found = trials.tried(find(LOCK, "ticket"), search.trial, *search.size, past=search.past())
        assert (found.complete, found.violations) == (True, [])


def test_the_limit_that_is_said_is_that_of_all_searches_where_it_was_reached(tmp_path, monkeypatch):
    """What is left for the last one is nobody's number."""
    monkeypatch.setattr(module, "LONGEST_S", 1e6)
    monkeypatch.setattr(module, "AGE", 2)
    monkeypatch.setattr(module, "MOST_STATES", 50)
    own = tmp_path / "own.py"
    own.write_text(RIGHT["ttas"])
    (doubt,) = module.by_itself(find(LOCK, str(own))).doubts

    assert "states, the limit of 50 states: acquire" in doubt
    assert doubt.count("the limit of") == doubt.count("the limit of 50 states")
