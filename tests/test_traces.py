"""The search by traces: the same ends and the same wrongs as by states, and one run of each trace."""

import ctypes
import json
import random
from typing import NamedTuple

import pytest

from shmkret.cli.main import main
from shmkret.explore.engines import states, traces
from shmkret.explore.scenarios import asked_of, scene_of
from shmkret.explore.search import How, search
from shmkret.explore.stacks import clocks, control, nodes
from shmkret.explore.stacks.executor import Stacks, words_at
from shmkret.locks import LOCK
from shmkret.machines.compiled import steps, watched
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME

from .conftest import REPOSITORY
from .programs import MUTEX, NR_CPUS, ROBUST, Programs, W, X, Y, Z
from .random_programs import KINDS, drawn, drawn_with_deaths
from .test_stacks import OUTCOMES, RIGHT, WRONG, searches


class Runs(NamedTuple):
    """What a search has come to. ends, deadlocks: shared words, and what each CPU has read; wrong: why it stopped elsewhere.
    paths: of complete runs; blocked: of others that went no further. counts: complete, blocked, pruned, done again.
    """

    ends: set
    deadlocks: set
    wrong: list
    paths: list
    blocked: list
    counts: tuple


def fingerprint(stacks):
    """Of words that CPUs share, who sleeps on a futex left out, and of what each CPU has read."""
    records = [stacks._record(cpu) for cpu in range(stacks.scene.nr_cpus)]
    pasts = [ctypes.c_int64.from_address(r + watched.PAST).value for r in records]
    asleep = any(stacks._kind(cpu) == steps.ASLEEP for cpu in range(stacks.scene.nr_cpus))
    return 0 if asleep else stacks.get(watched.PRINT), tuple(pasts)


def looked_at(stacks):
    """Words that the check of an end has looked at, and that a CPU may have half written when it died."""
    stacks.check()
    return stacks.half_done()


def runs_of(stacks, by, *, looks=False, **values):
    """All that a search by `states` or `traces` comes to, beyond what is wrong as well. looks: at what is half done."""
    advance = traces.advancing(stacks) if by == "traces" else stacks.descend
    while True:
        stacks.begin(**{"every": 1, "by_past": 1, **values})
        found = Runs(set(), set(), [], [], [], ())
        while (status := advance(1 << 40)) != control.FINISHED:
            if status == control.BROKEN and stacks.culprit()[1] == watched.NOT_PRIVATE:
                stacks.share({stacks.culprit()[2]})
                break
            if status == control.LEARNED:
                break
            if status == control.AT_END:
                if looks and (words := looked_at(stacks)):
                    stacks.share(words)
                    break
                found.ends.add(fingerprint(stacks))
                found.paths.append(stacks.path())
            elif status == control.DEADLOCK:
                found.deadlocks.add(fingerprint(stacks))
                found.blocked.append(stacks.path())
            elif status == control.FULL and stacks.grow():
                pass
            elif status != control.AT_STATE:
                found.wrong.append(status)
        else:
            counts = map(stacks.get, (control.ENDS, nodes.BLOCKED, nodes.PRUNED, nodes.RETRIED))
            return found._replace(counts=tuple(counts))


def both(program, announcements=(), first=(), mortal=(), deaths=1, *, reduced=False, looks=False, **values):
    """A program by states and by traces."""
    own = searches(reduced=reduced)
    values |= {"mortal": sum(1 << cpu for cpu in mortal), "deaths": deaths if mortal else 0}
    values |= {"announces": int(bool(announcements))}
    found = []
    for by in ("states", "traces"):
        own.load(program, announcements, first)
        found.append(runs_of(own.stacks, by, looks=looks, **values))
    return found


