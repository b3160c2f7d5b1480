"""`shmkret explore` and `shmkret replay`: searches in a process of their own, and what they say of what they find."""

import json
from pathlib import Path

import psutil
import pytest

from shmkret.cli import explored as command
from shmkret.cli.main import main
from shmkret.errors import PluginError, RunFailed, UsageError
from shmkret.explore.combinations import With, combinations
from shmkret.explore.engines import states
from shmkret.explore.scenarios import SCENARIO, asked_of, scene_of
from shmkret.explore.shown import lanes, strings
from shmkret.explore.stacks import apart
from shmkret.explore.stacks.executor import Stacks
from shmkret.locks import LOCK
from shmkret.plugins.registry import find, names
from shmkret.schemes import SCHEME

HEAD = """
from shmkret.explore.scene import Scene
from shmkret.machines.compiled.stacks import poke
from shmkret.text import NE, inline, load_acquire, store_release, wait_until


def scene(asked):
    rounds = asked.rounds

    @inline
    def body(k, cpu):
        word = k.script.word
"""
TAIL = """
    return Scene(f"{rounds}", asked.world(), body, asked.cpus, ("script",))
"""
STORES = "for n in range(rounds): store_release(word, 0, n + cpu)"
RACES = "if cpu == 0: word[0] = 1\n        else: store_release(word, 0, 2)"
SEES_ONE = """
        if cpu == 0:
            store_release(word, 0, 1)
            store_release(word, 0, 2)
        elif load_acquire(word, 0) == 1:
            """


def scenario(folder, body, name="mine"):
    """A file; its path."""
    path = folder / f"{name}.py"
    path.write_text(f'"""mine: of a test."""\n{HEAD}        {body}\n{TAIL}')
    return str(path)


def stacks_of(path, cpus=2, rounds=1, **how):
    asked = asked_of(path, find(SCHEME, "hashed"), find(LOCK, "sem"), cpus, rounds, None, None)
    return asked, Stacks(scene_of(asked), **how)


def explored(path, *options):
    """The exit code, and the row of the only search."""
    place = Path(f"{path}.json")
    code = main(["explore", path, "--json", str(place), *options])
    (row,) = json.loads(place.read_text())["scenarios"]
    return code, row


KEYS = {"name", "engine", "model", "bound", "complete", "schedules", "states", "seconds", "violations"}


def test_a_search_that_is_complete_says_so_with_what_it_has_counted(tmp_path, capsys):
    code, row = explored(scenario(tmp_path, STORES), "--rounds", "2", "--require-complete")

    assert (code, row["complete"], row["bound"], row["violations"]) == (0, True, None, [])
    assert row.keys() >= KEYS
    assert (row["engine"], row["model"], row["states"]) == ("states", "sc", 12)
    assert row["odds_of_a_missed_state"] == 12**2 / 2**65
    assert "complete; 12 states" in capsys.readouterr().out


def test_a_first_step_that_reads_minus_one_is_a_step(tmp_path):
    """Two CPUs, a load each of an empty bucket: four states."""
    code, row = explored(scenario(tmp_path, "load_acquire(k.buckets.first, cpu)"))

    assert (code, row["states"], row["schedules"]) == (0, 4, 1)


