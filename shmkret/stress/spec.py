"""What shall go wrong, in one string, in the manner of fail(9).

    SPEC    = TERM { ";" TERM }
    TERM    = POINT "=" [ P "%" ] [ N "*" ] { WHEN } ACTION [ "(" ARGUMENT ")" ]
    WHEN    = "after=" K ":" | "every=" I ":" | "cpu=" I { "+" I } ":"

    nth=all | nth=K    instead of terms: the process kills itself before every store in turn, or before the K-th alone

    random=kill                       a CPU, at any instant: the default
    random=90%kill;recoverer=10%kill  and now and then the recoverer while it recovers
    holder=kill;random=2%stop(5ms)    one that holds a lock; or let one stand still for a while
    random=kill;arena=10%flip         and after a tenth of the rounds a bit of the quiet arena: found, named and repaired
    random=kill;alloc=50%fail(3+)     and in half of the rounds the third allocation fails, and all after it

While CPUs are at work, terms strike one after the other: P is how often one is chosen, relative to those that may be. Terms
of a point that is no CPU ("arena", "pool", "alloc") belong to a round, each in P of 100 rounds. N is how often at most; `after`
and `every` count the strikes so far, or the rounds.

Source    fail(9), FreeBSD; Documentation/fault-injection, Linux
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from shmkret.errors import UsageError
from shmkret.stress.record import MOST_TERMS

TIME, COUNT, FROM = "a time such as 5ms", "a number", "a number, and + for all after it"
"""Kinds of arguments."""


class Action(NamedTuple):
    """What is done. argument: its kind, empty when it takes none; default: what it is without; must: whether it kills."""

    summary: str
    argument: str = ""
    default: float = 0
    kills: bool = False


class Point(NamedTuple):
    """Where it is done, and what can be done there. of_round: before or after the CPUs are at work."""

    summary: str
    actions: tuple[str, ...]
    of_round: bool = False


TO_CPUS = ("kill", "reuse", "stop", "delay", "interrupt", "off")
POINTS = {
    "random": Point("a CPU, at any instant", TO_CPUS),
    "mover": Point("a CPU that has said what it is about to change, and may not have done it all", TO_CPUS),
    "holder": Point("a CPU in the middle of a move, or one that waits with a bucket lock in its hands", TO_CPUS),
    "waiter": Point("a CPU that sleeps", TO_CPUS),
    "poster": Point("a CPU that has freed a lock, or parked, and not yet woken who waits for that", ("kill", "off")),
    "all": Point("every CPU at once", TO_CPUS),
    "recoverer": Point("the recoverer, up to 300 us after a CPU", ("kill", "off")),
    "parent": Point("the supervisor, whose children die with it", ("kill", "off")),
    "lock": Point("a lock that is free, and a CPU up to 300 us later", ("steal", "off")),
    "arena": Point(
        "the arena itself, quiet after a round", ("flip", "cycle", "cross", "wild", "torn", "truncate", "off"), True
    ),
    "pool": Point("the free lists, for a round", ("drain", "off"), True),
    "alloc": Point("the allocation of instances, for a round: only workers that register have any", ("fail", "off"), True),
}
ACTIONS = {
    "kill": Action("SIGKILL", kills=True),
    "reuse": Action("SIGKILL, and a stranger gets the pid at once, whom nobody may signal", kills=True),
    "stop": Action("SIGSTOP, and SIGCONT after 0 to (TIME), 1ms by default", TIME, 0.001),
    "delay": Action("for 0 to (TIME), 1ms by default, it runs on the core of another CPU", TIME, 0.001),
    "interrupt": Action("a signal, which interrupts its system call"),
    "steal": Action("it is taken and never given back: a semaphore is emptied; the next recovery frees it", kills=True),
    "flip": Action("a bit of any word that the audit checks"),
    "cycle": Action("a list leads back into itself"),
    "cross": Action("a list leads into another"),
    "wild": Action("a list leads to where no instance is"),
    "torn": Action("a word of a copy's header is anything: nobody may attach it"),
    "truncate": Action("a copy is cut off: nobody may attach it"),
    "drain": Action("they keep (N) instances each, 1 by default; the others are out of reach until it ends", COUNT, 1),
    "fail": Action("the (N)-th fails, 1 by default; (N+): and all after it", FROM, 1),
    "off": Action("nothing"),
}
NTH = {"nth": "its own k-th store, uncompiled: nth=all or nth=K, and no other term"}
KINDS_OF_TIME = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
ALWAYS = 1 << 62
MOST_S = 60.0
MOST_COUNT = 1 << 40


@dataclass
class Term:
    """One term. share: of 100, relative to the others; arg in seconds, or a number; forever: and all after it."""

    point: str
    action: str
    share: float = 100.0
    most: int = ALWAYS
    after: int = 0
    every: int = 1
    cpus: tuple[int, ...] = ()
    arg: float = 0
    forever: bool = False
    text: str = ""

    def may(self, n: int, done: int) -> bool:
        """Whether it may be the n-th fault, or be in the n-th round, from 0, after that many times."""
        return done < self.most and n >= self.after and (n - self.after) % self.every == 0 and self.action != "off"

    @property
    def of_round(self) -> bool:
        """Whether it strikes before or after the CPUs are at work."""
        return POINTS[self.point].of_round

    @property
    def kills(self) -> bool:
        """Whether a CPU dies of it."""
        return ACTIONS[self.action].kills


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        long = re.search(r"\d{16}", text)
        if long:
            self.at = long.start()
            self.fail("a number of 15 digits at most")

    def fail(self, wanted: str) -> NoReturn:
        found = f"{self.text[self.at]!r}" if self.at < len(self.text) else "the end"
        pointer = f"  {self.text}\n  {' ' * self.at}^"
        raise UsageError(f"fault specification, character {self.at + 1}: {found} where {wanted} is expected\n{pointer}")

    def take(self, pattern: str) -> str:
        """The text that matches here, and step over it; empty when nothing does."""
        match = re.compile(pattern, re.ASCII).match(self.text, self.at)
        if not match:
            return ""
        self.at = match.end()
        return match.group()

    def word(self, known: tuple[str, ...], what: str) -> str:
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
    if len(terms) > MOST_TERMS:
        raise UsageError(f"fault specification: {len(terms)} terms, and {MOST_TERMS} are the most")
    if not any(term.action != "off" and not term.of_round for term in terms):
        raise UsageError(f"fault specification {text!r}: nothing ever happens to a CPU; add random=kill")
    return terms


def _term(reader: _Reader) -> Term:
    began = reader.at
    point = reader.word(tuple(POINTS), "a point")
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
        if term.most == 0:
            raise UsageError("fault specification: 0* is never: give a number from 1")
    _when(reader, term)
    if term.cpus and POINTS[point].actions != TO_CPUS:
        raise UsageError(f"fault specification: cpu= chooses among CPUs, and {point} is none")
    term.action = reader.word(POINTS[point].actions, "an action")
    _argument(reader, term)
    term.text = reader.text[began : reader.at]
    return term


def _when(reader: _Reader, term: Term) -> None:
    while True:
        key = reader.take(r"(after|every|cpu)=")
        if not key:
            return
        numbers = reader.take(r"\d+(\+\d+)*" if key == "cpu=" else r"\d+")
        if not numbers or not reader.take(":"):
            reader.fail("numbers and ':'" if key == "cpu=" else "a number and ':'")
        values = tuple(int(number) for number in numbers.split("+"))
        if key == "cpu=":
            term.cpus = values
        elif key == "after=":
            term.after = values[0]
        elif values[0] < 1:
            raise UsageError("fault specification: every=0 is no distance: give a number from 1")
        else:
            term.every = values[0]


def _argument(reader: _Reader, term: Term) -> None:
    action = ACTIONS[term.action]
    term.arg = action.default
    before = reader.at
    if not reader.take(r"\("):
        return
    if not action.argument:
        reader.at = before
        reader.fail("';' or the end")
    number = reader.take(r"\d+(\.\d+)?" if action.argument == TIME else r"\d+")
    unit = reader.take(r"us|ms|s") if action.argument == TIME else "s"
    term.forever = action.argument == FROM and bool(reader.take(r"\+"))
    if not number or not unit or not reader.take(r"\)"):
        reader.fail(f"{action.argument}, and ')'")
    term.arg = float(number) * KINDS_OF_TIME[unit]
    if action.argument == TIME and term.arg > MOST_S:
        raise UsageError(f"fault specification: {term.text or term.action}({number}{unit}) is more than {MOST_S:g} s")
    if (action.argument != TIME and term.arg > MOST_COUNT) or (action.argument == FROM and term.arg < 1):
        raise UsageError(f"fault specification: {term.action}({number}): give a number from 1 to {MOST_COUNT}")
