"""What a command gives: data to standard output or a file, words to standard error, and the command that gives it again."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shmkret import __version__
from shmkret.errors import ShmkretError, UsageError

EXIT_HELD, EXIT_FAILED = 0, 1
SCHEMA = 1
"""Of every object but bench's, which the result folder numbers itself."""
kept: list[Path] = []
"""The folders that this process has written, or was about to write."""


def say(words: str) -> None:
    """To standard error, if that can be written."""
    with contextlib.suppress(OSError, ValueError):
        print(words, file=sys.stderr, flush=True)


def headed(command: str, argv: Sequence[str], seed: int | None = None) -> dict[str, Any]:
    """What the object of every command begins with: what was asked for, by which version, on which machine."""
    from shmkret.host import description

    head = {"schema": SCHEMA, "command": command, "argv": argv, "version": __version__, "seed": seed}
    return {**head, "machine": description.describe()}


def write_json(place: str | None, result: dict[str, Any]) -> None:
    """An object to `-`, which is standard output, to a file, or (None) nowhere. Raises UsageError."""
    if place == "-":
        json.dump(result, sys.stdout, indent=1, allow_nan=False)
        print()
    elif place:
        try:
            Path(place).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise UsageError(f"{place}: {error.strerror}") from error


def require_writable(place: str | None) -> None:
    """Find out now, not after the run, that the object has no place to go. Raises UsageError."""
    if place in (None, "-"):
        return
    path = Path(place)
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UsageError(f"{path} cannot be written: it is a folder, or lies in none")
    try:
        if not path.exists():
            tempfile.TemporaryFile(dir=path.resolve().parent).close()
        elif not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): name another place") from error


def rescue(json_place: str | None, result: dict[str, Any]) -> str:
    """Put a measurement somewhere, after it could not be written to where it should be; returns words that say where."""
    from shmkret.measure.report import folder

    if json_place:
        with contextlib.suppress(ShmkretError, OSError):
            write_json(json_place, result)
            if json_place == "-":
                return "the measurement is on standard output"
    try:
        saved = folder.rescue(result)
        return f"the measurement is in {saved}; `shmkret report {saved}` makes the rest"
    except OSError:
        write_json("-", result)
        return "the measurement is on standard output"


def replay(argv: Sequence[str], seed: int) -> str:
    """The command again with the same seed; into another folder, since this one is there already."""
    again = [
        word for i, word in enumerate(argv) if word != "--out" and not word.startswith("--out=") and argv[i - 1] != "--out"
    ]
    seeded = any(word == "--seed" or word.startswith("--seed=") for word in argv)
    return shlex.join(["shmkret", *again, *([] if seeded else ["--seed", str(seed)])])