CASES = {
    "calls": (2, 1),
    "one-bucket": (2, 1),
    "flush": (2, 1),
    "unregister": (2, 1),
    "death": (1, 1),
    "lock": (2, 2),
    "rounds": (2, 1),
    "lock-death": (2, 1),
}
WITH_ONE = {
    "handlers": "global",
    "refuse": "objpool",
    "nested": "global",
    "interrupts": "objpool",
    "orphans": "global",
    "register": "hashed",
    "stopped": "objpool",
    "takers": "objpool",
    "wakes": "hashed",
}
"""Two CPUs x 1 round, with this scheme; with others they are searched beside mutants."""


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        pytest.param(name, scheme, marks=() if (name, scheme) == ("stopped", "objpool") else pytest.mark.full)
        for name in (*CASES, *WITH_ONE)
        for scheme in ("global", "hashed", "objpool")
        if (name, scheme) != ("death", "objpool") and scheme == WITH_ONE.get(name, scheme)
    ],
)
def test_our_scenarios_are_right_under_every_interleaving(name, scheme, tmp_path):
    cpus, rounds = CASES.get(name, (2, 1))
    place = tmp_path / "found.json"
    asked = ["--scheme", scheme, "--cpus", str(cpus), "--rounds", str(rounds)]

    assert main(["explore", name, *asked, "--require-complete", "--json", str(place)]) == 0
    (row,) = json.loads(place.read_text())["scenarios"]
    assert (row["complete"], row["violations"]) == (True, [])
    assert row["states"] > 100


def test_every_scenario_is_in_these_tests():
    assert set(names(SCENARIO)) == CASES.keys() | WITH_ONE.keys()


def test_a_race_is_drawn_in_lanes_and_its_string_fails_again_each_time(tmp_path, capsys):
    path = scenario(tmp_path, RACES)
    code, row = explored(path)
    (violation,) = row["violations"]
    said = capsys.readouterr().out

    assert code == 1
    assert violation["what"] == "data race on script[0].word: cpu 0 is at store, cpu 1 at store_release"
    assert (violation["schedule"], violation["preemptions"]) == ([], 0)
    assert "! store script[0].word  ! store_release script[0].word" in said
    assert f"cpu 0 is at {path}:14" in said
    assert f"cpu 1 is at {path}:15" in said
    assert violation["replay"] in said
    assert main(violation["replay"].split()[1:]) == 1
    assert violation["what"] in capsys.readouterr().out
    _, stacks = stacks_of(path)
    with stacks:
        again = [lanes.follow_apart(stacks, violation["schedule"]) for _ in range(20)]
    assert again == [again[0]] * 20
    assert again[0].wrong == [violation["what"]]


def test_two_uses_of_a_word_are_in_conflict_when_one_of_them_writes():
    uses = []
    seen = [(0, False), (1, True), (0, False), (0, True), (1, False), (0, False), (1, True)]

    assert [lanes.conflicts(uses, cpu, writes=writes) for cpu, writes in seen] == [False, True, True, False, True, False, True]


def test_a_schedule_says_which_words_were_taken_for_private_and_are_not(tmp_path, capsys):
    """CPU 1 looks at a word of CPU 0's: the search has begun again with that as a step."""
    body = "k.cpus.task[cpu] = cpu + load_acquire(k.cpus.task, 0)\n        if cpu == 1: word[0] = 1\n        else: word[0] = 2"
    code, row = explored(scenario(tmp_path, body))
    (violation,) = row["violations"]

    assert code == 1
    assert "data race on" in violation["what"]
    assert ":s-:" not in violation["replay"]
    capsys.readouterr()
    assert main(violation["replay"].split()[1:]) == 1
    assert violation["what"] in capsys.readouterr().out


