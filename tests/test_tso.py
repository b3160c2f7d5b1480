"""The compiled search under x86-TSO: the same ends as a machine of a few lines has, and as the tables of tests/litmus say."""

import json
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmkret.cli.main import main
from shmkret.errors import UsageError
from shmkret.explore import search as one_search
from shmkret.explore.engines import states
from shmkret.explore.scenarios import asked_of, scene_of
from shmkret.explore.scene import SC, TSO
from shmkret.explore.search import How
from shmkret.explore.shown import lanes, strings
from shmkret.explore.stacks import control, sight
from shmkret.explore.stacks.executor import Stacks
from shmkret.locks import LOCK
from shmkret.machines.compiled import watched
from shmkret.plugins.registry import find as find_plugin
from shmkret.schemes import SCHEME

from . import programs
from .programs import MUTEX, NR_CPUS, ROBUST, Programs, W, X, Y, Z
from .recorded import Unknown, recorded
from .reference import ends_of, races
from .test_litmus import PROGRAMS as LITMUS
from .test_litmus import outcome_of

DEEP = watched.MOST_BUFFERED


@cache
def searches(*, reduced=False):
    return Programs(reduced=reduced)


def find(program, *args, reduced=False, **values):
    return (searches(reduced=True) if reduced else searches()).find(program, *args, **{"buffered": DEEP, **values})


def sb(between):
    return [[("store", X, 1), *between, ("load", Y)], [("store", Y, 1), *between, ("load", X)]]


def of_its_own(between):
    """Each CPU does that to a word that no other uses."""
    name, *values = between
    return [sb([(name, word, *values)])[cpu] for cpu, word in enumerate((Z, W))]