def assert_the_same(by_states, by_traces, *, more=False):
    """more: of who is in a deadlock, a death or a sleep's end might come still: then a deadlock is enough."""
    if by_states.wrong or (more and by_states.deadlocks):
        assert by_traces.wrong or by_traces.deadlocks
        assert more or by_traces.wrong
    else:
        assert by_traces.ends == by_states.ends
        assert by_traces.deadlocks == by_states.deadlocks
        assert not by_traces.wrong
        assert not more or not by_traces.blocked


CASES = {
    **{name: (program, ()) for name, (program, _, _) in OUTCOMES.items()},
    **{name: (program, first) for name, (program, first) in RIGHT.items()},
    **{name: (program, ()) for name, (program, _) in WRONG.items() if "without end" not in name},
    "two sleep and one is woken": (
        [[("sleep", X, 0), ("load", Y)]] * 2 + [[("store", X, 1), ("wake", X, 1), ("store", Y, 1), ("wake", X, 2)]],
        (),
    ),
    "a post wakes who sleeps on its word, or comes after the wake": (
        [[("up", Y), ("cmpxchg", Y, 1, 2)], [("sleep", Y, 0), ("up", Y)], [("wake", Y, 1), ("down", X), ("down", Y)]],
        (),
    ),
    "what is waited for ends another's wait": ([[("wait unless", Y, 2)], [("down", X)]], (1,)),
}


@pytest.mark.parametrize(("program", "first"), CASES.values(), ids=CASES)
def test_a_program_ends_by_traces_as_by_states(program, first):
    assert_the_same(*both(program, first=first))


@pytest.mark.parametrize(("program", "wrong"), WRONG.values(), ids=WRONG)
def test_by_traces_the_same_is_wrong(program, wrong):
    own = searches()
    own.load(program)
    (found,) = traces.search(own.stacks, 1 << 40, 60.0).violations

    assert wrong in found.what
    assert found.preemptions is not None


DEATHS = {
    "before each step": {"program": [[("add", X, 1), ("add", X, 1)]], "announcements": [[("add", Y, 1)]] * NR_CPUS},
    "seen at any moment": {
        "program": [[("load", Y)], [("exchange", X, 1), ("load", X)]],
        "announcements": [[("store", X, 2)]] * NR_CPUS,
    },
    "of two": {
        "program": [[("add", X, 1)], [("add", Y, 1)], [("load", Z)]],
        "announcements": [[("add", W, 1 << n)] for n in range(NR_CPUS)],
        "mortal": (0, 1),
        "deaths": 2,
    },
    "one of two": {"program": [[("add", X, 1)], [("add", X, 1)]], "mortal": (0, 1)},
    "of who holds a robust mutex": {"program": [[("robust", ROBUST), ("load", Y)], [("robust", ROBUST)]]},
    "tried meanwhile": {"program": [[("load", Y), ("add", W, 1)], [("try robust", ROBUST)]], "first": (0, 0, 0, 0, 0, 1)},
    "of who reads what another writes": {
        "program": [[("load", Y), ("own", 0, 1), ("load", Z)], [("wait", X, 1), ("read own", 0)], [("store", Y, 1)]],
        "announcements": [[("store", X, 1)]] * NR_CPUS,
    },
    "of one for whom nobody waits": {"program": [[("store", X, 1), ("store", X, 2)], [("load", X)], [("load", X)]]},
    "that comes last": {
        "program": [[("load", X)], [("load", Z)]],
        "announcements": [[("store", X, 1)]] * NR_CPUS,
        "mortal": (1,),
    },
    "ends a wait": {
        "program": [[("load", Z)], [("wait unless", Y, 1), ("load", Z)], [("load", X), ("store", Y, 1)]],
        "announcements": [[("store", X, 1)]] * NR_CPUS,
    },
    "of who sleeps before another": {
        "program": [
            [("sleep", X, 0)],
            [("sleep", X, 1), ("load", Y)],
            [("store", X, 1), ("wake", X, 1), ("store", Y, 1), ("store", X, 2), ("wake", X, 2)],
        ],
    },
    "wakes": {
        "program": [[("load", Z)], [("sleep", X, 0)], [("wake", X, 1)], [("wake", X, 1)]],
        "announcements": [[("wake", X, 1)]] * NR_CPUS,
    },
}


