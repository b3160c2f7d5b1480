"""What an interrupt, a full disk or an odd place does to a measurement that has been made: nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
from shmkret import signals
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
    code, out, err = run(LAST.replace("WHERE", f"from shmkret import cli\n{patch}\nlast = Last()"), "list", "locks")

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
