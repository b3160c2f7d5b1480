"""What an interrupt, a full disk or an odd place does to a measurement that has been made: nothing."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shmkret.cli.main import main
from shmkret.measure import bench
from shmkret.measure.report import folder, tables

pytestmark = pytest.mark.full

REPOSITORY = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def run(script, *arguments, **options):
    """A Python script in a process of its own; returns its exit code, output and words."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=110, **options)
    return done.returncode, done.stdout, done.stderr


# Signals.

LAST = """
import atexit, os, signal, sys
from shmkret.host import signals
from shmkret.__main__ import main

def interrupt(kill=os.kill, pid=os.getpid(), numbers=[int(number) for number in signals.NUMBERS]):
    for number in numbers:
        kill(pid, number)

class Last:
    __del__ = lambda self, interrupt=interrupt: interrupt()

WHERE
sys.argv = ["shmkret", *sys.argv[1:]]
sys.exit(main())
"""


@pytest.mark.parametrize(
    "where", ["last = Last()  # goes when the interpreter has given its signals back", "atexit.register(interrupt)"]
)
@pytest.mark.parametrize(
    ("arguments", "code"), [(["list", "locks"], 0), (["list", "nothing"], 2), (["--help"], 0), (["--no"], 2)]
)
def test_a_signal_after_the_last_word_changes_nothing(where, arguments, code):
    found, _, err = run(LAST.replace("WHERE", where), *arguments)

    assert found == code
    assert "Traceback" not in err


@pytest.mark.parametrize("when", ["returned", "over"])
def test_a_signal_between_the_last_word_and_the_end_is_no_traceback(when):
    """At the latest moment at which it is still raised."""
    patch = {
        "returned": "cli.main = lambda main=cli.main: (main(), os.kill(os.getpid(), signal.SIGINT))[0]",
        "over": "signals.over = lambda over=signals.over, sent=[]: (sent or sent.append(os.kill(os.getpid(), 15)), over())",
    }[when]
    code, out, err = run(LAST.replace("WHERE", f"from shmkret.cli import main as cli\n{patch}\nlast = Last()"), "list", "locks")

    assert code == {"returned": 130, "over": 0}[when]
    assert "ttas" in out
    assert "Traceback" not in err


def test_a_signal_as_it_says_what_it_wrote_does_not_say_otherwise(tmp_path):
    noticing = "write = lambda words, write=sys.stderr.write: ('wrote' in words and interrupt(), write(words))[1]"
    script = LAST.replace("WHERE", f"{noticing}\nsys.stderr.write = write")
    options = ["--worker", "hot", "--scheme", "hashed", "--lock", "ttas", "--cpus", "1", "--seconds", "0.02", "--repeat", "1"]
    code, out, err = run(script, "bench", *options, "--plain", "--out", tmp_path / "out")

    assert (code, "hot" in out) == (0, True)
    assert err.splitlines()[-1].startswith("wrote results.json")


# Where the results go.