PASSES = [("store", X, 1), ("store", Y, 1)]
STRONG = {
    "sb-fence": sb([("fence",)]),
    "sb-exchange": [[("exchange", X, 1), ("load", Y)], [("exchange", Y, 1), ("load", X)]],
    "sb-add": [[("add", X, 1), ("load", Y)], [("add", Y, 1), ("load", X)]],
    "sb-cmpxchg-elsewhere": sb([("cmpxchg", Z, 0, 1)]),
    "sb-cmpxchg-fails": sb([("cmpxchg", Z, 7, 1)]),
    "sb-exchange-of-its-own": of_its_own(("exchange", 1)),
    "sb-add-of-its-own": of_its_own(("add", 1)),
    "sb-cmpxchg-of-its-own": of_its_own(("cmpxchg", 0, 1)),
    "sb-up-of-its-own": of_its_own(("up",)),
    "sb-up": sb([("up", Z)]),
    "sb-wake": sb([("wake", Z, 1)]),
    "sb-sleep-that-does-not": sb([("sleep", Z, 9)]),
    "sb-lock": [[("store", X, 1), ("lock", MUTEX), ("unlock", MUTEX), ("load", Y)], sb([("fence",)])[1]],
    "sb-unlock": [[("lock", MUTEX), ("store", X, 1), ("unlock", MUTEX), ("load", Y)], sb([("fence",)])[1]],
    "sb-down": [[("store", X, 1), ("down", Z), ("load", Y)], [("up", Z), ("store", Y, 1), ("fence",), ("load", X)]],
    "mp": [PASSES, [("load", Y), ("load", X)]],
    "mp-relaxed": [[("store relaxed", X, 1), ("store relaxed", Y, 1)], [("load relaxed", Y), ("load relaxed", X)]],
    "mp-plain": [[("write", X, 1), ("store", Y, 1)], [("wait", Y, 1), ("read", X)]],
    "mp-semaphore": [[("write", X, 1), ("up", Y)], [("down", Y), ("read", X)]],
    "lb": [[("load", X), ("store", Y, 1)], [("load", Y), ("store", X, 1)]],
    "wrc": [[("store", X, 1)], [("load", X), ("tell", Y)], [("load", Y), ("load", X)]],
    "2+2w": [[("store", X, 1), ("store", Y, 2)], [("store", Y, 1), ("store", X, 2)]],
    "one-word": [[("store", X, 1), ("store", X, 2)], [("load", X), ("load", X)]],
    "fifo-of-one-word": [[("store", X, 1), ("store", X, 2), ("load", X)], [("wait", X, 2), ("load", X)]],
    "mutex": [[("lock", MUTEX), ("read", X), ("write", X, 1), ("unlock", MUTEX)]] * 2,
    "futex": [[("sleep", X, 0), ("load", Y)], [("store", Y, 1), ("store", X, 1), ("wake", X, 1)]],
    "a-mutex-of-exchange": [[("exchange", X, 1), ("read", Y), ("write", Y, 1), ("store", X, 0)], [("load", Z)]],
    "ends-with-stores": [[("store", X, 1), ("store", Y, 2)], [("store", X, 3)]],
    "n5": [[("store", X, 1), ("load", X)], [("store", X, 2), ("load", X)]],
    "semaphore-made-anew": [[("down", X), ("load", Y)], [("store", Y, 2), ("reset", X, 1)]],
}  # fmt: skip
WEAK = {
    "sb": sb([]),
    "sb-relaxed": [[("store relaxed", X, 1), ("load relaxed", Y)], [("store relaxed", Y, 1), ("load relaxed", X)]],
    "sb-half-fenced": [sb([("fence",)])[0], sb([])[1]],
    "sb-of-three": [[("store", a, 1), ("load", b)] for a, b in ((X, Y), (Y, Z), (Z, X))],
    "sb-fence-before": [[("fence",), *one] for one in sb([])],
    "sb-fence-after": [[*one, ("fence",)] for one in sb([])],
    "sb-try-that-fails": sb([("try down", Z)]),
    "sb-told-to-stop": [
        *([("store", a, 1), ("down unless", W), ("load", b)] for a, b in ((Y, Z), (Z, Y))), [("exchange", X, 1)],
    ],
    "sb-try-lock-that-fails": [
        [("store", X, 1), ("try lock", MUTEX), ("load", Y)], [("lock", MUTEX), ("store", Y, 1), ("load", X)],
    ],
    "sb-waits": [*([("store", a, 1), ("wait", Z, 1), ("load", b)] for a, b in ((X, Y), (Y, X))), [("store", Z, 1)]],
    "own-store-is-seen": [[("store", X, 1), ("load", X), ("load", Y)], [("store", Y, 1), ("load", Y), ("load", X)]],
    "newest-own-store": [[("store", X, 1), ("store", X, 2), ("load", X), ("load", Y)], [("store", Y, 1), ("load", X)]],
    "own-wait": [[("store", X, 1), ("wait", X, 1), ("load", Y)], [("store", Y, 1), ("wait", Y, 1), ("load", X)]],
    "own-stop": [[("store", X, 1), ("wait unless", Z, 1), ("load", Y)], [("store", Y, 1), ("load", X)]],
    "iriw-and-own": [[("store", X, 1), ("load", X), ("load", Y)], [("store", Y, 1)], [("load", Y), ("fence",), ("load", X)]],
    "n6": [[("store", X, 1), ("load", X), ("load", Y)], [("store", Y, 2), ("store", X, 2)]],
    "r": [[("store", X, 1), ("store", Y, 1)], [("store", Y, 2), ("load", X)]],
    "semaphore-made-anew-late": [[("reset", X, 1), ("load", Y)], [("store", Y, 1), ("load", X)]],
    "mutex-made-anew-late": [[("store", Y, 1), ("reset", Z, 0), ("load", W)], [("store", W, 1), ("load", Y)]],
}  # fmt: skip
IRIW = [[("store", X, 1)], [("store", Y, 1)], [("load", X), ("load", Y)], [("load", Y), ("load", X)]]
STOPS = {
    "dekker-in-one-round": [
        [("store", X, 1), ("load", Y), ("unless seen", 6, 0), ("read", Z), ("write", Z, 1)],
        [("store", Y, 1), ("load", X), ("unless seen", 6, 0), ("read", Z), ("write", Z, 2)],
    ],
    "the-second-never-comes": [[("wait", X, 1)], [("store", X, 1), ("store", X, 2)]],
    "sleeps-for-ever": [[("load", X), ("unless seen", 3, 0), ("sleep", X, 0)], [("wake", X, 1), ("store", X, 1)]],
}  # fmt: skip


def told(program):
    """The ends of the machine of a few lines, as the search tells of them; and what is wrong: a deadlock, a race."""

    def padded(seen):
        return tuple((*one, *[0] * (len(own) - len(one))) for one, own in zip(seen, program, strict=True))

    def by(model):
        found = ends_of(program, tso=model)
        return {(padded(seen), words) for seen, words in found.ends}, found.deadlock, found.race

    return by


