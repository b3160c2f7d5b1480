"""The compiled search: each of its rules by a small program whose outcomes are known, and all of it against greenlets."""

import itertools
import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache

import llvmlite.binding as llvm
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmkret.errors import PluginError, UsageError
from shmkret.explore.engines import states
from shmkret.explore.scene import Scene
from shmkret.explore.snapshot import NOT_SHARED
from shmkret.explore.stacks import control
from shmkret.explore.stacks.executor import LONGEST_RUN, Stacks, words_at
from shmkret.kernel.program import step
from shmkret.kernel.sched import schedule
from shmkret.kernel.task import call_and_return
from shmkret.machines import compiled
from shmkret.machines.compiled import stacks as switching
from shmkret.machines.compiled import steps, watched
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.moves.intents import begin_wait
from shmkret.recovery import recoverer
from shmkret.recovery.taking import LIVE
from shmkret.text import atomics
from shmkret.text.atomics import NE, NIL, exchange, fetch_add, wait_until
from shmkret.text.libc import OWNER_DIED, REFUSED, fork_process
from shmkret.text.marks import inline

from . import programs
from .programs import MUTEX, NR_CPUS, NR_WORDS, ROBUST, Programs, W, X, Y, Z
from .twin import Greenlets, columns_of, states_of
from .worlds import build_of

HALF, MOST = 1 << 32, (1 << 63) - 1


@cache
def searches(*, reduced=False):
    """One search for all programs of this file: its loop is compiled once."""
    return Programs(reduced=reduced)


def find(program, *args, **values):
    return searches().find(program, *args, **values)


def named(number):
    """The address of the word of a named semaphore, of value 1."""
    own = searches().stacks
    while len(own._first_named) <= number:
        own._named(1)
    return own._control + watched.NAMED + 8 * number


# What each rule lets be seen.

OUTCOMES = {
    "a message is passed": ([[("store", X, 1), ("store", Y, 1)], [("load", Y), ("load", X)]], (1,), {(0, 0), (0, 1), (1, 1)}),
    "stores are not kept back": (
        [[("store", X, 1), ("load", Y)], [("store", Y, 1), ("load", X)]], (0, 1), {(0, 0, 0, 1), (0, 1, 0, 0), (0, 1, 0, 1)},
    ),
    "all see one order of two words": (
        [[("store", X, 1)], [("store", Y, 1)], [("load", X), ("load", Y)], [("load", Y), ("load", X)]], (2, 3),
        set(itertools.product((0, 1), repeat=4)) - {(1, 0, 1, 0)},
    ),
    "a word goes on only": (
        [[("store relaxed", X, 1), ("store relaxed", X, 2)], [("load relaxed", X), ("load relaxed", X)]], (1,),
        {(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)},
    ),
    "three exchanges": (
        [[("exchange", X, n)] for n in (1, 2, 3)], (0, 1, 2),
        {(0, 1, 2), (0, 3, 1), (2, 0, 1), (3, 0, 2), (2, 3, 0), (3, 1, 0)},
    ),
    "one of two takes it": (
        [[("cmpxchg", X, 0, 1)], [("cmpxchg", X, 0, 2)], [("wait not", X, 0), ("load", X)]], (0, 1, 2),
        {(0, 1, 0, 1), (2, 0, 0, 2)},
    ),
    "an addition wraps": ([[("add", X, MOST), ("add", X, 1), ("load", X)]], (0,), {(0, MOST, -MOST - 1)}),
    "a wait waits": ([[("wait", X, 1), ("load", Y)], [("store", Y, 5), ("store", X, 1)]], (0,), {(0, 5)}),
    "a wait goes on": ([[("wait not", X, 0), ("load", X)], [("store", X, 1), ("store", X, 2)]], (0,), {(0, 1), (0, 2)}),
    "a wait is told to stop": ([[("wait unless", Y, 1)], [("store", X, 1)], [("store", Y, 1)]], (0,), {(0,), (1,)}),
    "a wait is told to stop, or not": ([[("wait not unless", Y, 0)], [("store", X, 1)], [("store", Y, 1)]], (0,), {(0,), (1,)}),
    "a semaphore": ([[("down", X), ("load", Y)], [("store", Y, 1), ("up", X)]], (0,), {(0, 1)}),
    "a semaphore is tried": ([[("try down", X)], [("up", X)]], (0,), {(0,), (1,)}),
    "a semaphore, or a stop": ([[("down unless", Y)], [("store", X, 1)], [("up", Y)]], (0,), {(0,), (1,)}),
    "a semaphore is made anew": ([[("down", X), ("load", Y)], [("store", Y, 2), ("reset", X, 1)]], (0,), {(0, 2)}),
    "a mutex": (
        [[("lock", MUTEX), ("load", X), ("store", X, 1), ("unlock", MUTEX)]] * 2, (0, 1),
        {(1, 0, 0, 0, 1, 1, 1, 1), (1, 1, 1, 1, 1, 0, 0, 0)},
    ),
    "a mutex is tried": (
        [[("try lock", MUTEX), ("store", X, 1)], [("try lock", MUTEX), ("store", Y, 1)]], (0, 1), {(1, 1, 0, 0), (0, 0, 1, 1)},
    ),
    "a mutex, or a stop": (
        [
            [("lock unless", MUTEX), ("unless seen", 3, 1), ("unlock", MUTEX)],
            [("lock", MUTEX), ("store", X, 1), ("wait", Y, 1), ("unlock", MUTEX)],
            [("wait", X, 1), ("store", Y, 1)],
        ],
        (0,), {(0, 0, 0), (1, 1, 0)},
    ),
    "a mutex made anew": ([[("lock", MUTEX), ("init", MUTEX), ("try lock", MUTEX), ("unlock", MUTEX)]], (0,), {(1, 1, 1, 1)}),
    "a fence is no step": ([[("fence",), ("load", X)], [("fence",), ("store", X, 1)]], (0,), {(0, 0), (0, 1)}),
    "a clock is the CPU's own": (
        [[("load", X), ("clock",), ("clock",)], [("store", X, 1), ("clock",)]], (0, 1),
        {(n, 1000, 2000, 0, 1000) for n in (0, 1)},
    ),
    "a sleeper is woken": (
        [[("sleep", X, 0), ("load", Y)], [("store", Y, 1), ("store", X, 1), ("wake", X, 1)]], (0,), {(0, 1)},
    ),
    "asked for none, one is woken": (
        [[("sleep", X, 0), ("load", Y)], [("store", Y, 1), ("store", X, 1), ("wake", X, 0)]], (0,), {(0, 1)},
    ),
    "32 bits are compared": ([[("add", X, HALF), ("sleep", X, 1), ("load", X)]], (0,), {(0, 0, HALF)}),
}  # fmt: skip


