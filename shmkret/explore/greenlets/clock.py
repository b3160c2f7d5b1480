"""Explored time: each CPU has a clock of its own, and its clock is a function of its own past.

    a step on a shared word     STEP_NS
    delay_ns(ns)                that long
    monotonic_ns()              1 us; asked again at the same place of the code, twice as long as there before, up to a second

So a loop that asks until some time has passed ends after a few readings, whatever that time is: each has another look at the
words between. What a CPU has read stands for its clock, and a state needs no word for it.

Not seen   that the clocks of two CPUs are one: a time that one writes and another reads is no later than the other's by rule.
           Whether a wait of a given time is long enough: every order of steps is tried, with this one pace of each clock
"""

from __future__ import annotations

from types import CodeType, FrameType

EPOCH_NS = 1_000_000_000
STEP_NS = 10
LEAST_NS = 1_000
MOST_NS = 1_000_000_000
LONGEST_DELAY_NS = 1 << 61


class Clock:
    """The clock of one CPU."""

    def __init__(self) -> None:
        self._ns = EPOCH_NS
        self._pace = LEAST_NS
        self._asked_at: tuple[CodeType, int] | None = None

    def read(self, steps: int, asks: FrameType) -> int:
        """What it shows. steps: how many the CPU has done. asks: the code that reads it."""
        place = asks.f_code, asks.f_lasti
        self._pace = min(2 * self._pace, MOST_NS) if place == self._asked_at else LEAST_NS
        self._asked_at = place
        self._ns += self._pace
        return self._ns + STEP_NS * steps

    def delay(self, ns: int) -> None:
        """The CPU has been busy for that long."""
        self._ns = min(self._ns + max(0, ns), LONGEST_DELAY_NS)
