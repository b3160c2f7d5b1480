"""Several searches, in several processes: pieces, each in a process of its own, and with a file for its result.

    Folder(path).make(pieces)      asked.json: what was asked, piece by piece
    for row in Pool(...).rows()    NAME.json: what was asked, the digest of the sources, the result
    Folder(path).missing(pieces)   those of which there is no result that is still true: other sources, other results

Ends      every process is killed and reaped, however rows() is left; each search in it dies with it
Again     a piece whose process dies is done again, twice at most; then its row says so, and no file does
Always    a file is there as a whole, or it is not
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import math
import os
import re
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shmkret.errors import UnfitMachine, UsageError
from shmkret.explore.scenarios import Asked, asked_of
from shmkret.explore.search import Found, How, half_of_free, search
from shmkret.explore.stacks import apart
from shmkret.host import signals
from shmkret.locks import LOCK
from shmkret.plugins.registry import PACKAGE, find
from shmkret.schemes import SCHEME

MOST_TRIES = 3
ASKED = "asked.json"
Row = dict[str, Any]
"""Found.statistics()."""


class Piece(NamedTuple):
    """One search of several."""

    asked: Asked
    how: How

    def words(self) -> Row:
        """What is asked, as plain numbers and strings, from which piece_of() makes it again."""
        asked, how = self.asked, asdict(self.how)
        named = {name: getattr(asked, name).reference for name in ("scenario", "scheme", "lock")}
        numbers = {name: getattr(asked, name) for name in ("cpus", "rounds", "deaths", "maxactive")}
        named["worker"] = self.asked.worker.reference if self.asked.worker else None
        how |= {"seconds": None if math.isinf(self.how.seconds) else self.how.seconds, "monitors": list(self.how.monitors)}
        return {**named, **numbers, "how": how}

    @property
    def name(self) -> str:
        """Of its file."""
        asked = self.asked
        said = "-".join([*(one.name for one in (asked.scenario, asked.scheme, asked.lock)), f"{asked.cpus}x{asked.rounds}"])
        digest = hashlib.sha256(json.dumps(self.words(), sort_keys=True).encode()).hexdigest()[:8]
        return re.sub(r"[^\w.-]", "_", f"{said}-{self.how.engine}-{self.how.model}-{digest}")

    @property
    def digest(self) -> str:
        """Of our sources, and of the files that are searched."""
        used = (self.asked.scenario, self.asked.scheme, self.asked.lock, self.asked.worker)
        files = [one.digest for one in used if one]
        return hashlib.sha256("\0".join([_sources(), *files]).encode()).hexdigest()[:16]


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(os.fsencode(source.relative_to(PACKAGE)) + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def piece_of(words: Row) -> Piece:
    """The piece that such words ask for. Raises UsageError and its kinds; KeyError, TypeError where they are others."""
    how = {**words["how"], "seconds": math.inf if words["how"]["seconds"] is None else words["how"]["seconds"]}
    how["monitors"] = tuple(how["monitors"])
    asked = asked_of(
        words["scenario"], find(SCHEME, words["scheme"]), find(LOCK, words["lock"]), words["cpus"], words["rounds"],
        words["deaths"], words["maxactive"], words["worker"], how["model"],
    )  # fmt: skip
    return Piece(asked, How(**how))


class Folder:
    """Where results lie."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def make(self, pieces: Sequence[Piece]) -> None:
        """Begin it. Raises UsageError where there is something already, or nothing can be."""
        try:
            self.path.mkdir(exist_ok=True)
            empty = not any(self.path.iterdir())
        except OSError as error:
            raise UsageError(f"{self.path} cannot be made or read: {error.strerror}") from error
        if not empty:
            raise UsageError(f"{self.path} is not empty: give another folder, or `resume` what it has")
        self._write(ASKED, {"pieces": [piece.words() for piece in pieces]})

    def pieces(self) -> list[Piece]:
        """What was asked there. Raises UsageError."""
        try:
            return [piece_of(words) for words in json.loads((self.path / ASKED).read_text())["pieces"]]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{self.path} is no folder of results that a search has begun: {error}") from error

    def row(self, piece: Piece) -> Row | None:
        """The result of a piece, if there is one of these sources."""
        try:
            found = json.loads((self.path / f"{piece.name}.json").read_text())
            same = found["asked"] == piece.words() and found["digest"] == piece.digest
            return found["result"] if same else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, piece: Piece, row: Row) -> None:
        """Write it down. Raises UsageError."""
        self._write(f"{piece.name}.json", {"asked": piece.words(), "digest": piece.digest, "result": row})

    def _write(self, name: str, value: Row) -> None:
        try:
            (self.path / f".{name}").write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")
            (self.path / f".{name}").replace(self.path / name)
        except OSError as error:
            raise UsageError(f"{self.path / name} cannot be written: {error.strerror}") from error


