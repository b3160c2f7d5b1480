"""Every store of a round as a place to die (shmkret.stress.crash_points): all of them are recovered, wrong orders are not."""

from dataclasses import replace

import pytest

from shmkret.errors import UsageError
from shmkret.machines.sizes import Sizes
from shmkret.stress import crash_points as points_of
from shmkret.stress.crash_points import crash_points
from tests.worlds import build_of

SIZES = Sizes(maxactive=3)
ROUNDS = {
    "churn": (255,),
    "nested": (0,),
    "exits": (0,),
    "refuse": (0, 1),
    "handlers": (0,),
    "sleepers": (0, 1),
    "migrate": (0, 1),
}


QUICK = [("hashed", "owner", "nested"), ("global", "mcs", "nested"), ("global", "clh", "nested")]
LOCKS = ("owner", "pthread-robust", "sem", "mcs", "clh")
PAIRS = {
    (("global", "hashed")[(i + j) % 2], lock, worker) for i, lock in enumerate(LOCKS) for j, worker in enumerate(sorted(ROUNDS))
}
"""Each lock with each worker, the schemes in turn, so that each scheme has every lock and every worker, too. All else is for
the record `triples`."""
ALL = [(scheme, lock, worker) for scheme in ("global", "hashed") for lock in LOCKS for worker in ROUNDS]


def marks_of(one):
    return () if one in QUICK else pytest.mark.full if one in PAIRS else pytest.mark.record


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("scheme", "lock", "worker"), [pytest.param(*one, marks=marks_of(one)) for one in ALL])
def test_every_store_is_a_place_to_die(scheme, lock, worker):
    points, bad = crash_points(replace(build_of(worker, scheme, lock), recoverable=True), SIZES, ROUNDS[worker])
    assert bad == {}
    assert points > 40


def test_what_is_wrong_without_a_death_is_said_before_that_there_is_no_such_store(monkeypatch):
    build = replace(build_of("nested", "hashed", "ttas"), recoverable=True)
    monkeypatch.setattr(points_of.PlainMachine, "prepare", lambda _: None)
    monkeypatch.setattr(points_of, "die_at", lambda *_: (True, ["a lock is held"]))
    assert crash_points(build, SIZES, (0,), only=7) == (1, {7: ["a lock is held"]})
    monkeypatch.setattr(points_of, "die_at", lambda *_: (True, []))
    with pytest.raises(UsageError, match="are complete before their store 7"):
        crash_points(build, SIZES, (0,), only=7)


@pytest.mark.full
@pytest.mark.parametrize("mutant", ["late-intent", "late-next", "early-clear", "no-intent"])
def test_a_wrong_order_of_writes_is_caught(mutant):
    build = replace(build_of("nested", "hashed", "owner"), recoverable=True, mutant=mutant)
    _, bad = crash_points(build, SIZES, ROUNDS["nested"])
    assert bad != {}
