"""What watches a search: what always holds, who holds each lock, what happens before what."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shmkret import locks
from shmkret.arena import records
from shmkret.errors import PluginError
from shmkret.explore import always
from shmkret.explore.engines import states
from shmkret.explore.rehearsal import trial_scenes
from shmkret.explore.scene import Scene
from shmkret.explore.stacks import clocks, control, watching
from shmkret.explore.stacks.executor import Stacks, words_at
from shmkret.locks import LOCK
from shmkret.machines import plain
from shmkret.machines.compiled import watched
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins.registry import find
from shmkret.text import store_release
from shmkret.text.atomics import EQ, NIL, wait_until
from shmkret.text.libc import OWNER_DIED, REFUSED
from shmkret.text.marks import inline

from .programs import MUTEX, NR_CPUS, ROBUST, Programs, W, X, Y, Z
from .worlds import build_of

LENIENT = Path(__file__).parent / "locks" / "lenient.py"

# What always holds, in plain Python.


def told(scheme, spoil=lambda arena: None, lock="ticket", **sizes):
    """What is said of a new arena, once it is spoilt. Two CPUs, two instances of probe 0."""
    scene = Scene("always", World.of(build_of("hot", scheme, lock), Sizes(**{"maxactive": 2, **sizes}), seed=1), done, 2)
    with scene.world.create_arena() as arena:
        spoil(arena)
        answer = always.question(scene)(plain.kernel(scene.world, arena))
        return answer and always.sentence(scene, arena, answer)


@inline
def done(k, cpu):
    pass


def spoilt(section, field, i, value):
    def spoil(arena):
        arena.records(section)[field][i] = value

    return spoil


def both(*spoils):
    return lambda arena: [spoil(arena) for spoil in spoils]


def in_ring(arena, place=0, **ends):
    for end, value in ends.items():
        arena.records("scheme.ring")[end][place] = value


EMPTY = spoilt("probes", "free", 0, NIL)
CHAINED = {
    "no instance": (spoilt("probes", "free", 0, 2), "a list leads to 2, which is no instance"),
    "none below 0 but NIL": (spoilt("probes", "free", 0, -2), "which is no instance"),
    "one behind": (spoilt("instances", "next", 1, 7), "a list leads to 7, which is no instance"),
    "a circle": (spoilt("instances", "next", 1, 0), "probe 0 has more free instances than maxactive"),
    "a bucket and the free list": (spoilt("buckets", "first", 63, 1), "instance 1 is on two lists"),
    "two buckets": (
        both(EMPTY, spoilt("buckets", "first", 0, 1), spoilt("buckets", "first", 9, 1)), "instance 1 is on two lists",
    ),
    "the slab and the free list": (spoilt("registry", "slab", 0, 0), "is on two lists"),
    "a bucket that leads nowhere": (both(EMPTY, spoilt("buckets", "first", 3, 9)), "a list leads to 9, which is no instance"),
    "a bucket that is a circle": (
        both(spoilt("probes", "free", 0, NIL), spoilt("buckets", "first", 3, 1), spoilt("instances", "next", 1, 1)),
        "instance 1 is on two lists, or twice on one",
    ),
    "too many": (spoilt("probes", "maxactive", 0, 1), "probe 0 has more free instances than maxactive"),
}  # fmt: skip
GLOBAL = {
    "the used list": (
        spoilt("scheme.used", "first", 0, 5),
        "the used list of probe 0 leads to what is no instance, or does not",
    ),
    "free and used": (
        spoilt("scheme.used", "first", 0, 1),
        "the used list of probe 0 leads to what is no instance, or does not",
    ),
    "two in hand": (spoilt("probes", "free", 0, NIL), "probe 0 lacks instances"),
}
RINGS = {
    "head behind last": (lambda arena: in_ring(arena, head=3), "ring 0 is not in order"),
    "last behind tail": (lambda arena: in_ring(arena, place=1, last=4), "ring 1 is not in order"),
    "too long": (lambda arena: in_ring(arena, tail=1 + arena.geometry.ring_words), "ring 0 is not in order"),
    "no instance": (lambda arena: spoilt("scheme.slot", "word", 0, 9)(arena), "ring 0 holds what is no instance"),
    "twice": (lambda arena: spoilt("scheme.slot", "word", 0, 1)(arena), "instance 1 is on two lists"),
    "a task has it": (spoilt("scheme.list", "first", 1, 0), "instance 0 is on two lists"),
    "the slab has it": (spoilt("registry", "slab", 0, 0), "instance 0 is on two lists"),
}
CASES = [
    *((scheme, name, *case) for scheme in ("hashed", "rfc", "global") for name, case in CHAINED.items()),
    *(("global", name, *case) for name, case in GLOBAL.items()),
    *(("objpool", name, *case) for name, case in RINGS.items()),
]


@pytest.mark.parametrize(("scheme", "name", "spoil", "words"), CASES, ids=[f"{one[0]}-{one[1]}" for one in CASES])
def test_what_is_wrong_with_lists_at_any_moment_is_said(scheme, name, spoil, words):
    said = told(scheme, spoil)
    assert said, f"always() of {scheme} finds nothing wrong where {name}: {words}"
    assert words in said


@pytest.mark.parametrize("scheme", ["hashed", "rfc", "global", "objpool"])
def test_what_is_half_done_is_right_at_any_moment(scheme):
    """One instance is in hand; its word is anything."""
    assert told(scheme) == 0
    if scheme != "objpool":
        assert told(scheme, both(spoilt("probes", "free", 0, 1), spoilt("instances", "next", 0, 1))) == 0


def test_of_a_probe_that_is_not_registered_instances_may_be_anywhere():
    gone = both(spoilt("probes", "registered", 0, records.UNREGISTERED), spoilt("probes", "free", 0, NIL))
    assert told("global", gone) == 0


@pytest.mark.parametrize("scheme", ["hashed", "objpool"])
def test_more_instances_than_a_word_has_bits_are_all_looked_at(scheme):
    """Those of the second pass, and a circle that the first does not see."""
    assert told(scheme, maxactive=150) == 0
    last = spoilt("instances", "next", 149, 130)
    if scheme == "hashed":
        assert "has more free instances than maxactive" in told(scheme, last, maxactive=150)
    assert "instance 149 is on two lists" in told(scheme, spoilt("registry", "slab", 0, 149), maxactive=150)


@pytest.mark.parametrize(
    ("lock", "spoil", "words"),
    [
        ("ticket", spoilt("locks", "next", 0, 3), "more tickets of lock locks[0] are drawn than there are CPUs"),
        ("ticket", spoilt("table_locks", "owner", 5, 1), "lock table_locks[5] serves a ticket that nobody has drawn"),
        ("owner", spoilt("system_locks", "owner", 1, 3), "the word of lock system_locks[1] names a CPU that there is not"),
        ("owner", spoilt("locks", "owner", 0, -1), "the word of lock locks[0] names a CPU that there is not"),
        ("sem", spoilt("locks", "sem", 0, 2), "the semaphore of lock locks[0] is more than 1"),
    ],
)
def test_what_is_wrong_with_a_lock_at_any_moment_is_said(lock, spoil, words):
    assert told("hashed", spoil, lock) == words
    assert told("hashed", lock=lock) == 0


def test_a_lock_is_right_at_the_edge_of_what_may_be():
    most = both(spoilt("locks", "next", 0, -(1 << 63) + 1), spoilt("locks", "owner", 0, (1 << 63) - 1))
    assert told("hashed", most) == 0
    assert told("hashed", spoilt("locks", "owner", 0, 2 | 1 << 31), "owner") == 0
    assert told("hashed", spoilt("locks", "sem", 0, 1 | 1 << 32), "sem") == 0


def test_a_number_without_a_sentence_is_said_so():
    scene = Scene("none", World.of(build_of("hot", "hashed", "ttas"), seed=1), done, 2)
    assert always.sentence(scene, None, always.FROM_SCENE | 3) == ("always() has answered 3, and ALWAYS has no such sentence")


# What always holds, in a search.


@inline
def two_stores(k, cpu):
    store_release(k.script.word, cpu, 1)
    store_release(k.script.word, cpu, 2)


@inline
def not_both(k):
    if k.script.word[0] == 1 and k.script.word[1] == 1:
        return 1
    return 0


def scene_of(sentences=("both are 1",)):
    world = World(build_of(nr_cpus=2), Sizes(maxactive=2), np.zeros(4, np.int64))
    return Scene("two-stores", world, two_stores, 2, ("script",), always=not_both, sentences=sentences)


def searched(scene, monitors=watching.USUAL):
    with Stacks(scene, 1 << 14, monitors=monitors) as stacks:
        outcome = states.search(stacks, 1 << 40, 60.0)
        for violation in outcome.violations:
            assert [choice for choice, _ in stacks.replay(violation.schedule)] == violation.schedule
            assert stacks.judge() == [violation.what]
        return outcome


def test_a_scene_is_asked_at_every_new_state_and_its_sentence_is_said():
    (found,) = searched(scene_of()).violations
    assert found.what == "both are 1"
    assert sorted(found.schedule) == [0, 1]
    assert found.preemptions == 1
    assert searched(scene_of(), ()).complete


def test_an_end_is_a_state_as_well():
    @inline
    def only_at_the_end(k):
        return 1 | 7 << 8 if k.script.word[0] == 2 and k.script.word[1] == 2 else 0

    (found,) = searched(replace(scene_of(("both are {}",)), name="at-end", always=only_at_the_end)).violations
    assert found.what == "both are 7"
    assert len(found.schedule) == 4


def test_a_question_that_does_not_compile_is_refused_with_its_line():
    @inline
    def wrong(k):
        return k.script.nothing[0]

    with pytest.raises(PluginError, match=r"asked of every state does not compile: .*test_watching.py:\d+"):
        Stacks(replace(scene_of(), name="wrong", always=wrong), 1 << 14)


SAYS_WHAT_HOLDS = '''"""A lock that says that it is never held."""
from typing import NamedTuple
from shmkret.text import EQ, Words, exchange, store_release, wait_until

ALWAYS = ("lock {} is held",)

class Says(NamedTuple):
    locked: Words

def acquire(lock: Says, i: int) -> None:
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)

def release(lock: Says, i: int) -> None:
    store_release(lock.locked, i, 0)

def always(lock: Says, i: int, nr: int) -> int:
    return 1 if lock.locked[i] != 0 else 0
'''


def test_a_lock_that_is_searched_by_itself_is_asked_what_always_holds(tmp_path):
    (tmp_path / "says.py").write_text(SAYS_WHAT_HOLDS)
    scene = trial_scenes.scene_of(find(LOCK, str(tmp_path / "says.py")), "acquire", 2, 1)
    with Stacks(scene, 1 << 14) as stacks:
        found = states.search(stacks, 1 << 40, 60.0).violations
    assert [violation.what for violation in found] == ["lock locks[0] is held"]


def test_where_locks_alone_are_searched_no_scheme_is_asked_and_a_lock_that_says_nothing_neither():
    scene = trial_scenes.scene_of(find(LOCK, "ttas"), "acquire", 2, 1)
    assert always.question(scene) is None
    assert always.question(replace(scene, only_locks=False)) is not None
    asks = always.question(trial_scenes.scene_of(find(LOCK, "ticket"), "acquire", 2, 1))
    assert asks is not None


# Who holds each lock.

STEPS = 6
OPS = (
    "end", "acquire", "release", "try", "share", "give back", "unless", "reset", "free", "take over", "robust", "try robust",
    "wait", "tell", "deny",
)  # fmt: skip


@inline
def on_locks(k, cpu):
    """What CPU `cpu` does: an operation, and a lock, each a word; who announces a death does nothing."""
    at = 2 * STEPS * cpu
    word = k.script.word
    while cpu < 3 and word[at] != 0:
        op = word[at]
        i = word[at + 1]
        at += 2
        if op == 1:
            locks.acquire(k.other_locks, i, cpu)
        elif op == 2:
            locks.release(k.other_locks, i, cpu)
        elif op == 3:
            locks.try_acquire(k.other_locks, i, cpu)
        elif op == 4:
            locks.acquire_shared(k.other_locks, i, cpu)
        elif op == 5:
            locks.release_shared(k.other_locks, i, cpu)
        elif op == 6:
            locks.acquire_unless(k.other_locks, i, k.run.gate, cpu)
        elif op == 7:
            locks.reset(k.other_locks, i, cpu)
        elif op == 8:
            locks.reset(k.other_locks, i, NIL)
        elif op == 9:
            locks.take_over(k.other_locks, i, 0, cpu)
        elif op == 10:
            locks.acquire_robust(k.other_locks, i, cpu)
        elif op == 11:
            locks.try_acquire_robust(k.other_locks, i, cpu)
        elif op == 12:
            wait_until(k.buckets.first, i, EQ, 7)
        elif op == 13:
            store_release(k.buckets.first, i, 7)
        elif op == 14:
            store_release(k.other_locks.word, i, 1)


@pytest.fixture(scope="module")
def lenient():
    """said(program, answers=(0, 0, 0), dies=0, **begin): what is wrong, all of it; of locks that say what they are told to."""
    yield from _searches(["holders"])


@pytest.fixture(scope="module")
def ordered_locks():
    """The same of the order in which they are taken; of what else is wrong, nothing."""
    searches = _searches(["order"])
    said = next(searches)
    yield lambda *args, **begin: {sentence for sentence in said(*args, **begin) if "deadlock" in sentence}
    searches.close()


def _searches(monitors, lock=str(LENIENT)):
    world = World(build_of(nr_cpus=3, lock=lock), Sizes(maxactive=2, probes=3), np.zeros(6 * STEPS, np.int64))
    scene = Scene("on-locks", world, on_locks, 3, mortal=(0,), deaths=1, check=lambda *_: [])
    with Stacks(scene, 1 << 14, monitors=monitors) as stacks:

        def said(program, answers=(0, 0, 0), dies=0, **begin):
            words = np.zeros((3, STEPS, 2), np.int64)
            for cpu, own in enumerate(program):
                for n, (op, i) in enumerate(own):
                    words[cpu, n] = OPS.index(op), i
            stacks.arena.records("script")["word"] = words.reshape(-1)
            stacks.arena.records("locks")["word"] = [*answers, 0][:3]
            stacks._first = bytes(stacks.arena._map)
            stacks._shared.clear()
            words_at(stacks._users, stacks.arena.size // 8)[:] = 0
            stacks.begin(mortal=dies, deaths=dies, **begin)
            found = set()
            while (status := stacks.descend(1 << 40)) != control.FINISHED:
                if status in control.WRONG:
                    found.add(stacks.describe(status))
            return found

        said.stacks = stacks
        yield said


TAKEN, GIVEN = "cpu {}: it has taken locks[{}].word, which {} holds", "cpu {}: it gives back locks[{}].word, which {} holds"
ONE = {TAKEN.format(1, 0, "cpu 0"), TAKEN.format(0, 0, "cpu 1")}
ON_LOCKS = {
    "two take it": ([[("acquire", 0)], [("acquire", 0)]], ONE),
    "one tries": ([[("acquire", 0)], [("try", 0)]], ONE),
    "one waits unless": ([[("unless", 0)], [("acquire", 0)]], ONE),
    "one is told nothing": ([[("acquire", 0)], [("robust", 0)]], ONE),
    "one is told nothing as it tries": ([[("try robust", 0)], [("acquire", 0)]], ONE),
    "one reads beside it": ([[("acquire", 0)], [("share", 0)]], ONE),
    "it takes it twice": ([[("acquire", 1), ("acquire", 1)]], {TAKEN.format(0, 1, "cpu 0")}),
    "two give it back": ([[("acquire", 0), ("release", 0), ("release", 0)]], {GIVEN.format(0, 0, "nobody")}),
    "another gives it back": (
        [[("acquire", 1)], [("acquire", 0), ("release", 1)]], {GIVEN.format(1, 1, "cpu 0"), GIVEN.format(1, 1, "nobody")},
    ),
    "a reader gives it back that is none": ([[("give back", 0)]], {GIVEN.format(0, 0, "nobody")}),
    "a reader gives it back as a writer": ([[("share", 0), ("release", 0)]], {GIVEN.format(0, 0, "cpu 0")}),
    "two read beside one": (
        [[("share", 0), ("share", 1)], [("share", 0), ("share", 1)], [("share", 0), ("acquire", 1)]],
        {
            TAKEN.format(2, 1, "cpu 0"), TAKEN.format(2, 1, "cpu 1"), TAKEN.format(2, 1, "cpu 0 and cpu 1"),
            TAKEN.format(0, 1, "cpu 2"), TAKEN.format(1, 1, "cpu 2"),
        },
    ),
    "it has it already": (
        [[("reset", 0), ("acquire", 1), ("take over", 1), ("acquire", 1)]], {TAKEN.format(0, 1, "cpu 0")},
    ),
}  # fmt: skip
RIGHT_LOCKS = {
    "one after the other": [[("acquire", 0), ("release", 0), ("acquire", 0), ("release", 0)]],
    "two locks": [[("acquire", 0)], [("acquire", 1)]],
    "readers": [[("share", 0), ("give back", 0)]] * 3,
    "reset to it": [[("reset", 0), ("release", 0), ("acquire", 0), ("free", 0), ("acquire", 0)]],
    "taken over": [[("acquire", 0), ("take over", 0), ("release", 0)]],
}


@pytest.mark.parametrize(("program", "wrong"), ON_LOCKS.values(), ids=ON_LOCKS)
def test_of_two_inside_and_of_who_gives_back_what_is_not_his_it_is_said(lenient, program, wrong):
    assert lenient(program) == wrong


@pytest.mark.parametrize("program", RIGHT_LOCKS.values(), ids=RIGHT_LOCKS)
def test_who_holds_a_lock_rightly_is_not_told_of(lenient, program):
    assert lenient(program) == set()


def test_who_has_not_got_a_lock_does_not_hold_it(lenient):
    """The lock says no, or that its owner died, or that a live CPU has it."""
    for op in ("try", "unless", "take over"):
        assert lenient([[("acquire", 0)], [(op, 0)]], answers=(1, 1)) == set()
    assert lenient([[("acquire", 0)], [("try robust", 0)]], answers=(REFUSED, 0)) == set()


def test_what_the_dead_held_is_had_by_who_is_told_alone(lenient):
    untold = {"cpu 1: it has taken locks[0].word, in which cpu 0 died, and is not told"}
    program = [[("acquire", 0), ("acquire", 1)], [("robust", 0)]]
    assert untold <= lenient(program, dies=1)
    assert not untold & lenient(program, answers=(OWNER_DIED, 0), dies=1)
    alive = {TAKEN.format(1, 0, "cpu 0")}
    assert alive <= lenient(program, answers=(OWNER_DIED, 0), dies=1)
    assert untold & lenient([program[0], [("acquire", 0)]], dies=1)
    assert not untold & lenient([program[0], [("take over", 0)]], dies=1)


# First come, first served.

OVERTAKES = "cpu {}: it has taken locks[0].word before cpu {}, though first come is first served there: that had queued before"


@pytest.fixture(scope="module")
def queued(tmp_path_factory):
    """As `lenient`, of a lock that says it is FIFO, whose doorway changes nothing, and which lets everybody in after that."""
    path = tmp_path_factory.mktemp("locks") / "queued.py"
    text = (
        LENIENT.read_text()
        .replace("CONTROL = True", "CONTROL = FIFO = True")
        .replace("import Words,", "import Words, fetch_add,")
    )
    for verb in ("acquire(lock: Lenient, i: int) -> None:\n", "acquire_unless(lock: Lenient, i: int, stop: Words) -> bool:\n"):
        text = text.replace(f"def {verb}", f"def {verb}    fetch_add(lock.word, i, 0)\n")
    path.write_text(text)
    yield from _searches(["fifo"], str(path))


def follows(queued, program, schedule, **how):
    """What is wrong after a schedule, in which nothing is before."""
    queued(program, **how)
    stacks = queued.stacks
    stacks.begin(mortal=1, deaths=1)
    assert all(map(stacks.follow, schedule))
    return stacks.judge()


def test_who_comes_after_another_has_queued_goes_after_it(queued):
    """CPU 0 does its doorway in its first step; CPU 1 comes in its first, and does its doorway in its second."""
    program = [[("acquire", 0), ("release", 0)], [("deny", 2), ("acquire", 0)]]
    (wrong,) = follows(queued, program, (0, 1, 1, 1))
    assert wrong.startswith(OVERTAKES.format(1, 0))
    assert follows(queued, program, (1, 0, 1, 1)) == []  # it has come before
    assert follows(queued, program, (1, 1, 1)) == []  # the other has not queued
    assert follows(queued, program, (0, 1, 0, 0, 1, 1)) == []  # the other was served
    assert follows(queued, program, (0, 1, 3, 1, 1)) == []  # the other is dead
    assert follows(queued, [[("acquire", 1)], program[1]], (0, 1, 1, 1)) == []  # it waits for another lock
    assert follows(queued, [[("unless", 0)], program[1]], (0, 1, 0, 1, 1), answers=(1, 0, 0)) == []  # it has given up
    (wrong,) = follows(queued, [[("unless", 0)], program[1]], (0, 1, 1, 1), answers=(1, 0, 0))
    assert wrong.startswith(OVERTAKES.format(1, 0))


def test_who_had_queued_before_whom_is_part_of_the_state(queued):
    """Two ways lead to the same words and stacks: the wrong one is found whichever is tried first."""
    first, later = [("acquire", 0), ("release", 0)], [("deny", 2), ("acquire", 0)]
    for program, who in (([first, later], (1, 0)), ([later, first], (0, 1))):
        assert any(wrong.startswith(OVERTAKES.format(*who)) for wrong in queued(program))
        assert not any("before" in wrong for wrong in queued([first, first]))


def fifo(lock, cpus, rounds):
    with Stacks(trial_scenes.scene_of(lock, "acquire", cpus, rounds), 1 << 20, monitors=["fifo"]) as stacks:
        return states.search(stacks, 1 << 40, math.inf)


@pytest.mark.parametrize(
    ("name", "cpus", "rounds"),
    [("ticket", 2, 2), *(pytest.param(name, 2, 2, marks=pytest.mark.full) for name in ("mcs", "clh"))],
)
def test_a_lock_that_is_fifo_serves_who_comes_first(name, cpus, rounds):
    lock = find(LOCK, name)
    assert lock.constants.fifo
    assert fifo(lock, cpus, rounds).complete


def test_a_lock_that_says_it_is_fifo_and_is_not_is_refuted(tmp_path):
    path = tmp_path / "unfair.py"
    path.write_text(find(LOCK, "ttas").path.read_text() + "\n\nFIFO = True\n")
    (found,) = fifo(find(LOCK, str(path)), 2, 2).violations
    assert "though first come is first served there" in found.what


# In which order locks are taken.

ONE_THEN = [("acquire", 0), ("acquire", 1), ("release", 1), ("release", 0), ("tell", 0)]
OTHER_FIRST = [("wait", 0), ("acquire", 1), ("acquire", 0)]
ORDER = "cpu {}: it has taken locks[{}].word while it holds locks[{}].word, and locks[{}].word is taken before {} elsewhere: a "
A_CIRCLE = {ORDER.format(1, 0, 1, 0, "locks[1].word") + "deadlock may be"}


def after(verb, i=0):
    return [ONE_THEN, [*OTHER_FIRST[:2], (verb, i)]]


def test_two_orders_are_told_of_though_the_two_never_meet(ordered_locks):
    assert ordered_locks([ONE_THEN, OTHER_FIRST]) == A_CIRCLE
    assert ordered_locks([ONE_THEN, OTHER_FIRST], of_path=0) == A_CIRCLE
    for verb in ("unless", "robust"):
        assert ordered_locks(after(verb)) == A_CIRCLE
    told = (OWNER_DIED, 0, 0)
    dies = [[("acquire", 0), ("acquire", 1), ("release", 1)], [("acquire", 1), ("robust", 0)]]
    assert ordered_locks(dies, told, dies=1) == A_CIRCLE


def test_three_orders_that_go_round_are_told_of_and_the_way_round(ordered_locks):
    program = [[("acquire", n), ("acquire", (n + 1) % 3)] for n in range(3)]
    cpu = [*program[0], ("release", 1), ("release", 0), ("tell", 0)]
    then = [("wait", 0), *program[1], ("release", 2), ("tell", 1)]
    ways = "locks[1].word, and that before locks[2].word"
    assert ordered_locks([cpu, then, [("wait", 1), *program[2]]]) == {ORDER.format(2, 0, 2, 0, ways) + "deadlock may be"}


SAME_ORDER = {
    "one order": [ONE_THEN, [("wait", 0), ("acquire", 0), ("acquire", 1)]],
    "one after the other": [ONE_THEN, [("wait", 0), ("acquire", 1), ("release", 1), ("acquire", 0)]],
    "who tries does not wait": after("try"),
    "nor who tries a robust lock": after("try robust"),
    "nor who recovers": after("take over"),
    "nor who is given it": after("reset"),
    "readers": after("share"),
    "beside readers": [ONE_THEN, [("wait", 0), ("share", 1), ("acquire", 0)]],
    "a lock that it has": [[("acquire", 0), ("acquire", 0)]],
    "another's locks": [[("acquire", 0), ("tell", 0)], [("acquire", 1), ("wait", 0)], [("acquire", 2)]],
}


@pytest.mark.parametrize("program", SAME_ORDER.values(), ids=SAME_ORDER)
def test_one_order_is_not_told_of(ordered_locks, program):
    for of_path in (0, 1):
        assert ordered_locks(program, of_path=of_path) == set()


def test_orders_are_of_the_whole_search_or_of_the_path(ordered_locks):
    """CPU 0 has lock 0 before lock 1 where it is let in, and lock 1 before lock 0 where it is not."""
    program = [[("unless", 0), ("acquire", 1), ("acquire", 0)], [("deny", 0)]]
    other = ORDER.format(0, 0, 1, 0, "locks[1].word"), ORDER.format(0, 1, 0, 1, "locks[0].word")
    assert ordered_locks(program, of_path=0) & {f"{one}deadlock may be" for one in other}
    assert ordered_locks(program, of_path=1) == set()


def test_who_holds_what_is_told_step_by_step_and_put_back(lenient):
    lenient([[("acquire", 0), ("acquire", 1), ("release", 0)], [("share", 1)]])
    stacks = lenient.stacks
    stacks.begin(mortal=0, deaths=0)
    seen = []
    for _ in range(4):
        seen.append(watching.held(stacks))
        stacks.follow(0)
    assert seen == [{}, {"locks[0].word": [0]}, {"locks[1].word": [0]}, {"locks[1].word": [0]}]


# What happens before what.


@pytest.fixture(scope="module")
def ordered():
    """find(program, ...), with clocks; nothing is known of how words are used."""
    search = Programs(monitors=["clocks"])

    def find(*args, **how):
        own = search.stacks.watching
        words_at(own.numbers, (search.stacks.arena.size + watched.CONTROL_BYTES) // 8)[:] = 0
        for word in (control.NR_PLAIN, control.NR_SYNC, control.FENCES, control.CROWDED):
            search.stacks.put(word, 0)
        return search.find(*args, **how)

    find.search = search
    return find


def races(found):
    return {wrong for wrong in found.wrong if "data race" in wrong}


PASSES = [("wait", Y, 1), ("read", X)]
IF_SEEN = [("load relaxed", Y), ("unless seen", 9, 1)]
"""What comes then, if 1 is seen; there is no operation 9."""
UNORDERED = {
    "a relaxed store carries nothing": [[("write", X, 1), ("store relaxed", Y, 1)], PASSES],
    "a relaxed load gets nothing": [[("write", X, 1), ("store", Y, 1)], [*IF_SEEN, ("read", X)]],
    "a relaxed store ends what was carried": [
        [("write", X, 1), ("store", Y, 2), ("store relaxed", Y, 1)], PASSES,
    ],
    "another's release ends it": [
        [("write", X, 1), ("store", Y, 1)], [*IF_SEEN, ("store", Y, 2)], [("wait", Y, 2), ("read", X)],
    ],
    "an addition that comes late": [
        [("write", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("add", Y, 1)], [("wait", Y, 2), ("read", X)],
    ],
    "a cmpxchg that fails gives nothing": [
        [("write", X, 1), ("cmpxchg", W, 5, 6), ("store relaxed", Y, 1)], [("wait", Y, 1), ("load", W), ("read", X)],
    ],
    "a semaphore is given before": [
        [("up", Z), ("write", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("down", Z), ("read", X)],
    ],
    "a semaphore that is not had": [
        [("write", X, 1), ("up", Z), ("down", Z), ("store relaxed", Y, 1)], [("wait", Y, 1), ("try down", Z), ("read", X)],
    ],
    "a mutex that is not had": [
        [("write", X, 1), ("lock", MUTEX), ("unlock", MUTEX), ("lock", MUTEX), ("store relaxed", Y, 1)],
        [("wait", Y, 1), ("try lock", MUTEX), ("read", X)],
    ],
    "sleeping gives no order": [[("sleep", Y, 0), ("read", X)], [("write", X, 1), ("wake", Y, 1)]],
    "a fence that comes too early": [[("fence",), ("write", X, 1), ("store relaxed", Y, 1)], PASSES],
    "a fence on one side alone": [[("write", X, 1), ("fence",), ("store relaxed", Y, 1)], [*IF_SEEN, ("read", X)]],
    "a write after a read": [[("read", X), ("store relaxed", Y, 1)], [("wait", Y, 1), ("write", X, 1)]],
    "a second reader": [
        [("read", X), ("store", Y, 1)], [("wait", Y, 1), ("read", X), ("store relaxed", Z, 1)],
        [("wait", Z, 1), ("write", X, 1)],
    ],
    "a read that comes again": [
        [("read", X), ("store", Y, 1), ("read", X), ("store relaxed", Z, 1)], [("wait", Z, 1), ("wait", Y, 1), ("write", X, 1)],
    ],
    "an atomic write, then a plain read": [[("store", X, 1), ("store relaxed", Y, 1)], PASSES],
    "an atomic read, then a plain write": [[("load", X), ("store relaxed", Y, 1)], [("wait", Y, 1), ("write", X, 1)]],
    "a plain write, then an atomic read": [[("write", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("load", X)]],
    "a plain read, then an atomic write": [[("read", X), ("store relaxed", Y, 1)], [("wait", Y, 1), ("add", X, 1)]],
    "a wait that is told to stop": [
        [("write", W, 1), ("store relaxed", X, 1)], [("wait unless", Y, 1), ("read", W)],
    ],
    "it shows on the second way to a state": [
        [("store relaxed", Y, 1), ("store relaxed", W, 1)],
        [("write", X, 1), ("store", Y, 1), ("store relaxed", Z, 1)],
        [("wait", W, 1), ("wait", Z, 1), ("load", Y), ("read", X)],
    ],
}  # fmt: skip
FIRST_WORD = {"a wait that is told to stop": W}


@pytest.mark.parametrize("name", UNORDERED)
def test_a_race_of_accesses_that_are_never_about_to_happen_at_once_is_found(ordered, name):
    found = ordered(UNORDERED[name])

    assert any(
        f"data race on buckets[{FIRST_WORD.get(name, X)}].first" in one and "nothing orders" in one for one in found.wrong
    )


ORDERED = {
    "a release store": [[("write", X, 1), ("store", Y, 1)], PASSES],
    "an acquire load": [[("write", X, 1), ("store", Y, 1)], [("load", Y), ("unless seen", 9, 1), ("read", X)]],
    "an addition goes on with it": [
        [("write", X, 1), ("store", Y, 1)], [*IF_SEEN, ("add", Y, 1)], [("wait", Y, 2), ("read", X)],
    ],
    "an exchange": [[("write", X, 1), ("exchange", Y, 1)], [("wait", Y, 1), ("read", X)]],
    "a cmpxchg": [[("write", X, 1), ("cmpxchg", Y, 0, 1)], [("wait", Y, 1), ("read", X)]],
    "a cmpxchg that fails gets what is there": [
        [("write", X, 1), ("store", Y, 1)], [("cmpxchg", Y, 7, 8), ("unless seen", 9, 1), ("read", X)],
    ],
    "a semaphore": [[("write", X, 1), ("up", Y)], [("down", Y), ("read", X)]],
    "a semaphore that is tried": [[("write", X, 1), ("up", Y)], [("try down", Y), ("unless seen", 9, 1), ("read", X)]],
    "a semaphore made anew": [[("write", X, 1), ("reset", Y, 1)], [("down", Y), ("read", X)]],
    "a mutex": [[("lock", MUTEX), ("read", X), ("write", X, 1), ("unlock", MUTEX)]] * 2,
    "a mutex that is tried": [[("try lock", MUTEX), ("unless seen", 9, 1), ("write", X, 1), ("unlock", MUTEX)]] * 2,
    "fences on both sides": [
        [("write", X, 1), ("fence",), ("store relaxed", Y, 1)], [*IF_SEEN, ("fence",), ("read", X)],
    ],
    "a fence, and a wait": [[("write", X, 1), ("fence",), ("store relaxed", Y, 1)], PASSES],
    "two hops": [[("write", X, 1), ("store", Y, 1)], [("wait", Y, 1), ("store", Z, 1)], [("wait", Z, 1), ("write", X, 2)]],
    "atomics alone": [[("store", X, 1), ("store relaxed", X, 2)], [("load relaxed", X), ("add", X, 1)]],
    "two read": [[("read", X)], [("read", X)]],
    "two words": [[("write", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("read", Z)]],
    "a wait that was not told to stop": [
        [("write", W, 1), ("store", Y, 1)], [("wait unless", Y, 1), ("unless seen", 9, 1), ("read", W)],
    ],
    "a stop word carries it": [[("write", W, 1), ("store", X, 1)], [("wait unless", Y, 1), ("read", W)]],
    "a plain word that is used atomically in order": [[("write", X, 1), ("store", Y, 1)], [("wait", Y, 1), ("add", X, 1)]],
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERED)
def test_what_is_ordered_is_no_race(ordered, name):
    found = ordered(ORDERED[name])

    assert races(found) == set()
    assert found.ends


@pytest.mark.parametrize(("mutex", "word", "told"), [("lock", MUTEX, False), ("robust", ROBUST, True)])
def test_a_robust_mutex_of_the_dead_passes_on_what_they_knew_and_another_does_not(ordered, mutex, word, told):
    """Who tries a plain one is refused, and was told of nothing: the relaxed load of what was announced gets nothing."""
    program = [[(mutex, word), ("write", X, 1), ("load", Z)], [*IF_SEEN, (f"try {mutex}", word), ("read", X)]]
    found = ordered(program, [[("store", Y, 1)]] * NR_CPUS, mortal=(0,))
    assert bool(races(found)) != told


def test_what_the_dead_knew_goes_to_who_hears_of_it(ordered):
    program = [[("write", X, 1), ("load", W)], [("wait", Z, 1), ("read", X)]]
    found = ordered(program, [[("store", Z, 1)]] * NR_CPUS, mortal=(0,))
    assert races(found) == set()
    assert found.ends
    hears_otherwise = [program[0], [("wait", Z, 1), ("read", X)], [*IF_SEEN, ("store", Z, 1)]]
    assert races(ordered(hears_otherwise, [[("store", Y, 1)]] * NR_CPUS, mortal=(0,)))


def test_who_has_a_robust_mutex_of_the_dead_knows_what_they_knew(ordered):
    program = [[("robust", ROBUST), ("write", X, 1), ("load", Y)], [("robust", ROBUST), ("read", X)]]
    found = ordered(program, mortal=(0,))
    assert races(found) == set()
    assert found.ends


def test_more_words_than_can_be_followed_end_a_search_that_says_so(ordered, monkeypatch):
    ordered(ORDERED["a mutex"])
    search = ordered.search
    search.load([[("write", X, 1), ("store", Y, 1)], PASSES])
    words_at(search.stacks.watching.numbers, search.stacks.arena.size // 8)[:] = 0
    search.stacks.put(control.NR_PLAIN, clocks.MOST_PLAIN)
    outcome = states.search(search.stacks, 1 << 40, 60.0)
    assert (outcome.complete, outcome.gave_up) == (False, "clocks follow no more words")


def test_two_ways_that_end_in_the_same_knowledge_are_one_state(ordered):
    """What all know is forgotten, and who has ended knows nothing: clocks make no states where all is ordered at last."""
    program = [[("lock", MUTEX), ("read", X), ("write", X, 1), ("unlock", MUTEX)]] * 2
    ordered(program)
    many = ordered.search.stacks.get(control.STATES)
    without = Programs()
    without.find(program)
    assert many <= without.stacks.get(control.STATES) + 4