class _Child(NamedTuple):
    """A process that searches a piece. answers: where its result comes from. tries: which this is."""

    piece: Piece
    tries: int
    pid: int
    answers: int
    words: list[bytes]


class Pool:
    """At most so many processes at a time. Each has its share of the memory, which is half of what is free if nobody says."""

    def __init__(self, pieces: Sequence[Piece], processes: int, searching: Callable[[Asked, How], Found] = search) -> None:
        if processes < 1:
            raise UsageError(f"`processes` is {processes}: give 1 or more")
        self._waiting = [(piece, 1) for piece in pieces]
        self._processes = processes
        self._searching = searching
        self._children: dict[int, _Child] = {}
        self._free = half_of_free()
        self._poll = select.poll()

    @property
    def running(self) -> int:
        """How many search now."""
        return len(self._children)

    def rows(self) -> Iterator[tuple[Piece, Row, bool]]:
        """Each piece with its result, as they come; and whether it has one. Raises: what a search raises."""
        try:
            while self._waiting or self._children:
                while self._waiting and self.running < self._processes:
                    self._start(*self._waiting.pop(0))
                for answers, _ in self._poll.poll():
                    ended = self._read(self._children[answers])
                    if ended is not None:
                        yield ended
        finally:
            with signals.held_back():
                for child in list(self._children.values()):
                    self._forget(child)

    def _start(self, piece: Piece, tries: int) -> None:
        how = replace(piece.how, memory=(piece.how.memory or self._free) // self._processes)
        parent = os.getpid()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        answers, answer = os.pipe()
        gc.freeze()
        try:
            # A signal between fork() and the next lines would lose the child; the end of this block raises it.
            with signals.held_back():
                pid = os.fork()
                if pid == 0:
                    apart.child(parent, answer, lambda: self._searching(piece.asked, how).statistics())
                self._children[answers] = _Child(piece, tries, pid, answers, [])
        except OSError as error:
            os.close(answers)
            raise UnfitMachine(f"cannot start a search: {error.strerror}; raise ulimit -u or -n") from error
        finally:
            gc.unfreeze()
            os.close(answer)
        self._poll.register(answers, select.POLLIN)

    def _read(self, child: _Child) -> tuple[Piece, Row, bool] | None:
        """What a child has written; its result, when that is all; None: it goes on, or is done again."""
        more = os.read(child.answers, 1 << 16)
        if more:
            child.words.append(more)
            return None
        status = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        self._forget(child)
        if status and status.si_code == os.CLD_EXITED and child.words:
            return child.piece, apart.result(b"".join(child.words)), True
        if child.tries < MOST_TRIES:
            self._waiting.append((child.piece, child.tries + 1))
            return None
        killed = status is not None and status.si_code != os.CLD_EXITED
        how = f"was killed by {apart.signal_name(status.si_status)}" if status and killed else "ended without a result"
        return child.piece, _lost(child.piece, f"its process {how}, {MOST_TRIES} times"), False

    def _forget(self, child: _Child) -> None:
        """End a child, if it has not ended."""
        apart.end(child.pid)
        if child.answers in self._children:
            with contextlib.suppress(KeyError):
                self._poll.unregister(child.answers)
            del self._children[child.answers]
            os.close(child.answers)


def _lost(piece: Piece, bound: str) -> Row:
    """The row of a piece that was not searched."""
    states, runs = (0, None) if piece.how.tabled else (None, 0)
    none = 0 if piece.how.by_traces else None
    return Found(
        piece.asked, piece.how, False, bound, states, 0, runs, runs, 0.0, 0.0, 0, 0.0, retried=none, blocked=none, pruned=none
    ).statistics()
