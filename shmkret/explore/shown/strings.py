"""A schedule as a string, short enough for a line, which `shmkret replay` runs again.

calls:hashed:sem:2x1:d0:m-:s-:a12b3Aa:8d1f0c2e

scenario, scheme, lock    names, or paths; quoted as in a URL. rounds=hot: a scenario of a worker program, and that
2x1, d0, m-, s-           CPUs x rounds; deaths; instances a probe; words that have turned out to be shared, by number
tso, ra                   the memory model; left out where it is sc
a12b3A~b+b2               CPU 0 does 12 steps, CPU 1 does 3; CPU 0 dies; CPU 1 is the one that is woken, or wakes for no
                          reason, and has its two oldest stores committed
a12-b--a=-b               CPU 1 does a step in which it reads the message before the newest, CPU 0 one with the message before
                          that; CPU 1 gives up waiting, as the message before the newest of its stop word says
8d1f0c2e                  a checksum of all before it
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple
from urllib.parse import quote, unquote

from shmkret.errors import UsageError
from shmkret.explore.scenarios import Asked, asked_of
from shmkret.explore.scene import SC
from shmkret.explore.stacks.control import COMMITS, DIES, KINDS, MOST_MESSAGES, NO_MORE, STEPS, WAKES
from shmkret.locks import LOCK
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME

AGAIN, WITH_MONITORS = " ".join(("shmkret", "replay")), "-" * 2 + "monitors"
"""The command that runs a string again, and its option for who watches then."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NONE = "-"
MODEL_AT = 7
"""Where the model stands among the parts of a string that names one."""
MARKS = {"": STEPS, "~": WAKES, "+": COMMITS, **{"-" * back: KINDS - 1 + back for back in range(1, MOST_MESSAGES)}} | {
    "=" + "-" * back: KINDS - 1 + MOST_MESSAGES + back for back in range(MOST_MESSAGES)
}
"""What stands before a CPU's letter, by what its choice is; a death is a large letter."""


class Spelt(NamedTuple):
    """What a string says. shared: places in the arena, in bytes. steps: what a choice is, as
    shmkret.explore.stacks.control has it; CPU.
    """

    asked: Asked
    shared: list[int]
    steps: list[tuple[int, int]]

    def schedule(self, nr_cpus: int) -> list[int]:
        """As numbers, for a scene of that many CPUs, recoverers included."""
        return [nr_cpus * what + cpu for what, cpu in self.steps]


def spelt(asked: Asked, shared: Iterable[int], schedule: Sequence[int], nr_cpus: int) -> str:
    """The string."""
    named = [quote(plugin.reference, safe="") for plugin in (asked.scenario, asked.scheme, asked.lock)]
    named[0] += f"={quote(asked.worker.reference, safe='')}" if asked.worker else ""
    words = ".".join(f"{place // 8:x}" for place in shared) or NONE
    runs = ((choice, len(list(run))) for choice, run in groupby(schedule))
    steps = "".join(f"{_letter(*divmod(choice, nr_cpus))}{n if n > 1 else ''}" for choice, n in runs)
    numbers = [f"{asked.cpus}x{asked.rounds}", f"d{asked.deaths}", f"m{asked.maxactive or NONE}", f"s{words}"]
    text = ":".join([*named, *numbers, *([] if asked.model == SC else [asked.model]), steps or NONE])
    return f"{text}:{_checksum(text)}"


def _letter(what: int, cpu: int) -> str:
    letter = LETTERS[cpu]
    return letter.upper() if what == DIES else next(mark for mark, kind in MARKS.items() if kind == what) + letter


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def parsed(string: str) -> Spelt:
    """What it says. Raises UsageError and its kinds."""
    text, _, checksum = string.strip().rpartition(":")
    parts = text.split(":")
    model = parts.pop(MODEL_AT) if len(parts) == MODEL_AT + 2 else SC
    if len(parts) != MODEL_AT + 1 or checksum != _checksum(text):
        raise UsageError(
            f"{string!r} is no schedule, or a part of it is missing: its checksum is wrong; give it as it was printed"
        )
    first, _, program = parts[0].partition("=")
    scenario, scheme, lock, worker = (unquote(part) for part in (first, *parts[1:3], program))
    try:
        cpus, rounds = map(int, parts[3].split("x"))
        deaths, maxactive = (None if part[1:] == NONE else int(part[1:]) for part in parts[4:6])
        shared = [8 * int(word, 16) for word in parts[6][1:].split(".") if word != NONE]
    except ValueError:
        raise UsageError(f"{string!r} is no schedule: its numbers cannot be read") from None
    locks = (find(SCHEME, scheme), find(LOCK, lock))
    asked = asked_of(scenario, *locks, cpus, rounds, deaths, maxactive, worker or None, model)
    found = re.findall(r"(~|\+|=?-*)([a-zA-Z])(\d*)", parts[-1])
    steps = [
        (DIES if letter.isupper() else MARKS.get(mark, NO_MORE), LETTERS.index(letter.lower()))
        for mark, letter, n in found
        for _ in range(int(n or 1))
    ]
    return Spelt(asked, shared, steps)
