"""`shmkret trace record, import, show`: what a program asks of the kernel, and what is in a recording of it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from shmkret.cli import output
from shmkret.cli.options import add_command, add_json, numbers
from shmkret.errors import UsageError


def add(commands: Any) -> None:
    """The command, and those below it."""
    parser = add_command(commands, "trace", _which, help="record what a program asks of the kernel, or show a recording")
    below = parser.add_subparsers(title="what", metavar="record | import | show", required=True)
    record = add_command(below, "record", _record, help="run a command as root, and record it")
    record.add_argument("-o", "--out", metavar="FILE", required=True, help="where to write the recording")
    record.add_argument("--buffer", type=int, default=256, metavar="MIB", help="room for events, for each CPU; default 256")
    record.add_argument("--cores", type=numbers, metavar="N,...", help="the cores that the command may use; default all")
    record.add_argument(
        "command", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="the command, with its words, after --"
    )
    taken = add_command(below, "import", _import, help="the text that tracefs or perf script prints, as a recording")
    taken.add_argument("text", metavar="TEXT", help="a file of such lines")
    taken.add_argument("-o", "--out", metavar="FILE", required=True, help="where to write the recording")
    taken.add_argument("--pid", type=int, metavar="PID", help="the task to begin with; default the first that enters a call")
    taken.add_argument("--machine", default="x86_64", metavar="NAME", help="whose numbers the calls have; default x86_64")
    show = add_command(below, "show", _show, help="what is in a recording")
    show.add_argument("recording", metavar="FILE")
    add_json(show)


def _which(options: argparse.Namespace, argv: list[str]) -> int:
    raise UsageError("give record, import or show")


def _record(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.host import description
    from shmkret.trace.record import record

    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        raise UsageError("give a command to record, such as: shmkret trace record -o build.npz -- make -j8")
    if options.buffer < 1:
        raise UsageError(f"--buffer is {options.buffer}: give a number from 1")
    place = _writable(options.out)
    found = record(words, buffer=options.buffer, cpus=options.cores)
    replace(found, head={**found.head, "computer": description.describe()}).write(place)
    output.say(f"wrote {place}: {len(found):,} events of {found.nr_tasks:,} tasks")
    return output.EXIT_HELD


def _import(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.trace.lines import recorded
    from shmkret.trace.record import names_of_calls

    place = _writable(options.out)
    try:
        with Path(options.text).open(errors="replace", newline="\n") as lines:
            head = {"syscalls": names_of_calls(options.machine), "imported": Path(options.text).name}
            found = recorded(lines, head, options.pid)
    except OSError as error:
        raise UsageError(f"{options.text}: {error.strerror}") from None
    found.write(place)
    output.say(f"wrote {place}: {len(found):,} events of {found.nr_tasks:,} tasks")
    return output.EXIT_HELD


def _writable(name: str) -> Path:
    output.require_writable(name)
    return Path(name)


def _show(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.trace.recording import Recording
    from shmkret.trace.summary import lines, summary

    found = summary(Recording.read(Path(options.recording)))
    if options.json:
        output.write_json(options.json, {**output.headed("trace", argv), "recording": options.recording, **found})
        if options.json == "-":
            return output.EXIT_HELD
    for line in lines(found):
        print(line)
    return output.EXIT_HELD
