"""Each lock by itself: every ability, under every interleaving; alone between processes; and what a lock's file must have.

tests/locks/ has locks for the abilities that none of shmkret's own has, one with a table of every domain, and two wrong ones.
"""

import os
import re
import signal
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmkret.cli.main import main
from shmkret.conformance import lock_suite
from shmkret.errors import PluginError
from shmkret.explore.rehearsal import trials
from shmkret.explore.scenario import Scenario
from shmkret.explore.schedule import explore
from shmkret.explore.snapshot import Snapshot
from shmkret.host import topology
from shmkret.locks import LOCK, acquire, release
from shmkret.machines import native, plain
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.measure.cell import Cell
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.moves import intents
from shmkret.plugins.registry import find
from shmkret.text import atomics, inline
from shmkret.text.atomics import NIL

from .conftest import needs_two_cores
from .worlds import HERE, SOUND, build_of, one_round_each

OWN = ("rwlock", "seqlock", "combining", "every_table", "sleeping")
LARGE = {
    ("mcs", "gate"): [(2, 2, 1), (3, 1, 1)],
    ("mcs", "repair"): [(2, 2, 1), (3, 1, 1)],
    ("clh", "gate"): [(2, 2, 1), (3, 1, 1)],
    ("clh", "repair"): [(3, 1, 1)],
    ("ticket", "gate"): [(3, 1, 1)],
    ("ttas", "gate"): [(3, 1, 1)],
    ("ttas", "repair"): [(3, 1, 1)],
    ("sem-named", "gate"): [(3, 1, 1)],
    ("owner", "acquire"): [(3, 1, 1)],
    ("owner", "give up"): [(3, 1, 1)],
    ("owner", "take over"): [(2, 2, 1)],
    ("sleeping", "acquire"): [(3, 1, 1)],
    ("combining", "combine"): [(2, 2, 1), (3, 1, 1)],
}
"""Three seconds and more each on greenlets: they are searched compiled, by tests/test_trial_scenes.py. `combine` cannot be, and
is left out of the short selection.
"""


SLOW = {("owner", "give up", (2, 2, 1)), ("ttas", "gate", (2, 2, 1)), ("ticket", "gate", (2, 2, 1))}
"""As three CPUs that die, left out of the short selection: the same trial is there with fewer rounds, or of another lock."""


def lock_of(name):
    """A lock by its name, one of shmkret's or of this folder's."""
    return find(LOCK, name if name in SOUND else str(HERE / "locks" / f"{name}.py"))


def every_trial():
    for name in (*SOUND, *OWN):
        for trial in trials.of(lock_of(name).abilities):
            for size in trials.sizes(trial):
                is_large = size in LARGE.get((name, trial), []) or (name, trial, size) == ("owner", "take over", (3, 1, 1))
                is_slow = (trial in ("gate", "repair") and size[0] > 2) or (name, trial, size) in SLOW
                marks = [pytest.mark.full] if is_large or is_slow else []
                if not is_large or trial == "combine":
                    yield pytest.param(name, trial, size, marks=marks, id=f"{name}-{trial}-{'x'.join(map(str, size))}")


@pytest.mark.parametrize(("name", "trial", "size"), list(every_trial()))
def test_a_lock_does_what_it_says_under_every_interleaving(name, trial, size):
    outcome = trials.tried(lock_of(name), trial, *size)

    assert [v.what for v in outcome.violations] == []
    assert outcome.complete


def test_every_trial_has_a_lock_that_is_tried_in_it():
    assert {trial for name in (*SOUND, *OWN) for trial in trials.of(lock_of(name).abilities)} == set(trials.TRIALS)


def test_critical_sections_of_a_lock_that_does_not_combine_are_run_by_their_own_cpus():
    """The default of apply(), which is true of every lock."""
    ttas = lock_of("ttas")
    assert not ttas.can("combine")
    for size in trials.sizes("combine"):
        outcome = trials.tried(ttas, "combine", *size)
        assert (outcome.violations, outcome.complete) == ([], True)


# What is wrong must be caught: two controls, two locks of this folder, and sound ones with one step left out.


