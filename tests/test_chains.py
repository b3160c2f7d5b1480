"""Walks over lists: all at once they are what they are one by one, whatever the arena holds."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from shmkret.arena import chains
from shmkret.arena.chains import FREE_LISTS, THE_SLAB, Chain, chain, walk
from shmkret.text.atomics import NIL


def arena_of(following, firsts, listed=FREE_LISTS):
    """As much of an arena as a walk looks at."""
    sections = {"instances": {"next": np.array(following)}, listed.section: {listed.field: np.array(firsts)}}
    return SimpleNamespace(records=sections.__getitem__)


def walked(arena, listed=FREE_LISTS):
    return [(one.number, one.order.tolist(), one.flaw) for one in walk(arena, listed)]


def one_by_one(following, firsts):
    return [(number, *chain(following, first)) for number, first in enumerate(firsts)]


def lists_of(rng, nr, most):
    """`nr` instances in lists of random lengths: what follows each, and the first of each list."""
    order = rng.permutation(nr).tolist()
    following, firsts = [NIL] * nr, []
    while order:
        one = [order.pop() for _ in range(min(len(order), int(rng.integers(0, most))))]
        firsts.append(one[0] if one else NIL)
        for ri, after in itertools.pairwise(one):
            following[ri] = after
    return following, firsts


def damaged(rng, following, firsts):
    """Three words that say something else: another instance, nothing, or what is no instance."""
    for _ in range(3):
        words = following if rng.random() < 0.7 else firsts
        words[int(rng.integers(len(words)))] = int(rng.choice([rng.integers(len(following)), NIL, len(following), -7, 1 << 62]))


@pytest.mark.parametrize("few", [0, 5, 1000])
def test_all_lists_at_once_are_what_they_are_one_by_one(few, monkeypatch):
    monkeypatch.setattr(chains, "FEW", few)
    rng = np.random.default_rng(1)
    flaws = set()
    for nr in range(1, 250):
        following, firsts = lists_of(rng, nr, rng.integers(2, 60))
        if nr % 3:
            damaged(rng, following, firsts)
        found = walked(arena_of(following, firsts))
        assert found == one_by_one(following, firsts)
        flaws |= {flaw.split()[0] for _, _, flaw in found if flaw}
    assert flaws == {"leads", "comes"}


@pytest.mark.parametrize("last", [NIL, 70, 3, 100, -2])
def test_a_list_that_is_whole_is_walked_straight_on_and_a_wrong_one_to_where_it_goes_wrong(last, monkeypatch):
    following = [*range(1, 100), last]
    asked = []
    monkeypatch.setattr(chains, "chain", lambda *args: asked.append(args) or chain(*args))

    assert walked(arena_of(following, [40, *[NIL] * 3])) == one_by_one(following, [40, *[NIL] * 3])
    assert bool(asked) == (last != NIL)
    assert walked(arena_of(following, [0], THE_SLAB), THE_SLAB) == one_by_one(following, [0])


def test_many_lists_that_come_to_no_end_are_each_walked_once_round(monkeypatch):
    """All together they would make a step for each list and each instance."""
    following = [*range(1, 4000), 0]
    straight = []
    monkeypatch.setattr(chains, "_straight", lambda *args: straight.append(args))
    firsts = list(range(100))

    assert walked(arena_of(following, firsts)) == one_by_one(following, firsts)
    assert straight == []


def test_lists_that_all_lead_through_the_same_instances_are_not_all_walked(monkeypatch):
    """A damaged arena may have thousands of lists that lead through a million instances."""
    monkeypatch.setattr(chains, "MOST_STEPS", 0)
    following = [*range(1, 1000), 500]
    found = walked(arena_of(following, [0] * 100))

    assert [flaw for _, _, flaw in found[:5]] == ["comes back to instance 500"] * 5
    assert found[-1] == (99, [], chains.TOO_MANY)
    assert sum(len(order) for _, order, _ in found) < 10 * 1000


def test_lists_of_tasks_and_buckets_are_walked_alike():
    for listed in (chains.BUCKETS, Chain(chains.HUNG, "tasks", "first", chains.OF_TASK)):
        assert walked(arena_of([2, NIL, 1], [NIL, 0], listed), listed) == [(0, [], ""), (1, [0, 2, 1], "")]
