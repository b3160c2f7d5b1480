"""What an audit finds: records, of which a sentence is made last.

Whoever sorts findings asks for their kind; only who prints them makes sentences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

LOST, DOUBLED, BROKEN = "lost", "doubled", "broken"
STRANGER, KEPT, ON_SLAB, NO_TASK, WRONG_PLACE = "stranger", "kept", "on slab", "no task", "wrong place"
GONE, NUMBER, PROBE = "gone", "number", "probe"
STATE, ORDER, NOT_CLEARED, INSIDE, AT_REST = "state", "order", "not cleared", "inside", "at rest"
CALLS, ROW, MORE, HITS = "calls", "calls of a cpu", "more than calls", "hits"
OPEN, UNCALLED = "open", "uncalled"
HELD, QUEUED, BUG, SCHEME = "held", "queued", "bug", "scheme"
COUNTS = frozenset({CALLS, ROW, MORE, OPEN, UNCALLED, HITS})
"""The books do not balance."""
SENTENCES = {
    LOST: "{seen} instances lost, such as instance {place}",
    DOUBLED: "{seen} instances doubled, such as instance {place}",
    BROKEN: "{place} {seen}",
    STRANGER: "instance {seen[0]} of probe {seen[1]} is on {place}",
    KEPT: "{seen} instances are on {place}, which is not registered",
    ON_SLAB: "instance {seen} is on the slab, and says that it has a probe",
    NO_TASK: "instance {place} belongs to {seen}, which is no task",
    WRONG_PLACE: "instance {seen[0]} of task {seen[1]} is in the wrong {place}",
    GONE: "instance {place} is in flight, of probe {seen}, which is not registered",
    NUMBER: "probe {place} has {seen[0]} free instances and {seen[1]} in flight, and its maxactive is {expected}",
    PROBE: "probe {place} says that it is of kind {seen[0]} and in state {seen[1]}, and none at rest is",
    STATE: "{seen[0]} instances are not where they say, such as {place}: it says {seen[1]}, and is {expected}",
    ORDER: "{place}: task {seen[0]} would return from instance {seen[1]} before the newer {expected}",
    NOT_CLEARED: "{place} is not cleared",
    INSIDE: "{place} is inside the probe path",
    AT_REST: "{seen} instances are in {place}, and their tasks are at rest",
    CALLS: "{seen} calls, but {expected[0]} hits + {expected[1]} nmissed + {expected[2]} kp.nmissed + {expected[3]} refused",
    ROW: "{place}: {seen} calls, but {expected[0]} hits + {expected[1]} nmissed + {expected[2]} kp.nmissed "
    "+ {expected[3]} refused",
    MORE: "cpu {place}: {seen} calls, and more than these have been hits ({expected[0]}) or refused ({expected[1]})",
    OPEN: "cpu {place}: {seen} calls have come to no end, and it has died {expected} times",
    UNCALLED: "cpu {place}: {seen} calls have come to an end and had not begun, and it has died {expected} times",
    HITS: "{seen} hits, but {expected[0]} returns + {expected[1]} flushed + {expected[2]} in flight",
    HELD: "{seen} locks are not free, such as {place}, and {expected}",
    QUEUED: "cpu {seen} is not idle in {place}, and {expected}",
    BUG: "{place}: {seen}",
    SCHEME: "{seen}",
}


class Finding(NamedTuple):
    """One thing that is wrong. place: where; seen: what is there; expected: what should be. What these are depends on the
    kind.
    """

    kind: str
    place: Any
    seen: Any = None
    expected: Any = None

    def __str__(self) -> str:
        return SENTENCES[self.kind].format(place=self.place, seen=self.seen, expected=self.expected)


def sentences(findings: list[Finding]) -> list[str]:
    """What was found, for people."""
    return [str(finding) for finding in findings]