@pytest.mark.parametrize("asked", DEATHS.values(), ids=DEATHS)
@pytest.mark.parametrize("reduced", [False, True])
def test_deaths_by_traces_are_those_by_states(asked, reduced):
    assert_the_same(*both(**{"mortal": (0,), **asked}, reduced=reduced, looks=True), more=True)


SLEEPS = {
    "once": ([[("sleep", X, 0), ("load", Y)], [("store", Y, 1), ("wake", X, 1)]], 1),
    "two sleep, one may end so": ([[("sleep", X, 0)], [("sleep", X, 0), ("load", Y)], [("wake", X, 2), ("store", Y, 1)]], 1),
    "before it is woken": ([[("sleep", X, 0), ("load", Y)], [("store", X, 1), ("store", Y, 1), ("wake", X, 1)]], 1),
    "on two words": ([[("sleep", X, 0)], [("sleep", Y, 0)], [("wake", X, 1)], [("wake", Y, 1)]], 1),
}


@pytest.mark.parametrize(("program", "reasonless"), SLEEPS.values(), ids=SLEEPS)
def test_sleeps_that_end_for_no_reason_by_traces_are_those_by_states(program, reasonless):
    assert_the_same(*both(program, reasonless=reasonless), more=True)


SOME, MANY = 400, 4_000


@pytest.mark.parametrize("seed", [pytest.param(range(SOME)), pytest.param(range(SOME, MANY), marks=pytest.mark.full)], ids=str)
def test_any_program_ends_by_traces_as_by_states(seed):
    for n in seed:
        asked = drawn_with_deaths(random.Random(f"ends-{n}"))
        more = bool(asked.get("mortal") or asked.get("reasonless"))
        try:
            assert_the_same(*both(**asked), more=more)
        except AssertionError as error:
            raise AssertionError(f"{n}: {asked}") from error


# One run of each trace.


def does(step, words, cpu):
    """The word, whether it is written, and what is there then; None: it is not possible. Semaphores, mutexes, plain words."""
    name, i, *rest = step
    before = words[i]
    if name in ("load", "wait", "wait not"):
        possible = name == "load" or (before == rest[0]) == (name == "wait")
        return (i, False, before) if possible else None
    if name in ("store", "exchange"):
        return i, True, rest[0]
    if name == "add":
        return i, True, before + rest[0]
    if name == "cmpxchg":
        return (i, True, rest[1]) if before == rest[0] else (i, False, before)
    if name in ("down", "try down"):
        return (i, True, before - 1) if before > 0 else (i, False, before) if name == "try down" else None
    if name == "up":
        return i, True, before + 1
    if name == "unlock":
        return i, True, 0
    if before == 0:
        return i, True, 1 + cpu
    return (i, True, before) if name == "try lock" else None


def trace_of(program, first, path):
    """Of a run: for each word, who wrote it, in order, and who read it between; a step is a CPU and a number. Runs that have
    the same are the same but for the order of steps that commute.
    """
    words, at, epochs = [*first, 0, 0, 0][:6], [0] * len(program), {}
    for cpu in path:
        i, writes, value = does(program[cpu][at[cpu]], words, cpu)
        words[i] = value
        own = epochs.setdefault(i, [set()])
        own[-1].add((cpu, at[cpu]))
        if writes:
            own[-1] = (frozenset(own[-1] - {(cpu, at[cpu])}), (cpu, at[cpu]))
            own.append(set())
        at[cpu] += 1
    return frozenset((i, *own[:-1], frozenset(own[-1])) for i, own in epochs.items())


