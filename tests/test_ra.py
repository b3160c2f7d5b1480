"""The compiled search under release-acquire memory: the same ends as a machine of a few lines has, and as the tables say."""

import json
import math
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmkret.cli.main import main
from shmkret.errors import UsageError
from shmkret.explore.engines import states
from shmkret.explore.rehearsal import trial_scenes
from shmkret.explore.scenarios import asked_of, scene_of
from shmkret.explore.scene import RA, SC, Scene
from shmkret.explore.shown import followed, lanes, strings
from shmkret.explore.stacks import control, sight, watching
from shmkret.explore.stacks.executor import Stacks
from shmkret.locks import LOCK
from shmkret.machines.compiled import watched
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins.registry import find as find_plugin
from shmkret.schemes import SCHEME
from shmkret.text.atomics import EQ, load_relaxed, store_relaxed, wait_until
from shmkret.text.marks import inline

from .programs import MUTEX, NR_CPUS, ROBUST, Programs, W, X, Y, Z
from .reference_ra import ends_of
from .test_litmus import outcome_of
from .test_tso import CODE, DIFFERS, IRIW, LOCKED, STOPS, STRONG, WEAK, explored, sb, without_fences, written_down
from .worlds import build_of
from .wrong_locks import ttas


@cache
def searches(*, reduced=False):
    return Programs(reduced=reduced, model=RA)


def find(program, *args, reduced=False, **values):
    return (searches(reduced=True) if reduced else searches()).find(program, *args, **values)