@pytest.mark.parametrize(
    ("name", "words"), [("busted", "inside"), ("empty", "inside"), ("noop", "inside"), ("only_first", "inside lock 1")]
)
def test_a_lock_that_lets_two_in_is_caught(name, words):
    plugin = find(LOCK, name) if name in ("busted", "empty") else lock_of(name)
    found = [v.what for size in trials.sizes("acquire") for v in trials.tried(plugin, "acquire", *size).violations]

    assert any(words in what for what in found), found
    assert len(found) == (1 if name == "only_first" else 3)


def test_conformance_tries_a_lock_by_itself_too():
    """Two calls that are rehearsed have a bucket lock each and share the first probe's, which this one does guard."""
    suite = lock_suite(lock_of("only_first").path)()
    (marks,) = suite.test_it_does_by_itself_what_it_can.pytestmark
    tried = [case.values for case in marks.args[1]]

    assert tried == [("acquire", size) for size in trials.sizes("acquire")]
    with pytest.raises(pytest.fail.Exception, match="inside lock 1"):
        suite.test_it_does_by_itself_what_it_can(*tried[-1])
    marked = lock_suite("ttas").test_it_does_by_itself_what_it_can.pytestmark[0].args[1]
    assert {case.values[0] for case in marked} == {"acquire", "try", "gate", "repair"}


UNLESS = "(lock.locked, i, EQ, 0, stop):\n            return "
OWNER_UNLESS = "(lock.owner, i, EQ, 0, stop):\n            return "
SERVED = "store_release(lock.slot.asks, at, 2)"
ANSWERED = "lock.slot.answer[at] = enter(section, k, lock.slot.arg[at])"
RECORD = "    store_release(lock.node."
ANY = "inside|deadlock|free|idle|cannot"
MUTANTS = [
    # An MCS that neither waits for who came behind it nor leaves the lock to it; a CLH that keeps a node that is waited on.
    ("mcs", "acquire", "following = cmpxchg(lock.node.next, cpu, 0, GONE)", "return", "deadlock"),
    ("clh", "acquire", "    lock.cpu.own[cpu] = lock.cpu.before[cpu]\n", "", ANY),
    ("ticket", "acquire", "store_release(lock.owner, i, add64(lock.owner[i], 1))", "lock.owner[i] += 1", "data race"),
    ("ttas", "acquire", "    store_release(lock.locked, i, 0)\n", "    pass\n", "deadlock"),
    # A try that fails and leaves a ticket behind; one that succeeds beside another; one that never does.
    ("ticket", "try", "cmpxchg(lock.next, i, serving, add64(serving, 1))", "fetch_add(lock.next, i, 1)", "does not get it"),
    ("ttas", "try", "return exchange(lock.locked, i, 1) == 0", "return True", "inside"),
    ("ttas", "try", "return exchange(lock.locked, i, 1) == 0", "return False", "which is free, and does not get it"),
    ("ttas", "try", "return exchange(lock.locked, i, 1) == 0", "acquire(lock, i); return True", "which is held, and waits"),
    # Told to stop, it says that it has the lock. A reset to nobody, whoever has it; to somebody, though nobody has.
    ("ttas", "gate", f"{UNLESS}False", f"{UNLESS}True", "inside"),
    ("ttas", "gate", "0 if owner == NIL else 1", "0", "inside"),
    ("ttas", "gate", "0 if owner == NIL else 1", "1", "not free"),
    ("ticket", "gate", "    store_release(lock.owner, i, sub64(load_acquire(lock.next, i), held))\n", "", ANY),
    ("ticket", "gate", "sub64(load_acquire(lock.next, i), held)", "load_acquire(lock.next, i)", f"{ANY}|nobody has drawn"),
    ("sem", "repair", "1 if owner == NIL else 0", "0", "not free"),
    # Queues whose waiters have let go: each part of them is made anew.
    ("mcs", "gate", "store_release(lock.tail, i, 1 + owner)", "pass", ANY),
    (
        "mcs",
        "repair",
        "    store_release(lock.node.next, cpu, 0)\n    store_release(lock.node.locked, cpu, 0)\n",
        "    pass\n",
        ANY,
    ),
    ("mcs", "repair", "def reset_cpu(", "def forget_cpu(", ANY),
    ("clh", "gate", "store_release(lock.cpu.before, owner, i)", "pass", ANY),
    ("clh", "gate", "i if owner < 0 else lock.nr + owner", "i", ANY),
    ("clh", "repair", "    store_release(lock.cpu.own, cpu, lock.nr + cpu)\n", "", ANY),
    # Taken over from who has it not; not taken over; nobody woken. Told to stop, it says that it has the lock.
    ("owner", "take over", "seen & ~SLEEPERS == dead + 1", "seen != 0", "inside"),
    ("owner", "take over", "seen & ~SLEEPERS == dead + 1", "seen == -1", ANY),
    ("owner", "take over", "futex_wake(lock.owner, i, EVERYBODY)", "pass", "deadlock"),
    ("owner", "give up", f"{OWNER_UNLESS}False", f"{OWNER_UNLESS}True", "inside"),
    # Who comes behind a dead holder is not told.
    ("pthread-robust", "robust", "return libc.robust_lock(", "return 0 * libc.robust_lock(", "is not told"),
    # A sleeper that takes every return for its turn; that is woken before the lock is free; that nobody wakes; whose word has
    # all that it says where the kernel does not look.
    ("sleeping", "acquire", "while exchange(", "if exchange(", "inside"),
    (
        "sleeping",
        "acquire",
        "if exchange(lock.word, i, FREE) == CROWDED:\n        futex_wake(lock.word, i, 1)\n",
        "if fetch_add(lock.word, i, 0) == CROWDED:\n        futex_wake(lock.word, i, 1)\n    exchange(lock.word, i, FREE)\n",
        "deadlock",
    ),
    ("sleeping", "acquire", "        futex_wake(lock.word, i, 1)", "        pass", "deadlock"),
    ("sleeping", "acquire", "HELD, CROWDED = 0, 1, 2", "HELD, CROWDED = 0, 1 << 32, 2 << 32", "deadlock"),
    # A writer that does not wait for readers; one that tells nobody that it came, and readers that do not ask.
    ("rwlock", "shared", "cmpxchg(lock.state, i, 0, -1) != 0", "exchange(lock.state, i, -1) == -1", "inside"),
    ("seqlock", "sequence", "return load_relaxed(lock.seq, i) != seq", "return False", "two times"),
    ("seqlock", "sequence", "    exchange(lock.seq, i, load_relaxed(lock.seq, i) + 1)\n", "", "two times"),
    # An answer that is said to be there before it is.
    ("combining", "combine", f"{ANSWERED}\n            {SERVED}", f"{SERVED}\n            {ANSWERED}", "data race"),
    ("every_table", "acquire", "lock.own.taken[cpu]", "lock.own.taken[0]", "data race"),
]