def every_trace(program, first):
    """Of all runs, one after the other: the traces of those that are complete, and of those that are not."""
    complete, blocked = set(), set()

    def go(path, at, words):
        further = False
        for cpu, own in enumerate(program):
            done = does(own[at[cpu]], words, cpu) if at[cpu] < len(own) else None
            if done:
                further = True
                i, _, value = done
                after = [*words]
                after[i] = value
                go([*path, cpu], [n + (j == cpu) for j, n in enumerate(at)], after)
        if not further:
            ended = all(n == len(own) for n, own in zip(at, program, strict=True))
            (complete if ended else blocked).add(trace_of(program, first, path))

    go([], [0] * len(program), [*first, 0, 0, 0][:6])
    return complete, blocked


def holds(program):
    """Whether no CPU gives back what it does not hold: it takes the mutex before, waiting for it."""
    return all(("lock", MUTEX) in own[:i] for own in program for i, step in enumerate(own) if step[0] == "unlock")


TRACES = {
    "two stores": ([[("store", X, 1)], [("store", X, 2)]], 2),
    "two loads": ([[("load", X)], [("load", X)]], 1),
    "two words": ([[("store", X, 1)], [("store", Y, 1)]], 1),
    "three exchanges": ([[("exchange", X, n)] for n in (1, 2, 3)], 6),
    "two stores that two load": ([[("store", X, 1), ("store", X, 2)], [("load", X)], [("load", X)]], 9),
    "comparisons that fail only read": ([[("cmpxchg", X, 5, 1)], [("cmpxchg", X, 6, 1)], [("load", X)]], 1),
    "a comparison that does not fail": ([[("cmpxchg", X, 0, 1)], [("load", X)]], 2),
    "tries that take nothing only read": ([[("try down", X)], [("try down", X)]], 1),
    "an await is no choice": ([[("wait", X, 1)], [("store", X, 1)]], 1),
    "an await that comes after": ([[("store", X, 1)], [("load", Z), ("wait", X, 1)]], 1),
    "an await that must come first": ([[("wait", X, 0)], [("store", X, 1), ("store", X, 0)]], 2),
    "one semaphore for two": ([[("down", X)], [("down", X)], [("up", X), ("up", X)]], 4),
}


@pytest.mark.parametrize(("program", "number"), TRACES.values(), ids=TRACES)
def test_a_program_has_so_many_traces(program, number):
    _, found = both(program)
    complete, blocked = every_trace(program, ())

    assert (found.counts[0], len(complete)) == (number, number)
    assert found.counts[1:3] == (len(blocked), 0)


@pytest.mark.parametrize("seed", [pytest.param(range(SOME)), pytest.param(range(SOME, MANY), marks=pytest.mark.full)], ids=str)
def test_any_program_has_one_run_of_each_of_its_traces(seed):
    pruned = 0
    for n in seed:
        chance = random.Random(f"traces-{n}")
        program, first = drawn(chance, KINDS)
        if not holds(program):
            continue
        own = searches()
        own.load(program, (), first)
        found = runs_of(own.stacks, "traces", deaths=0, mortal=0, announces=0)
        complete, blocked = every_trace(program, first)
        ran, stuck = ([trace_of(program, first, path) for path in paths] for paths in (found.paths, found.blocked))

        assert len({*ran}) == len(ran), (n, program, first)
        assert {*ran} == complete, (n, program, first)
        assert sorted(map(hash, stuck)) == sorted(map(hash, blocked)), (n, program, first)
        pruned += found.counts[2]
    assert pruned < len(seed) / 2  # source sets leave few: no more than this is promised


def test_a_comparison_that_its_cpu_does_again_is_counted():
    again = [("cmpxchg", X, 1, 2), ("load", Y), ("cmpxchg", X, 1, 2)]
    assert both([again, [("store", X, 1)]])[1].counts == (3, 0, 0, 2)
    elsewhere = [("cmpxchg", X, 1, 2), ("load", Y), ("cmpxchg", Z, 1, 2)]
    assert both([elsewhere, [("store", X, 1)]])[1].counts == (2, 0, 0, 0)
    written = [("cmpxchg", X, 1, 2), ("store", Y, 1), ("cmpxchg", X, 1, 2)]
    assert both([written, [("store", X, 1)]])[1].counts == (3, 0, 0, 0)