SENDS, RECEIVES = [("store", X, 1), ("store", Y, 1)], [("load", Y), ("load", X)]
SENDS_RELAXED, RECEIVES_RELAXED = (
    [("store relaxed", X, 1), ("store relaxed", Y, 1)], [("load relaxed", Y), ("load relaxed", X)],
)  # fmt: skip
FENCED = [*SENDS_RELAXED[:1], ("fence",), *SENDS_RELAXED[1:]]
LATER = [*RECEIVES_RELAXED[:1], ("fence",), *RECEIVES_RELAXED[1:]]
MIXED = [("store relaxed", X, 1), ("store", Y, 1)]
ORDERS = {
    "mp-released-and-relaxed": [MIXED, RECEIVES_RELAXED],
    "mp-relaxed-and-acquired": [SENDS_RELAXED, RECEIVES],
    "mp-fenced": [FENCED, LATER],
    "mp-fenced-and-acquired": [FENCED, RECEIVES],
    "mp-released-and-fenced": [MIXED, LATER],
    "mp-fenced-late": [[*SENDS_RELAXED, ("fence",)], LATER],
    "mp-by-await": [MIXED, [("wait", Y, 1), ("load relaxed", X)]],
    "mp-plain-by-await": [[("write", X, 1), ("store", Y, 1)], [("wait", Y, 1), ("read", X)]],
    "mp-plain-relaxed": [[("write", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("read", X)]],
    "mp-plain-fenced": [[("write", X, 1), ("fence",), ("store relaxed", Y, 1)], [("wait", Y, 1), ("read", X)]],
    "mp-plain-read-first": [[("read", X), ("store", Y, 1)], [("wait", Y, 1), ("write", X, 1)]],
    "mp-plain-read-first-relaxed": [[("read", X), ("store relaxed", Y, 1)], [("wait", Y, 1), ("write", X, 1)]],
    "mp-plain-beside-atomic": [[("store", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("read", X)]],
    "mp-semaphore": [[("store relaxed", X, 1), ("up", Y)], [("down", Y), ("load relaxed", X)]],
    "mp-semaphore-that-fails": [[("store relaxed", X, 1), ("up", Y)], [("try down", Y), ("load relaxed", X)]],
    "mp-mutex": [[("lock", MUTEX), *SENDS_RELAXED, ("unlock", MUTEX)], [("lock", MUTEX), *RECEIVES_RELAXED]],
    "mp-reset": [[("store relaxed", X, 1), ("reset", Y, 1)], [("down", Y), ("load relaxed", X)]],
    "mp-told": [[("store relaxed", Y, 1), ("store", X, 1)], [("wait unless", Z, 1), ("load relaxed", Y)]],
    "mp-exchanges": [
        [("store relaxed", X, 1), ("exchange", Y, 1)], [("cmpxchg", Y, 7, 8), ("load relaxed", X)],
    ],
    "a-release-sequence-by-another": [
        [("store relaxed", X, 1), ("store", Y, 2)], [("down", Y)], [("load", Y), ("load relaxed", X)],
    ],
    "a-semaphore-made-anew-ends-a-release-sequence": [
        [("store relaxed", X, 1), ("store", Y, 2)], [("reset", Y, 1)], [("load", Y), ("load relaxed", X)],
    ],
    "a-release-sequence-of-its-own-is-none": [[*MIXED, ("store relaxed", Y, 2)], RECEIVES],
    "a-semaphore-taken-gives-nothing": [[("down", Y), ("store relaxed", X, 1), ("down", Y)], RECEIVES],
    "coherence": [[("store relaxed", X, 1), ("store relaxed", X, 2)], [("load relaxed", X)] * 3],
    "coherence-of-its-own": [[("store relaxed", X, 1), ("load relaxed", X)], [("store relaxed", X, 2), ("load relaxed", X)]],
    "coherence-across": [[("store relaxed", X, 1), ("load relaxed", X)], [("load relaxed", X), ("store relaxed", X, 2)]],
    "fences-in-one-order": [
        [("store relaxed", X, 1), ("fence",), ("load relaxed", Y)],
        [("store relaxed", Y, 1), ("fence",), ("load relaxed", Z)],
        [("store relaxed", Z, 1), ("fence",), ("load relaxed", X)],
    ],
    "iriw-fenced": [
        [("store", X, 1)], [("store", Y, 1)],
        *([("load relaxed", a), ("fence",), ("load relaxed", b)] for a, b in ((X, Y), (Y, X))),
    ],
    "sb-futex": sb([("wake", Z, 1)]),
    "sb-exchange-elsewhere": [sb([("exchange", Z, 1)])[0], sb([("exchange", W, 1)])[1]],
    "an-old-message-ends-a-wait": [[("store", X, 1), ("store", X, 2), ("store", Y, 1)], [("wait", X, 1), ("load", Y)]],
    "an-old-message-is-no-way-out": [[("store", X, 1), ("store", X, 2)], [("wait", X, 1)]],
    "told-in-the-past": [[("store", X, 1), ("store", X, 0), ("store", Y, 1)], [("wait unless", Y, 1), ("load", Z)]],
    "told-and-never-back": [[("store", X, 1), ("store", X, 2)], [("wait unless", Y, 1), ("load", X)]],
    "told-and-none-the-wiser": [
        [("store relaxed", Y, 1), ("store relaxed", X, 1)], [("wait unless", Y, 7), ("load relaxed", Y)],
    ],
    "told-and-come": [[("exchange", X, 1), ("store", Y, 1)], [("wait unless", Y, 1)], [("down unless", Y)]],
    "a-sleep-on-an-old-value": [[("store", X, 1), ("wake", X, 1)], [("sleep", X, 0), ("load", X)]],
    "a-sleep-after-a-wake": [[("store", X, 1), ("wake", X, 1), ("store", Y, 1)], [("load relaxed", Y), ("sleep", X, 0)]],
    "a-sleep-after-what-is-given": [SENDS, [("load relaxed", Y), ("unless seen", 3, 1), ("sleep", X, 0)]],
    "a-sleep-on-what-is-older-than-what-it-saw": [SENDS_RELAXED, [("load relaxed", Y), ("unless seen", 3, 1), ("sleep", X, 0)]],
    "a-try-that-fails-on-an-old-value": [[("up", X), ("store", Y, 1)], [("load relaxed", Y), ("try down", X)]],
    "a-try-lock-that-fails-on-an-old-value": [
        [("lock", MUTEX), ("unlock", MUTEX), ("store relaxed", Y, 1)], [("load relaxed", Y), ("try lock", MUTEX)],
    ],
    "a-comparison-of-an-old-value": [[("store", X, 1), ("store", Y, 1)], [("load relaxed", Y), ("cmpxchg", X, 1, 2)]],
}  # fmt: skip
GIVES = [("store", X, 1), ("store", Y, 1), ("store relaxed", Y, 2)]
FORGETS = {
    "what-is-given": [[("load relaxed", Y), ("load relaxed", Y), ("forget",), ("fence",), ("load relaxed", X)], GIVES],
    "what-may-be-read": [[("load", Y), ("forget",), ("load", X)], SENDS, [("store", Z, 1)]],
    "what-a-message-says": [[("store", X, 1), ("store", X, 3)], [("store", X, 2), ("store", X, 3)], [("load", X), ("load", X)]],
}  # fmt: skip
ALL = {**STRONG, "iriw": IRIW, **WEAK, **STOPS, **ORDERS, **FORGETS}


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


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("program", ALL.values(), ids=ALL)
def test_a_program_has_the_ends_of_the_reference(program, reduced):
    assert_same_as_reference(program, reduced=reduced)


KINDS = (
    "load", "store", "load relaxed", "store relaxed", "exchange", "cmpxchg", "wait", "wait not", "wait unless", "down", "up",
    "try down", "down unless", "reset", "fence", "read", "write", "tell", "sleep", "wake",
)  # fmt: skip


def sleeps_where_semaphores_do(program):
    """sem_post() wakes who sleeps on that word, which the machine of a few lines does not know."""
    return {"sleep", "up"} <= {name for one in program for name, *_ in one}


OWN_CODE = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=4)
PROGRAM = st.lists(st.one_of(CODE, OWN_CODE, st.just(LOCKED)), min_size=2, max_size=3).filter(
    lambda p: sum(map(len, p)) <= 9 and not sleeps_where_semaphores_do(p)
)


@settings(max_examples=60)
@given(PROGRAM, st.booleans())
@example([[("load relaxed", Y), ("wait not", Y, 2)], [("store relaxed", X, 1)], [("wait not unless", X, 0)]], True)
@example([[("load relaxed", Z), ("load", Y)], [("exchange", Z, 1)], [("add", Z, 0), ("wait not", Z, 1)]], True)
def test_any_program_has_the_ends_of_the_reference(program, reduced):
    assert_same_as_reference(program, reduced=reduced)


def answers(program, *which):
    """What the operations of which (CPU, number) says have seen, at each end."""
    return {tuple(seen[cpu][n] for cpu, n in which) for seen in find(program).seen}


BOTH = {(0, 0), (0, 1), (1, 0), (1, 1)}
OF_MP, OF_SB = ((1, 0), (1, 1)), ((0, 1), (1, 1))


def test_what_arm_does_is_reached_and_what_it_never_does_is_not():
    assert answers([SENDS_RELAXED, RECEIVES_RELAXED], *OF_MP) == BOTH
    assert answers([SENDS_RELAXED, RECEIVES], *OF_MP) == answers([MIXED, RECEIVES_RELAXED], *OF_MP) == BOTH
    assert answers([SENDS, RECEIVES], *OF_MP) == answers([FENCED, LATER], (1, 0), (1, 2)) == BOTH - {(1, 0)}
    assert answers(sb([]), *OF_SB) == answers(ORDERS["sb-exchange-elsewhere"], (0, 2), (1, 2)) == BOTH
    assert answers(sb([("fence",)]), (0, 2), (1, 2)) == BOTH - {(0, 0)}
    assert all(list(one) == sorted(one) for one in answers(ORDERS["coherence"], (1, 0), (1, 1), (1, 2)))


def test_what_is_left_out_is_not_reached_and_what_is_more_than_arm_does_is():
    """As docs/explore.md says."""
    assert (1, 1) not in answers(STRONG["lb"], (0, 0), (1, 0))
    assert (1, 1) not in {words[:2] for words in find(STRONG["2+2w"]).words}
    assert (1, 0, 1, 0) in answers(IRIW, (2, 0), (2, 1), (3, 0), (3, 1))
    assert (1, 0, 1, 0) not in answers(ORDERS["iriw-fenced"], (2, 0), (2, 2), (3, 0), (3, 2))


def test_the_tables_of_the_litmus_programs_are_met():
    met = set()
    for name, one in written_down():
        if one.litmus.ra and not one.litmus.mortal and name not in DIFFERS:
            found = find(one.program, one.announcements, one.litmus.first, reasonless=one.litmus.wakes)
            seen = {outcome_of(wrong) for wrong in found.wrong} or {one.outcome(*end) for end in found.ends}
            assert one.litmus.ra.must <= seen <= one.litmus.ra.must | one.litmus.ra.may, name
            met.add(name)
    assert len(met) == NR_TABLES
    apart = {name for name, one in written_down() if name in met and one.litmus.tso != one.litmus.ra}
    assert {"many_words-IRIW", "message_passing-RELAXED"} < apart


NR_TABLES = 77

# The rules one by one.


def loaded(program, **values):
    """A search of a program that has begun."""
    own = searches().stacks
    searches().load(program)
    own.begin(**values)
    return own


def old(back, cpu):
    return (control.KINDS - 1 + back) * NR_CPUS + cpu


def told(back, cpu):
    return (control.KINDS - 1 + control.MOST_MESSAGES + back) * NR_CPUS + cpu


def test_which_message_is_read_is_a_choice_and_goes_back():
    program = [[("store", X, 1), ("store", X, 2)], [("load", X), ("load", X)]]
    own = loaded(program)
    assert [own.follow(choice) for choice in (old(1, 1), 0, 0, old(3, 1), old(2, 1))] == [False, True, True, False, True]
    assert searches().seen(1, 1) == (0,)
    assert searches().words()[0] == 2
    assert [own.follow(choice) for choice in (old(2, 1), old(1, 1))] == [True, False]
    assert searches().seen(1, 2) == (0, 0)
    loaded(program)
    assert [own.follow(choice) for choice in (0, 0, old(1, 1), old(2, 1), old(1, 1))] == [True, True, True, False, True]
    assert searches().seen(1, 2) == (1, 1)
    assert find(program).ends == find(program).ends


def test_a_wait_is_given_up_by_an_old_message_and_not_where_it_has_come_for_whoever_looks():
    program = [[("store", X, 1), ("store", X, 0)], [("wait unless", Y, 1)], [("store", Y, 1)]]
    own = loaded(program)
    tried = (0, told(0, 1), told(1, 1), 0, told(0, 1), 1, told(1, 1))
    assert [own.follow(choice) for choice in tried] == [True, False, False, True, False, False, True]
    assert searches().seen(1, 1) == (0,)
    own = loaded([[("exchange", X, 1), ("store", Y, 1)], [("load", Y), ("wait unless", Y, 1)]])
    assert [own.follow(choice) for choice in (0, 0, 1, told(0, 1), told(1, 1), 1)] == [True, True, True, False, False, True]
    stop = [("store", X, 1), ("store", X, 0), ("store relaxed", Y, 1)]
    own = loaded([stop, [("load relaxed", Y), ("wait unless", Y, 1)]])
    assert [own.follow(choice) for choice in (0, 0, 0, 1, told(1, 1))] == [True] * 4 + [False]  # it can look in vain no more
    own = loaded([stop, [("load", X), ("wait unless", Y, 1)]])
    assert [own.follow(choice) for choice in (0, 0, 1, told(1, 1))] == [True] * 3 + [False]  # it has read what came later
    own = loaded([[("exchange", X, 1), ("store", Y, 1)], [("wait unless", Y, 1)]])
    assert [own.follow(choice) for choice in (0, 0, told(0, 1))] == [True, True, True]  # it has looked before Y came


def test_what_all_have_passed_is_forgotten():
    """However often a word was stored before, the state is one, when nobody may read what was there."""
    counted = []
    for times in (1, 3):
        stores = [("store", Y, n) for n in range(times)]
        stores += [("store", Y, 9), ("forget",), ("exchange", W, 1)]
        find([[("load", Z), ("unless seen", len(stores) + 1, 0), *stores], [("store", Z, 1)]])
        counted.append(searches().stacks.get(control.STATES))
    assert counted[1] - counted[0] <= 2 * 2 * 2  # two more stores, for whom the other has ended, or has not
    turns = [[("wait", X, n), ("store", X, 1 - n), ("again", 0, 3 * control.MOST_MESSAGES)] for n in range(2)]
    assert not find(turns).wrong
    assert not searches().stacks.get(watched.OVERFLOWED)  # who has waited for a message reads none before it


QUIET = [("load", Z), ("load", Z)]
TELLS_APART = {
    "what may be read": ([QUIET, [("load", X), ("load", Z)], [("store", X, 0)]], [2, 1], [2, old(1, 1)]),
    "what is given": (
        [QUIET, [("load relaxed", Y)] * 2 + [("load", Z)], [("store", X, 0), ("store", Y, 0), ("store relaxed", Y, 0)]],
        [2, 2, 2, old(1, 1), 1], [2, 2, 2, old(2, 1), 1],
    ),
    "what was known at a fence": (
        [QUIET, [("fence",), ("load", Y), ("load", Z)], [("store", X, 0), ("fence",), ("store", Y, 0)]],
        [2, 2, 2, 1, 1], [1, 2, 2, 2, 1],
    ),
    "what fences know": (
        [QUIET, [("load", X), ("fence",), ("load", X)], [("store", X, 0)]], [2, 1, 1, 1], [2, old(1, 1), 1, 1],
    ),
    "what a message carries": (
        [QUIET, [("load", Y), ("store", X, 0)], [("store", Y, 0)]], [2, 1, 1], [2, old(1, 1), 1],
    ),
    "what a message says": ([QUIET, *([("store relaxed", X, n)] for n in (1, 2, 3))], [1, 2, 3], [2, 1, 3]),
    "which plain accesses are known": (
        [
            [*QUIET, ("read", ROBUST)], [("load", Y)] * 2 + [("load", Z)],
            [("write", ROBUST, 0), ("store", Y, 0), ("store relaxed", Y, 0)],
        ],
        [2, 2, 2, old(1, 1), 1], [2, 2, 2, old(2, 1), 1],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("program", "one", "other"), TELLS_APART.values(), ids=TELLS_APART)
def test_two_ways_on_which_all_has_read_the_same_lead_to_two_states(program, one, other):
    find(program)  # which words are used plainly, and that there are fences, is known then
    searches().stacks.put(control.FENCES, 1)
    numbers = numbers_of(program, one, one, other)
    assert numbers[0] == numbers[1] != numbers[2]


def numbers_of(program, *ways):
    """Of the states to which ways lead, each behind the same: what a stack has kept, and needs no more, is in a number."""
    numbers = []
    for way in ways:
        for one in (ways[0], way):
            own = loaded(program)
            assert all(map(own.follow, [*one, 0]))
        numbers.append(own.states()[len(way)])
    return numbers


def test_two_ways_that_differ_in_what_nobody_may_read_lead_to_one_state():
    """Y has had one value more, or W; CPU 0 knows the newest, and the other has ended."""
    stores = [("store", Y, 1), ("unless seen", 5, 9), ("store", W, 0), ("store", Y, 2)]
    program = [[("load", Z), ("unless seen", 4, 0), *stores, ("load", Z), ("forget",), ("load", X)], [("store", Z, 1)]]
    find(program)
    one, other = numbers_of(program, [1, 0, 0, 0, 0], [1, old(1, 0), 0, 0, 0])
    assert one == other


def test_a_search_with_more_messages_than_are_kept_is_bounded_by_that():
    own = searches().stacks
    most = control.MOST_MESSAGES
    for stored, bound in ((most - 1, ""), (most, f"a word had more than {most} messages to read")):
        own_stores = [("store", X, 1)] * (stored % 2) + [("store", X, 2), ("store", X, 3)]
        searches().load([[*own_stores, ("again", stored % 2, stored)], [("load", X)]])
        outcome = states.search(own, 1 << 40, math.inf)
        assert (outcome.complete, outcome.gave_up, outcome.violations) == (not bound, bound, [])


@inline
def looks_until_alike(k, cpu):
    """CPU 0 looks until X and Y are alike; it comes when CPU 1 has ended, and knows nothing of what that has stored."""
    words = k.buckets.first
    if cpu == 0:
        wait_until(words, Z, EQ, 1)
        while load_relaxed(words, X) != load_relaxed(words, Y):
            pass
    else:
        store_relaxed(words, X, 1)
        store_relaxed(words, Y, load_relaxed(words, W))
        store_relaxed(words, Z, 1)


@pytest.mark.full
@pytest.mark.parametrize("last", [0, 1])
def test_a_way_round_on_which_an_old_message_is_read_is_no_livelock(last):
    def prepare(arena):
        arena.records("buckets")["first"][W] = last

    world = World(build_of(nr_cpus=2), Sizes(maxactive=2), [0])
    scene = Scene("alike", world, looks_until_alike, 2, prepare=prepare, check=lambda *_: [])
    with Stacks(scene, 1 << 16, model=RA, monitors=watching.under(RA, ())) as own:
        outcome = states.search(own, 1 << 40, math.inf)
    assert ["livelock" in one.what for one in outcome.violations] == ([] if last else [True])
    assert outcome.complete == bool(last)


def test_that_there_are_fences_is_learned():
    """Until one is met, nobody keeps what relaxed loads give; then the search begins again."""
    searches().stacks.put(control.FENCES, 0)
    assert answers([SENDS, LATER], (1, 0), (1, 2)) == BOTH - {(1, 0)}
    assert searches().stacks.get(control.FENCES) == 1


def test_what_is_plain_is_right_only_where_order_says_so():
    for name, races in (
        ("mp-plain-by-await", False), ("mp-plain-relaxed", True), ("mp-plain-fenced", False), ("mp-plain-read-first", False),
        ("mp-plain-read-first-relaxed", True), ("mp-plain-beside-atomic", True),
    ):  # fmt: skip
        assert any("nothing orders the two" in one for one in find(ORDERS[name]).wrong) == races, name


def test_preemptions_count_whatever_is_read():
    assert (0, 0) in {(seen[0][1], seen[1][1]) for seen in find(sb([]), bound=0).seen}
    assert find(sb([]), bound=9).seen == find(sb([])).seen
    program = [[("exchange", X, 1), ("exchange", X, 2)], [("exchange", X, 3)]]
    assert find(program, bound=0).seen < find(program, bound=1).seen == find(program).seen


def test_a_string_says_which_message_was_read():
    of = (find_plugin(SCHEME, "hashed"), find_plugin(LOCK, "ttas"), 2, 1, None, None)
    asked = asked_of("lock", *of, model=RA)
    schedule = [0, 0, 2 * 4, 2 * 5 + 1, 2 * 5 + 1, 2 * 19, 2 * 22 + 1, 1]
    string = strings.spelt(asked, [], schedule, 2)
    assert string.split(":")[7:-1] == ["ra", "a2-a--b2=a=---bb"]
    assert (strings.parsed(string).asked, strings.parsed(string).schedule(2)) == (asked, schedule)
    assert all(strings.parsed(strings.spelt(asked, [], [n], 2)).schedule(2) == [n] for n in range(2 * (4 + 2 * 16 - 1)))


def test_clocks_watch_whatever_is_asked_for_and_a_replay_says_only_what_it_must():
    assert watching.under(RA, ()) == ("clocks",)
    assert watching.under(RA, watching.USUAL) == ("always", "holders", "clocks")


def test_where_a_word_stands_is_known_by_its_name():
    for place in (("table_locks.locked", 3), ("scheme.ring.head", 0), ("word", 7)):
        assert followed.place_of(followed.word_of(place)) == place


def test_nobody_dies():
    of = (find_plugin(SCHEME, "hashed"), find_plugin(LOCK, "sem"), 2, 1)
    with pytest.raises(UsageError, match="under ra nobody dies"):
        asked_of("death", *of, None, None, model=RA)
    assert asked_of("death", *of, 0, None, model=RA).model == RA


# From the command line.

LOCKS = Path(__file__).parent / "locks"


def searched(lock, trial="acquire", cpus=2, rounds=2):
    """Whether a search is complete, and what it has found."""
    with Stacks(trial_scenes.scene_of(find_plugin(LOCK, lock), trial, cpus, rounds), 1 << 24, reduced=True, model=RA) as own:
        outcome = states.search(own, 1 << 40, math.inf)
        return outcome.complete, [one.what for one in outcome.violations]


@pytest.mark.full
@pytest.mark.parametrize(
    ("lock", "trial", "numbers"),
    [("owner", "acquire", (2, 2)), ("mcs", "acquire", (3, 1)), (str(LOCKS / "seqlock.py"), "sequence", (2, 2))],
)
def test_a_lock_is_right(lock, trial, numbers):
    """docs/explore.md has the command for all of them."""
    assert searched(lock, trial, *numbers) == (True, [])


RELAXED = "store_relaxed(lock.locked, i, 0)"


@pytest.mark.full
def test_a_lock_that_lacks_a_release_is_right_under_sc_and_tso_and_wrong_here_and_with_a_fence_right(tmp_path, capsys):
    path = tmp_path / "weak.py"
    path.write_text(ttas(release=RELAXED))
    for model in (SC, "tso"):
        code, row = explored(tmp_path, "--lock", str(path), "--rounds", "2", "--model", model)
        assert (code, row["complete"], row["violations"]) == (0, True, [])
    capsys.readouterr()
    code, row = explored(tmp_path, "--lock", str(path), "--rounds", "2", "--model", RA)
    (violation,) = row["violations"]
    assert (code, row["model"], row["monitors"]) == (1, RA, ["always", "holders", "clocks"])
    assert violation["what"].startswith("data race on script[0].word: load of cpu 1 comes after store of cpu 0")
    told_so = capsys.readouterr().out
    assert "release-acquire, every interleaving" in told_so
    assert any("store_relaxed locks[0].locked" in line and f"{path}:" in line for line in told_so.splitlines())
    assert strings.WITH_MONITORS not in violation["replay"]
    assert main(violation["replay"].split()[1:]) == 1
    assert violation["what"] in capsys.readouterr().out
    path.write_text(ttas(release=f"fence()\n{RELAXED}"))
    code, row = explored(tmp_path, "--lock", str(path), "--rounds", "2", "--model", RA)
    assert (code, row["complete"], row["violations"]) == (0, True, [])


@pytest.mark.full
@pytest.mark.parametrize("name", ["dekker", "peterson"])
def test_without_its_fence_a_lock_is_wrong_and_with_it_right(name, tmp_path, capsys):
    assert searched(str(LOCKS / f"{name}.py")) == (True, [])
    code, row = explored(tmp_path, "--lock", without_fences(tmp_path, name), "--rounds", "2", "--model", RA)
    (violation,) = row["violations"]
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if "is newer)" in line]
    assert (code, violation["preemptions"]) == (1, 0)
    assert ("wait_unless == locks[0].turn told by locks[0].idle_0 1" in line) == (name == "peterson")
    assert ("load_acquire locks[0].wants_0 0" in line) == (name == "dekker")
    assert f"{name}.py:" in line
    spelt = strings.parsed(violation["replay"].split()[2])
    with Stacks(scene_of(spelt.asked), 1 << 12, model=spelt.asked.model, monitors=watching.under(RA, watching.USUAL)) as own:
        assert [lanes.follow(own, violation["schedule"]).wrong for _ in range(100)] == [[violation["what"]]] * 100
        assert sight.old_message(own, 0) == (0, 0, None)


@pytest.mark.full
def test_a_search_of_more_words_than_have_messages_is_bounded_by_that(tmp_path):
    names = [f"w{n}" for n in range(70)]
    fields = "".join(f"    {name}: Words\n" for name in names)
    stores = "".join(f"store_release(lock.{name}, i, 1)\n" for name in names)
    text = ttas(acquire=f"{stores}while exchange(lock.locked, i, 1) != 0:\n    wait_until(lock.locked, i, EQ, 0)")
    (path := tmp_path / "many.py").write_text(text.replace("    count: Words\n", f"    count: Words\n{fields}"))
    code, row = explored(tmp_path, "--lock", str(path), "--model", RA)
    assert (code, row["complete"], row["bound"]) == (0, False, "clocks follow no more words")


@pytest.mark.full
def test_the_probe_path_is_right(tmp_path):
    assert main(["explore", "calls", "--model", RA, "--json", str(tmp_path / "found")]) == 0
    (row,) = json.loads((tmp_path / "found").read_text())["scenarios"]
    assert (row["complete"], row["violations"]) == (True, [])