CELL = ["--worker", "hot", "--scheme", "hashed", "--lock", "ttas", "--cpus", "1"]
MEASURE = ["bench", *CELL, "--seconds", "0.02", "--repeat", "1", "--plain"]
FILES = {"results.json", "cells.csv", "samples.csv", "report.html", "pyperf.json", "throughput.svg", "throughput.png"}
WRITE = """
import json, sys
from pathlib import Path
from shmkret.measure.report import folder
out = Path(sys.argv[1])
folder.write_folder(folder.place(out), json.loads(Path(sys.argv[2]).read_text()))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("measured") / "out"
    assert main([*MEASURE, "--out", str(out)]) == 0
    return out


def result_of(measured):
    return json.loads((measured / "results.json").read_text())


def names(place):
    return {path.name for path in place.iterdir()}


def dangling(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "there" / "real")


def to_an_empty_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")


def empty(tmp_path):
    (tmp_path / "out").mkdir()


@pytest.mark.parametrize("prepare", [dangling, to_an_empty_folder, empty, lambda tmp_path: None])
def test_a_folder_may_be_a_link_or_be_there_and_is_written_whole(prepare, measured, tmp_path):
    prepare(tmp_path)
    folder.write_folder(folder.place(tmp_path / "out"), result_of(measured))

    assert names(tmp_path / "out") == FILES
    assert not list(tmp_path.rglob(".shmkret-*"))
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755


def test_a_folder_that_is_there_is_written_in_place(measured, tmp_path):
    empty(tmp_path)
    before = (tmp_path / "out").stat().st_ino
    folder.write_folder(folder.place(tmp_path / "out"), result_of(measured))

    assert (tmp_path / "out").stat().st_ino == before


def namespaces():
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not namespaces(), reason="this user may not mount, not even in a namespace of its own")
def test_an_empty_mount_below_a_folder_that_cannot_be_written_is_written_in_place(measured, tmp_path):
    empty(tmp_path)
    mounts = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path} && mount -t tmpfs none {tmp_path}/out"
    (tmp_path / "write.py").write_text(WRITE)
    write = f"{sys.executable} {tmp_path}/write.py {tmp_path}/out {measured}/results.json && ls {tmp_path}/out"
    command = ["unshare", "-rm", "sh", "-c", f"{mounts} && {write}"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)

    assert (done.stderr, set(done.stdout.split())) == ("", FILES)


def circle(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "out")


def full(tmp_path):
    empty(tmp_path)
    (tmp_path / "out" / "thesis.tex").write_text("")


def a_file(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "out").symlink_to(tmp_path / "file")


@pytest.mark.parametrize("prepare", [circle, full, a_file])
def test_a_place_that_cannot_be_is_refused_before_anything_is_measured(prepare, tmp_path, capsys):
    prepare(tmp_path)
    before = names(tmp_path)

    assert main([*MEASURE, "--seconds", "60", "--out", str(tmp_path / "out")]) == 2
    assert "name another" in capsys.readouterr().err
    assert names(tmp_path) == before


def spoiled(monkeypatch, tmp_path):
    """While it is measured, somebody puts a file where the folder was to be."""
    run = bench.run
    monkeypatch.setattr(bench, "run", lambda *arguments: ((tmp_path / "a").write_text(""), run(*arguments))[1])
    return [*MEASURE, "--out", str(tmp_path / "a" / "out")]


def test_a_measurement_that_cannot_be_written_is_kept_elsewhere(monkeypatch, tmp_path, capsys):
    code = main(spoiled(monkeypatch, tmp_path))
    kept = re.search(r"the measurement is in (\S+);", capsys.readouterr().err)[1]
    try:
        assert code == 2
        assert folder.load(Path(kept))["cells"][0]["hits"] > 0
        assert main(["report", kept]) == 0
        assert names(Path(kept)) == FILES
    finally:
        shutil.rmtree(kept)


@pytest.mark.parametrize("options", [[], ["--json", "-"]])
def test_a_measurement_that_nothing_can_be_written_of_goes_to_standard_output_once(options, monkeypatch, tmp_path, capsys):
    def no_space(*arguments, **more):
        raise OSError(28, "No space left on device")

    command = [*spoiled(monkeypatch, tmp_path), *options]
    monkeypatch.setattr(folder, "rescue", no_space)
    code = main(command)
    out, err = capsys.readouterr()

    assert code == 2
    assert json.loads(out)["cells"][0]["hits"] > 0
    assert err.endswith("the measurement is on standard output\n")


def test_a_defect_of_the_report_does_not_lose_the_measurement_either(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(folder, "_save_plots", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        main([*MEASURE, "--out", str(tmp_path / "out")])
    kept = re.search(r"the measurement is in (\S+);", capsys.readouterr().err)[1]

    assert names(Path(kept)) == {"results.json"}
    assert names(tmp_path) == set()
    shutil.rmtree(kept)


def test_a_report_that_cannot_be_written_again_leaves_the_folder_as_it_was(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    command = f"ulimit -f 1; {sys.executable} -m shmkret report {tmp_path}/out"
    done = subprocess.run(command, shell=True, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, "File too large" in done.stderr) == (2, True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_a_report_is_made_again_without_touching_its_result(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "out")
    before = (tmp_path / "out" / "results.json").stat()
    (tmp_path / "out" / "report.html").unlink()
    assert main(["report", str(tmp_path / "out")]) == 0
    after = (tmp_path / "out" / "results.json").stat()

    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert names(tmp_path / "out") == FILES


KILLED = WRITE.replace("out = ", "import os\nfolder._save_plots = lambda *_: os.kill(os.getpid(), 9)\nout = ")


@pytest.mark.parametrize("prepare", [empty, lambda tmp_path: None])
def test_what_a_killed_writer_left_goes_with_the_next_and_what_a_live_one_writes_stays(prepare, measured, tmp_path):
    prepare(tmp_path)
    out = tmp_path / "out"
    assert run(KILLED, out, measured / "results.json")[0] == -9
    assert list(tmp_path.rglob(".shmkret-*"))
    live = tmp_path / f"{folder._prefix(os.getppid())}abc"
    foreign = tmp_path / f".shmkret-another.machine.1.{1 << 30}.abc"
    for place in (live, foreign):
        place.mkdir()
    code, _, err = run(WRITE, out, measured / "results.json")

    assert (code, err) == (0, "")
    assert names(out) == FILES
    assert names(tmp_path) == {"out", live.name, foreign.name}


def test_a_folder_in_which_a_file_cannot_be_put_is_left_without_the_others(measured, monkeypatch, tmp_path):
    empty(tmp_path)
    monkeypatch.setattr(folder, "_save_plots", lambda *_: (tmp_path / "out" / "cells.csv").mkdir() or [])
    with pytest.raises(IsADirectoryError):
        folder.write_folder(tmp_path / "out", result_of(measured))

    assert names(tmp_path / "out") == {"cells.csv"}


@pytest.mark.parametrize(
    ("module", "function", "words"),
    [(folder, "_save_plots", "nothing was written"), (tables, "print_tables", "the results are in")],
)
def test_an_interrupt_says_whether_the_results_are_there(module, function, words, monkeypatch, tmp_path, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, function, interrupted)

    assert main([*MEASURE, "--out", str(tmp_path / "out")]) == 130
    assert words in capsys.readouterr().err
    assert (tmp_path / "out" / "results.json").exists() == ("results are in" in words)


# Odd places and streams.


@pytest.mark.skipif(not namespaces(), reason="this user may not mount, not even in a namespace of its own")
@pytest.mark.parametrize("options", [["--named"], ["--lock", "sem-named"]])
def test_a_full_dev_shm_is_a_machine_that_is_not_fit(options, tmp_path):
    measure = shlex.join([sys.executable, "-m", "shmkret", *MEASURE, *options, "--out", str(tmp_path / "out")])
    filled = "mount -t tmpfs -o size=64k none /dev/shm && ! dd if=/dev/zero of=/dev/shm/full 2>/dev/null"
    command = ["unshare", "-rm", "sh", "-c", f"{filled} && {measure}"]
    environment = {**ENVIRONMENT, "SHMKRET_SHM_DIR": ""}  # not the folder of our own, which is not in there
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "is /dev/shm full" in done.stderr


@pytest.mark.parametrize("option", ["--out", "--worker", "--json"])
def test_a_name_that_is_not_utf8_is_refused_in_a_sentence(option, tmp_path):
    """A result says what was asked for."""
    command = [sys.executable, "-m", "shmkret", *MEASURE, option, os.fsencode(tmp_path) + b"/x\xff.py"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "x\\xff.py' is not UTF-8" in done.stderr
    assert names(tmp_path) == set()


def test_a_measurement_in_a_folder_whose_name_is_not_utf8_is_made(tmp_path):
    odd = tmp_path / "x\udcff"
    odd.mkdir()
    shutil.copy(REPOSITORY / "shmkret" / "locks" / "ttas.py", odd / "own.py")
    command = [sys.executable, "-m", "shmkret", *MEASURE, "--lock", "./own.py", "--out", "out"]
    done = subprocess.run(command, cwd=odd, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert (odd / "out" / "results.json").is_file()


@pytest.mark.parametrize("close", ["sys.stdout.close()", "sys.stdout = None", "sys.stdout = sys.stderr = None"])
@pytest.mark.parametrize(
    "does", ["cli.main(sys.argv[1:])", "shmkret.run('hot', lock='ttas', seconds=0.02, repeat=1, plain=True)"]
)
def test_without_a_standard_output_it_is_measured_all_the_same(close, does, tmp_path):
    script = f"import os, sys\nimport shmkret\nfrom shmkret.cli import main as cli\n{close}\n{does}\nos._exit(7)"

    code, _, err = run(script, *MEASURE, "--out", tmp_path / "out")

    assert (code, "Traceback" in err) == (7, False)
