"""The search against one without short cuts: random programs end in the same ways under both.

Two or three CPUs do a few steps each on three words, which are counters, semaphores and beds at once, on a robust mutex and
on a word of their own; CPUs may die before any of their steps, and a shared word is changed as they do. An end is what the
words are, and what each CPU has seen that is not dead: who waits for ever has seen less.
"""

import itertools
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shmkret.explore.engines import exhaustive
from shmkret.explore.greenlets import libc
from shmkret.explore.greenlets.cpu import Memory, WaitsForever
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.greenlets.run import one_run
from shmkret.explore.greenlets.steps import DIES, Place, Step
from shmkret.explore.scenario import Broken, Scenario
from shmkret.explore.schedule import explore
from shmkret.text.atomics import (
    EQ,
    NE,
    cmpxchg,
    exchange,
    fetch_add,
    futex_wait,
    futex_wake,
    load_acquire,
    store_release,
    wait_unless,
    wait_until,
)
from shmkret.text.libc import OWNER_DIED, REFUSED

from .worlds import of_the_last_attempt

NR_WORDS = 3
MUTEX = 3
"""A word more, that names its owner."""
DOES = {
    "load": lambda words, i, n: load_acquire(words, i),
    "store": lambda words, i, n: store_release(words, i, n),
    "exchange": lambda words, i, n: exchange(words, i, n),
    "add": lambda words, i, n: fetch_add(words, i, 1),
    "cmpxchg": lambda words, i, n: cmpxchg(words, i, n, n + 1),
    "wait": lambda words, i, n: wait_until(words, i, EQ, n),
    "wait unless": lambda words, i, n: wait_unless(words, i, NE, n, words),
    "sleep": lambda words, i, n: futex_wait(words, i, n),
    "wake": lambda words, i, n: futex_wake(words, i, n),
    "down": lambda words, i, n: libc.sem_wait(words._machine, words._machine.address_of(words, i)),
    "up": lambda words, i, n: libc.sem_post(words._machine, words._machine.address_of(words, i)),
    "down unless": lambda words, i, n: libc.sem_wait_unless(words._machine, words._machine.address_of(words, i), words),
    "robust": lambda words, i, n: libc.robust_lock(words._machine, words._machine.address_of(words, MUTEX)),
    "try robust": lambda words, i, n: libc.robust_trylock(words._machine, words._machine.address_of(words, MUTEX)),
}
OPERATION = st.tuples(st.sampled_from(["own", *sorted(DOES)]), st.integers(0, NR_WORDS - 1), st.integers(0, 2))
PROGRAM = st.lists(st.lists(OPERATION, min_size=1, max_size=3), min_size=2, max_size=3).filter(lambda p: sum(map(len, p)) <= 7)


def ends_of(search, program, mortal):
    """How a program can end under a search, as a set."""
    ends = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("word", [0] * (NR_WORDS + 1))
        own = machine.words("own", [0] * len(program), private=True)
        seen = [[] for _ in program]
        dead = set()

        def cpu(i):
            for name, *arguments in program[i]:
                if name == "own":
                    own[i] = own[i] * 3 + arguments[1]
                else:
                    seen[i].append(int(DOES[name](words, *arguments) or 0))

        def announce(i):
            dead.add(i)
            fetch_add(words, 0, 1)

        def check():
            ends.add(
                (
                    tuple(words.values),
                    tuple(own.values),
                    tuple(None if i in dead else tuple(what) for i, what in enumerate(seen)),
                )
            )
            return []

        return Scenario([partial(cpu, i) for i in range(len(program))], check, mortal, 2, announce)

    memory = Memory()
    with of_the_last_attempt(ends):
        search(lambda: one_run(scenario, [], memory))
    return ends


def without_short_cuts(begin):
    """Every schedule, one run each: no state is known again, no step commutes, nobody sleeps."""
    roads = [[]]
    while roads:
        with begin() as run:
            run.begin(road := roads.pop())
            further = [*run.possible, *(DIES - i for i in run.mortal)]
            if not run.possible:
                run.check()
            roads.extend([*road, choice] for choice in further)


def exhaustively(begin):
    outcome = exhaustive.search(begin, 100_000, 60.0)
    assert outcome.complete