def test_an_exchange_that_its_cpu_does_again_is_counted():
    takes = [("exchange", X, 1), ("wait", X, 0), ("exchange", X, 1)]
    assert both([takes, [("exchange", X, 1), ("store", X, 0)]])[1].counts[3] > 0
    assert both([[("exchange", X, 1), ("exchange", X, 1)]])[1].counts == (1, 0, 0, 0)


COUNTS = {"ticket": (2, 0), "ttas": (6, 2), "twa": (4, 0), "mcs": (6, 0), "qspinlock": (6, 0)}
"""Complete runs, and those of them that published figures call blocked: GenMC's are 2, 4, 4, 6, 6."""


@pytest.mark.parametrize("name", COUNTS)
def test_a_lock_has_as_many_runs_as_another_model_checker_counts(name):
    lock = find(LOCK, str(REPOSITORY / f"tests/locks/counted_{name}.py"))
    asked = asked_of(str(REPOSITORY / "tests/passage.py"), find(SCHEME, "hashed"), lock, 2, 1, None, None)
    found = search(asked, How("traces"))

    assert (found.complete, found.violations, found.states) == (True, [], None)
    assert (found.schedules, found.retried) == COUNTS[name]
    assert (found.blocked, found.pruned) == (0, 0)


# What is wrong.

FAR_APART = {
    "one writes": ([[("read", X)], [("load", Z), ("load", Z), ("write", X, 1)]], "store", [1, 1]),
    "one would not write": ([[("read", X), ("store", W, 1)], [("load", Z), ("cmpxchg", X, 5, 1)]], "cmpxchg", [1]),
}


@pytest.mark.parametrize(("program", "kind", "schedule"), FAR_APART.values(), ids=FAR_APART)
def test_a_race_is_found_in_a_run_in_which_its_accesses_are_never_pending_together(program, kind, schedule, monkeypatch):
    own = searches()
    monkeypatch.setattr(traces, "SHORTENED_IN", 0)
    monkeypatch.setattr(states, "BOUNDS", ())
    own.load(program)
    (found,) = traces.search(own.stacks, 1 << 40, 60.0).violations

    assert found.what == f"data race on buckets[0].first: cpu 0 is at load, cpu 1 at {kind}"
    assert found.schedule == schedule
    assert own.stacks.get(nodes.RACE_AT) == -1  # it was followed again


def test_a_race_of_a_wait_that_never_ends_is_found():
    """Once it has read 0, the write can come only when all has ended for who waits."""
    program = [[("wait", X, 1)], [("store", Z, 1), ("write", X, 2), ("write", X, 1)]]
    assert both(program)[1].wrong
    assert both([[("load", Y), ("wait", X, 1)], [("write", X, 2)]])[1].wrong


def test_a_violation_is_shown_with_few_preemptions_and_again():
    own = searches()
    own.load([[("load", X), ("unless seen", 3, 1), ("unlock", MUTEX)], [("store", Y, 1), ("store", X, 1), ("store", X, 0)]])
    (found,) = traces.search(own.stacks, 1 << 40, 60.0).violations

    assert "it gives back what it does not hold" in found.what
    assert found.preemptions == 1
    for _ in own.stacks.replay(found.schedule):
        pass
    assert own.stacks.judge() == [found.what]


