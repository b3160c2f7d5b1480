"""The engines that draw at random: what they draw, what they find, and that a seed says all of it."""

from collections import Counter
from functools import cache
from itertools import pairwise, permutations

import pytest

from shmkret.explore.engines import ENGINE, pct, pos, states, uniform
from shmkret.explore.scenarios import asked_of, scene_of
from shmkret.explore.stacks import control, walks
from shmkret.explore.stacks.executor import Stacks
from shmkret.locks import LOCK
from shmkret.plugins.registry import find, names
from shmkret.schemes import SCHEME

from .programs import NR_CPUS, Programs, W, X, Y, Z
from .wrong_locks import ttas

TIERS = (uniform, pct, pos)
RUNS = 4000


@cache
def searches():
    """One search for all programs of this file: its loop is compiled once."""
    return Programs()


def prepared(program, announcements=(), mortal=(), deaths=0, first=(), **words):
    """Stacks with that program; words of the control block by their names."""
    searches().load(program, announcements, first)
    stacks = searches().stacks
    more = {"announces": int(bool(announcements)), "mortal": sum(1 << cpu for cpu in mortal), "deaths": deaths}
    for name, value in (more | words).items():
        stacks.put(getattr(control, name.upper()), value)
    return stacks


def searched(tier, stacks, runs=RUNS, seed=1, points=2):
    stacks.put(walks.SEED, seed)
    stacks.put(walks.POINTS, points)
    return tier.search(stacks, runs, 1e9)


def walked(tier, stacks, runs, seed=1, points=0):
    """The schedule of each run, the priorities that it began with, and the steps at which these change."""
    stacks.begin(by_past=1)
    for word, value in ((walks.DRAWN, seed), (walks.POINTS, points), (walks.KEPT, 0), (walks.MOST_RUNS, runs)):
        stacks.put(word, value)
    walk = tier.WALK.compiled()
    found, drawn, changes = [], [], []
    nr = stacks.scene.nr_cpus
    while stacks.get(control.ENDS) < runs:
        status = stacks._busy(control.GOES_ON, walk, 1)
        assert status in (control.MORE, control.AT_END)
        if stacks.get(control.DEPTH) == 1:
            drawn.append([stacks.get(walks.PRIORITIES + 8 * choice) for choice in range(3 * nr)])
            changes += [stacks.get(walks.POINT + 8 * i) for i in range(points)]
            found.append([])
        found[-1] = stacks.path()
    return found, drawn, changes


def test_the_engines_that_draw_say_so():
    drawing = {name for name in names(ENGINE) if find(ENGINE, name).constants.draws}

    assert drawing == {"pct", "pos", "uniform"}


# What they find. Each of these is found by a run with a chance of 0.01 at least: in 4,000 runs it is missed with one of 1e-17.

BUGS = {
    "an order of two": [
        [("store", X, 1), ("store", X, 2)], [("load", X), ("unless seen", 3, 1), ("add", Z, 1), ("write", W, 1)],
        [("read", W)],
    ],
    "a wake before the sleep": [[("load", X), ("sleep", Y, 0)], [("store", X, 1), ("wake", Y, 1)]],
    "two locks, two orders": [
        [("down", X), ("down", Y), ("up", Y), ("up", X)], [("down", Y), ("down", X), ("up", X), ("up", Y)],
    ],
}  # fmt: skip


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("bug", BUGS)
def test_each_tier_finds_a_bug_and_the_same_one_each_time(tier, bug):
    stacks = prepared(BUGS[bug], first=(1, 1) if "locks" in bug else ())
    found = searched(tier, stacks)
    again = searched(tier, stacks)

    assert found.violations
    assert found == again
    assert not found.complete
    assert 0 <= found.schedules < RUNS