@settings(max_examples=25)
@given(PROGRAM, st.sampled_from([(), (0,), (1, 0)]))
# Two that wait for one word do not commute with its writer; a semaphore's value depends on who came first; who sleeps on a word
# is part of the state. In the last, a state must be gone on from with those who slept when it was come to before.
@example([[("store", 0, 1), ("store", 1, 1)], [("load", 1, 0), ("load", 0, 0)], [("store", 1, 2), ("load", 0, 0)]], ())
@example([[("down", 0, 0), ("up", 1, 0)], [("up", 0, 0), ("down", 1, 0)], [("up", 1, 0)]], ())
@example([[("sleep", 0, 0), ("load", 1, 0)], [("sleep", 0, 0), ("store", 1, 1)], [("wake", 0, 1), ("wake", 0, 1)]], ())
@example([[("robust", 1, 0)], [("robust", 1, 0), ("load", 2, 0)], [("try robust", 1, 0), ("store", 2, 1)]], (0,))
@example(
    [
        [("wait", 1, 0), ("wait", 0, 0), ("store", 1, 0)],
        [("wake", 1, 0)],
        [("store", 1, 0), ("load", 1, 0), ("wait", 1, 0), ("wait", 0, 0)],
    ],
    (),
)
def test_no_end_is_left_out(program, mortal):
    assert ends_of(exhaustively, program, mortal) == ends_of(without_short_cuts, program, mortal)


@pytest.mark.full
@settings(max_examples=100)
@given(PROGRAM, st.sampled_from([(), (0,), (1, 0)]))
def test_no_end_is_left_out_of_many(program, mortal):
    assert ends_of(exhaustively, program, mortal) == ends_of(without_short_cuts, program, mortal)


ONE, OTHER = ("x", 0), ("y", 0)


def a_step(place: Place, *others: Place, changes=False, elsewhere=False) -> Step:
    return Step("step", place, (place, *others), changes, False, changes, elsewhere)


@pytest.mark.parametrize(
    ("one", "other", "commute"),
    [
        (a_step(ONE), a_step(ONE), True),
        (a_step(ONE, changes=True), a_step(OTHER, changes=True), True),
        (a_step(ONE, changes=True), a_step(ONE), False),
        (a_step(ONE, changes=True), a_step(ONE, changes=True), False),
        (a_step(ONE, changes=True), a_step(OTHER, ONE), False),
        (a_step(ONE), a_step(OTHER, elsewhere=True), False),
    ],
)
def test_two_steps_commute_where_neither_changes_what_the_other_looks_at(one, other, commute):
    assert one.commutes_with(other) == other.commutes_with(one) == commute


def test_a_wait_that_looks_elsewhere_is_not_left_out():
    """What it looks at is no word of its step, so that every step of others may come before it or after it."""
    seen = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        x, y = machine.words("x", [0]), machine.words("y", [0])

        def looks():
            machine.access("wait", y, 0, writes=False, possible=lambda: True)
            seen.add(x.values[0])

        return Scenario([partial(store_release, x, 0, 1), looks, partial(load_acquire, x, 0)], list)

    with of_the_last_attempt(seen):
        assert explore(scenario).complete
    assert seen == {0, 1}


def test_the_dead_are_not_woken():
    """Two sleep, the first to come dies, and one is woken: it is the other."""

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("word", [0])
        sleeps = partial(futex_wait, words, 0, 0)
        return Scenario([sleeps, sleeps, partial(futex_wake, words, 0, 1)], list, (0,))

    with one_run(scenario, [], Memory()) as run:
        run.begin([0, 1, DIES - 0, 2])
        assert run.possible == [1]


@pytest.mark.parametrize("woken", [1, 2])
def test_the_kernel_wakes_any_one_of_who_sleeps_as_a_holder_dies(woken):
    """Each is a death of its own in a schedule; the other sleeps on."""

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("word", [0, 0])

        def comes():
            libc.robust_lock(machine, machine.address_of(words, 0))
            load_acquire(words, 1)

        return Scenario([comes] * 3, list, (0,))

    with one_run(scenario, [], Memory()) as run:
        run.begin([0, 1, 2])
        assert len(run.deaths) == 2
        run.go_on(run.deaths[woken - 1])
        assert (run.pending[0], run.possible) == (None, [woken])