def assert_same_as_reference(program, *, reduced):
    by = told(program)
    found = {tso: find(program, first=FIRST, reduced=reduced, buffered=DEEP if tso else 0) for tso in (False, True)}
    for tso, search in found.items():
        ends, deadlock, race = by(tso)
        assert any("race" in one for one in search.wrong) == race
        if not race:  # beyond a race nothing is looked at
            assert any("deadlock" in one for one in search.wrong) == deadlock
            assert search.ends == ends
            assert len(search.wrong) == len([one for one in search.wrong if "deadlock" in one])
    return found


FIRST = ()


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("program", [*STRONG.values(), IRIW], ids=[*STRONG, "iriw"])
def test_a_program_has_the_ends_of_the_reference_and_tso_adds_none(program, reduced):
    found = assert_same_as_reference(program, reduced=reduced)
    assert found[True].ends == found[False].ends != set()


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("program", WEAK.values(), ids=WEAK)
def test_a_program_has_the_ends_of_the_reference_and_tso_adds_some(program, reduced):
    found = assert_same_as_reference(program, reduced=reduced)
    assert found[True].ends > found[False].ends


@pytest.mark.parametrize("program", STOPS.values(), ids=STOPS)
def test_what_is_wrong_under_a_model_is_found_under_that(program):
    assert_same_as_reference(program, reduced=False)