@pytest.mark.parametrize(("program", "who", "outcomes"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_program_has_these_outcomes_and_no_others(program, who, outcomes):
    """An outcome is what these CPUs have seen, one after the other."""
    found = find(program)
    assert found.wrong == []
    assert {tuple(value for cpu in who for value in seen[cpu]) for seen in found.seen} == outcomes


ON_X, ON_Y, ON_MUTEX = (f"buckets[{word}].first" for word in (X, Y, MUTEX))

WRONG = {
    "a plain read beside an atomic write": (
        [[("read", X)], [("store", X, 1)]],
        f"data race on {ON_X}: cpu 0 is at load, cpu 1 at store_release",
    ),
    "a plain write beside an atomic read": (
        [[("write", X, 1)], [("load", X)]],
        f"data race on {ON_X}: cpu 0 is at store, cpu 1 at load_acquire",
    ),
    "two plain writes": (
        [[("load", Y)], [("write", X, 1)], [("write", X, 1)]],
        f"data race on {ON_X}: cpu 1 is at store, cpu 2 at store",
    ),
    "beside what would not write": (
        [[("read", X)], [("cmpxchg", X, 5, 1)]],
        f"data race on {ON_X}: cpu 0 is at load, cpu 1 at cmpxchg",
    ),
    "a stop word": (
        [[("write", X, 1)], [("wait unless", Y, 1)]],
        f"data race on {ON_X}: cpu 0 is at store, cpu 1 at wait_unless ==",
    ),
    "a stop word, the other way": (
        [[("down unless", Y)], [("write", X, 1)]],
        f"data race on {ON_X}: cpu 0 is at sem_wait_unless, cpu 1 at store",
    ),
    "the pair that races": (
        [[("load", X)], [("load", X)], [("write", X, 1)]],
        f"data race on {ON_X}: cpu 0 is at load_acquire, cpu 2 at store",
    ),
    "a mutex is made as it is taken": (
        [[("init", MUTEX)], [("try lock", MUTEX)]],
        f"data race on {ON_MUTEX}: cpu 0 is at mutex_init, cpu 1 at mutex_trylock",
    ),
    "nobody comes": ([[("wait", X, 1)], [("load", X)]], f"deadlock: cpu 0 waits in wait_until == of {ON_X}"),
    "nobody comes to who may be stopped": ([[("wait unless", Y, 1)]], f"deadlock: cpu 0 waits in wait_unless == of {ON_Y}"),
    "nothing to be taken": ([[("down", Y)]], f"deadlock: cpu 0 waits in sem_wait of {ON_Y}"),
    "taken twice": ([[("lock", MUTEX), ("lock", MUTEX)]], f"deadlock: cpu 0 waits in mutex_lock of {ON_MUTEX}"),
    "nobody wakes": ([[("sleep", X, 0)], [("wake", Y, 1)]], f"deadlock: cpu 0 waits in asleep of {ON_X}"),
    "32 bits are as they should be": ([[("add", X, HALF), ("sleep", X, 0)]], f"deadlock: cpu 0 waits in asleep of {ON_X}"),
    "one wakes too soon": (
        [[("sleep", X, 0)], [("wake", X, 1), ("store", X, 1)]],
        f"deadlock: cpu 0 waits in asleep of {ON_X}",
    ),
    "two sleep, one is woken": (
        [[("sleep", X, 0)], [("sleep", X, 0)], [("load", Y), ("wake", X, 1)]],
        f"deadlock: cpu 1 waits in asleep of {ON_X}",
    ),
    "given back by another": (
        [[("lock", MUTEX)], [("unlock", MUTEX)]],
        f"cpu 1: it gives back what it does not hold: {ON_MUTEX}",
    ),
    "beyond the end": ([[("outside", 1 << 40)]], "cpu 0: it leaves the arena at byte"),
    "before the beginning": ([[("outside", -(1 << 40))]], "cpu 0: it leaves the arena at byte"),
    "half of a word": ([[("beside", Y)]], f"cpu 0: it leaves the arena at {ON_Y}"),
    "without end": (
        [[("load", X), ("again", 0, 1 << 40)], [("load", X)]],
        f"cpu 0: it has not ended after {LONGEST_RUN} steps, and is at {ON_X}",
    ),
    "without end, on its own": ([[("look",)]], f"cpu 0: it has not ended after {LONGEST_RUN} steps, and is at stack["),
    "an exception": ([[("load", X), ("divide", 0, 5)]], f"cpu 0: its code raises an exception, after a step on {ON_X}"),
    "waits for itself": ([[("down own",)]], "deadlock: cpu 0 waits in sem_wait of stack[40].word"),
}  # fmt: skip


@pytest.mark.parametrize(("program", "wrong"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_found_and_named(program, wrong):
    assert wrong in "; ".join(find(program).wrong)


RIGHT = {
    "two plain reads": ([[("read", X)], [("read", X)]], ()),
    "two atomic writes": ([[("store", X, 1)], [("store relaxed", X, 2)]], ()),
    "plain writes of two words": ([[("write", X, 1)], [("write", Y, 1)]], ()),
    "a plain read of what only ends a wait": ([[("read", X)], [("wait unless", Y, 0)]], ()),
    "a plain read beside a stop word, and a write of another": ([[("read", X)], [("down unless", Y)]], (0, 1)),
    "the other way round": ([[("down unless", Y)], [("read", X)]], (0, 1)),
    "an atomic write of a stop word": ([[("store", X, 1)], [("wait unless", Y, 0)]], ()),
    "a write that comes before": ([[("write", X, 1), ("store", Y, 1)], [("wait", Y, 1), ("read", X)]], ()),
    "under a mutex": ([[("lock", MUTEX), ("write", X, 1), ("unlock", MUTEX)]] * 2, ()),
    "a mutex made anew": ([[("lock", MUTEX), ("unlock", MUTEX), ("init", MUTEX), ("lock", MUTEX), ("unlock", MUTEX)]], ()),
    "the last word of a wait": ([[("sleep", X, 1), ("load", X)]], ()),
    "high halves are not counted": ([[("down", X), ("load", X)]], (HALF + 1,)),
    "the stop word is set already": ([[("down unless", Y), ("wait unless", Z, 1), ("lock unless", MUTEX)]], (1,)),
}


@pytest.mark.parametrize(("program", "first"), RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_not_told_of(program, first):
    found = find(program, first=first)
    assert found.wrong == []
    assert found.ends


def test_a_semaphore_keeps_its_high_half():
    assert find([[("down", X)]], first=(HALF + 1,)).words == {(HALF, 0, 0, 0)}
    assert "deadlock" in find([[("down", X)]], first=(HALF,)).wrong[0]


def test_any_of_those_who_sleep_is_woken_in_one_step_with_who_wakes():
    """The first to sleep says so before, the second after it: when one is woken, either sleeps on."""
    program = [
        [("sleep", X, 0), ("store", Z, 1)],
        [("wait", Y, 1), ("sleep", X, 0), ("store", Z, 2)],
        [("wake", Y, 1), ("store", Y, 1), ("wake", X, 1)],
    ]
    found = find(program)
    assert {f"deadlock: cpu {cpu} waits in asleep of buckets[0].first" for cpu in (0, 1)} <= {*found.wrong}
    for woken in (0, 1):
        searches().load([*program, [("load", W)]])
        stacks = searches().stacks
        stacks.begin(reasonless=1, mortal=15, deaths=1)
        assert all(map(stacks.follow, (0, 2, 2, 1, 1, 2)))
        others = [*range(2 * NR_CPUS), *range(2 * NR_CPUS + 2, 4 * NR_CPUS)]
        assert not any(map(stacks.follow, others))  # but that one of the two sleeps no more
        assert stacks.follow(2 * NR_CPUS + woken)
        assert stacks.follow(3)
        assert [stacks.follow(choice) for choice in (1 - woken, woken)] == [False, True]
        assert stacks.follow(2 * NR_CPUS + 1 - woken)  # for no reason: the other was for one


def test_so_many_are_woken_as_are_asked_for_and_each_on_its_word():
    sleepers = [[("sleep", X, 0), ("add", Y, 1)], [("sleep", X, 0), ("add", Y, 8)], [("sleep", X, 0), ("add", Y, 64)]]
    wakes = [("wait", W, 3), ("wake", X, 2), ("wake", Z, 1)]
    comes = [[("add", W, 1), *one] for one in sleepers]
    found = find([*comes, wakes])
    stuck = [tuple(cpu for cpu in range(3) if f"cpu {cpu} waits" in wrong) for wrong in found.wrong]
    assert {(0,), (1,), (2,)} <= {*stuck}
    assert not find([*comes[:2], wakes[1:]], first=(1,)).wrong  # who does not sleep, is not woken
    searches().load([*sleepers, wakes[1:]])
    stacks = searches().stacks
    stacks.begin()
    assert all(map(stacks.follow, (0, 1, 2, 3)))
    picked = [stacks.follow(2 * NR_CPUS + cpu) for cpu in (1, 1, 0, 2)]
    assert picked == [True, False, True, False]
    assert [stacks.follow(cpu) for cpu in (2, 0, 1, 3)] == [False, True, True, True]


def test_who_announces_a_death_may_wake_twice_in_one_step():
    """Of three who sleep, two are woken."""
    searches().load([[("load", W)], *[[("sleep", X, 0), ("load", Y)]] * 3], [[("wake", X, 1), ("wake", X, 1)]] * NR_CPUS)
    stacks = searches().stacks
    stacks.begin(mortal=1, deaths=1, announces=1)
    assert all(map(stacks.follow, (1, 2, 3, NR_CPUS)))
    assert [stacks.follow(2 * NR_CPUS + cpu) for cpu in (3, 2, 1)] == [True, True, False]
    assert [stacks.follow(cpu) for cpu in (1, 2, 3)] == [False, True, True]


def test_a_sleep_ends_for_no_reason_as_often_as_is_asked_for():
    sleeps = [[("sleep", X, 0), ("load", Y)], [("store", Y, 1)]]
    assert find(sleeps).seen == set()
    assert find(sleeps, reasonless=1).seen == {((0, 0), (0,)), ((0, 1), (0,))}
    twice = [[("sleep", X, 0), ("load", Y), ("sleep", X, 0)], [("load", Z)]]
    assert find(twice, reasonless=1).seen == set()
    assert find(twice, reasonless=2).seen == {((0, 0, 0), (0,))}


def test_how_often_a_sleep_may_still_end_for_no_reason_is_part_of_the_state():
    """One comes to its second sleep having been woken, or for no reason: in the one case it may go on from there."""
    program = [[("wake", X, 1)], [("sleep", X, 0), ("sleep", Y, 0)], [("load", Z)]]
    for order in itertools.permutations(program):
        assert find(order, reasonless=1).ends


# Deaths.


def test_a_cpu_dies_before_any_of_its_steps_and_not_after_its_last():
    adds, says = [[("add", X, 1), ("add", X, 1)]], [[("add", Y, 1)]] * NR_CPUS
    assert find(adds, says, mortal=(0,)).words == {(0, 1, 0, 0), (1, 1, 0, 0), (2, 0, 0, 0)}
    assert find(adds, mortal=(0,)).words == {(0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0)}
    assert find(adds).words == find(adds, mortal=(0,), deaths=0).words == {(2, 0, 0, 0)}


def test_those_die_who_may_and_as_many_as_may():
    adds, says = [[("add", n, 1)] for n in (X, Y, Z)], [[("add", W, 1 << n)] for n in range(NR_CPUS)]
    assert {words[W] for words in find(adds, says, mortal=(1,)).words} == {0, 2}
    assert {words[W] for words in find(adds, says, mortal=(0, 2)).words} == {0, 1, 4}
    assert {words[W] for words in find(adds, says, mortal=(0, 2), deaths=2).words} == {0, 1, 4, 5}
    assert {words[W] for words in find(adds, says, mortal=(0, 1, 2), deaths=3).words} == set(range(8))


def test_what_others_see_of_a_death_comes_at_every_moment():
    found = find([[("load", Y)], [("exchange", X, 1), ("load", X)]], [[("store", X, 2)]] * NR_CPUS, mortal=(0,))
    assert {seen[1] for seen in found.seen} == {(0, 1), (0, 2), (2, 1)}


def test_an_announcement_is_one_step():
    says = [[("store", X, 1), ("store", Y, 1)]] * NR_CPUS
    found = find([[("load", Z)], [("load", X), ("load", Y)]], says, mortal=(0,))
    assert {seen[1] for seen in found.seen} == {(0, 0), (0, 1), (1, 1)}
    found = find([[("load", Z)], [("load", Y), ("load", X)]], says, mortal=(0,))
    assert {seen[1] for seen in found.seen} == {(0, 0), (0, 1), (1, 1)}


def test_each_announcement_knows_who_died_and_begins_with_the_same_clock():
    says = [[("clock",), ("tell", Y), ("add", X, 1 << n)] for n in range(NR_CPUS)]
    found = find([[("load", Z)], [("load", Z)]], says, mortal=(0, 1), deaths=2)
    assert found.words == {(0, 0, 0, 0), (1, 1000, 0, 0), (2, 1000, 0, 0), (3, 1000, 0, 0)}


def test_the_dead_do_not_sleep_on():
    sleeps = [[("sleep", X, 0)], [("sleep", X, 0), ("store", Y, 1)], [("wake", X, 1)]]
    searches().load(sleeps)
    own = searches().stacks
    own.begin(mortal=1, deaths=1, announces=0)
    assert all(map(own.follow, (0, 1, NR_CPUS + 0, 2, 1)))
    found = find(sleeps, mortal=(0,))
    assert (0, 1, 0, 0) in found.words


def test_a_robust_mutex_of_the_dead_is_had_and_any_other_is_not():
    robust = [[("robust", ROBUST), ("load", Y)], [("robust", ROBUST)]]
    assert {seen[1] for seen in find(robust, mortal=(0,)).seen} == {(0,), (1,)}
    assert find(robust).wrong[0].startswith("deadlock")
    tries = [("try robust", ROBUST), ("unless seen", 3, 0), ("unlock robust", ROBUST)]
    tried = [[("robust", ROBUST), ("load", Y)], tries]
    assert {seen[1][0] for seen in find(tried, mortal=(0,)).seen} == {0, 1, 2}
    assert {seen[1][0] for seen in find(tried).seen} == {0, 2}
    mutex = [[("lock", MUTEX), ("load", Y)], [("lock", MUTEX)]]
    assert all("deadlock: cpu 1" in wrong or "deadlock: cpu 0" in wrong for wrong in find(mutex, mortal=(0,)).wrong)
    assert find(mutex, mortal=(0,)).wrong


@pytest.mark.parametrize("reduced", [False, True])
def test_the_death_of_an_owner_may_come_before_and_after_another_tries(reduced):
    """CPU 0 owns the mutex at first, and never looks at it."""
    program = [[("load", Y), ("add", W, 1)], [("try robust", ROBUST), ("add", W, 1)]]
    found = searches(reduced=reduced).find(program, (), (0, 0, 0, 0, 0, 1), (0,))
    assert {seen[1][0] for seen in found.seen} == {REFUSED, OWNER_DIED}


def test_who_takes_over_a_robust_mutex_owns_it():
    takes = [("robust", ROBUST), ("load", X), ("store", X, 1), ("unlock robust", ROBUST)]
    found = find([takes, takes, takes], mortal=(0,))
    assert found.wrong == []
    assert {seen for seen in found.seen if seen[0] is None} == {
        (None, (0, 0, 0, 0), (0, 1, 1, 1)), (None, (0, 1, 1, 1), (0, 0, 0, 0)), (None, (1, 0, 0, 0), (0, 1, 1, 1)),
        (None, (0, 1, 1, 1), (1, 0, 0, 0)), (None, (1, 1, 1, 1), (0, 1, 1, 1)), (None, (0, 1, 1, 1), (1, 1, 1, 1)),
        (None, (1, 1, 1, 1), (0, 0, 0, 0)), (None, (0, 0, 0, 0), (1, 1, 1, 1)),
    }  # fmt: skip


@pytest.mark.parametrize(
    "waits", [("down", X), ("wait", X, 1), ("wait unless", Y, 1), ("down unless", Y), ("lock", MUTEX), ("sleep", X, 0)]
)
def test_an_announcement_may_not_wait(waits):
    wrong = find([[("lock", MUTEX), ("load", Z)]], [[waits]] * NR_CPUS, mortal=(0,)).wrong
    assert any("who announces deaths: it waits, and may not" in one for one in wrong)


def test_an_announcement_that_need_not_wait_does_not():
    says = [[("down", Y), ("wait", Z, 1), ("lock", MUTEX), ("add", X, 1), ("unlock", MUTEX)]] * NR_CPUS
    found = find([[("load", W)]], says, (0, 1, 1), (0,))
    assert found.wrong == []
    assert (1, 0, 1, 0) in found.words


@pytest.mark.parametrize(
    "look", [lambda arena: arena.records("stack")["word"][32], lambda arena: arena.records("stack")[32][0]]
)
def test_a_death_comes_between_any_two_stores_at_which_the_check_of_an_end_looks(look):
    """They are stores to a word of the CPU's own, which are no steps; none is needed where nobody looks."""
    for one in (searches(), searches(reduced=True)):
        found = set()
        one.looks = lambda arena, found=found: found.add(int(look(arena)))
        try:
            one.load([[("load", X), ("own", 0, 1), ("own", 0, 1), ("load", X)], [("store", X, 1)]])
            one.stacks.begin(mortal=1, deaths=1, announces=0)
            assert states.search(one.stacks, 1 << 40, 60.0).complete
        finally:
            one.looks = programs.LOOK_AT_WORDS
        assert found == {0, 1, 4}
        locks = one.stacks.arena.sections["table_locks"]
        assert locks.offset in one.stacks._looked_at.places(one.stacks._places)  # whether they are free was asked as well
    one.load([[("load", X), ("own", 0, 1), ("own", 0, 1), ("load", X)], [("store", X, 1)]])
    assert states.search(one.stacks, 1 << 40, 60.0).complete
    assert 32 * 8 + one.stacks.arena.sections["stack"].offset not in one.stacks._shared


# Words of one CPU alone.


def test_a_word_that_another_uses_is_a_step_from_then_on():
    """Plainly, so that it is a race; who reads first and who writes first are both found out."""
    for program in ([[("write own", 0, 1)], [("read own", 0)]], [[("read own", 0)], [("write own", 0, 1)]]):
        found = find(program)
        assert "data race on stack[32].word" in found.wrong[0]
        assert len(searches().stacks._shared) == 1


def test_a_word_that_all_only_read_is_nobodys_step():
    found = find([[("read own", 0)], [("read own", 0)], [("read own", 0)]])
    assert found.told == 1
    assert not searches().stacks._shared
    found = find([[("read own", 0)], [("read own", 0)], [("load", X), ("write own", 0, 1)]])
    assert len(searches().stacks._shared) == 1
    found = find([[("read own", 0), ("load", X), ("write own", 0, 1)], [("read own", 0)]])
    assert len(searches().stacks._shared) == 1


def test_what_an_announcement_uses_is_shared():
    found = find([[("own", 0, 1), ("load", X)]], [[("read own", 0), ("tell", Y)]] * NR_CPUS, mortal=(0,))
    assert len(searches().stacks._shared) == 1
    assert found.words == {(0, 0, 0, 0), (0, 1, 0, 0)}


def test_what_the_dead_had_for_itself_is_part_of_the_state():
    """Two runs of CPU 0 that differ in a word of its own alone: the heir reads it after the death."""
    program = [[("load", Y), ("own", 0, 1), ("load", Z)], [("wait", X, 1), ("read own", 0)], [("store", Y, 1)]]
    found = find(program, [[("store", X, 1)]] * NR_CPUS, mortal=(0,))
    assert {seen[1] for seen in found.seen} == {(0, 0), (0, 1)}


def test_its_own_word_is_put_back_as_well():
    found = find([[("load", X), ("own", 0, 1), ("load", X), ("own", 0, 1)], [("store", X, 1)]])
    assert {int(seen[0][2]) for seen in found.seen} == {0, 1}
    own = searches().stacks
    assert own.arena.records("stack")["word"][32] == 0  # all the way back


def test_counts_of_accesses_begin_anew_with_each_step():
    """However often a search comes by; 900 accesses are no more than 3000, and 900 in each of many branches are not either."""
    many = [[("load", X)] * 4, [("load", X)] * 4, [("load", X), ("run", 0, 900)]]
    own = searches().stacks
    own._set({watched.LONGEST: 5})
    try:
        assert find(many).wrong == []
        assert find([[("load", X)] * 4, [("load", X)] * 4], [[("run", 0, 900)]] * NR_CPUS, mortal=(0,)).wrong == []
        assert find([[("load", X)] * 2], [[("load", X)] * 4] * NR_CPUS, mortal=(0,)).wrong == []
        assert find([[("load", X)] * 6]).wrong != []
        assert find([[("load", X)]], [[("load", X)] * 6] * NR_CPUS, mortal=(0,)).wrong != []
        assert find([[("load", X), ("run", 0, 5100)]]).wrong != []
    finally:
        own._set({watched.LONGEST: LONGEST_RUN})


# Its limits.


@pytest.mark.parametrize(
    ("limits", "values", "wrong"),
    [
        ({}, {"room": 9}, "full"),
        ({control.MOST_FRAMES: 5}, {}, "too deep"),
        ({watched.UNDO_MOST: 12}, {}, "it writes too much"),
        ({watched.MOST_STACK: 64}, {}, "its stack is used up"),
    ],
)
def test_a_search_stops_at_its_limits(limits, values, wrong):
    program = [[("add", X, 1)] * 4, [("add", Y, 1)] * 4]
    own = searches().stacks
    before = {offset: own.get(offset) for offset in limits}
    try:
        own._set(limits)
        assert wrong in find(program, **values).wrong[0]
    finally:
        own._set(before)
    assert find(program).wrong == []


def test_a_search_stops_where_no_stack_can_be_kept_and_so_does_a_replay():
    own, program = searches().stacks, [[("add", X, 1)] * 4]
    before = own.get(control.SAVED_END)
    try:
        own._set({control.SAVED_END: own._saved + watched.STACK + 100})
        assert find(program).wrong == ["too deep"]
        own.begin()
        assert [own.follow(0) for _ in range(4)][-1] is False
    finally:
        own._set({control.SAVED_END: before})


def test_what_is_no_choice_is_refused():
    own = searches().stacks
    searches().load([[("load", X)], [("wait", X, 1)]])
    own.begin()
    assert [own.follow(choice) for choice in (-1, 1, 2, NR_CPUS, 2 * NR_CPUS, 3 * NR_CPUS, 1 << 40)] == [False] * 7
    assert own.follow(0)
    assert not own.follow(0)
    with pytest.raises(ValueError, match="choice 1 of the schedule, 1, is not possible there"):
        list(own.replay([0, 1]))


def test_an_end_of_the_same_words_is_told_once():
    """CPU 0 may have read 1 or 2, which only the number of what it has read knows. What it has seen is in words of its own."""
    assert find([[("wait not", X, 0)], [("store", X, 1), ("store", X, 2)]], every=0, by_past=1).told == 1
    assert find([[("wait not", X, 0)], [("store", X, 1), ("store", X, 2)]], every=1, by_past=1).told == 2
    assert find([[("load", X)], [("store", X, 1)]], every=0).told == 2
    assert find([[("store", X, 1)], [("store", X, 2)]], every=0).told == 2


def test_more_cpus_than_can_sleep_are_refused():
    """A bit for each, and one for who announces deaths, are in half of a word."""
    world = World.of(build_of(nr_cpus=16), seed=1)
    with pytest.raises(UsageError, match="at most 15 CPUs"):
        Stacks(Scene("many", world, programs.run_program, 16))


@inline
def forks(k, cpu):
    k.script.word[0] = fork_process()


def test_what_has_no_model_is_refused_before_anything_runs():
    build = build_of()
    searches()
    with pytest.raises(PluginError, match="it calls _Fork, of which a search has no model"):
        compiled.compile_cpu(forks, build.shape, build.strides, None, watched=True)


def test_a_model_stands_for_every_function_of_libc_that_is_renamed_or_it_is_refused():
    searches()
    without = {name for name in steps.LIBC if not llvm.address_of_symbol(f"shmkret_{name}")}
    assert without == {"sem_clockwait", "pthread_mutex_clocklock"}  # where words are watched, the text has one step for these


# Preemptions.


def test_with_a_bound_of_preemptions_these_outcomes_are_seen():
    program = [[("store", X, 1), ("load", Y)], [("store", Y, 1), ("load", X)]]
    assert find(program, bound=0).seen == {((0, 0), (0, 1)), ((0, 1), (0, 0))}
    assert find(program, bound=1).seen == find(program).seen
    waits = [[("store", X, 1), ("wait", Y, 1), ("load", Z)], [("wait", X, 1), ("store", Y, 1), ("store", Z, 1)]]
    assert {seen[0][2] for seen in find(waits, bound=0).seen} == {1}
    assert {seen[0][2] for seen in find(waits, bound=1).seen} == {0, 1}
    alternating = [[("load", X), ("load", X), ("load", X)], [("store", X, 1), ("store", X, 2), ("store", X, 3)]]
    by_bound = [{seen[0] for seen in find(alternating, bound=n).seen} for n in range(5)]
    assert by_bound[0] == {(0, 0, 0), (3, 3, 3)}
    assert (1, 1, 1) in by_bound[1] - by_bound[0]
    assert (0, 1, 1) not in by_bound[1]
    assert (0, 1, 1) in by_bound[2]
    assert (1, 2, 3) not in by_bound[3]
    assert (1, 2, 3) in by_bound[4]


def by_hand(program, bound):
    """What is seen in a program of loads and stores with at most `bound` preemptions, schedule by schedule."""
    seen = set()

    def go(at, words, read, last, used):
        left = [cpu for cpu, own in enumerate(program) if at[cpu] < len(own)]
        if not left:
            seen.add(tuple(map(tuple, read)))
        for cpu in left:
            preempts = last in left and last != cpu
            if used + preempts <= bound:
                name, i, *value = program[cpu][at[cpu]]
                after, shown = dict(words), [list(one) for one in read]
                if name == "store":
                    after[i] = value[0]
                shown[cpu].append(words[i] if name == "load" else max(shown[cpu][-1:], default=0))
                go([n + (j == cpu) for j, n in enumerate(at)], after, shown, cpu, used + preempts)

    go([0] * len(program), {X: 0, Y: 0}, [[] for _ in program], None, 0)
    return seen


LOADS_AND_STORES = st.one_of(
    st.tuples(st.just("load"), st.sampled_from((X, Y))), st.tuples(st.just("store"), st.sampled_from((X, Y)), st.integers(1, 3))
)


@settings(max_examples=40)
@given(st.lists(st.lists(LOADS_AND_STORES, min_size=1, max_size=3), min_size=2, max_size=3), st.integers(0, 3))
@example([[("load", X), ("load", X)], [("store", X, 1), ("load", Y)], [("store", X, 2), ("store", Y, 1)]], 1)
@example([[("store", X, 1), ("store", X, 2), ("store", X, 1)], [("store", X, 1), ("load", X)]], 2)
def test_a_bound_of_preemptions_leaves_out_no_more_and_no_less(program, bound):
    assert find(program, bound=bound).seen == by_hand(program, bound)


TWICE_PREEMPTED = [
    [("load", X), ("unless seen", 5, 0), ("load", X), ("unless seen", 5, 1), ("unlock", MUTEX)],
    [("store", X, 1), ("store", X, 2)],
]


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize(
    ("program", "first", "preemptions"),
    [
        ([[("load", X), ("divide", 0, 1)]], (), 0),
        ([[("load", X), ("divide", 0, 1)], [("store", X, 0), ("store", X, 1)]], (1,), 1),
        (
            [[("load", X), ("load", X), ("divide", 0, 1)], [("store", X, 1), ("load", Y), ("store", X, 0), ("store", X, 1)]],
            (1,), 1,
        ),
        (TWICE_PREEMPTED, (), 2),
    ],
)  # fmt: skip
def test_a_violation_is_shown_with_as_few_preemptions_as_there_are(program, first, preemptions, reduced):
    one = searches(reduced=reduced)
    one.load(program, first=first)
    outcome = states.search(one.stacks, 1 << 40, 60.0)
    (found,) = outcome.violations
    assert found.preemptions == preemptions
    assert not outcome.complete
    assert [cpu for cpu, _ in one.stacks.replay(found.schedule)] == found.schedule
    assert one.stacks.culprit() is not None


def bounded(program, preemptions):
    one = searches()
    one.load(program)
    one.stacks.preemptions = preemptions
    try:
        return states.search(one.stacks, 1 << 40, 60.0)
    finally:
        one.stacks.preemptions = None


BY_ANOTHER = [[("load", Y), ("load", X), ("unless seen", 4, 1), ("unlock", MUTEX)], [("add", X, 1), ("add", X, 1)]]
WITH_FEWER = [
    [
        ("load", Y), ("load", X), ("unless seen", 8, 1), ("load", Z), ("unless seen", 8, 0), ("load", Z), ("unless seen", 8, 1),
        ("unlock", MUTEX),
    ],
    [("store", X, 1), ("store", Z, 1)],
]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "preemptions"), [(TWICE_PREEMPTED, 2), (BY_ANOTHER, 1), (WITH_FEWER, 2)], ids=["twice", "another", "fewer"]
)
def test_a_search_with_a_bound_finds_what_has_no_more_preemptions_and_says_by_what_it_is_bounded(program, preemptions):
    """The first way to the state before what is wrong leaves no preemption: by another CPU's step, or with more of them."""
    for fewer in range(preemptions):
        outcome = bounded(program, fewer)
        assert (outcome.complete, outcome.violations) == (False, [])
        assert outcome.gave_up == ("1 preemption" if fewer == 1 else f"{fewer} preemptions")
    (found,) = bounded(program, preemptions).violations
    assert found.preemptions == preemptions


def test_a_bound_that_left_out_nothing_is_no_bound():
    """The only preemption there can be is that of the CPU that does two steps."""
    program = [[("add", X, 1), ("add", X, 1)], [("add", X, 1)]]
    outcomes = [bounded(program, most) for most in (0, 1, 2)]
    assert [outcome.complete for outcome in outcomes] == [False, True, True]
    assert [outcome.gave_up for outcome in outcomes] == ["0 preemptions", "", ""]
    assert outcomes[0].states < outcomes[1].states == outcomes[2].states
    waits = [[("wait", X, 1), ("load", X)], [("add", X, 1)]]
    assert bounded(waits, 0).gave_up == ""  # who waits, and who has ended, gives way for nothing


@pytest.mark.parametrize("reduced", [False, True])
def test_what_is_wrong_is_told_again_where_a_schedule_leads_to_it(reduced):
    one = searches(reduced=reduced)
    for program in (
        [[("load", X), ("unlock", MUTEX)]],
        [[("read", X)], [("load", Y), ("write", X, 1)]],
        TWICE_PREEMPTED,
    ):
        one.load(program)
        one.stacks.begin(mortal=0, deaths=0, announces=0)
        (found,) = states.search(one.stacks, 1 << 40, 60.0).violations
        words_at(one.stacks._users, one.stacks.arena.size // 8)[:] = 0  # as in another process
        assert [cpu for cpu, _ in one.stacks.replay(found.schedule)] == found.schedule
        assert one.stacks.judge() == [found.what]


def test_a_search_that_finds_nothing_is_complete_and_one_that_is_stopped_is_not():
    searches().load([[("add", X, 1)] * 3, [("add", X, 1)] * 3])
    outcome = states.search(searches().stacks, 1 << 40, 60.0)
    assert outcome.complete
    assert not outcome.violations
    assert outcome.schedules > 0
    outcome = states.search(searches().stacks, 1, 60.0)
    assert not outcome.complete
    assert outcome.gave_up == "1 states"


# Both executors.

COLUMNS = ("buckets.first",)


def same_words(values):
    return list(values)[:NR_WORDS]


def on_stacks(_, values):
    """A mutex as greenlets have it: 1, 0 when it is held, -1 when some may sleep, too."""
    words = same_words(values)
    words[MUTEX] = 1 if words[MUTEX] & HALF - 1 == 0 else -(words[MUTEX] >> 31 & 1)
    return words


def for_greenlets(arena):
    programs.make(arena)
    arena.records("buckets")["first"][MUTEX] = 1


def assert_both_visit_the_same(program, announcements=(), mortal=(), deaths=0):
    own = searches()
    own.load(program, announcements)
    columns = {"buckets.first": own.stacks.arena.records("buckets")["first"]}
    values = {"mortal": sum(1 << cpu for cpu in mortal), "deaths": deaths, "announces": int(bool(announcements))}
    scene = programs.scene(program, announcements, mortal, deaths, for_greenlets)
    greenlets = Greenlets(scene, COLUMNS, lambda _, words: same_words(words))
    assert states_of(own.stacks, columns, on_stacks, **values) == greenlets.states


SIMPLE = (
    "load", "store", "load relaxed", "store relaxed", "exchange", "add", "cmpxchg", "wait", "wait not", "wait unless",
    "wait not unless", "sleep", "wake", "down", "up", "try down", "down unless", "reset", "fence", "read", "write",
)  # fmt: skip
PAIRS = [
    [("lock", MUTEX), ("unlock", MUTEX)], [("robust", ROBUST), ("unlock robust", ROBUST)], [("robust", ROBUST)],
    [("lock", MUTEX)], [("try lock", MUTEX)], [("try robust", ROBUST)], [("lock unless", MUTEX)], [("own", 0, 2)],
]  # fmt: skip
OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(SIMPLE), st.integers(0, 2), st.integers(0, 2)).map(lambda one: [one]), st.sampled_from(PAIRS)
)
CODE = st.lists(OPERATIONS, min_size=1, max_size=3).map(lambda parts: [one for part in parts for one in part])
PROGRAM = st.lists(CODE, min_size=2, max_size=3).filter(lambda p: sum(map(len, p)) <= 7)


OTHER = ("wait unless", "wait not unless", "down unless", "lock unless")
ALIKE = PROGRAM.filter(lambda p: not any(one[0] in OTHER for own in p for one in own))
"""Without OTHER, of which greenlets know more: who is told to stop may be told too late."""


@settings(max_examples=60)
@given(ALIKE)
@example([[("robust", ROBUST), ("load", Y), ("unlock robust", ROBUST)], [("try robust", ROBUST)]])
@example([[("up", X)], [("up", X)]])
@example([[("up", X)], [("up", X), ("down", X)]])
@example([[("up", X)], [("try down", X), ("up", X), ("down", X)]])
@example([[("store", X, 1)], [("up", X), ("store", X, 0)]])
@example([[("down", Y), ("load", Y)], [("wait not", Z, 1)], [("store", X, 1), ("up", Y)]])
def test_both_executors_visit_the_same_states(program):
    assert_both_visit_the_same(program)


IN_LIBC = ("down", "up", "try down", "lock", "unlock", "try lock", "robust", "unlock robust", "try robust", "load", "store")
PARTS = st.lists(st.one_of(OPERATIONS, st.sampled_from(PAIRS)), min_size=1, max_size=2)
SLEEPY = st.lists(PARTS.map(lambda parts: [one for part in parts for one in part]), min_size=2, max_size=3).filter(
    lambda p: sum(map(len, p)) <= 7 and all(one[0] in (*IN_LIBC, "sleep", "wake") for own in p for one in own)
)
ROBUSTLY = [("robust", ROBUST), ("unlock robust", ROBUST)]


@settings(max_examples=15)
@given(SLEEPY, st.sampled_from([(0,), (1,), (0, 1)]), st.integers(1, 2))
@example([[("down", X), ("up", X)], [("down", X)], [("up", X)]], (0,), 1)
@example([[("lock", MUTEX), ("unlock", MUTEX)]] * 3, (0,), 1)
@example([ROBUSTLY] * 3, (0,), 1)
@example([ROBUSTLY * 2, ROBUSTLY, ROBUSTLY], (1,), 1)
@example([ROBUSTLY, ROBUSTLY[:1], ROBUSTLY, ROBUSTLY], (1,), 1)
@example([ROBUSTLY, [*ROBUSTLY[:1], ("load", X)], ROBUSTLY], (0, 1), 2)
@example([[("sleep", X, 0)], [("sleep", X, 0)], [("wake", X, 1), ("wake", X, 1)]], (0, 1), 1)
@example([[("sleep", X, 0)], [("up", X)], [("down", X)]], (0,), 1)
@example([[("down", X)], [("sleep", X, 0)], [("up", X), ("wake", X, 1)]], (0,), 1)
def test_where_cpus_die_both_executors_visit_the_same_states_of_who_sleeps_in_libc(program, mortal, deaths):
    assert_both_visit_the_same(program, (), mortal, deaths)


@settings(max_examples=60)
@given(PROGRAM, st.sampled_from([(), (0,), (1, 0)]), st.integers(1, 2), st.sampled_from([(), (X,), (Y,), (Z,)]))
@example([[("own", 0, 1), ("load", X)], [("store", X, 1), ("read own", 0)]], (), 1, ())
@example([[("down", X), ("up", Y)], [("up", X), ("down", Y)], [("up", Y)]], (), 1, ())
@example([[("store", X, 1), ("store", X, 2)], [("load", Y)]], (0,), 1, (Z,))
@example([[("load", Y)], [("load", X), ("store", X, 1)]], (0,), 1, (X,))
@example([[("robust", ROBUST), ("load", Y)], [("load", Z), ("try robust", ROBUST), ("load", Z)]], (0,), 1, ())
@example([[("sleep", X, 0)], [("load", Y), ("wake", X, 1)], [("load", X)]], (), 1, ())
@example([[("wait unless", Y, 1), ("load", Z)], [("store", X, 1), ("load", Z)]], (), 1, ())
@example([[("wait unless", Y, 1), ("load", Z)], [("store", X, 1), ("store", X, 0)]], (), 1, ())
def test_what_nobody_shares_is_left_out_and_no_end_with_it(program, mortal, deaths, announced):
    """Who may die ends with a step on a word that others use, too: it does not die after its last."""
    program = [[*own, ("add", W, 1)] for own in program]
    says = [[("add", word, 1)] for word in announced] * NR_CPUS
    every, fewer = (one.find(program, says, (), mortal, deaths) for one in (searches(), searches(reduced=True)))
    assert bool(every.wrong) == bool(fewer.wrong)
    if not every.wrong:  # beyond what is wrong, not all is looked at
        assert every.ends == fewer.ends


def test_a_word_that_is_seen_to_be_used_late_was_not_alone_before():
    """When CPU 0 is at its first store to X, CPU 1 has ended, and CPU 2 is not known to use X yet."""
    program = [
        [("wait", Z, 1), ("store", Y, 1), ("store", X, 1), ("store", X, 3)],
        [("store", X, 2), ("store", Z, 1)],
        [("wait", Y, 1), ("load", X)],
    ]
    assert {seen[2][1] for seen in searches(reduced=True).find(program).seen} == {1, 2, 3}


@inline
def one_call(k, cpu):
    k.cpus.task[cpu] = cpu
    step(k.worker, k, cpu, cpu, 0)


@inline
def one_death(k, cpu):
    """CPU 0 calls, and may die; CPU 1 recovers it."""
    if cpu == 0:
        schedule(k, cpu, NIL)
        call_and_return(k, cpu, k.cpus.task[cpu], 0, 0)
        begin_wait(k.mode.recovery, k, cpu)
        fetch_add(k.script.word, 0, 1)
    elif cpu == 1:
        wait_until(k.script.word, 0, NE, 0)
        if exchange(k.run.deaths, 0, 0) != 0:
            recoverer.recover(k, cpu)
    else:
        recoverer.announce(k, cpu - 2)
        fetch_add(k.script.word, 0, 1)


def one_dies(arena):
    arena.records("recovery")["life"][:2] = LIVE
    arena.records("runqueues")["quiescent"] = 0
    arena.records("script")["word"][0] = 0


def assert_both_agree(scene, nr):
    with Stacks(scene, 1 << 18) as own:
        columns = columns_of(own)
        visited = states_of(own, columns)
    assert len(visited) == nr
    assert visited == Greenlets(scene, list(columns)).states


@pytest.mark.parametrize(("scheme", "lock", "nr"), [("objpool", "sem", 576), ("hashed", "ttas", 6349)])
def test_both_executors_visit_the_same_states_of_the_kernels_path(scheme, lock, nr):
    world = World.of(build_of("hot", scheme, lock), Sizes(maxactive=2, task_address="ia64-stack"), seed=1)
    assert_both_agree(Scene("one-call", world, one_call, 2), nr)


@pytest.mark.full
def test_both_executors_visit_the_same_states_of_a_death_and_its_recovery():
    """No word is taken for one CPU's own: greenlets take those of the dead alone for shared."""
    build = replace(build_of("hot", "hashed", "ttas", nr_cpus=1), recoverable=True)
    world = World.of(build, Sizes(maxactive=2, task_address="ia64-stack"), seed=1)
    scene = Scene("one-death", world, one_death, 2, tuple(NOT_SHARED), (0,), 1, True, 1, one_dies)
    assert_both_agree(scene, 14811)


# The switch.


class Listed:
    """A machine on which words are a list; `between` is what others do to it before each load."""

    def __init__(self, values):
        self.values = list(values)

    def load_acquire(self, words, i):
        return self.values.pop(0)


def test_numbers_live_across_steps():
    """More of them than there are registers, on two CPUs at once, while a third changes the word."""
    program = [[("hold", X, 3)], [("hold", X, -8)], [("store", X, 1), ("store", X, 2)]]
    found = find(program)

    def held(v):
        for values in itertools.combinations_with_replacement((0, 1, 2), 3):
            with atomics.use(Listed(values)):
                yield programs._held(None, 0, v)

    assert {seen[0][0] for seen in found.seen} == set(held(3))
    assert {seen[1][0] for seen in found.seen} == set(held(-8))
    assert len({seen[:2] for seen in found.seen}) == 100


def saved(machine):
    """Where each register is put by shmkret_switch, and where it is taken from: two lists."""
    lines = [line.strip() for line in switching.ASSEMBLY[machine].splitlines()]
    body = lines[lines.index("shmkret_switch:") + 1 : lines.index("shmkret_begin:")]
    if machine == "x86_64":
        pushed = [line.split()[1] for line in body if line.startswith("pushq")]
        popped = [line.split()[1] for line in body if line.startswith("popq")]
        return pushed, popped[::-1]
    parts = {"stp": [], "ldp": []}
    for line in body:
        name, _, operands = line.partition(" ")
        if name in parts:
            one, two, place = (part.strip() for part in operands.split(",", 2))
            parts[name].append((one, two, place))
    return parts["stp"], parts["ldp"]


@pytest.mark.parametrize("machine", switching.ASSEMBLY)
def test_a_switch_keeps_what_belongs_to_the_caller(machine):
    """System V ABI, x86-64, figure 3.4; Procedure Call Standard for 64-bit Arm, 6.1.1 and 6.1.2."""
    put, taken = saved(machine)
    assert put == taken
    if machine == "x86_64":
        assert sorted(put) == sorted(["%rbx", "%rbp", *(f"%r{n}" for n in range(12, 16))])
    else:
        registers = {name for one, two, _ in put for name in (one, two)}
        assert registers == {f"x{n}" for n in range(19, 31)} | {f"d{n}" for n in range(8, 16)}
        places = [int(place.strip("[]").partition("#")[2] or 0) for _, _, place in put]
        assert places == list(range(0, 160, 16))


ENCODED = {
    "sub sp, sp, #160": "ff8302d1",
    "stp x19, x20, [sp]": "f35300a9",
    "stp x21, x22, [sp, #16]": "f55b01a9",
    "stp x23, x24, [sp, #32]": "f76302a9",
    "stp x25, x26, [sp, #48]": "f96b03a9",
    "stp x27, x28, [sp, #64]": "fb7304a9",
    "stp x29, x30, [sp, #80]": "fd7b05a9",
    "stp d8, d9, [sp, #96]": "e827066d",
    "stp d10, d11, [sp, #112]": "ea2f076d",
    "stp d12, d13, [sp, #128]": "ec37086d",
    "stp d14, d15, [sp, #144]": "ee3f096d",
    "mov x9, sp": "e9030091",
    "str x9, [x0]": "090000f9",
    "ldr x9, [x1]": "290040f9",
    "mov sp, x9": "3f010091",
    "ldp x19, x20, [sp]": "f35340a9",
    "ldp x21, x22, [sp, #16]": "f55b41a9",
    "ldp x23, x24, [sp, #32]": "f76342a9",
    "ldp x25, x26, [sp, #48]": "f96b43a9",
    "ldp x27, x28, [sp, #64]": "fb7344a9",
    "ldp x29, x30, [sp, #80]": "fd7b45a9",
    "ldp d8, d9, [sp, #96]": "e827466d",
    "ldp d10, d11, [sp, #112]": "ea2f476d",
    "ldp d12, d13, [sp, #128]": "ec37486d",
    "ldp d14, d15, [sp, #144]": "ee3f496d",
    "add sp, sp, #160": "ff830291",
    "ret": "c0035fd6",
    "mov x0, x23": "e00317aa",
    "add x1, x23, #8": "e1220091",
    "mov x2, x20": "e20314aa",
    "mov x3, x21": "e30315aa",
    "blr x19": "60023fd6",
    "blr x22": "c0023fd6",
}
"""What LLVM makes of each line, in hexadecimal, as it lies in memory."""


def test_the_switch_of_64_bit_arm_is_what_was_assembled():
    """llvmlite has no assembler for another machine than its own: where LLVM's own is installed, it is asked."""
    lines = [line.strip() for line in switching.AARCH64.splitlines() if line.strip() and not line.endswith(":")]
    assert set(lines) == set(ENCODED)
    assembler = shutil.which("llvm-mc")
    if assembler:
        said = subprocess.run(
            [assembler, "-triple=aarch64-linux-gnu", "-show-encoding"], input="\n".join(lines), capture_output=True, text=True
        )
        assert said.returncode == 0, said.stderr
        encoded = re.findall(r"encoding: \[([^]]*)\]", said.stdout)
        assert [one.replace("0x", "").replace(",", "") for one in encoded] == [ENCODED[line] for line in lines]


def test_named_semaphores_are_words_beside_the_arena():
    one, other = named(0), named(1)
    found = find([[("down named", one), ("load", X), ("store", X, 1), ("up named", one)]] * 2)
    assert {(seen[0][1], seen[1][1]) for seen in found.seen} == {(0, 1), (1, 0)}
    assert (
        "deadlock: cpu 0 waits in sem_wait of named_semaphores[1]"
        in find([[("down named", other), ("down named", other)]]).wrong[0]
    )