@pytest.mark.parametrize(
    ("name", "trial", "old", "new", "words"),
    MUTANTS,
    ids=[f"{one[0]}-{one[1]}-{n}" for n, one in enumerate(MUTANTS)],
)
def test_a_step_left_out_of_a_lock_is_caught(name, trial, old, new, words, tmp_path):
    source = lock_of(name).path.read_text()
    assert old in source
    path = tmp_path / "mutant.py"
    path.write_text(source.replace(old, new) + "\n\nfrom shmkret.text import exchange, fetch_add\n")
    mutant = find(LOCK, str(path))

    found = next(
        (o.violations[0].what for size in trials.sizes(trial) if (o := trials.tried(mutant, trial, *size)).violations), ""
    )

    assert any(word in found for word in words.split("|")), found


def test_of_three_that_share_a_robust_mutex_one_may_sleep_for_ever():
    """The third race of the kernel's robust list: who was woken dies before it runs, while another has the mutex again."""
    robust = lock_of("pthread-robust")
    (found,) = trials.tried(robust, "robust", 3, 2, 1).violations

    assert "deadlock" in found.what
    assert "asleep in robust_lock" in found.what
    assert trials.tried(robust, "robust", 2, 3, 1).complete


@pytest.mark.full
def test_the_compiled_search_finds_it_too_and_shows_who_is_woken_and_dies(capsys):
    """Who wakes and who dies are choices that the schedule says, so that plain Python follows it to its end."""
    assert main(["explore", "lock-death", "--lock", "pthread-robust", "--cpus", "3", "--rounds", "2"]) == 1
    said = capsys.readouterr().out

    assert re.search(r"deadlock: cpu \d waits in asleep in mutex_lock of locks\[0\]\.mutex", said)
    assert 0 < said.index(" is woken") < said.index(" dies\n")
    assert re.search(r"fetch_add script\[72\]\.word 1 -> 2 +shmkret/", said)  # the line of the last step
    assert main(["explore", "lock-death", "--lock", "pthread-robust", "--rounds", "2", "--require-complete"]) == 0