SIMPLE = (
    "load", "store", "load relaxed", "store relaxed", "exchange", "cmpxchg", "wait", "wait not", "wait unless", "down", "up",
    "try down", "down unless", "reset", "fence", "read", "write", "tell",
)  # fmt: skip
LOCKED = [("lock", MUTEX), ("read", W), ("write", W, 1), ("unlock", MUTEX)]
CODE = st.lists(st.tuples(st.sampled_from(SIMPLE), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4)
PROGRAM = st.lists(st.one_of(CODE, st.just(LOCKED)), min_size=2, max_size=3).filter(lambda p: sum(map(len, p)) <= 9)


@settings(max_examples=60)
@given(PROGRAM, st.booleans())
@example([[("store", X, 1), ("fence",), ("fence",)], [("load", X), ("wait not", X, 0)]], True)
@example([[("store", X, 2), ("exchange", Y, 1)], [("load", Y), ("load", X)], [("wait", Y, 1)]], True)
def test_any_program_has_the_ends_of_the_reference(program, reduced):
    assert_same_as_reference(program, reduced=reduced)


@settings(max_examples=60)
@given(PROGRAM)
def test_a_store_that_is_held_back_races_with_nobody_that_its_step_has_not_raced_with(program):
    """So that pairs of steps that are about to be done are enough: in the machine of a few lines, for it is about the model."""
    early, late = (ends_of(program, tso=True, race=lambda *at, late=late: races(*at, late=late)).race for late in (False, True))
    assert early == late


DIFFERS = {
    "semaphores-TOLD_THOUGH_GIVEN": "who is told to stop sees it at once",
    "waits-TOLD_THOUGH_GIVEN": "who is told to stop sees it at once",
    "semaphores-TOO_MANY": "a semaphore has no most value",
}
"""What a model of the search knows less of than the other executor does, under every memory model: docs/explore.md."""


def written_down():
    """The litmus programs with a table for x86-TSO that can be."""
    for name, litmus in LITMUS.items():
        try:
            yield name, recorded(litmus)
        except Unknown:
            continue


def test_the_tables_of_the_litmus_programs_are_met():
    met = set()
    for name, one in written_down():
        for model, deep in ((one.litmus.sc, 0), (one.litmus.tso, DEEP)):
            litmus = one.litmus
            deaths = litmus.deaths if litmus.mortal else 0
            how = {"buffered": deep, "reasonless": litmus.wakes}
            found = find(one.program, one.announcements, litmus.first, litmus.mortal, deaths, **how)
            seen = {outcome_of(wrong) for wrong in found.wrong} or {one.outcome(*end) for end in found.ends}
            if name not in DIFFERS:
                assert model.must <= seen <= model.must | model.may, (name, deep)
                met.add((name, deep))
    assert len(met) == 2 * 86  # and of them these tell the models apart:
    apart = {name for name, one in written_down() if one.litmus.sc != one.litmus.tso}
    assert apart == {f"store_buffering-{name}" for name in ("BARE", "HALF_FENCED", "OWN_STORE_IS_SEEN")}


# The rules one by one.


def test_a_store_goes_to_memory_by_a_choice_of_its_own_and_no_sooner():
    own = searches().stacks
    searches().load([[("store", X, 1), ("store", Y, 2), ("exchange", Z, 3)], [("load", X)]])
    own.begin(buffered=DEEP)
    commit = control.COMMITS * NR_CPUS
    assert [own.follow(choice) for choice in (commit, 0, 0, 0, commit + 1)] == [False, True, True, False, False]
    assert searches().words()[:3] == (0, 0, 0)
    assert [value for _, value in sight.held_back(own, 0)] == [1, 2]
    assert own.follow(commit)
    assert searches().words()[:3] == (1, 0, 0)
    assert [own.follow(choice) for choice in (0, commit, 0)] == [False, True, True]
    assert searches().words()[:3] == (1, 2, 3)
    assert not own.follow(commit)


def test_sequential_consistency_has_no_commits_and_no_fences():
    program = sb([("fence",)])
    assert find(program, buffered=0).seen == find(program).seen
    counted = []
    for deep in (0, DEEP):
        find(sb([("fence",), ("fence",)]), buffered=deep)
        counted.append(searches().stacks.get(control.STATES))
        find(sb([("fence",)]), buffered=deep)
        counted.append(searches().stacks.get(control.STATES))
    assert counted[0] == counted[1]
    assert counted[2] > counted[3]


def test_a_search_in_which_a_buffer_was_full_is_bounded_by_that():
    own = searches().stacks
    searches().load([[("store", X, n) for n in range(1, 4)], [("load", X)]])
    before = own._buffered
    try:
        own._buffered = 2
        outcome = states.search(own, 1 << 40, 60.0)
        assert (outcome.complete, outcome.gave_up) == (False, "a store buffer was full, of 2 stores")
        own._buffered = 3
        outcome = states.search(own, 1 << 40, 60.0)
        assert (outcome.complete, outcome.gave_up) == (True, "")
        searches().load([[("store", X, 1), ("store", X, 2), ("init", MUTEX)], [("load", X)]])
        own.begin()
        assert [own.follow(choice) for choice in (0, 0, 0, 3 * NR_CPUS, 0)] == [True, True, False, True, True]
        assert len(sight.held_back(own, 0)) == 3
    finally:
        own._buffered = before


def test_a_buffer_is_a_ring_and_forgets_nothing_as_it_comes_round():
    """More stores than it has room for, each of another value, and back to before the first."""
    rounds = DEEP + 10
    own = searches().stacks
    searches().load([[("clock",), ("tell", X), ("again", 0, 2 * rounds)]])
    own.begin(buffered=2, every=1)
    seen = set()
    while (status := own.descend(1 << 40)) != control.FINISHED:
        assert status in (control.AT_STATE, control.AT_END)
        seen.add((sight.value_at(own._record(0) + watched.COMMITTED), searches().words()[X]))
    assert seen == {(n, 1000 * n) for n in range(rounds + 1)}


def test_a_cpu_dies_with_an_empty_buffer_and_before_any_of_its_steps():
    stores = [[("store", X, 1), ("store", Y, 1), ("load", Z)], [("load", Y), ("load", X)]]
    found = find(stores, mortal=(0,))
    assert {(seen[0] is None, words[:2]) for seen, words in found.ends} == {
        (False, (1, 1)), (True, (0, 0)), (True, (1, 0)), (True, (1, 1))
    }  # fmt: skip
    assert found.seen == find(stores, mortal=(0,), buffered=0).seen
    own = searches().stacks
    searches().load(stores)
    own.begin(buffered=DEEP, mortal=1, deaths=1, announces=0)
    assert [own.follow(choice) for choice in (0, NR_CPUS, 3 * NR_CPUS, NR_CPUS)] == [True, False, True, True]


def test_who_announces_a_death_writes_to_memory_at_once():
    says = [[("store", X, 1), ("load", X), ("exchange", Y, 1), ("fence",), ("up", Z)]] * NR_CPUS
    found = find([[("load", W)], [("wait", Y, 1), ("load", X)]], says, mortal=(0,))
    assert {seen[1] for seen in found.seen} == {(0, 1)}
    assert {words[:3] for words in found.words} == {(1, 1, 1)}


def test_a_robust_mutex_of_the_dead_is_had_when_the_stores_before_are_in_memory():
    takes = [("store", X, 1), ("try robust", ROBUST), ("load", Y)]
    program = [[("robust", ROBUST), ("load", Z)], takes, [("store", Y, 1), ("fence",), ("load", X)]]
    found = find(program, mortal=(0,), reduced=False)
    weak = {seen for seen in found.seen if seen[1][2] == 0 and seen[2][2] == 0}
    assert {seen[1][1] for seen in weak} == {2}  # it was refused
    assert {seen[1][1] for seen in found.seen} == {0, 1, 2}


def test_a_mutex_that_is_made_anew_is_two_stores():
    makes = [("lock", MUTEX), ("init", MUTEX), ("load", Y)]
    own = searches().stacks
    searches().load([makes])
    own.begin(buffered=DEEP)
    assert [own.follow(0) for _ in range(3)] == [True, True, True]
    assert [value for _, value in sight.held_back(own, 0)] == [0, 128]


def test_a_search_goes_all_the_way_back():
    find([[("store", X, 1), ("store", Y, 2), ("load", X)], [("store", X, 3), ("load", Y)]])
    own = searches().stacks
    assert searches().words()[:4] == (0, 0, 0, 0)
    assert [sight.held_back(own, cpu) for cpu in range(NR_CPUS)] == [[]] * NR_CPUS
    assert [sight.value_at(own._record(cpu) + watched.ISSUED) for cpu in range(NR_CPUS)] == [0] * NR_CPUS


def test_what_is_in_a_buffer_is_part_of_a_state_and_in_which_order():
    """CPU 0 has these in its buffer, or those, and has forgotten which."""
    looks = [("store", Z, 1)], [("exchange", W, 1), ("load", Y), ("load", Y), ("load", X)]
    orders = [("store", X, 1), ("store", Y, 1), ("unless seen", 7, 9), ("store", Y, 1), ("store", X, 1)]
    found = find([[("load", Z), ("unless seen", 5, 0), *orders, ("forget",), ("load", W)], *looks])
    assert (0, (0, 1, 0)) in {(seen[0][4], seen[2][1:]) for seen in found.seen}  # both are late, and Y comes first
    values = [("store", X, 1), ("unless seen", 5, 9), ("store", X, 2)]
    found = find([[("load", Z), ("unless seen", 4, 0), *values, ("forget",), ("load", W)], *looks])
    assert {(seen[0][3], seen[2][3]) for seen in found.seen} >= {(0, 0), (0, 1), (0, 2)}


def test_ends_of_the_same_words_are_told_once_however_the_stores_came_there():
    program = [[("store", X, 1), ("store", X, 1)], [("store", Y, 1)]]
    assert find(program, every=0).told == find(program, every=0, buffered=0).told == 1


def test_preemptions_count_as_under_sequential_consistency():
    """Without one, each does all that it does; that it waits for its own stores to be committed does not give its turn away."""
    for program in (sb([]), sb([("fence",)]), sb([("exchange", Z, 1)]), [*sb([]), [("load", X), ("load", Y)]]):
        assert find(program, bound=0, buffered=0).seen <= find(program, bound=0).seen
        assert find(program, bound=9).seen == find(program).seen
    assert find(sb([("fence",)]), bound=0).seen == {((0, 0, 0), (0, 0, 1)), ((0, 0, 1), (0, 0, 0))}
    assert ((0, 0), (0, 0)) in find(sb([]), bound=0).seen  # both stores are late


def test_a_schedule_is_judged_and_shown_with_its_commits():
    with Stacks(programs.scene(STOPS["dekker-in-one-round"]), 1 << 12, model=TSO, monitors=()) as own:
        (violation,) = states.search(own, 1 << 40, 60.0).violations
        followed = lanes.follow(own, violation.schedule)
        assert followed.wrong == [violation.what]
        assert "data race on buckets[2].first" in violation.what
        drawn = "\n".join(lanes.drawn(followed, NR_CPUS))
        assert "store_release buckets[0].first 0 -> 1" in drawn
        assert followed.held_back
        commit = [*violation.schedule, control.COMMITS * NR_CPUS]
        after = lanes.follow(own, commit, judged=False)
        assert (after.lines[-1].kind, after.lines[-1].before, after.lines[-1].after) == ("commit", 0, 1)
        assert after.lines[-1].place == "buckets[0].first"
        assert after.lines[-1].conflicts  # the other has looked at it since


# From the command line.

LOCKS = Path(__file__).parent / "locks"


def explored(folder, *options):
    """The exit code, and the row of the only search."""
    place = folder / "found.json"
    code = main(["explore", "lock", "--json", str(place), *options])
    (row,) = json.loads(place.read_text())["scenarios"]
    return code, row


def without_fences(folder, name):
    """A copy of a lock's file, without its fences; its path."""
    lines = (LOCKS / f"{name}.py").read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.strip() != "fence()"]
    assert len(kept) < len(lines)
    path = folder / f"{name}.py"
    path.write_text("".join(kept).replace("fence, ", ""))
    return str(path)


