"""A user's lock is rehearsed by itself before it is measured: what is wrong is refused, what was not shown is said."""

import pytest

from shmkret.explore import bounded
from shmkret.explore import by_itself as module
from shmkret.locks import LOCK
from shmkret.plugins.registry import find

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