def test_readers_that_keep_one_another_out_are_caught(tmp_path):
    path = tmp_path / "lonely.py"
    lonely = "def acquire_shared(lock, i):\n    acquire(lock, i)\n\n\ndef release_shared(lock, i):\n    release(lock, i)\n"
    path.write_text(lock_of("rwlock").path.read_text() + "\n\n" + lonely)
    outcome = trials.tried(find(LOCK, str(path)), "shared", 3, 1, 1)

    assert [v.what for v in outcome.violations] == ["no two readers were ever inside at once"]


# The same words in an arena, plain and compiled, and between processes.

NR_LOCKS = 3
ROUNDS = 400


@inline
def take_each(k, cpu):
    """Some locks of each array in turn; a word for each is added to under it."""
    for _ in range(ROUNDS):
        for i in range(NR_LOCKS):
            acquire(k.table_locks, i, cpu)
            k.data.word[i] += 1
            release(k.table_locks, i, cpu)
        acquire(k.other_locks, 0, cpu)
        k.data.word[NR_LOCKS] += 1
        release(k.other_locks, 0, cpu)
        acquire(k.system_locks, 1, cpu)
        k.data.word[NR_LOCKS + 1] += 1
        release(k.system_locks, 1, cpu)


@cache
def world_of(name):
    return World.of(build_of(lock=lock_of(name).reference), Sizes(maxactive=2, data_size=64))


@contextmanager
def arena_of(world):
    """A fresh arena, its locks free; in the end nothing is held. CPU 1 is at home on a second memory node."""
    machine = plain.PlainMachine()
    with world.create_arena(replace(world.geometry(), nr_nodes=2)) as arena:
        for name in arena.sections:
            if name.endswith(".home"):
                arena.records(name)["node"] = [0, 1]
        native.free_locks(world, arena, machine)
        yield arena, machine
        assert native.still_held(world, arena, machine) == ([], [])
        machine.close()


def counted(arena):
    return arena.records("data")["word"][: NR_LOCKS + 2].tolist()


def run_together(bodies):
    """Each in a process of its own, which an alarm ends; their exit statuses."""
    children = []
    for body in bodies:
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            try:
                body()
            finally:
                os._exit(0)
        children.append(pid)
    return [os.waitpid(pid, 0)[1] for pid in children]


@pytest.mark.parametrize("name", [*SOUND, *OWN])
def test_a_lock_by_itself_keeps_processes_apart(name):
    world = world_of(name)
    with arena_of(world) as (arena, machine):
        bodies = native.compiled(world, take_each)(arena, machine)

        assert run_together(bodies) == [0, 0]
        assert counted(arena) == [2 * ROUNDS] * (NR_LOCKS + 2)
        if name == "every_table":
            assert_tables(arena, "table_locks", {i: [ROUNDS, ROUNDS] for i in range(NR_LOCKS)})


def test_an_uncompiled_lock_does_the_same_on_an_arena():
    world = world_of("every_table")
    with arena_of(world) as (arena, machine), atomics.use(machine):
        k = plain.kernel(world, arena)
        take_each(k, 1)
        take_each(k, 0)
        take_each(k, 1)

        assert counted(arena) == [3 * ROUNDS] * (NR_LOCKS + 2)
        assert_tables(arena, "table_locks", {i: [ROUNDS, 2 * ROUNDS] for i in range(NR_LOCKS)})
        assert_tables(arena, "locks", {0: [ROUNDS, 2 * ROUNDS]})
        assert_tables(arena, "system_locks", {1: [ROUNDS, 2 * ROUNDS]})


def test_a_lock_knows_the_memory_node_of_every_core(monkeypatch):
    monkeypatch.setattr(topology, "_node", lambda core: 4 if core == 1 else 2)
    world = World.of(world_of("every_table").build, Sizes(maxactive=2), homes=topology.homes([1, 0]))
    with world.create_arena() as arena:
        k = plain.kernel(world, arena)

        assert arena.geometry.nr_nodes == 2
        for locks in (k.system_locks, k.other_locks):
            assert [locks.home.node[cpu] for cpu in range(2)] == [1, 0]
            assert locks.nodes == 2