@pytest.mark.full
@pytest.mark.parametrize("name", ["dekker", "peterson"])
def test_without_its_fence_a_lock_is_right_under_sc_and_wrong_under_tso_and_with_it_right_under_both(name, tmp_path, capsys):
    for model in (SC, TSO):
        code, row = explored(tmp_path, "--lock", str(LOCKS / f"{name}.py"), "--rounds", "2", "--model", model)
        assert (code, row["complete"], row["violations"], row["model"]) == (0, True, [], model)
    bare = without_fences(tmp_path, name)
    code, row = explored(tmp_path, "--lock", bare, "--rounds", "2")
    assert (code, row["complete"], row["model"]) == (0, True, SC)
    code, row = explored(tmp_path, "--lock", bare, "--rounds", "2", "--model", TSO)
    assert (code, "it has taken locks[0]." in row["violations"][0]["what"]) == (1, True)
    capsys.readouterr()
    code, row = explored(tmp_path, "--lock", bare, "--rounds", "2", "--model", TSO, "--monitors", "none")
    (violation,) = row["violations"]
    said = capsys.readouterr().out
    assert (code, violation["preemptions"]) == (1, 1)
    assert violation["what"].startswith("data race on script[0].word")  # the counter in the critical section: both are inside
    assert "x86-TSO, every interleaving" in said
    assert "store_release locks[0]." in said
    assert f"{bare}:" in said  # lines, though plain Python knows nothing of buffers
    assert ("in its store buffer" in said) == (name == "dekker")
    assert ("commit locks[0].turn" in said) == (name == "peterson")
    assert main(violation["replay"].split()[1:]) == 1
    again = capsys.readouterr().out
    assert "x86-TSO" in again
    assert violation["what"] in again
    spelt = strings.parsed(violation["replay"].split()[2])
    with Stacks(scene_of(spelt.asked), 1 << 12, model=spelt.asked.model, monitors=()) as own:
        followed = [lanes.follow(own, violation["schedule"]) for _ in range(100)]
        further = [*violation["schedule"], 1, 1]  # on to words that it would not come to, had it seen the other's stores
        lines = lanes.follow_apart(own, further).places.steps
        assert [line == "" for line in lines] == [choice >= 2 for choice in further]
    assert [one.wrong for one in followed] == [[violation["what"]]] * 100