@pytest.mark.parametrize("tier", TIERS)
def test_what_is_right_is_never_wrong_and_every_end_of_it_is_seen(tier):
    """Of a program that both engines end, there are as many different ends. The rarest end has a chance of 1/20 in a run."""
    stacks = prepared([[("add", X, 1), ("exchange", Y, 5)], [("add", X, 2), ("exchange", Y, 7)], [("exchange", Y, 9)]])
    found = searched(tier, stacks)
    searched_all = states.search(stacks, 1 << 40, 1e9)

    assert searched_all.complete
    assert found.violations == []
    assert (found.complete, found.schedules, found.gave_up) == (False, RUNS, "4,000 runs")
    assert found.ends == stacks.get(control.DISTINCT) > 3
    assert found.steps == 5 * RUNS


@pytest.mark.parametrize("tier", TIERS)
def test_another_seed_draws_other_runs(tier):
    program = [[("add", X, 1)] * 4, [("add", X, 2)] * 4, [("add", Y, 1)] * 2]

    runs = [walked(tier, prepared(program), 20, seed, points=2)[0] for seed in (1, 1, 2)]

    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("tier", TIERS)
def test_a_word_that_turns_out_to_be_shared_is_a_step_and_all_is_drawn_anew(tier):
    stacks = prepared([[("write own", 0, 1), ("add", X, 1)], [("read own", 0)]])
    found = searched(tier, stacks, 50)

    assert [one.what for one in found.violations] == [f"data race on {OWN}: cpu 0 is at store, cpu 1 at load"]
    assert len(stacks._shared) == 1


# What they draw.


def about(found, nr, chance):
    """Within 6 standard deviations of what is expected: for a right one the odds against it are 2e-9, and the seed is fixed."""
    return abs(found - nr * chance) < 6 * (nr * chance * (1 - chance)) ** 0.5


def test_uniform_makes_each_choice_alike_a_death_too():
    """CPUs 0 to 2 have a step each, CPU 0 may die, too: a quarter each. Then whoever is left."""
    program = [[("add", X, 1)], [("add", X, 1)], [("add", X, 1)]]
    stacks = prepared(program, [[]] * NR_CPUS, mortal=(0,), deaths=1)
    runs, *_ = walked(uniform, stacks, RUNS)
    first = Counter(run[0] for run in runs)
    second = Counter(run[1] for run in runs if run[0] == 1)

    assert first.keys() == {0, 1, 2, NR_CPUS}
    assert all(about(nr, RUNS, 1 / 4) for nr in first.values())
    assert second.keys() == {0, 2, NR_CPUS}
    assert all(about(nr, first[1], 1 / 3) for nr in second.values())


@pytest.mark.parametrize("tier", TIERS)
def test_a_sleep_that_ends_for_no_reason_is_a_choice(tier):
    stacks = prepared([[("sleep", X, 0)], [("store", X, 1), ("wake", X, 1)]])
    reasonless = stacks.begin

    def begin(**values):
        reasonless(**values, reasonless=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks, "begin", begin)
        runs, *_ = walked(tier, stacks, 400, points=2)

    woken = sum(2 * NR_CPUS in run for run in runs)
    assert 0 < woken < 400


def test_the_priorities_of_pct_are_a_permutation_each_as_likely():
    program = [[("add", X, 1)], [("add", X, 1)], [("add", X, 1)]]
    stacks = prepared(program, [[]] * NR_CPUS, mortal=(0,), deaths=1)
    for points in (0, 2):
        runs, drawn, _ = walked(pct, stacks, RUNS, points=points)
        actors = [0, 1, 2, 3, NR_CPUS]
        if not points:
            orders = Counter(tuple(one[a] for a in actors) for one in drawn)
            assert orders.keys() == set(permutations(range(5)))
            assert all(about(nr, RUNS, 1 / 120) for nr in orders.values())
            assert all(run[0] == max((0, 1, 2, NR_CPUS), key=one.__getitem__) for run, one in zip(runs, drawn, strict=True))
        else:
            changed = [one for one in drawn if sorted(one[a] for a in actors) == list(range(2, 7))]
            lowered = [one for one in drawn if min(one[a] for a in actors) < 2]
            assert len(changed) + len(lowered) == RUNS
            assert changed
            assert lowered


STEPS, OWN = 6, "stack[32].word"