@needs_two_cores
def test_a_run_tells_its_lock_where_its_cpus_are(monkeypatch):
    cores = topology.allowed_cores()
    monkeypatch.setattr(topology, "_node", lambda core: 7 if core == cores[0] else 3)
    lock = lock_of("every_table").reference

    assert Prepared(Cell("hot", "hashed", lock, "x86-64", "cacheline", 2), 1).world.homes == (1, 0)


def assert_tables(arena, array, taken):
    """taken: how often each lock was, by CPU."""
    nr, nr_nodes = arena.sections[array].nr, arena.geometry.nr_nodes
    own, spare, each, node = (arena.records(f"{array}.{table}")["taken"].tolist() for table in ("own", "spare", "each", "node"))
    home = arena.records(f"{array}.home")["node"].tolist()
    by_lock = [taken.get(i, [0, 0]) for i in range(nr)]
    assert own == [sum(times) for times in zip(*by_lock, strict=True)]
    assert spare == [sum(times) for times in by_lock] + own
    assert each == [times for one in by_lock for times in one]
    assert node == [sum(t for t, at in zip(one, home, strict=True) if at == n) for one in by_lock for n in range(nr_nodes)]


@pytest.mark.parametrize("scheme", ["global", "hashed"])
def test_a_table_of_every_domain_is_explored_with_the_whole_path(scheme):
    outcome = one_round_each(scheme=scheme, lock=lock_of("every_table").reference)

    assert (outcome.violations, outcome.complete) == ([], True)


def test_of_the_tables_of_quiet_locks_only_what_is_theirs_alone_is_nobodys():
    """CPUs use bucket lock 3: the records of another lock are used by one CPU at most; those of a CPU are used for any lock."""
    world = world_of("every_table")
    slots = world.geometry().nr_slots

    def outcome_of(*used):
        with world.create_arena() as arena:
            snapshot = Snapshot(world, arena, buckets={3})

            def scenario(machine):
                k = snapshot.kernel(machine)
                shared = {table: machine.column(f"table_locks{table}") for table in (".locked", ".each.taken", ".node.taken")}
                assert {i for i in range(64 * slots) if i not in shared[".each.taken"].nobodys} == {3 * slots, 3 * slots + 1}
                assert all(3 not in words.nobodys for table, words in shared.items() if table != ".each.taken")
                assert all(2 in words.nobodys for words in shared.values())
                for array, table in (
                    ("table_locks", "own"),
                    ("table_locks", "spare"),
                    ("locks", "each"),
                    ("system_locks", "each"),
                ):
                    assert machine.column(f"{array}.{table}.taken").nobodys == ()

                def takes(cpu, i):
                    acquire(k.table_locks, i, cpu)
                    release(k.table_locks, i, cpu)

                return Scenario([partial(takes, cpu, i) for cpu, i in enumerate(used)], list)

            return explore(scenario)

    assert (outcome_of(3, 3).violations, outcome_of(3, 3).complete) == ([], True)
    assert (outcome_of(3, 2).violations, outcome_of(3, 2).complete) == ([], True)
    assert "private to one CPU, and two use it" in outcome_of(2, 2).violations[0].what


# What a file must have. Each of these was accepted once, and ran unlocked, or in one machine only.

HEAD = """
from typing import Annotated, NamedTuple
from shmkret.text import EQ, NIL, PER_CPU, Words, store_release, wait_until


class Mine(NamedTuple):
    locked: Words
    {table}


def acquire(lock, i):
    wait_until(lock.locked, i, EQ, 0)
    store_release(lock.locked, i, 1)


def release({release}):
    store_release(lock.locked, 0, 0)


"""


def written(tmp_path, rest="", *, table="", release="lock, i", before=""):
    path = tmp_path / "mine.py"
    path.write_text(before + HEAD.format(table=table, release=release) + rest)
    return str(path)


def unless(name="acquire_unless", parameters="lock, i, stop"):
    return f"def {name}({parameters}):\n    return True\n\n\n"