def test_what_was_asked_for_under_one_model_is_not_told_as_searched_under_another():
    asked = asked_of("calls", find_plugin(SCHEME, "hashed"), find_plugin(LOCK, "sem"), 2, 1, None, None, model=TSO)
    with pytest.raises(UsageError, match="`model` is 'sc', and the scenario was asked for under 'tso'"):
        one_search.search(asked, How())
    with pytest.raises(UsageError, match="the engine traces searches under sc alone"):
        How(engine="traces", model=TSO).require_right()


def test_a_string_says_the_model_where_it_is_not_sc():
    of = (find_plugin(SCHEME, "hashed"), find_plugin(LOCK, "sem"), 2, 1, None, None)
    late, strong = (asked_of("calls", *of, model=model) for model in (TSO, SC))
    schedule = [0, 0, 6, 6, 7, 1, 5]
    string = strings.spelt(late, [], schedule, 2)
    assert string.split(":")[3:-1] == ["2x1", "d0", "m-", "s-", "tso", "a2+a2+bb~b"]
    assert (strings.parsed(string).asked, strings.parsed(string).schedule(2)) == (late, schedule)
    assert strings.parsed("calls:hashed:sem:2x1:d0:m-:s-:a2b:7c26417c").asked == strong
    with pytest.raises(UsageError, match="no schedule"):
        strings.parsed(string.replace("tso", "ra"))
    with pytest.raises(UsageError, match="there is sc, tso, ra"):
        asked_of("calls", *of, model="arm")