def test_pct_without_points_lets_one_run_to_its_end_and_each_point_takes_over_once():
    """Three CPUs of 6 steps: d - 1 points are d - 1 preemptions at most; where they are, each step has the same chance."""
    program = [[("add", word, 1)] * STEPS for word in (X, Y, Z)]
    for points in (0, 1, 2):
        runs, _, changes = walked(pct, prepared(program), RUNS, points=points)
        at = Counter(changes[points:])  # of the first run, k is not known
        assert at.keys() == (set(range(1, 19)) if points else set())
        assert all(about(nr, (RUNS - 1) * points, 1 / 18) for nr in at.values())
        switches = [sum(a != b for a, b in pairwise(run)) for run in runs]
        assert min(switches) == 2
        assert max(switches) <= 2 + 2 * points
        if not points:
            assert max(switches) == 2
        if points == 1:
            cut = Counter(next((n for n in range(1, 18) if run[n] != run[n - 1] and n % STEPS), None) for run in runs)
            lone = [cut[n] for n in (1, 2, 3, 4, 5)]  # the first CPU is cut off before its last steps, if any other can go on
            assert all(about(nr, RUNS, 1 / 18) for nr in lone)


def test_the_promise_of_pct():
    """A bug of depth 2 on 2 CPUs that act, beside 2 that have ended at once: 1 / (4 k) at least; the seed is fixed."""
    program = [[("add", X, 1)] * 5, [("add", X, 1)] * 5]
    runs, *_ = walked(pct, prepared(program), RUNS, points=1)
    k = 10
    for order in ([0, 1, 0], [1, 0, 1]):
        hit = sum([c for n, c in enumerate(run) if n == 0 or run[n - 1] != c] == order for run in runs)
        assert hit >= RUNS / (4 * k)


def last_of_seven(tier, word, one=("add", X, 1), other=("add", X, 1)):
    """How often CPU 1 does its step after CPU 0 has done all of its 6. word: of the first 5 steps; None: as the last."""
    program = [[one if word is None else ("add", word, 1)] * 5 + [one], [other]]
    runs, *_ = walked(tier, prepared(program), RUNS)
    return sum(run.index(1) == 6 for run in runs)


def test_pos_draws_anew_for_those_in_conflict_and_for_nobody_else():
    """CPU 1's priority p is drawn once, unless a step of CPU 0's is in conflict: it comes last with the mean of (1 - p)**6,
    which is 1/7; else with 2**-6, as it does under `uniform`, which knows no conflicts.
    """
    assert about(last_of_seven(pos, Y), RUNS, 1 / 7)
    assert about(last_of_seven(pos, X), RUNS, 2**-6)
    assert about(last_of_seven(uniform, Y), RUNS, 2**-6)


STOPS_AT_X = ("wait unless", Y, 0)
CONFLICTS = [
    (("wake", X, 1), ("wake", Y, 1), True),
    (("add", X, 1), STOPS_AT_X, True),
    (STOPS_AT_X, ("add", X, 1), True),
    (("add", X, 1), ("load", X), True),
    (("load", X), ("add", X, 1), True),
    (("load", X), ("load", X), False),
    (("wake", X, 1), ("load", X), False),
    (STOPS_AT_X, ("load", X), False),
]


@pytest.mark.parametrize(("one", "other", "conflict"), CONFLICTS)
def test_what_is_in_conflict_for_pos(one, other, conflict):
    """One that may write a word that the other uses, or is stopped by; two on a futex, which sleep in one queue."""
    assert about(last_of_seven(pos, None, one, other), RUNS, 2**-6 if conflict else 1 / 7)


def test_pos_draws_the_death_of_a_cpu_once():
    """It comes after all of six steps with a chance of 1/7 again, and not of 2**-6."""
    stacks = prepared([[("add", X, 1)] * 6], [[]] * NR_CPUS, mortal=(0,), deaths=1)
    runs, *_ = walked(pos, stacks, RUNS)

    assert about(sum(NR_CPUS not in run for run in runs), RUNS, 1 / 7)


# What a run begins from.


