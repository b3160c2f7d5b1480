"""Each lock by itself, compiled: every trial under every interleaving; and the slips of tests/test_locks.py are found, too."""

import pytest

from shmkret.explore.rehearsal import trial_scenes, trials
from shmkret.locks import LOCK
from shmkret.plugins.registry import find

from .test_locks import LARGE, MUTANTS, lock_of

SIZES = ((2, 2, 1), (3, 1, 1), (2, 2, 2))
QUICK = {
    ("ttas", "acquire"), ("owner", "take over"), ("mcs", "gate"), ("clh", "repair"), ("pthread-robust", "robust"),
    ("sem", "try"), ("rwlock", "shared"), ("seqlock", "sequence"), ("owner", "give up"),
}  # fmt: skip
"""A lock for each trial, two rounds each: the short selection. All else are those that are LARGE without a compiler."""


def every_trial():
    for name, trial in sorted(QUICK | {case for case in LARGE if case[1] in trial_scenes.NAMES}):
        for size in sorted({*LARGE.get((name, trial), []), (2, 2, 1)}):
            marks = [] if (name, trial) in QUICK and size == (2, 2, 1) else [pytest.mark.full]
            yield pytest.param(name, trial, size, marks=marks, id=f"{name}-{trial}-{'x'.join(map(str, size))}")


def test_every_compiled_trial_has_a_lock_that_is_tried_in_it():
    assert {trial for _, trial in QUICK} | {"gate", "repair"} == set(trial_scenes.NAMES)
    assert set(trials.TRIALS) - set(trial_scenes.NAMES) == {"combine"}


@pytest.mark.parametrize(("name", "trial", "size"), list(every_trial()))
def test_a_compiled_lock_does_what_it_says_under_every_interleaving(name, trial, size):
    outcome = trial_scenes.tried(lock_of(name), trial, *size)

    assert [v.what for v in outcome.violations] == []
    assert outcome.complete
    assert outcome.states > 100


@pytest.mark.full
@pytest.mark.parametrize("name", ["mcs", "clh"])
def test_a_queue_of_four_is_searched_to_the_end(name):
    outcome = trial_scenes.tried(lock_of(name), "acquire", 4, 1, 1)

    assert (outcome.violations, outcome.complete) == ([], True)


FREE = "a lock that is free, and does not get it"
WORDS = {
    "inside": "it has taken|it gives back|data race|have counted to|gets it, too|deadlock",
    "which is held, and waits": "deadlock",
    "which is free, and does not get it": FREE,
    "not free": FREE,
}
"""What a compiled search says in place of what the other does."""
SHORT = (0, 3, 9, 21, 24)
"""One of each kind of flaw."""


@pytest.mark.parametrize(
    ("name", "trial", "old", "new", "words"),
    [
        pytest.param(*one, marks=[] if n in SHORT else [pytest.mark.full], id=f"{one[0]}-{one[1]}-{n}")
        for n, one in enumerate(MUTANTS)
        if one[1] in trial_scenes.NAMES
    ],
)
def test_a_step_left_out_of_a_compiled_lock_is_caught(name, trial, old, new, words, tmp_path):
    path = tmp_path / "mutant.py"
    path.write_text(lock_of(name).path.read_text().replace(old, new) + "\n\nfrom shmkret.text import exchange, fetch_add\n")
    mutant = find(LOCK, str(path))

    found = (trial_scenes.tried(mutant, trial, *size).violations for size in SIZES)
    what = next((violations[0].what for violations in found if violations), "")

    assert any(word in what for known in words.split("|") for word in f"{known}|{WORDS.get(known, known)}".split("|")), what


def test_compiled_readers_that_keep_one_another_out_are_caught(tmp_path):
    path = tmp_path / "lonely.py"
    lonely = "def acquire_shared(lock, i):\n    acquire(lock, i)\n\n\ndef release_shared(lock, i):\n    release(lock, i)\n"
    path.write_text(lock_of("rwlock").path.read_text() + "\n\n" + lonely)
    outcome = trial_scenes.tried(find(LOCK, str(path)), "shared", 3, 1, 1)

    assert [v.what for v in outcome.violations] == ["no two readers were ever inside at once"]