def test_lanes_say_what_was_there_and_which_accesses_are_in_conflict(tmp_path):
    path = scenario(tmp_path, "store_release(word, 0, cpu + 1)\n        wait_until(word, 0, NE, 2)")
    _, stacks = stacks_of(path)
    with stacks:
        (violation,) = states.search(stacks, 1000, 60).violations
        drawn = lanes.drawn(lanes.follow(stacks, [0, 1]), 2)
        at = lanes.follow_apart(stacks, violation.schedule).places

    assert violation.what == "deadlock: cpu 1 waits in wait_until != of script[0].word"
    assert (violation.schedule, violation.preemptions) == ([0, 0, 1], 0)
    assert drawn == [
        " step  cpu 0                                  cpu 1",
        "    1    store_release script[0].word 0 -> 1",
        "    2                                         * store_release script[0].word 1 -> 2",
        "       ! wait_until != script[0].word         ! wait_until != script[0].word",
    ]
    assert at.steps == [f"{path}:14", f"{path}:15", f"{path}:14"]
    assert at.pending == {1: f"{path}:15"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("while cpu == 1: pass", "cpu 1, before its first step, runs on for 0.2 s"),
        pytest.param(
            f"{SEES_ONE}while True: pass",
            "cpu 1, after its step load_acquire of script[0].word, runs on for 0.2 s",
            marks=pytest.mark.full,
        ),
        (f"{SEES_ONE}poke(8, 1)", "cpu 1, after its step load_acquire of script[0].word, crashes: SIGSEGV"),
        (f"{SEES_ONE}store_release(word, 0, 8 // (rounds - 1))", "cpu 1: its code raises an exception"),
    ],
)
def test_code_that_runs_on_or_crashes_is_named_with_its_schedule(body, words, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(apart, "PATIENCE_S", 0.2)
    code, row = explored(scenario(tmp_path, body))
    (violation,) = row["violations"]

    assert code == 1
    assert violation["what"].startswith(words)
    assert ("mine.py:" in violation["what"]) == ("runs on" in words)
    assert violation["schedule"] == ([] if "first" in words else [0, 1])
    capsys.readouterr()
    assert main(violation["replay"].split()[1:]) == 1
    assert words in capsys.readouterr().out


MORTAL = """
    def check(world, arena):
        return ["CPU 0 has died in between"] if arena.records("script")["word"][0] == 19 else []

    return Scene("dies", asked.world(), body, 2, ("script",), (0,), asked.deaths, True, check=check)


DEATHS = 1
"""


def test_a_death_is_a_step_of_a_schedule_and_what_an_end_shows_is_found_again(tmp_path, capsys):
    """CPU 0 stores 1 and 2; its death adds 18 to what is there."""
    path = Path(
        scenario(tmp_path, "if cpu == 0:\n            store_release(word, 0, 1)\n            store_release(word, 0, 2)")
    )
    dies = "        elif cpu == 2:\n            store_release(word, 0, load_acquire(word, 0) + 18)\n"
    path.write_text(path.read_text().replace(TAIL, dies + MORTAL))
    code, row = explored(str(path))
    (violation,) = row["violations"]
    said = capsys.readouterr().out

    assert (code, violation["what"], violation["schedule"]) == (1, "CPU 0 has died in between", [0, 2])
    assert "    2    dies" in said
    assert violation["replay"].split(":")[-2] == "aA"
    assert main(violation["replay"].split()[1:]) == 1
    assert violation["what"] in capsys.readouterr().out


MANY = ["--cpus", "7", "--rounds", "20"]


def test_a_search_whose_time_is_over_is_bounded(tmp_path, capsys):
    path = scenario(tmp_path, STORES)
    code, row = explored(path, *MANY, "--seconds", "0.2")

    assert (code, row["complete"], row["bound"], row["violations"]) == (0, False, "time", [])
    assert row["states"] > 0
    assert "bounded: time" in capsys.readouterr().out
    assert explored(path, *MANY, "--seconds", "0.2", "--require-complete")[0] == 3


def test_a_search_with_a_bound_of_preemptions_is_bounded_by_it_and_complete_where_it_left_out_nothing(tmp_path, capsys):
    path = scenario(tmp_path, STORES)
    code, row = explored(path, "--rounds", "2", "--preemptions", "1")

    assert (code, row["complete"], row["bound"], row["violations"]) == (0, False, "1 preemption", [])
    assert row["preemptions"] == 1
    said = capsys.readouterr().out
    assert "every interleaving with at most 1 preemption\n" in said
    assert "bounded: 1 preemption; " in said
    assert explored(path, "--rounds", "2", "--preemptions", "0", "--require-complete")[0] == 3
    assert "every interleaving with at most 0 preemptions\n" in capsys.readouterr().out
    code, row = explored(path, "--rounds", "2", "--preemptions", "2", "--require-complete")
    assert (code, row["complete"], row["bound"], row["preemptions"]) == (0, True, None, 2)
    assert explored(path, "--rounds", "2")[1]["preemptions"] is None


def test_a_search_whose_table_is_full_is_bounded(tmp_path):
    code, row = explored(scenario(tmp_path, STORES), *MANY, "--memory", "2M")

    assert (code, row["complete"], row["bound"]) == (0, False, "the table is full")
    assert row["table_bytes"] == 2 << 20
    assert row["states"] == 7 << 15  # 7/8 of the words of 2 MiB


def test_a_table_that_grows_forgets_nothing(tmp_path, monkeypatch):
    path = scenario(tmp_path, STORES)
    found = []
    for first, piece, most in ((64, 1 << 23, 1 << 16), (77, 512, 50_001), (1 << 16, 1, 1 << 16)):
        monkeypatch.setattr("shmkret.explore.stacks.executor.FIRST_PLACES", first)
        monkeypatch.setattr("shmkret.explore.stacks.executor.PIECE", piece)
        _, stacks = stacks_of(path, 3, 10, places=most)
        with stacks:
            outcome = states.search(stacks, 1 << 40, 60)
        found.append((outcome.states, outcome.complete, outcome.violations))

    assert found[0] == found[1] == found[2]
    assert found[0][1:] == (True, [])
    assert found[0][0] > 1000


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_search_says_what_is_known_by_then(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command.Live, "searching", interrupt)
    code, row = explored(scenario(tmp_path, STORES), *MANY)

    assert (code, row["complete"], row["bound"]) == (130, False, "interrupted")
    assert "bounded: interrupted" in capsys.readouterr().out


def test_a_search_that_somebody_kills_has_shown_nothing(tmp_path, monkeypatch):
    """Neither a violation, nor complete: memory was short."""
    monkeypatch.setattr(command.Live, "searching", lambda *_: [child.kill() for child in psutil.Process().children()])
    code, row = explored(scenario(tmp_path, STORES), *MANY)

    assert (code, row["complete"], row["violations"]) == (0, False, [])
    assert "SIGKILL" in row["bound"]


def test_of_several_searches_the_worst_is_told():
    done, bounded, wrong = (
        {"complete": complete, "violations": found} for complete, found in ((True, []), (False, []), (False, ["wrong"]))
    )
    how = {"interrupted": False, "require_complete": True}

    assert command.code([done, bounded], interrupted=False, require_complete=False) == 0
    assert command.code([done, bounded], **how) == 3
    assert command.code([done, wrong, bounded], **how) == 1
    assert command.code([done, wrong, bounded], **{**how, "interrupted": True}) == 130


@pytest.mark.parametrize("error", [ValueError("ours"), PluginError("theirs")])
def test_what_a_search_raises_is_raised_here(error, tmp_path):
    def job():
        raise error

    _, stacks = stacks_of(scenario(tmp_path, STORES))
    with stacks, pytest.raises(RunFailed if isinstance(error, ValueError) else PluginError, match=str(error)):
        apart.run(stacks, job)


def test_a_schedule_is_a_string_and_back(tmp_path):
    asked, stacks = stacks_of(scenario(tmp_path, STORES, "own name"), 3, 2)
    stacks.close()
    schedule = [0] * 12 + [1, 1, 2, 3 + 0, 6 + 1, 2]
    string = strings.spelt(asked, [8, 800], schedule, 3)
    back = strings.parsed(string)

    assert string.split(":")[3:-1] == ["3x2", "d0", "m-", "s1.64", "a12b2cA~bc"]
    assert (back.asked, back.shared, back.schedule(3)) == (asked, [8, 800], schedule)
    for other in (string[:-1], string.replace("a12", "a13"), string + ":", "a", ""):
        with pytest.raises(UsageError, match="no schedule"):
            strings.parsed(other)


def test_a_schedule_that_cannot_be_followed_is_no_result(tmp_path, capsys):
    asked, stacks = stacks_of(scenario(tmp_path, STORES))
    stacks.close()

    assert main(["replay", strings.spelt(asked, [], [0, 0, 0], 2)]) == 2
    assert "step 2 of the schedule cannot be done" in capsys.readouterr().err
    assert main(["replay", strings.spelt(asked, [], [0, 1], 2)]) == 0
    assert "nothing is wrong there" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["calls", "--engine", "none"], "there is pct, pos, states"),
        (["calls", "--engine", "exhaustive"], "--engine is 'exhaustive'"),
        (["calls", "--model", "arm"], "there is sc, tso, ra"),
        (["calls", "--model", "tso", "--engine", "pct", "--runs", "9"], "the engine pct searches under sc alone"),
        (["cals"], "did you mean calls"),
        (["calls", "--deaths", "1"], "nobody dies in the scenario calls"),
        (["death", "--scheme", "objpool"], "not recoverable"),
        (["calls", "--cpus", "0"], "0 cpus were asked for"),
        (["calls", "--seconds", "0"], "--seconds is 0"),
        (["calls", "--engine", "pos"], "the engine pos never ends by itself: give --seconds or --runs"),
        (["calls", "--engine", "pct", "--runs", "0"], "--runs is 0"),
        (["calls", "--engine", "pct", "--runs", "1", "--depth", "18"], "--depth is 18: give a number from 1 to 17"),
        (["calls", "--engine", "pct", "--runs", "1", "--seed", "-1"], "--seed is -1"),
        (["calls", "--preemptions", "-1"], "--preemptions is -1: give a number from 0 to 100"),
        (["calls", "--preemptions", "101"], "--preemptions is 101"),
        (["calls", "--preemptions", "1", "--engine", "traces"], "--preemptions bound a search by states: traces knows no such"),
        (["calls", "--runs", "1"], "--runs are of an engine that draws at random: states does not"),
        (["calls", "--memory", "1"], "'1' is no memory for a search: give a size such as 512M"),
        (["calls", "--lock", ","], "no scheme or no lock is named"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(words, said, capsys):
    assert main(["explore", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.full  # compiles the path for a file of a user's
def test_a_workers_file_is_searched_in_its_rounds_and_a_string_says_which(tmp_path, capsys):
    """One whose step() reads what another writes, both plainly."""
    (tmp_path / "mine.py").write_text(
        "from shmkret.kernel import Kretprobe, call_and_return\n\n\ndef probes(nr_cpus):\n    return [Kretprobe(0)]\n\n\n"
        "def step(worker, k, cpu, task, n):\n    k.script.word[0] = k.script.word[0] + cpu\n"
        "    call_and_return(k, cpu, task, 0, n)\n"
        "\n\ndef script(nr_cpus, rng):\n    return [0]\n"
    )
    code, row = explored(str(tmp_path / "mine.py"), "--lock", "ttas")
    (violation,) = row["violations"]

    assert (code, row["name"], row["worker"]) == (1, "rounds", "mine")
    assert violation["what"] == "data race on script[0].word: cpu 0 is at store, cpu 1 at load"
    assert violation["replay"].split()[2].startswith(f"rounds={str(tmp_path).replace('/', '%2F')}%2Fmine.py:hashed:ttas:")
    assert "rounds of mine: hashed with ttas" in capsys.readouterr().out
    assert main(violation["replay"].split()[1:]) == 1
    assert violation["what"] in capsys.readouterr().out


def test_a_scenario_of_no_worker_program_takes_none():
    asked = asked_of("rounds", find(SCHEME, "hashed"), find(LOCK, "sem"), 2, 1, None, None, "spread")

    assert asked.worker.name == "spread"
    assert asked.world().build.worker is asked.worker
    assert strings.parsed(strings.spelt(asked, [], [0], 2)).asked == asked
    with pytest.raises(UsageError, match="leave out `worker`"):
        asked_of("calls", find(SCHEME, "hashed"), find(LOCK, "sem"), 2, 1, None, None, "spread")


def pairs(names, **beside):
    said = []
    found = combinations(names, With(**{"schemes": ["hashed"], "locks": ["ttas", "sem"], **beside}), said.append)
    return [(one.scenario.name, one.scheme.name, one.lock.name, one.deaths) for one in found], said


def copied(folder, kind, name):
    path = folder / f"my_{name}.py"
    path.write_text(find(kind, name).path.read_text())
    return str(path)


def test_a_locks_file_is_searched_by_itself_as_its_abilities_allow(tmp_path):
    busted, ttas = (copied(tmp_path, LOCK, name) for name in ("busted", "ttas"))

    assert pairs([ttas, busted]) == (
        [("lock", "hashed", "my-ttas", 0), ("lock-death", "hashed", "my-ttas", 1), ("lock", "hashed", "my-busted", 0)],
        ["lock-death is left out: the lock my-busted is not recoverable: it has the functions of none of owner, robust, gate"],
    )
    with pytest.raises(UsageError, match="9 cpus"):
        pairs([ttas], cpus=9)


def test_a_schemes_file_is_searched_in_all_scenarios_of_the_path(tmp_path):
    objpool = copied(tmp_path, SCHEME, "objpool")
    found, said = pairs([objpool], locks=["ttas"], deaths=1)

    others = set(names(SCENARIO)) - {"lock", "lock-death"}
    left_out = {words.split()[0] for words in said}
    assert {one[0] for one in found} | left_out == others
    assert {one[1:] for one in found} == {("my-objpool", "ttas", 0)}
    assert "death" in left_out


def test_scenarios_that_are_named_are_searched_with_each_scheme_and_lock(tmp_path):
    path = scenario(tmp_path, STORES)

    assert pairs([path, "calls"], schemes=["hashed", "global"], locks=["ttas"])[0] == [
        (name, scheme, "ttas", 0) for name in ("mine", "calls") for scheme in ("hashed", "global")
    ]
    found, said = pairs([], locks=["ttas"])
    assert {one[0] for one in found} == set(names(SCENARIO)) - {"stopped"}
    assert [words.split(":")[0] for words in said] == ["stopped is left out"]
    with pytest.raises(UsageError, match="not recoverable"):
        pairs(["death"], schemes=["objpool"])


@pytest.mark.full  # the fixture shmkret_explore is tried with such a file always
def test_a_users_lock_is_refused_by_a_violation(tmp_path, capsys):
    path = copied(tmp_path, LOCK, "busted")

    assert main(["explore", path]) == 1
    assert "shmkret replay lock:hashed:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "is none of these: a scenario, which defines scene()"),
        ("def step(worker, k, cpu, task, n): pass", "a worker defines nr_probes()"),
        ("def acquire(lock, i): pass", "is none of these"),
        ("from shmkret.locks.ttas import *\ndef release(lock, i): pass\ndef acquire(lock): pass", "acquire()"),
        ("x = (", "SyntaxError"),
        (None, "there is no such scenario file"),
    ],
)
def test_a_file_that_is_none_of_these_is_told_in_one_sentence(text, words, tmp_path, capsys):
    if text is not None:
        (tmp_path / "file.py").write_text(text)

    assert main(["explore", str(tmp_path / "file.py")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert f"{tmp_path}/file.py" in said
    assert said.count("\n") == 1


def test_a_users_scenario_is_blamed_by_its_file(tmp_path, capsys):
    path = tmp_path / "broken.py"
    path.write_text("def scene(asked):\n    return asked.nothing\n")

    assert main(["explore", str(path)]) == 2
    assert f"{path}:2: AttributeError" in capsys.readouterr().err
    path.write_text("def scene(asked):\n    return 1\n")
    assert main(["explore", str(path)]) == 2
    assert "scene() returned int" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["scenarios", "engines", "monitors"])
def test_what_the_explorer_has_is_listed(what, capsys):
    assert main(["list", what]) == 0
    assert "cannot be loaded" not in capsys.readouterr().out