def test_each_run_begins_from_the_first_state(monkeypatch):
    """A run leaves nothing behind: a CPU's words, its own ones too, its stack, its clock, who sleeps, who is dead."""
    program = [
        [("own", 0, 1), ("add", X, 1), ("clock",), ("hold", X, 9), ("sleep", Y, 0), ("tell", Z)],
        [("add", X, 2), ("wake", Y, 1), ("store", Y, 1), ("wake", Y, 1)],
    ]
    stacks = prepared(program, [[("add", W, 1), ("store", Y, 1), ("wake", Y, 4)]] * NR_CPUS, mortal=(1,), deaths=1)
    ends = []
    monkeypatch.setattr(stacks, "check", lambda: ends.append((searches().words(), searches().seen(0, 6))) or [])
    for tier in TIERS:
        assert searched(tier, stacks).violations == []
    drawn, ends[:] = set(ends), []
    assert states.search(stacks, 1 << 40, 1e9).complete

    assert drawn == set(ends)
    assert len(drawn) > 5


def test_a_table_of_ends_that_is_full_grows_and_one_that_may_not_bounds_the_search(monkeypatch):
    monkeypatch.setattr("shmkret.explore.stacks.executor.FIRST_PLACES", 8)
    program = [[("exchange", X, n), ("exchange", X, n + 10)] for n in (1, 2, 3)]
    found = []
    stacks = prepared(program)
    for places, most in ((8, 8), (8, 1 << 16), (1 << 16, 1 << 16)):
        stacks.put(control.PLACES, places)
        monkeypatch.setattr(stacks, "_most_places", most)
        found.append(searched(uniform, stacks))
    full, grown, whole = found

    assert (full.gave_up, full.ends) == ("the table is full", 7)
    assert grown == whole
    assert grown.ends > 6
    assert grown.gave_up == "4,000 runs"


# A violation that is found so is shown with fewer preemptions.

LONG = [[("add", word, 1)] * 5 + [("write", W, 1)] for word in (X, Y)]


@pytest.mark.parametrize("tier", TIERS)
def test_a_violation_is_shortened(tier, monkeypatch):
    found = searched(tier, prepared(LONG))
    monkeypatch.setattr(walks, "SHORTENED_IN", 1)
    as_found = searched(tier, prepared(LONG))

    assert (found.violations[0].preemptions, as_found.violations[0].preemptions) == (1, None)
    assert (
        found.violations[0].what
        == as_found.violations[0].what
        == "data race on buckets[3].first: cpu 0 is at store, cpu 1 at store"
    )
    assert found.schedules == as_found.schedules


LOOKS_FIRST = "while load_acquire(lock.locked, i) != 0:\n    wait_until(lock.locked, i, EQ, 0)\nexchange(lock.locked, i, 1)"


@pytest.mark.parametrize("name", ["busted", "wrong.py"])
def test_each_tier_finds_what_a_lock_does_wrong(name, tmp_path):
    """In the scenario `lock`, that two are inside at once. A run of `uniform` finds it with a chance of 0.1 or so."""
    path = tmp_path / "wrong.py"
    path.write_text(ttas(acquire=LOOKS_FIRST))
    asked = asked_of("lock", find(SCHEME, "hashed"), find(LOCK, str(path) if "." in name else name), 2, 1, None, None)
    with Stacks(scene_of(asked), 1 << 16) as stacks:
        found = [searched(tier, stacks) for tier in TIERS]

    assert all(one.violations and one.schedules < 200 for one in found)
    assert all(one.violations[0].preemptions is not None for one in found)


# What watches beside.


def test_a_race_that_clocks_alone_see_is_drawn():
    search = Programs(monitors=["clocks"])
    search.load([[("write", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("read", X)]])
    found = searched(uniform, search.stacks)
    assert len(found.violations) == 1
    assert "comes after store of cpu 0, and nothing orders the two" in found.violations[0].what
    search.load([[("write", X, 1), ("store", Y, 1)], [("wait", Y, 1), ("read", X)]])
    found = searched(uniform, search.stacks, 50)
    assert (found.violations, found.schedules) == ([], 50)
