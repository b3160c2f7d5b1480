"""Each thing that an audit may say, provoked by the least damage that makes it say so, and nothing but what belongs to that."""

from functools import cached_property

import numpy as np
import pytest

from shmkret.arena.chains import hung, statistics
from shmkret.arena.records import LEAVING, REGISTERED, UNREGISTERED
from shmkret.audit.checks import audit, books, left_open, not_given_back
from shmkret.audit.findings import COUNTS, SENTENCES, Finding, sentences
from shmkret.machines import plain
from shmkret.machines.plain import PlainMachine
from shmkret.machines.world import NotFree, World
from shmkret.recovery.recoverer import settle_counts
from shmkret.text import atomics
from shmkret.text.atomics import NIL
from tests.in_use import SIZES, arena_in_use


class Parts:
    """What is where in an arena in use: an instance in flight, one on the free list of a probe, one on the slab."""

    def __init__(self, arena):
        self.arena = arena

    def __getitem__(self, place):
        section, field = place
        return self.arena.records(section)[field]

    @cached_property
    def probe(self):
        registered = np.flatnonzero(self["probes", "registered"] == REGISTERED).tolist()
        return next(p for p in registered if self["probes", "free"][p] != NIL)

    @property
    def free(self):
        return int(self["probes", "free"][self.probe])

    @property
    def slab(self):
        return int(self["registry", "slab"][0])

    @cached_property
    def order(self):
        return max(hung(self.arena), key=len)

    @property
    def flying(self):
        return self.order[0]

    @property
    def task(self):
        return int(self["instances", "task"][self.flying])

    def last(self, ri):
        """The last of a list that begins there."""
        while self["instances", "next"][ri] != NIL:
            ri = int(self["instances", "next"][ri])
        return ri


def lost(at):
    at["registry", "slab"][0] = at["instances", "next"][at.slab]


def doubled(at):
    """The slab leads into the free list of a probe."""
    at["instances", "next"][at.last(at.slab)] = at.free


def broken(at):
    """The last of the slab leads to where nothing is; all are still found."""
    at["instances", "next"][at.last(at.slab)] = at.arena.geometry.nr_instances


def stranger(at):
    at["instances", "rp"][at.free] = at.probe ^ 1


def kept(at):
    at["probes", "registered"][at.probe] = UNREGISTERED


def on_slab(at):
    at["instances", "rp"][at.slab] = at.probe


def no_task(at):
    at["instances", "task"][at.flying] = len(at["tasks", "place"])


def wrong_place(at):
    """As if its task's address were another, of another bucket."""
    at["tasks", "address"][at.task] += 1 << 40


def gone(at):
    at["instances", "rp"][at.flying] = len(at["probes", "kind"])


def number(at):
    at["probes", "maxactive"][at.probe] += 1


def probe(at):
    at["probes", "registered"][at.probe] = LEAVING


def state(at):
    at["instances", "state"][at.free] = 7


def order(at):
    """The newest of a task says that it was entered below an older one."""
    newest, older = at.order[:2]
    at["instances", "task"][older] = at.task
    at["instances", "fp"][newest] = at["instances", "fp"][older] + 8


def not_cleared(at):
    at["recovery", "held"][1] = 1


def inside(at):
    at["cpus", "preempt_count"][1] = 1


def at_rest(at):
    at["tasks", "place"][at.task] = 0


def calls(at):
    at["cpus", "calls"][0] += 1


def row(at):
    at["books", "hits"][0] -= 1
    at["books", "hits"][1] += 1


def more(at):
    at["cpus", "refused"][0] += 1
    at["cpus", "refused"][1] -= 1


def hits(at):
    """A hit too many, and a call."""
    at["books", "hits"][0] += 1
    at["books", "calls"][0] += 1


def scheme(at):
    at["probes", "maxactive"][0] += 1


