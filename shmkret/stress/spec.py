"""What shall go wrong, in one string, in the manner of fail(9).

    SPEC    = TERM { ";" TERM }
    TERM    = POINT "=" [ P "%" ] [ N "*" ] { WHEN } ACTION [ "(" ARGUMENT ")" ]
    WHEN    = "after=" K ":" | "every=" I ":" | "cpu=" I { "+" I } ":"

    nth=all | nth=K    instead of terms: the process kills itself before every store in turn, or before the K-th alone

    random=kill                       a CPU, at any instant: the default
    random=90%kill;recoverer=10%kill  and now and then the recoverer while it recovers
    holder=kill;random=2%stop(5ms)    one that holds a lock; or let one stand still for a while
    random=kill;arena=10%flip         and after a tenth of the rounds a bit of the quiet arena: found, named and repaired

P is how often a term is chosen among those that may be, N how often at most; `after` and `every` count the faults so far.

Source    fail(9), FreeBSD; Documentation/fault-injection, Linux
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NoReturn

from shmkret.errors import UsageError

POINTS = {
    "random": "a CPU, at any instant",
    "mover": "a CPU that has said what it is about to change, and may not have done it all",
    "holder": "a CPU in the middle of a move, or one that waits with a bucket lock in its hands",
    "waiter": "a CPU that sleeps",
    "all": "every CPU at once",
    "recoverer": "the recoverer, up to 300 us after a CPU",
    "parent": "the supervisor, whose children die with it",
    "arena": "the arena itself, quiet after a round: a word that the audit checks",
}
ACTIONS = {"kill": "SIGKILL", "stop": "SIGSTOP, and SIGCONT after (TIME), 1ms by default", "off": "nothing"}
DAMAGES = {
    "flip": "a bit of any checked word",
    "cycle": "a list leads back into itself",
    "cross": "a list leads into another",
    "wild": "a list leads to where no instance is",
}
NTH = {"nth": "its own k-th store, uncompiled: nth=all or nth=K, and no other term"}
KINDS_OF_TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass
class Term:
    """One term. share: of 100, relative to the others; arg in seconds."""

    point: str
    action: str
    share: float = 100.0
    most: int = 1 << 62
    after: int = 0
    every: int = 1
    cpus: tuple[int, ...] = ()
    arg: float = 0.001
    done: int = field(default=0, compare=False)

    def may(self, n: int) -> bool:
        """Whether it may be the n-th fault, from 0."""
        return self.done < self.most and n >= self.after and (n - self.after) % self.every == 0 and self.action != "off"


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, wanted: str) -> NoReturn:
        found = f"{self.text[self.at]!r}" if self.at < len(self.text) else "the end"
        pointer = f"  {self.text}\n  {' ' * self.at}^"
        raise UsageError(f"fault specification, character {self.at + 1}: {found} where {wanted} is expected\n{pointer}")

    def take(self, pattern: str) -> str:
        """The text that matches here, and step over it; empty when nothing does."""
        match = re.compile(pattern).match(self.text, self.at)
        if not match:
            return ""
        self.at = match.end()
        return match.group()

    def word(self, known: dict[str, str], what: str) -> str:
        before = self.at
        found = self.take(r"[a-z]+")
        if found not in known:
            self.at = before
            self.fail(f"{what} ({', '.join(known)})")
        return found


def nth(text: str) -> int | str | None:
    """K of nth=K, or "all"; None for a specification of terms. Raises UsageError."""
    reader = _Reader(text)
    if not reader.take(r"\s*nth\s*="):
        return None
    value = reader.take(r"all|\d+")
    if not value:
        reader.fail("all or a number")
    if reader.at < len(text):
        reader.fail("the end")
    if value != "all" and int(value) < 1:
        raise UsageError(f"fault specification {text!r}: stores are counted from 1")
    return value if value == "all" else int(value)


def parse(text: str) -> list[Term]:
    """The terms of a specification. Raises UsageError, which names the character and lists what there is."""
    reader = _Reader(text)
    terms = [_term(reader)]
    while reader.take(r"\s*;\s*"):
        terms.append(_term(reader))
    if reader.at < len(text):
        reader.fail("';' or the end")
    if not any(term.action != "off" and term.point != "arena" for term in terms):
        raise UsageError(f"fault specification {text!r}: nothing ever happens")
    return terms


def _term(reader: _Reader) -> Term:
    point = reader.word(POINTS, "a point")
    if not reader.take("="):
        reader.fail("'='")
    term = Term(point, "")
    number = reader.take(r"\d+(\.\d+)?(?=%)")
    if number:
        reader.take("%")
        term.share = float(number)
        if not 0 < term.share <= 100:
            raise UsageError(f"fault specification: {number}% is no share: give more than 0, and 100 at most")
    number = reader.take(r"\d+(?=\*)")
    if number:
        reader.take(r"\*")
        term.most = int(number)
    while True:
        key = reader.take(r"(after|every|cpu)=")
        if not key:
            break
        numbers = reader.take(r"\d+(\+\d+)*")
        if not numbers or not reader.take(":"):
            reader.fail("numbers and ':'")
        values = tuple(int(number) for number in numbers.split("+"))
        if key == "cpu=":
            term.cpus = values
        elif key == "after=":
            term.after = values[0]
        else:
            term.every = max(1, values[0])
    term.action = reader.word(DAMAGES if point == "arena" else ACTIONS, "an action")
    if reader.take(r"\("):
        number = reader.take(r"\d+(\.\d+)?")
        unit = reader.take(r"us|ms|s")
        if not number or not unit or not reader.take(r"\)"):
            reader.fail("a time such as 5ms and ')'")
        term.arg = float(number) * KINDS_OF_TIME[unit]
    if term.action == "stop" and term.point in ("parent", "recoverer"):
        raise UsageError(f"fault specification: {term.point} can be killed, not stopped")
    return term