def test_who_takes_a_robust_mutex_when_all_is_over_is_not_the_dead():
    """A check that asks twice is refused the second time."""
    said = []

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("word", [0])

        def check():
            said.append([libc.robust_trylock(machine, machine.address_of(words, 0)) for _ in range(2)])
            return []

        return Scenario([partial(load_acquire, words, 0)] * 2, check, (0, 1), 2)

    assert explore(scenario).complete
    assert {tuple(one) for one in said} == {(0, REFUSED)}


def test_what_the_dead_had_for_itself_is_interleaved():
    """Two that go on with it do so in either order."""
    seen = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        own = machine.words("own", [0], private=True)
        dead = machine.words("dead", [0])

        def dies():
            own[0] = 1
            store_release(dead, 0, 2)

        def heir(factor):
            wait_until(dead, 0, NE, 0)
            if load_acquire(dead, 0) == 1:
                store_release(own, 0, load_acquire(own, 0) * factor + 1)

        def check():
            seen.add(own.values[0])
            return []

        return Scenario([dies, partial(heir, 10), partial(heir, 100)], check, (0,), 1, lambda _: store_release(dead, 0, 1))

    with of_the_last_attempt(seen):
        assert explore(scenario).complete
    assert seen == {1, 11, 101, 1011, 1101}  # alive; the second has read before the first has written; one after the other


def complete(*bodies, mortal=(), announce=lambda words, i: None, nr_words=3, deaths=1):
    """What is wrong in a scenario of words x, y, z and private ones; `bodies(words, own)`."""

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("word", [0] * nr_words)
        own = machine.words("own", [0] * len(bodies), private=True)
        return Scenario([partial(body, words, own) for body in bodies], list, mortal, deaths, partial(announce, words))

    return [violation.what for violation in explore(scenario).violations]


X, Y, Z = range(3)


def broken(seen):
    if seen:
        raise Broken("seen")


def dying(words, own):
    if load_acquire(words, X) == 1:
        own[0] = own[0]
        load_acquire(words, Y)
    store_release(words, Z, 2)


def heir(words, own):
    wait_until(words, Z, NE, 0)
    if load_acquire(words, Z) == 1:
        _ = own[0]
        seen = load_acquire(words, X)
        wait_until(words, Y, EQ, 1)
        broken(seen == 0)


def stores(words, own):
    store_release(words, X, 1)
    store_release(words, Y, 1)


@pytest.mark.parametrize("order", list(itertools.permutations([dying, heir, stores])))
def test_what_the_dead_had_touched_is_part_of_the_state(order):
    """The heir's read of the dead's own word is a step, and a value that it has read, only if the dead had touched it."""

    def announce(words, i):
        store_release(words, Z, 1)

    assert complete(*order, mortal=(order.index(dying),), announce=announce) == ["seen"]


def test_a_death_that_comes_later_is_waited_for():
    """CPU 1 is mortal at its second step alone; before that, others' steps on what its death writes may come first or last."""
    seen = set()

    class Later(list):
        def __iter__(self):
            return iter([1] if self[0].cpus[1].steps == 1 else [])

    def scenario(machine: ExploredMachine) -> Scenario:
        told, mine = machine.words("told", [0]), machine.words("mine", [0])

        def asks():
            seen.add(exchange(told, 0, 2))

        def dies():
            store_release(mine, 0, 1)
            store_release(mine, 0, 2)

        return Scenario([asks, dies], list, Later([machine]), 1, lambda _: store_release(told, 0, 1))

    with of_the_last_attempt(seen):
        assert explore(scenario).complete
    assert seen == {0, 1}


def test_a_stop_word_is_raced_for():
    wrong = complete(lambda words, own: wait_unless(words, 1, EQ, 1, words), lambda words, own: words.__setitem__(0, 1))
    assert "data race on ('word', 0)" in wrong[0]


@pytest.mark.parametrize(
    ("error", "words"), [(ZeroDivisionError("by 0"), "ZeroDivisionError: by 0"), (WaitsForever("for ever"), "for ever")]
)
def test_whatever_is_raised_is_a_violation(error, words):
    def raises(*_):
        raise error

    here = f"{__file__}:{raises.__code__.co_firstlineno + 1}: {words}"
    assert complete(raises) == [here]
    assert complete(lambda words, own: load_acquire(words, 0), mortal=(0,), announce=raises) == [here]