LEAST = {
    "lost": (lost, "hashed", {"lost"}),
    "doubled": (doubled, "hashed", {"doubled", "on slab"}),
    "broken": (broken, "hashed", {"broken"}),
    "stranger": (stranger, "hashed", {"stranger"}),
    "kept": (kept, "hashed", {"kept", "gone"}),
    "on slab": (on_slab, "hashed", {"on slab"}),
    "no task": (no_task, "hashed", {"no task"}),
    "wrong place": (wrong_place, "hashed", {"wrong place"}),
    "gone": (gone, "hashed", {"gone", "number"}),
    "number": (number, "hashed", {"number"}),
    "probe": (probe, "hashed", {"probe"}),
    "state": (state, "hashed", {"state"}),
    "order": (order, "hashed", {"order"}),
    "not cleared": (not_cleared, "hashed", {"not cleared"}),
    "inside": (inside, "hashed", {"inside"}),
    "at rest": (at_rest, "hashed", {"at rest"}),
    "calls": (calls, "hashed", {"calls"}),
    "calls of a cpu": (row, "hashed", {"calls of a cpu"}),
    "more than calls": (more, "objpool", {"more than calls"}),
    "hits": (hits, "hashed", {"hits"}),
    "scheme": (scheme, "objpool", {"scheme"}),
}
"""Of each kind: the damage, in an arena of which scheme, and the kinds that are said; two where one cannot be had alone."""


@pytest.mark.parametrize("kind", LEAST)
def test_each_kind_of_finding_is_provoked_by_its_own_damage(kind):
    damage, scheme_name, kinds = LEAST[kind]
    with arena_in_use(scheme_name) as (arena, build):
        damage(Parts(arena))
        found = audit(arena, build.scheme)

    assert {one.kind for one in found} == kinds
    assert kind in kinds


def test_a_probe_of_a_kind_that_there_is_not_is_told_though_it_has_no_instances():
    with arena_in_use("hashed") as (arena, build):
        none = arena.records("probes")["registered"].tolist().index(UNREGISTERED)
        arena.records("probes")["registered"][none], arena.records("probes")["kind"][none] = REGISTERED, 77
        found = sentences(audit(arena, build.scheme))

    assert found == [f"probe {none} says that it is of kind 77 and in state {REGISTERED}, and none at rest is"]


def test_every_sentence_that_there_is_can_be_provoked():
    """These are said by others than audit(), of what is no list and no count of the arena's."""
    with arena_in_use("hashed") as (arena, _):
        arena.records("recovery")["open_calls"][0] = 1
        arena.records("recovery")["open_misses"][0] = 2
        others = [
            *left_open(arena, [0]),
            *not_given_back(NotFree(["locks[3]"], [])),
            *not_given_back(NotFree([], [(1, "locks")])),
            Finding("bug", "cpu 0", "what an oracle has seen"),
        ]
    assert [str(one) for one in others] == [
        "cpu 0: 1 calls have come to no end, and it has died 0 times",
        "cpu 0: 2 calls have come to an end and had not begun, and it has died 0 times",
        "1 locks are not free, such as locks[3], and no CPU is inside",
        "cpu 1 is not idle in locks, and no CPU is inside",
        "cpu 0: what an oracle has seen",
    ]
    assert {one.kind for one in others} | set(LEAST) == set(SENTENCES)
    assert set(SENTENCES) >= COUNTS


@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_what_an_arena_shows_of_cpus_and_probes_is_what_the_books_say(scheme):
    """Where misses are counted by probe, or by CPU and probe."""
    with arena_in_use(scheme) as (arena, _):
        (arena.records("books") if arena.geometry.recoverable else arena.records("probes"))["nmissed"][0] = 7
        shown, counts = statistics(arena), books(arena)
        assert counts["hits"] > 0

    assert {name: sum(row[name] for row in shown["cpus"]) for name in ("calls", "hits", "refused")} == {
        name: counts[name] for name in ("calls", "hits", "refused")
    }
    assert [row["nmissed"] for row in shown["probes"]][:1] == [counts["nmissed"]] == [7]


@pytest.mark.parametrize("probe", [0, 1])
def test_recovery_counts_calls_that_came_to_no_end_and_ends_of_no_call_apart(probe):
    """Of one CPU, probe by probe: one that is open hides none that another has not begun."""
    with arena_in_use("hashed") as (arena, build):
        nr, slot = arena.geometry.nr_probes, 1
        kept = arena.records("books")
        kept["calls"][slot * nr + probe] += 2
        kept["nmissed"][slot * nr + 1 - probe] += 3
        assert probe < nr > 1
        with atomics.use(PlainMachine(None)):
            settle_counts(plain.kernel(World.of(build, SIZES), arena), slot)

        assert [arena.records("recovery")[field][slot] for field in ("open_calls", "open_misses")] == [2, 3]
        assert sentences(audit(arena, build.scheme)) == []
