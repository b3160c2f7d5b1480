"""The command line: results, exit codes, bad input, and every way in which a run may end."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shmkret.arena.segment import Arena
from shmkret.cli import main as cli
from shmkret.cli.list import LISTS
from shmkret.cli.main import main
from shmkret.cli.output import replay
from shmkret.errors import PluginError
from shmkret.explore.rehearsal import by_itself
from shmkret.explore.rehearsal import rehearse as rehearsal
from shmkret.host import signals
from shmkret.locks import LOCK
from shmkret.measure import suite
from shmkret.measure.knobs import OPTIONS
from shmkret.plugins import registry
from shmkret.schemes import SCHEME

from .conftest import TWO_CORES, needs_two_cores

REPOSITORY = Path(__file__).parent.parent
QUICK = ["--seconds", "0.05", "--repeat", "8", "--seed", "1"]
CELL_KEYS = {
    "worker", "scheme", "lock", "arch", "padding", "cpus", "params", "samples", "median", "ci95", "calls", "hits", "nmissed",
    "refused", "verdict", "reasons",
}  # fmt: skip


def bench(tmp_path, *options):
    """Run `shmkret bench` here; returns its exit code and its JSON object."""
    tmp_path.mkdir(exist_ok=True)
    place = tmp_path / "result.json"
    code = main(["bench", *options, *QUICK, "--out", str(tmp_path / "out"), "--json", str(place)])
    return code, json.loads(place.read_text())


def test_bench_writes_what_the_contract_says(tmp_path, capsys):
    code, result = bench(tmp_path, "--worker", "hot", "--cpus", "1", "--lock", "sem")

    assert code == 0
    assert {"schema", "command", "argv", "version", "seed", "machine", "suite", "cells", "ratios"} <= result.keys()
    assert [cell["scheme"] for cell in result["cells"]] == suite.load("scaling")["scheme"]
    for cell in result["cells"]:
        assert cell.keys() >= CELL_KEYS
        assert len(cell["samples"]) == 8
        assert cell["ci95"][0] <= cell["median"] <= cell["ci95"][1]
        assert cell["calls"] == cell["hits"] + cell["nmissed"]
    (ratio,) = result["ratios"]
    assert (ratio["by"], ratio["over"], ratio["under"]) == ("scheme", "hashed", "global")
    assert ratio["ci95"][0] <= ratio["median"] <= ratio["ci95"][1]
    out, err = capsys.readouterr()
    assert "Mcalls/s" in out
    assert "wrote results.json" in err


def test_the_folder_holds_json_csv_and_plots(tmp_path):
    _, result = bench(tmp_path, "--worker", "hot", "--cpus", "1", "--scheme", "hashed", "--lock", "sem,ttas")
    folder = tmp_path / "out"

    assert json.loads((folder / "results.json").read_text()) == result
    cells = list(csv.DictReader((folder / "cells.csv").read_text().splitlines()))
    assert [float(row["median"]) for row in cells] == [cell["median"] for cell in result["cells"]]
    samples = list(csv.DictReader((folder / "samples.csv").read_text().splitlines()))
    assert [float(row["calls_per_s"]) for row in samples] == [rate for cell in result["cells"] for rate in cell["samples"]]
    assert (folder / "throughput.svg").read_text().count("<svg") == 1
    assert (folder / "throughput.png").read_bytes().startswith(b"\x89PNG")


def test_json_on_standard_output_is_nothing_but_json(tmp_path, capsys):
    main(["bench", *ONE_LOOP, *QUICK, "--out", str(tmp_path), "--json", "-"])
    out, err = capsys.readouterr()

    assert json.loads(out)["command"] == "bench"
    assert "Mcalls/s" in err


def test_plain_runs_the_same_cells(tmp_path):
    code, result = bench(tmp_path, "--worker", "hot", "--cpus", "1", "--lock", "sem", "--plain")

    assert code == 0
    assert all(cell["params"]["plain"] and cell["hits"] > 0 for cell in result["cells"])


@needs_two_cores
def test_busted_is_withheld_and_a_sound_lock_beside_it_is_not(tmp_path, capsys):
    code, result = bench(tmp_path, "--worker", "hot", "--cpus", "2", "--lock", "ttas,busted")

    assert code == 1
    for cell in result["cells"]:
        assert (cell["verdict"] == "withheld") == (cell["lock"] == "busted")
        assert (cell["median"] is None) == (cell["lock"] == "busted")
    assert any("oracle" in reason or "audit" in reason for cell in result["cells"] for reason in cell["reasons"])
    assert "--seed 1" in capsys.readouterr().err


def test_a_doubt_says_which_option_helps(tmp_path, capsys):
    cell = ["--worker", "recursion", "--scheme", "hashed", "--lock", "ttas", "--cpus", "1", "--maxactive", "1", "--plain"]
    _, result = bench(tmp_path, *cell)

    assert any("found no free instance: raise --maxactive" in reason for reason in result["cells"][0]["reasons"])
    assert "raise --maxactive" in capsys.readouterr().out


def test_more_workers_than_cores_are_suspect(tmp_path):
    code, result = bench(
        tmp_path, "--worker", "hot", "--scheme", "hashed", "--lock", "sem", "--cpus", "2", "--workers-per-core", "2"
    )

    assert code == 0
    assert result["cells"][0]["verdict"] == "suspect"
    assert "2 workers a core" in " ".join(result["cells"][0]["reasons"])


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler")
@pytest.mark.full  # .ci/run measures against both peers in every run
@pytest.mark.parametrize("padding", ["cacheline", "packed"])
def test_the_c_peer_does_the_same_work_on_the_same_arena(tmp_path, padding):
    """The oracle and the audit judge the C program's lists as they judge ours."""
    suites = (
        ["parity", "--scheme", ",".join(registry.names(SCHEME))]
        if padding == "packed"
        else ["parity-handlers", "--scheme", "hashed"]
    )
    options = ["--lock", "ttas", "--padding", padding, "--cpus", "2" if TWO_CORES else "1"]
    code, result = bench(tmp_path, *suites, *options)

    assert code == 0
    parity = [ratio for ratio in result["ratios"] if ratio["by"] == "peer"]
    assert len(result["cells"]) == 2 * len(parity)
    assert {r["scheme"] for r in parity} == set(suites[2].split(","))
    assert all((r["over"], r["under"]) == ("shmkret", "c") and r["median"] > 0 for r in parity)