def test_a_private_word_that_two_have_read_may_not_be_written():
    def first(words, own):
        _ = own[0]
        load_acquire(words, 0)
        own[0] = 1

    assert "private to one CPU" in complete(first, lambda words, own: own[0])[0]


def test_what_locks_are_made_with_and_asked_for_are_steps():
    """mutex_init() beside a trylock."""

    def makes(words, own):
        load_acquire(words, Y)
        libc.MODELS["mutex_init"](words._machine, words._machine.address_of(words, X))

    def tries(words, own):
        broken(not libc.sem_trywait(words._machine, words._machine.address_of(words, X)))

    assert complete(makes, tries) == ["seen"] or "data race" in complete(makes, tries)[0]


def test_a_scenario_that_does_not_do_the_same_each_time_is_a_violation():
    runs = []

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("word", [0])
        runs.append(1)

        def code():
            for _ in range(3 if len(runs) < 3 else 0):
                store_release(words, 0, 1)

        return Scenario([code, code], list)

    assert "does not do the same each time" in explore(scenario).violations[0].what


def ends(search, bodies, answer, mortal=(), announce=lambda words, i: None, first=(0, 0, 0)):
    """What `answer(words, dead)` says at the ends of a scenario under a search, as a set."""
    found = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        words, dead = machine.words("word", first), set()

        def dies(i):
            dead.add(i)
            announce(words, i)

        def check():
            found.add(answer(words.values, dead))
            return []

        return Scenario([partial(body, words) for body in bodies], check, mortal, len(mortal), dies)

    memory = Memory()
    with of_the_last_attempt(found):
        search(lambda: one_run(scenario, [], memory))
    return found


def test_what_a_death_writes_is_part_of_the_state():
    def announce(words, i):
        store_release(words, Y, load_acquire(words, X))

    def both(words):
        store_release(words, X, 1)
        load_acquire(words, Y)

    scenario = [lambda words: load_acquire(words, X), both, lambda words: store_release(words, X, 1)]

    def answer(words, dead):
        return words[X], words[Y], bool(dead)

    found = ends(exhaustively, scenario, answer, (0,), announce)
    assert found == ends(without_short_cuts, scenario, answer, (0,), announce)
    assert (1, 0, True) in found


def test_the_death_of_an_owner_may_come_before_and_after_another_tries():
    """CPU 0 owns the mutex at first, and never looks at it."""
    said = set()

    def tries(words):
        said.add(libc.robust_trylock(words._machine, words._machine.address_of(words, X)))

    scenario = [lambda words: load_acquire(words, Y), tries]
    with of_the_last_attempt(said):
        ends(exhaustively, scenario, lambda words, dead: 0, (0,), first=(1, 0, 0))
    assert said == {REFUSED, OWNER_DIED}


def test_the_value_of_a_semaphore_is_read_in_a_step_of_its_own():
    said = set()

    def reads(words):
        load_acquire(words, Y)
        said.add(libc.MODELS["sem_value"](words._machine, words._machine.address_of(words, X)))

    scenario = [reads, lambda words: libc.sem_post(words._machine, words._machine.address_of(words, X))]
    with of_the_last_attempt(said):
        ends(exhaustively, scenario, lambda words, dead: 0)
    assert said == {0, 1}


def test_what_a_death_tells_a_robust_mutex_is_not_forgotten():
    """CPU 1 was refused or told that the owner died, and both CPU 0 and CPU 2, who gives it back, are dead at the end."""

    got = []

    def tries(words):
        return libc.robust_trylock(words._machine, words._machine.address_of(words, X))

    def holds(words):
        tries(words)
        load_acquire(words, Y)

    def asks(words):
        got[:] = [tries(words)]

    def announce(words, i):
        if i == 2:
            store_release(words, X, 0)

    scenario = [holds, asks, lambda words: load_acquire(words, Y)]

    def answer(words, dead):
        return *got, *words, *sorted(dead)

    found = ends(exhaustively, scenario, answer, (0, 2), announce)
    assert found == ends(without_short_cuts, scenario, answer, (0, 2), announce)
