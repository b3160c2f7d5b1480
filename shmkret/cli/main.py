"""The entry of the command line: one command from its words to its exit code. Data to standard output, words to standard error.

Exit codes: 0 held, 1 a property failed, 2 usage or bad input, 3 this machine is not fit for it, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence

from shmkret import __version__
from shmkret.cli import bench, clean, compare, doctor, explore, inspect, join, repair, replay, report, stress, trace
from shmkret.cli import list as listing
from shmkret.cli.options import in_commands, in_options
from shmkret.cli.output import kept, say
from shmkret.errors import (
    NOT_WHOLE,
    PluginError,
    RunFailed,
    ShmkretError,
    UnfitMachine,
    UsageError,
    cannot_import,
    is_short_of_memory,
)
from shmkret.host import signals

EXIT_BROKEN_PIPE = 141
COMMANDS = (bench, compare, report, doctor, stress, explore, replay, trace, join, inspect, repair, clean, listing)
"""In the order in which the help shows them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    _require_streams()
    options = parser().parse_args(argv)
    try:
        _require_text(argv)
        code: int = options.run(options, argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        there = kept and (kept[-1] / "results.json").is_file()
        say(f"{signals.KEPT} {kept[-1]}" if there else signals.WORDS)
        return signals.EXIT_INTERRUPTED
    except BrokenPipeError:
        _give_up_output()
        return EXIT_BROKEN_PIPE
    except (ShmkretError, MemoryError, ImportError, OSError, SystemExit) as error:
        code, words = _failed(error)
        say(f"shmkret: {words}")
        if isinstance(error, OSError) and error.errno is not None:
            _give_up_output()
        return code


def _failed(error: BaseException) -> tuple[int, str]:
    """The exit code of an error that is no defect of ours, and what to say of it."""
    if isinstance(error, ShmkretError):
        if is_short_of_memory(error):
            return UnfitMachine.exit_code, f"{error}; {NOT_WHOLE}"
        quotes_the_user = isinstance(error, PluginError | RunFailed)
        in_our_words = in_commands if quotes_the_user else in_options
        return error.exit_code, in_our_words(str(error))
    if isinstance(error, MemoryError):
        words = "out of memory: raise ulimit -v, or lower --probes, --maxactive, --data-size or --tasks"
        return UnfitMachine.exit_code, words
    if isinstance(error, ImportError):
        return UnfitMachine.exit_code, cannot_import(error)
    if isinstance(error, OSError):
        # No system call failed: a library that looks for its own parts does not find them.
        whole = error.errno is not None
        return (UsageError.exit_code, str(error)) if whole else (UnfitMachine.exit_code, f"{error}; {NOT_WHOLE}")
    return UsageError.exit_code, "a plug-in called sys.exit(); nothing was measured"


def parser() -> argparse.ArgumentParser:
    """Of all commands."""
    whole = argparse.ArgumentParser(
        prog="shmkret", description="The Linux kernel's kretprobe instance machinery, run for real between processes."
    )
    whole.add_argument("--version", action="version", version=f"shmkret {__version__}")
    commands = whole.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return whole


def _require_streams() -> None:
    """Closed streams go to /dev/null, and no name is too odd to be printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None or getattr(sys, name).closed:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        if isinstance(getattr(sys, name), io.TextIOWrapper):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _require_text(argv: Sequence[str]) -> None:
    """Results say what they were asked for, and are UTF-8. Raises UsageError."""
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{os.fsencode(word)!r} is not UTF-8, as everything in a result is: rename it") from None


def _give_up_output() -> None:
    """Nobody reads standard output, or it is full: keep the interpreter from complaining as it closes."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
