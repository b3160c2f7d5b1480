"""`shmkret explore --mutants`: each slip of shmkret.explore.mutants in a process of its own, and whether its search sees it."""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from shmkret.cli import output
from shmkret.errors import UsageError
from shmkret.explore.mutants import Mutant, chosen
from shmkret.explore.mutants.verdict import Row, Verdict, judged
from shmkret.host import posix, signals
from shmkret.plugins.registry import PACKAGE

LONGEST_S, LONGEST_SEARCH_S = 900.0, 120.0
"""What a process may take, compiling and all; what its search may."""
WAIT_MS = 500

Answers = dict[tuple[str, str], Row | str]
"""What each search has come to, by the mutant's name (empty: of the text as it stands) and its words."""


def run(names: list[str], processes: int | None, json_place: str | None, argv: list[str]) -> int:
    """Try the mutants of these names, or areas; of none, all. 1 when one does not end as its data say. Raises UsageError."""
    output.require_writable(json_place)
    mutants = chosen(names)
    if processes is not None and processes < 1:
        raise UsageError(f"--processes is {processes}: give a number from 1")
    place = sys.stderr if json_place == "-" else sys.stdout
    print(f"{len(mutants)} mutants, {len({one.search for one in mutants})} searches", file=place, flush=True)
    rows: list[dict[str, Any]] = []
    code = output.EXIT_HELD
    try:
        for mutant, verdict, row in _tried(mutants, processes or len(os.sched_getaffinity(0))):
            rows.append(_told(mutant, verdict, row, place))
    except KeyboardInterrupt:
        output.say("shmkret: interrupted; what is known by now is above")
        code = signals.EXIT_INTERRUPTED
    rows.sort(key=lambda row: (row["area"], row["name"]))
    print("\n".join(_summary(rows)), file=place, flush=True)
    output.write_json(json_place, {**output.headed("explore", argv), "mutants": rows})
    return code or (output.EXIT_HELD if all(row["expected"] for row in rows) else output.EXIT_FAILED)


def _told(mutant: Mutant, verdict: Verdict, row: Row | str, place: TextIO) -> dict[str, Any]:
    """A line, and a row of the object."""
    row = row if isinstance(row, dict) else {}
    end = "killed" if verdict.killed else "harmless" if verdict.expected else "NOT KILLED"
    ran = f"{row['seconds']:.2f} s, {row['states']:,} states" if row else "no search"
    print(f"  {end:10} {mutant.area}/{mutant.name} ({ran}): {verdict.by}", file=place, flush=True)
    again = f"python -m shmkret.cli.patched {mutant.name} "
    return {
        "name": mutant.name, "area": mutant.area, "breaks": mutant.breaks, "commit": mutant.commit, "search": mutant.search,
        "killed": verdict.killed, "expected": verdict.expected, "harmless": mutant.harmless, "by": verdict.by,
        "seconds": row.get("seconds"), "compile_seconds": row.get("compile_seconds"), "states": row.get("states"),
        "preemptions": verdict.preemptions,
        "replay": verdict.replay.replace("shmkret ", again, 1) if not mutant.misses else verdict.replay,
    }  # fmt: skip


def _summary(rows: list[dict[str, Any]]) -> Iterator[str]:
    """How many of each area, and of all."""
    for area in dict.fromkeys(row["area"] for row in rows):
        own = [row for row in rows if row["area"] == area]
        yield f"{area}: {len(own)}, killed {sum(row['killed'] for row in own)}"
    ran = [row for row in rows if row["seconds"] is not None]
    killed = sum(row["killed"] for row in rows)
    if ran:
        searched = statistics.median(row["seconds"] for row in ran)
        compiled = statistics.median(row["compile_seconds"] for row in ran)
        yield f"median search {searched:.2f} s, compiling before it {compiled:.1f} s"
        preemptions = Counter(row["preemptions"] for row in ran if row["killed"])
        yield "preemptions: " + ", ".join(f"{n} in {nr}" for n, nr in sorted(preemptions.items(), key=str))
        yield f"{killed} of {len(rows)} killed ({100 * killed / len(rows):.1f} %)"


def _tried(mutants: list[Mutant], processes: int) -> Iterator[tuple[Mutant, Verdict, Row | str]]:
    """Each as soon as its search, and that of what stands there, have ended. These come first: what they compile is used."""
    keys = [*dict.fromkeys(("", one.search) for one in mutants), *((one.name, one.search) for one in mutants)]
    words = {("", one.search): one.words for one in mutants} | {(one.name, one.search): one.words for one in mutants}
    answers: Answers = {}
    waiting = list(mutants)
    with tempfile.TemporaryDirectory(prefix="shmkret-mutants-") as folder:
        for key, answer in _searched([(key, words[key]) for key in keys], processes, Path(folder)):
            answers[key] = answer
            for mutant in list(waiting):
                row, stands = answers.get((mutant.name, mutant.search)), answers.get(("", mutant.search))
                if row is not None and stands is not None:
                    waiting.remove(mutant)
                    yield mutant, judged(mutant, row, stands), row


def _searched(
    asked: list[tuple[tuple[str, str], list[str]]], processes: int, folder: Path
) -> Iterator[tuple[tuple[str, str], Row | str]]:
    """The answers, as they come, of that many processes at once. None is left, however the block is left."""
    waiting = list(reversed(asked))
    running: dict[int, _Search] = {}
    poll = select.poll()
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                key, words = waiting.pop()
                with signals.held_back():
                    one = _Search(key, words, folder / f"{len(waiting)}.json")
                    running[one.pidfd] = one
                poll.register(one.pidfd, select.POLLIN)
            ended = [fd for fd, _ in poll.poll(WAIT_MS)]
            ended += [fd for fd, one in running.items() if fd not in ended and time.monotonic() > one.end]
            for fd in ended:
                poll.unregister(fd)
                one = running.pop(fd)
                yield one.key, one.answer()
    finally:
        with signals.held_back():
            for one in running.values():
                one.close()


class _Search:
    """A process that runs one search."""

    def __init__(self, key: tuple[str, str], words: list[str], place: Path) -> None:
        self.key = key
        self.end = time.monotonic() + LONGEST_S
        self._place, self._said = place, place.with_suffix(".txt")
        module = ["shmkret.cli.patched", key[0]] if key[0] else ["shmkret"]
        command = [sys.executable, "-P", "-m", *module, "explore", *words, "--monitors", "none", "--json", str(place)]
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [*command, "--seconds", str(LONGEST_SEARCH_S)],
                env=_surroundings(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                preexec_fn=partial(posix.die_with_parent, os.getpid()),  # noqa: PLW1509 (we have one thread)
            )
        self.pidfd = os.pidfd_open(self._process.pid)

    def answer(self) -> Row | str:
        """The row of its search, or why there is none; the process is gone."""
        late = self._process.poll() is None and time.monotonic() > self.end
        self.close()
        if late:
            return f"it has not ended after {LONGEST_S:g} s"
        try:
            (row,) = json.loads(self._place.read_text())["scenarios"]
        except (OSError, ValueError):
            said = self._said.read_text().strip().splitlines()
            return f"exit code {self._process.returncode}: {said[-1] if said else 'without a word'}"
        return dict(row)

    def close(self) -> None:
        """Nothing of it is left: its own children die with it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self.pidfd)


def _surroundings() -> dict[str, str]:
    """A child finds the package where we have it, and nothing in the current folder."""
    before = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *([before] if before else [])])}