def test_a_search_by_traces_that_is_stopped_is_not_complete():
    own = searches()
    program = [[("add", X, 1)] * 4, [("add", X, 1)] * 4]
    own.load(program)
    outcome = traces.search(own.stacks, 1 << 40, 60.0)
    assert (outcome.complete, outcome.schedules, outcome.violations) == (True, 70, [])
    outcome = traces.search(own.stacks, 5, 60.0)
    assert (outcome.complete, outcome.gave_up) == (False, "5 steps")
    before = own.stacks.get(control.MOST_FRAMES)
    try:
        own.stacks.put(control.MOST_FRAMES, 5)
        outcome = traces.search(own.stacks, 1 << 40, 60.0)
    finally:
        own.stacks.put(control.MOST_FRAMES, before)
    assert (outcome.complete, outcome.gave_up) == (False, "the path is too long")


# Scenarios.

SCENARIOS = {
    "flush": ("hashed", "sem", 2), "calls": ("hashed", "sem", 2), "one-bucket": ("hashed", "ttas", 2),
    "unregister": ("global", "ttas", 2), "lock-mcs": ("hashed", "mcs", 2), "lock": ("hashed", "sem", 2),
    "lock-death": ("hashed", "owner", 2), "lock-death-gate": ("hashed", "ttas", 2), "death": ("hashed", "sem", 1),
}  # fmt: skip
SHORT = ("flush", "lock")


@pytest.mark.parametrize("name", [pytest.param(one, marks=() if one in SHORT else pytest.mark.full) for one in SCENARIOS])
@pytest.mark.parametrize("reduced", [False, True])
def test_a_scenario_ends_by_traces_as_by_states(name, reduced):
    scheme, lock, cpus = SCENARIOS[name]
    scenario = next(one for one in ("lock-death", "lock", name) if name.startswith(one))
    asked = asked_of(scenario, find(SCHEME, scheme), find(LOCK, lock), cpus, 1, None, None)
    with Stacks(scene_of(asked), reduced=reduced) as stacks:
        by_states, by_traces = (runs_of(stacks, by, looks=True, reduced=0) for by in ("states", "traces"))

    assert_the_same(by_states, by_traces)
    assert by_states.ends
    assert (by_states.wrong, by_traces.wrong, by_traces.counts[1]) == ([], [], 0)


def test_the_command_counts_runs(tmp_path, capsys):
    place = tmp_path / "found.json"
    again = ["--engine", "traces", "--lock", "ttas", "--require-complete", "--json", str(place)]
    assert main(["explore", str(REPOSITORY / "tests/passage.py"), *again]) == 0
    (row,) = json.loads(place.read_text())["scenarios"]

    assert (row["engine"], row["complete"], row["states"]) == ("traces", True, None)
    assert (row["schedules"], row["retried"], row["blocked"], row["pruned"]) == (4, 2, 0, 0)
    assert row["steps"] > 0
    assert "odds_of_a_missed_state" not in row
    said = capsys.readouterr().out
    assert "every interleaving, one run of each trace" in said
    assert "complete; 4 complete runs, 2 of them with a step done again; 0 blocked, 0 pruned" in said


# What watches beside.

PASSED_ON_RELAXED = [[("write", X, 1), ("store relaxed", Y, 1)], [("wait", Y, 1), ("read", X)]]
PASSED_ON = [[("write", X, 1), ("store", Y, 1)], [("wait", Y, 1), ("read", X)]]


def test_a_race_that_clocks_alone_see_is_found_in_a_run_of_its_trace():
    search = Programs(monitors=["clocks"])
    search.load(PASSED_ON_RELAXED)
    (found,) = traces.search(search.stacks, 1 << 40, 60.0).violations
    assert found.what == "data race on buckets[0].first: load of cpu 1 comes after store of cpu 0, and nothing orders the two"
    search.load(PASSED_ON)
    assert traces.search(search.stacks, 1 << 40, 60.0).complete
    search.stacks.put(control.NR_PLAIN, clocks.MOST_PLAIN)
    words_at(search.stacks.watching.numbers, search.stacks.arena.size // 8)[:] = 0
    outcome = traces.search(search.stacks, 1 << 40, 60.0)
    assert (outcome.complete, outcome.gave_up) == (False, "clocks follow no more words")