def test_parity_without_a_compiler_is_exit_3_and_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)

    assert main(["bench", "parity", *QUICK, "--out", str(tmp_path)]) == 3
    assert "no C compiler" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["scalling"], "did you mean scaling"),
        (["--lock", "tickt"], "no lock is called 'tickt': did you mean ticket"),
        (["--scheme", "hash"], "did you mean hashed"),
        (["--worker", "hut"], "did you mean hot"),
        (["--arch", "x86"], "did you mean x86-64 or x86-32"),
        (["--peer", "c", "--lock", "sem-named"], "the peer c has no lock sem-named: it has sem, pthread, ttas"),
        (["--peer", "d"], "no peer is called 'd'"),
        (["--peer", "c", "--worker", "exits"], "the peer c has no worker exits: it has hot, spread, handlers, interrupts"),
        (["--padding", "loose"], "no padding is called 'loose'"),
        (["--hash", "mult-2017"], "did you mean mult-2016"),
        (["--task-address", "pidd"], "did you mean pid"),
        (["--cpus", "4096"], "this process may use"),
        (["--cpus", "0"], "--cpus is 0"),
        (["--cpus", ""], "--cpus names nothing"),
        (["--lock", ","], "--lock names nothing"),
        (["--repeat", "0"], "--repeat is 0"),
        (["--seconds", "0"], "--seconds is 0"),
        (["--seconds", "nan"], "--seconds is nan"),
        (["--seconds", "-1"], "--seconds is -1"),
        (["--seed", "-1"], "--seed is -1"),
        (["--maxactive", "0"], "maxactive is 0"),
        (["--maxactive=-5"], "maxactive is -5"),
        (["--maxactive", "99999999999999999999"], "maxactive is 99999999999999999999"),
        (["--maxactive", "16777216", "--probes", "1024"], "lower --probes or --maxactive"),
        (["--probes", "0"], "--probes says 0"),
        (["--tasks", "0"], "--tasks says 0"),
        (["--data-size", "-8"], "data_size is -8"),
        (["--data-size", "1048576", "--maxactive", "1000000"], "are available: lower --probes"),
        (["--workers-per-core", "0"], "--workers-per-core is 0"),
        (["--bug", "double-unlok"], "no bug is called 'double-unlok': did you mean double-unlock"),
        (["--bug", "double-unlock+"], "no bug is called ''"),
        (["--pin-order", "core"], "did you mean cores"),
        (["--handler-ns", "-1"], "--handler-ns is -1"),
        (["--work-ns", "9999999999"], "--work-ns is 9999999999"),
        (["--worker", "handlers", "--data-size", "4"], "the handlers of handlers need 8 bytes"),
        (["--worker", "./none.py"], "there is no such worker file"),
        (["./none.toml"], "No such file"),
        (["--out", "/proc/none"], "cannot be written"),
        (["--out", "/etc/passwd"], "is there already and is no empty folder"),
        (["--out", "/etc/passwd/sub"], "cannot be written"),
        (["--json", "/proc/none.json"], "cannot be written"),
        (["--json", "/tmp"], "it is a folder"),
        (["--json", "/tmp/there/is/none.json"], "lies in none"),
    ],
)
def test_bad_input_is_exit_2_and_a_sentence(options, words, tmp_path, capsys):
    out = [] if "--out" in options else ["--out", str(tmp_path / "out")]
    worker = [] if "--worker" in options else ["--worker", "hot"]

    assert main(["bench", *options, *worker, *out]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert "Traceback" not in err
    assert out == ""
    assert not (tmp_path / "out").exists()


HANDLED = """
from shmkret.kernel import Kretprobe

def probes(nr_cpus):
    return [Kretprobe(0, {})]
"""
GOOD_WORKER = """
from shmkret.kernel import call_and_return

def nr_probes(nr_cpus):
    return 1

def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD_WORKER.replace("def step", "async def step"), "must be a plain function"),
        (GOOD_WORKER + "def script(nr_cpus, rng): return ['a']", "not of whole numbers in a row"),
        (GOOD_WORKER.replace("return 1", "raise SystemExit(0)", 1), "own.py:5: SystemExit"),
        (GOOD_WORKER.replace("    call_and_return(k, cpu, task, 0, n)", "    pass"), "there is nothing to measure"),
        (GOOD_WORKER + "def probes(nr_cpus): return [1]", "probe 0 is 1: give a Kretprobe or a Kprobe"),
        (GOOD_WORKER + "def probes(nr_cpus): return 1 // 0", "own.py:9: ZeroDivisionError"),
        (GOOD_WORKER + HANDLED.format("7"), "the handler 7 must be a plain function"),
        (GOOD_WORKER + HANDLED.format("nr_probes"), "own.py:4: a handler takes (k, cpu, task, ri); nr_probes() takes 1"),
        (GOOD_WORKER + HANDLED.format("None, None, 0, True), Kretprobe(-1"), "probe 1 is on function -1"),
        (GOOD_WORKER + "BLACKLIST = (0,)", "function 0 may not be probed"),
        (GOOD_WORKER + "def interrupt(k): pass", "interrupt() of a worker takes 4 arguments, this one takes 1"),
        ("import nothing_of_that_name", "own.py:1: ModuleNotFoundError"),
        ("def step(:", "own.py:1: SyntaxError"),
        ("x = 1\n1 / 0\n", "own.py:2: ZeroDivisionError"),
        ("raise SystemExit(0)", "own.py:1: SystemExit"),
        ("raise KeyboardInterrupt", "own.py:1: KeyboardInterrupt, in importing it"),
        (GOOD_WORKER.replace("    call_and", "    raise KeyboardInterrupt\n    call_and"), "own.py:8: KeyboardInterrupt"),
        ("def nr_probes(nr_cpus): return 1", "a worker defines step() with 5 arguments"),
        (GOOD_WORKER.replace("cpu, task, n)", "cpu)", 1), "step() of a worker takes 5 arguments, this one takes 3"),
        (GOOD_WORKER + "def script(nr_cpus, rng): return {}['x']", "own.py:9: KeyError"),
        (GOOD_WORKER + "def script(nr_cpus, rng): return []", "own.py: script(1) returned an array of float64 of shape (0,)"),
        (GOOD_WORKER.replace("return 1", "return 'one'", 1), "returned 'one', not a whole number"),
        (GOOD_WORKER.replace("return 1", "return nr_cpus / 0", 1), "own.py:5: ZeroDivisionError"),
        (GOOD_WORKER.replace("0, n)", "undefined, n)"), "own.py:8: NameError: name 'undefined' is not defined"),
        (GOOD_WORKER.replace("0, n)", "{}, n)"), "own.py:8:"),
    ],
)
def test_a_worker_file_that_is_wrong_is_reported_by_file_and_line(text, words, tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text(text)

    assert main(["bench", "--worker", str(own), "--cpus", "1", *QUICK, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def test_a_result_is_not_written_over(tmp_path, capsys):
    options = [
        "bench",
        "--worker",
        "hot",
        "--scheme",
        "hashed",
        "--lock",
        "ttas",
        "--cpus",
        "1",
        *QUICK,
        "--out",
        str(tmp_path),
    ]

    assert main(options) == 0
    assert main(options) == 2
    assert "is there already and is no empty folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("0, n)", "50, n)"), "own.py:8: IndexError: function 50, of which there are 1"),
        (
            ("    call_and", "    1 // 0\n    call_and"),
            "own.py:8: ZeroDivisionError: integer division or modulo by zero, in an uncompiled round of CPU 0\n",
        ),
    ],
)
def test_the_rehearsal_finds_what_compiled_code_would_run_over(change, words, tmp_path, capsys):
    own = tmp_path / "own.py"
    own.write_text(words_after(GOOD_WORKER, *change))

    assert main(["bench", "--worker", str(own), "--cpus", "1", *QUICK, "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err


def words_after(text, old, new):
    """The last occurrence replaced: the one in step()."""
    return new.join(text.rsplit(old, 1))


@pytest.fixture
def young(monkeypatch):
    """A rehearsal is no more than begun: tests/test_by_itself.py and tests/test_bounded.py have the whole of it."""
    monkeypatch.setattr(by_itself, "AGE", 500)
    for module in (by_itself, rehearsal):
        monkeypatch.setattr(module, "MOST_STATES", 2_000)


BUSTED_BY_USER = """
from typing import NamedTuple
from shmkret.text import EQ, Words, exchange, load_acquire, store_release, wait_until

class Own(NamedTuple):
    word: Words

def acquire(lock, i):
    ACQUIRE

def release(lock, i):
    RELEASE
"""


@needs_two_cores
@pytest.mark.parametrize(
    ("acquire", "release", "code", "words"),
    [
        ("wait_until(lock.word, i, EQ, 0); store_release(lock.word, i, 1)", "store_release(lock.word, i, 0)", 1, "inside lock"),
        ("wait_until(lock.word, i, EQ, 0); store_release(lock.word, i, 1)", "pass", 2, "one CPU alone waits for ever"),
        ("lock.wird[i] = 1", "pass", 2, "AttributeError"),
        ("lock.word[i] = lock.word[i] + (1 << 62)", "pass", 2, "own.py:9: 9223372036854775808 does not fit: a word is"),
        # Right by itself: what the compiler says of the constant comes after that.
        (
            "while exchange(lock.word, i, 1) != 0 or load_acquire(lock.word, i) == 1 << 63: wait_until(lock.word, i, EQ, 0)",
            "store_release(lock.word, i, 0)",
            2,
            "own.py:9: 9223372036854775808 does not fit",
        ),
        ("store_release(lock.word, i, 0.5)", "pass", 2, "own.py:9: 0.5 is no word, but a float"),
    ],
)
def test_a_users_lock_is_rehearsed_before_it_is_measured(acquire, release, code, words, young, tmp_path, capsys):
    """What an oracle catches by chance, two CPUs under every interleaving show for certain."""
    own = tmp_path / "own.py"
    own.write_text(BUSTED_BY_USER.replace("ACQUIRE", acquire).replace("RELEASE", release))
    options = ["--lock", str(own), "--worker", "hot", "--scheme", "hashed", "--cpus", "2"]

    assert main(["bench", *options, *QUICK, "--out", str(tmp_path / "out")]) == code
    out, err = capsys.readouterr()
    assert words in out + err


def test_a_users_lock_is_rehearsed_on_two_cpus_even_when_one_is_measured(tmp_path, capsys):
    own = tmp_path / "own.py"
    broken = "wait_until(lock.word, i, EQ, 0); store_release(lock.word, i, 1)"
    own.write_text(BUSTED_BY_USER.replace("ACQUIRE", broken).replace("RELEASE", "store_release(lock.word, i, 0)"))
    code, result = bench(tmp_path, "--lock", str(own), "--worker", "hot", "--scheme", "hashed", "--cpus", "1", "--tasks", "1")

    assert (code, result["cells"][0]["verdict"], result["cells"][0]["median"]) == (1, "withheld", None)
    assert "inside lock 0" in result["cells"][0]["reasons"][0]


def test_a_worker_and_a_lock_of_the_users_run_by_path(young, tmp_path):
    worker, lock = tmp_path / "mine.py", tmp_path / "my_lock.py"
    worker.write_text(GOOD_WORKER)
    shutil.copy(LOCK.folder / "ttas.py", lock)
    code, result = bench(tmp_path, "--worker", str(worker), "--lock", str(lock), "--scheme", "hashed")

    assert code == 0
    assert all(cell["hits"] > 0 for cell in result["cells"])
    assert all("my-lock by itself, every interleaving" in cell["rehearsed"][0] for cell in result["cells"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("worker = 'hot'\nlok = 'sem'", "did you mean lock"),
        ("cpus = ['one']", "cpus = 'one' is not of type int"),
        ("plain = 1", "plain = 1 is not of type bool"),
        ("seconds = [", "is not TOML"),
    ],
)
def test_a_suite_file_that_is_wrong_is_exit_2(text, words, tmp_path, capsys):
    own = tmp_path / "own.toml"
    own.write_text(text)

    assert main(["bench", str(own)]) == 2
    assert words in capsys.readouterr().err


def test_a_suite_of_the_users_runs_and_options_win_over_it(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text("worker = 'hot'\nscheme = 'hashed'\nlock = ['mcs', 'ticket']\ncpus = 1\nmaxactive = 3\n")
    _, result = bench(tmp_path, str(own), "--lock", "ttas")

    assert [(c["scheme"], c["lock"], c["params"]["maxactive"]) for c in result["cells"]] == [("hashed", "ttas", 3)]
    assert result["suite"] == "own"


def test_a_suite_has_every_option_of_the_command_line_and_the_command_line_wins(tmp_path, monkeypatch):
    own = tmp_path / "suites" / "own.toml"
    own.parent.mkdir()
    own.write_text("worker = 'hot'\nscheme = 'hashed'\nlock = 'ttas'\ncpus = 1\nseconds = 0.02\nrepeat = 1\nplain = true\n"
                   "seed = 7\nnamed = true\nout = 'there'\njson = 'there.json'\n")  # fmt: skip
    seen = []
    monkeypatch.setattr(Arena, "create", with_names(Arena.create, seen))

    assert main(["bench", str(own)]) == 0
    result = json.loads((own.parent / "there.json").read_text())
    assert (result["seed"], (own.parent / "there" / "results.json").exists()) == (7, True)
    assert set(seen) == {True}
    options = [
        "--seed",
        "8",
        "--no-named",
        "--no-plain",
        "--out",
        str(tmp_path / "here"),
        "--json",
        str(tmp_path / "here.json"),
    ]
    assert main(["bench", str(own), *options]) == 0
    result = json.loads((tmp_path / "here.json").read_text())
    assert (result["seed"], result["cells"][0]["params"]["plain"], seen[-1]) == (8, False, False)


def with_names(create, seen):
    """Arena.create(), and whether each was to have a name."""

    def noting(*args, **options):
        seen.append(options["named"])
        return create(*args, **options)

    return noting


def test_the_options_of_a_suite_are_those_of_the_command_line():
    known = vars(cli.parser().parse_args(["bench"])).keys() - {"suite", "run"}

    assert known == set(OPTIONS)


def test_what_was_used_stands_beside_what_was_asked_for(young, tmp_path):
    own = tmp_path / "mine.py"
    own.write_text((LOCK.folder / "ttas.py").read_text())
    options = ["--worker", "hot", "--scheme", "hashed", "--lock", str(own), "--cpus", "1", "--plain"]
    (cell,) = bench(tmp_path / "a", *options)[1]["cells"]
    row = next(csv.DictReader((tmp_path / "a" / "out" / "cells.csv").read_text().splitlines()))

    assert cell["params"]["maxactive"] is None
    assert cell["used"] == {"probes": 1, "tasks": 1, "maxactive": 10, "data_size": 0}
    assert (row["maxactive"], row["maxactive_used"]) == ("", "10")
    assert row["lock_source"] == cell["sources"]["lock"]
    own.write_text(own.read_text().replace("!= 0", "!= 0 "))
    (edited,) = bench(tmp_path / "b", *options)[1]["cells"]
    assert {kind for kind in cell["sources"] if cell["sources"][kind] != edited["sources"][kind]} == {"lock"}


@pytest.mark.parametrize("place", [["--out", "there"], ["--out=there"], []])
def test_the_command_that_is_printed_again_writes_elsewhere(place):
    assert replay(["bench", *place, "--lock", "sem"], 5) == "shmkret bench --lock sem --seed 5"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ImportError("libA.so: failed to map segment from shared object", name="_imaging"),
            "_imaging cannot be loaded: libA.so",
        ),
        (PluginError("the CPU's loop does not compile: libB.so: failed to map segment"), "libB.so"),
        (OSError("Could not find/load shared object file 'libC.so'"), "libC.so"),
    ],
)
def test_a_library_that_finds_no_room_is_exit_3(error, words, monkeypatch, capsys):
    def fails(*args):
        raise error

    monkeypatch.setitem(LISTS, "locks", fails)
    assert main(["list", "locks"]) == 3
    err = capsys.readouterr().err
    assert words in err
    assert "ulimit -v" in err


def test_a_library_that_is_not_there_at_all_is_exit_3():
    code = "import sys; sys.modules['numpy'] = None; from shmkret.__main__ import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("shmkret: numpy cannot be loaded")


@pytest.mark.parametrize(
    ("what", "known"),
    [
        ("locks", {"sem", "sem-named", "ttas", "ticket", "pthread", "empty", "busted"}),
        ("schemes", {"global", "rfc", "hashed"}),
        ("archs", {"arm", "ia64", "powerpc", "s390", "sparc64", "x86-32", "x86-64"}),
        ("workers", {"hot", "spread", "syscalls", "nested", "tailcall", "recursion", "exits", "handlers", "refuse"}),
        ("workers", {"slow-handler", "sleepers", "switches", "migrate", "churn", "interrupts"}),
        ("suites", {"scaling", "parity", "parity-handlers", "hash", "padding", "features"}),
        ("bugs", {"double-unlock", "leak-on-refusal", "late-list-init", "packed-table-locks", "early-reset"}),
        ("peers", {"c", "c-static"}),
    ],
)
def test_list_names_everything_with_a_summary(what, known, capsys):
    assert main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert known <= {line.split()[0] for line in lines}
    assert all(len(line.split()) > 3 for line in lines)


def test_list_of_something_else_names_what_there_is(capsys):
    assert main(["list", "lock"]) == 2
    assert "did you mean locks" in capsys.readouterr().err


def test_every_suite_that_comes_with_shmkret_is_planned():
    for name in suite.names():
        assert suite.plan(name, {"cpus": [1]}, seed=1).cells


# How a run ends: a command of its own, and its workers seen from outside.


def long_run(tmp_path, *options):
    command = [sys.executable, "-m", "shmkret", "bench", "--worker", "hot", "--scheme", "hashed", "--lock", "sem-named"]
    command += ["--cpus", "2" if TWO_CORES else "1", "--seconds", "60", "--out", str(tmp_path / "out"), *options]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = psutil.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    lasting: set[psutil.Process] = set()
    while len(lasting) < (2 if TWO_CORES else 1):
        assert process.poll() is None, process.communicate()
        before = set(workers_of(process))
        time.sleep(0.2)  # those that time the cores come first, and are gone by then
        lasting = before & set(workers_of(process))
    return process


def workers_of(process):
    """Its forked workers that have been pinned, and so have reset their signals."""
    pinned = []
    for child in process.children():
        try:
            if len(os.sched_getaffinity(child.pid)) == 1:
                pinned.append(child)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return pinned


def ends(process, workers):
    """The exit code and the words of a run that is ending; nothing of it runs on."""
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()  # or it would run on beside all other tests
        raise
    assert psutil.wait_procs(workers, timeout=60)[1] == []
    return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_ends_with_a_clear_word(number, tmp_path):
    process = long_run(tmp_path)
    workers = workers_of(process)
    process.send_signal(number)
    code, out, err = ends(process, workers)

    assert (code, out) == (130, "")
    assert err.endswith("shmkret: interrupted; every worker is gone and nothing was written\n")
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


INTERRUPTED = """
import os, signal, time
from shmkret.host import signals
signals.install()
signals.TIDY_S = 0.5

class Swallows:
    def __del__(self):
        signal.raise_signal({number})

def waits(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_that_is_swallowed_comes_again(number):
    """As where compiled code calls back, or an object goes: Python drops what is raised there."""
    waits = "try:\n    waits(60)\nexcept KeyboardInterrupt:\n    print('again')"
    script = f"{INTERRUPTED.format(number=int(number))}\nSwallows()\n{waits}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert (done.stdout, done.stderr) == ("again\n", "")


def test_interrupts_count_once_while_one_is_tidied_up_and_again_later():
    tries = "try:\n    signal.raise_signal(2)\n    print('dropped')\nexcept KeyboardInterrupt:\n    print('came')\n"
    script = f"{INTERRUPTED.format(number=2)}\n{tries}{tries}waits(0.6)\n{tries}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.stdout.split() == ["came", "dropped", "came"]


def test_what_else_is_dropped_is_shown_as_ever():
    script = f"{INTERRUPTED.format(number=2)}\nSwallows.__del__ = lambda self: 1 // 0\nSwallows()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert "ZeroDivisionError" in done.stderr


def test_ctrl_c_at_a_terminal_reaches_the_workers_too_and_the_parent_still_owns_it(tmp_path):
    process = long_run(tmp_path)
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGINT)

    assert ends(process, workers)[0] == 130


def test_a_killed_worker_ends_the_run_at_once(tmp_path):
    process = long_run(tmp_path)
    workers = workers_of(process)
    victim = workers[0]
    victim.kill()
    code, _, err = ends(process, workers)

    assert code == 1
    assert f"pid {victim.pid}" in err
    assert "was killed by SIGKILL" in err
    assert "again: shmkret bench --worker hot" in err


def test_a_killed_parent_takes_its_workers_along(tmp_path):
    process = long_run(tmp_path)
    workers = workers_of(process)
    process.kill()

    assert ends(process, workers)[0] == -signal.SIGKILL


# The compile cache.


def copied_package(tmp_path):
    for name in ("shmkret", "workers", "bench"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    return tmp_path


def run_copy(tmp_path, *options):
    command = [
        sys.executable,
        "-m",
        "shmkret",
        "bench",
        "--worker",
        "hot",
        "--scheme",
        "hashed",
        "--lock",
        "ttas",
        "--cpus",
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SHMKRET_CACHE_DIR": str(tmp_path / "cache")}
    return subprocess.run(
        [*command, *QUICK, *options, "--out", str(tmp_path / f"out-{len(list(tmp_path.iterdir()))}")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def compiled_files(tmp_path):
    return {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.nbc")}


def test_an_edit_of_a_callee_takes_effect_at_the_next_run_and_no_edit_compiles_nothing(tmp_path):
    """Numba's own check looks at the file of the compiled function only; this edit is two calls away from it."""
    package = copied_package(tmp_path)
    assert run_copy(package).returncode == 0
    first = compiled_files(package)
    assert run_copy(package).returncode == 0
    assert compiled_files(package) == first != {}

    lists = package / "shmkret" / "moves" / "lists.py"
    lists.write_text(words_after(lists.read_text(), "ri, NIL), ri, k.probes.free, rp)", "ri, NIL), NIL, k.probes.free, rp)"))
    broken = run_copy(package)

    assert broken.returncode == 1
    assert "instances lost" in broken.stdout
    assert compiled_files(package).keys() > first.keys()


@pytest.mark.full
def test_an_edit_of_a_users_worker_takes_effect_at_the_next_run(tmp_path):
    package = copied_package(tmp_path)
    own = tmp_path / "own.py"
    own.write_text(GOOD_WORKER)
    assert run_copy(package, "--worker", str(own)).returncode == 0
    own.write_text(GOOD_WORKER.replace("0, n)", "0, n)\n    k.cpus.hits[cpu] += 1"))
    lying = run_copy(package, "--worker", str(own))

    assert lying.returncode == 1
    assert "calls, but" in lying.stdout


@pytest.mark.full
def test_an_edit_of_what_a_users_file_imports_takes_effect_at_the_next_run(tmp_path):
    package = copied_package(tmp_path)
    (tmp_path / "beside.py").write_text("ROUNDS = 0\n")
    own = tmp_path / "own.py"
    counted = GOOD_WORKER.replace("0, n)", "0, n)\n    k.cpus.hits[cpu] += ROUNDS")
    own.write_text("import beside\nROUNDS = beside.ROUNDS\n" + counted)
    assert run_copy(package, "--worker", str(own)).returncode == 0
    first = compiled_files(package)
    (tmp_path / "beside.py").write_text("ROUNDS = 3\n")
    lying = run_copy(package, "--worker", str(own))

    assert "2 calls, but 8 hits" in lying.stdout  # the rehearsal has two CPUs
    assert compiled_files(package).keys() >= first.keys()


def test_only_our_own_old_folders_are_pruned_from_the_cache(tmp_path, monkeypatch):
    from shmkret.machines import compiled as compiling

    monkeypatch.setenv("SHMKRET_CACHE_DIR", str(tmp_path))
    theirs, ours = tmp_path / "thesis", tmp_path / ("0" * 24)
    for folder in (theirs, ours):
        folder.mkdir()
        os.utime(folder, (0, 0))
    compiling.cache_folder(())

    assert theirs.exists()
    assert not ours.exists()


def test_what_was_ignored_stays_ignored(monkeypatch):
    """nohup: a hang-up does not end the run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    handlers = {number: signal.getsignal(number) for number in signals.NUMBERS}
    try:
        signals.install()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.signal(signal.SIGHUP, before)


ONE_LOOP = ["--worker", "hot", "--scheme", "hashed", "--lock", "ttas", "--cpus", "1"]


@pytest.fixture(scope="module")
def whole_cache(tmp_path_factory):
    """A cache of one loop, as a run leaves it."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHMKRET_CACHE_DIR", str(place / "cache"))
        assert bench(place / "run", *ONE_LOOP)[0] == 0
    return place / "cache"


DAMAGES = [lambda f: f.write_bytes(b""), lambda f: f.write_bytes(b"\0" * 99), lambda f: (f.unlink(), f.mkdir())]


@pytest.mark.parametrize(
    ("which", "damage"),
    [
        pytest.param(which, damage, marks=[] if i == j == 0 else pytest.mark.full)
        for i, which in enumerate(["*.nbi", "*.nbc"])
        for j, damage in enumerate(DAMAGES)
    ],
)
def test_a_damaged_cache_heals(which, damage, whole_cache, tmp_path, monkeypatch):
    shutil.copytree(whole_cache, tmp_path / "cache")
    files = list((tmp_path / "cache").rglob(which))
    assert files
    for file in files:
        damage(file)
    monkeypatch.setenv("SHMKRET_CACHE_DIR", str(tmp_path / "cache"))

    assert bench(tmp_path / "a", *ONE_LOOP)[0] == 0


def test_closed_and_full_outputs_end_in_a_sentence(tmp_path):
    options = f"bench --worker hot --scheme hashed --lock ttas --cpus 1 {' '.join(QUICK)}"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    run = f"{sys.executable} -m shmkret {options} --out {tmp_path}"
    closed = subprocess.run(f"{run}/b >&-", shell=True, env=environment, capture_output=True, text=True, check=False)
    full = subprocess.run(f"{run}/c >/dev/full", shell=True, env=environment, capture_output=True, text=True, check=False)

    assert (closed.returncode, "Traceback" in closed.stderr) == (0, False)
    assert (full.returncode, full.stderr.splitlines()[-1]) == (2, "shmkret: [Errno 28] No space left on device")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_loop_is_compiled_ends_at_once(number, tmp_path):
    """llvmlite calls back from C, where an exception is lost: the process ends on the spot."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SHMKRET_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "shmkret", "bench", "--worker", "hot", "--cpus", "1", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not any((tmp_path / "cache").glob("*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    assert err.endswith("shmkret: interrupted; every worker is gone and nothing was written\n")
    assert "Traceback" not in err


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    monkeypatch.setenv("SHMKRET_CACHE_DIR", "/proc/none")

    assert bench(tmp_path, "--worker", "hot", "--scheme", "hashed", "--lock", "ttas", "--cpus", "1")[0] == 0