def reset(name="reset", owner="owner"):
    return f"def {name}(lock, i, {owner}):\n    pass\n\n\n"


TAKE_OVER = "def take_over(lock, i, dead, cpu):\n    return True\n\n\ndef wake_all(lock, i):\n    pass\n"
NODE = "from typing import NamedTuple\nfrom shmkret.text import Words\n\n\nclass Node(NamedTuple):\n    word: Words\n"
BOTH_RESETS = ["reset(lock, i, held)", "reset(lock, i, owner)"]
REFUSED = {
    "misspelt": (unless("acquire_unles") + reset(), {}, ["no acquire_unless()"]),
    "misspelt reset": (unless() + reset("rest"), {}, ["no reset()"]),
    "half of shared": ("def acquire_shared(lock, i):\n    pass\n", {}, ["shared (", "no release_shared()"]),
    "half of owner": (unless() + TAKE_OVER.partition("def wake_all")[0], {}, ["owner (", "wake_all(lock, i)"]),
    "half of robust": ("def acquire_robust(lock, i, cpu):\n    return 0\n", {}, ["robust (", "no try_acquire_robust()"]),
    "RECOVERY": (unless() + reset(), {"before": 'RECOVERY = "gate"\n'}, ["RECOVERY is no more", *BOTH_RESETS]),
    "held": (unless() + reset(owner="held"), {}, BOTH_RESETS),
    "two left out": (unless(parameters="lock, i") + reset(), {}, ["3 or 4 arguments", "takes 2"]),
    "two of release": ("", {"release": "lock"}, ["2 or 3 arguments", "takes 1"]),
    "a table and take_over": (
        unless() + TAKE_OVER,
        {"before": NODE, "table": "node: Annotated[Node, PER_CPU]"},
        ["PER_CPU", "take_over()"],
    ),
    "another's verb": ("from shmkret.locks import release\n", {}, ["release(lock, i, cpu)", "this file does not"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_lock_that_would_do_something_else_than_it_says_is_refused_at_load(case, tmp_path, capsys):
    rest, changes, words = REFUSED[case]
    path = written(tmp_path, rest, **changes)

    with pytest.raises(PluginError) as refusal:
        find(LOCK, path)
    assert main(["bench", "--lock", path, "--cpus", "1", "--seconds", "0.1", "--out", str(tmp_path / "out")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    for word in words:
        assert word in str(refusal.value)
        assert word in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["try_acquire", "acquire_unless", "take_over", "acquire_robust"])
def test_a_verb_is_never_its_own_implementation(verb, tmp_path):
    """A lock's file may import the verbs that it calls; it can do no more for that."""
    plugin = find(LOCK, written(tmp_path, f"from shmkret.locks import {verb}\n"))

    assert plugin.abilities == frozenset()
    assert plugin.own(verb) is None
    with pytest.raises(AttributeError, match=f"has no {verb}"):
        getattr(plugin.module, verb)(plugin.record([0]), 0, 0, 0)


# What a CPU says before a move.

WIDTHS = {"op": 4, "why": 2, "count": 8, "instance": 24, "other": 24}


@given(
    **{name: st.integers(0, (1 << bits) - 1) | st.just((1 << bits) - 1) for name, bits in WIDTHS.items()}, nothing=st.booleans()
)
def test_an_intent_keeps_every_field_up_to_the_last_instance(op, why, count, instance, other, nothing):
    before = NIL if nothing else other
    word = intents.intent_of(op, why, count, instance, before)

    assert 0 <= word < 1 << 63
    assert intents.op_of(word) == op
    assert intents.why_of(word) == why
    assert intents.count_of(word) == count
    assert intents.instance_of(word) == instance
    assert intents.other_of(word) == before


def test_an_intent_names_the_last_instance_that_a_recoverable_run_may_have():
    last = (1 << 24) - 1
    word = intents.intent_of(intents.REM, intents.RETURNED, 255, last, last)

    assert (intents.instance_of(word), intents.other_of(word)) == (last, last)


def test_the_picture_of_an_intent_is_the_one_that_its_table_gives():
    lines = [line.strip() for line in (intents.__doc__ or "").splitlines()]
    drawn = intents.diagram().splitlines()

    assert lines.index(drawn[0]) + 1 == lines.index(drawn[1])
