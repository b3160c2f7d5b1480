"""Whether a run reads the clock, and where. A run that is measured reads it nowhere: histograms are taken in a run apart.

    Untimed      nothing
    LocksTimed   every acquire of a scheme's locks     TABLE_LOCK, PROBE_LOCK
    CallsTimed   both halves of a probed call          ENTRY: the breakpoint; RETURN: the trampoline

A histogram is log-linear: 32 bins for each power of two, so that a bin is 3 % wide. In nanoseconds:

    ns < 64      bin ns
    ns >= 64     shift = bit_length(ns) - 6;  bin = 32 * shift + (ns >> shift)

Behind the bins stand the sum and the maximum, exact. What is recorded includes the two readings of the clock.

Source    HdrHistogram, http://hdrhistogram.org
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.atomics import bit_length, monotonic_ns
from shmkret.intents import take as take_lock
from shmkret.text import generic, inline

ENTRY, RETURN, TABLE_LOCK, PROBE_LOCK = range(4)
# TABLE_LOCK + section is the class of a section's locks.
CLASSES = ("entry", "return", "table_lock", "probe_lock")
LINEAR_BITS = 6
HALF = 1 << (LINEAR_BITS - 1)
NR_BINS = 1024
SUM, MAX = NR_BINS, NR_BINS + 1
HISTOGRAM_WORDS = NR_BINS + 8
"""A histogram begins on a cache line of its own."""


class Untimed(NamedTuple):
    """Nobody asks how long anything takes."""

    unused: int

    def take(self, k: Any, cpu: int, locks: Any, i: int, which: int) -> None:
        take_lock(k.mode.recovery, k, cpu, locks, i, which - TABLE_LOCK)

    def began(self) -> int:
        return 0

    def ended(self, k: Any, cpu: int, which: int, at: int) -> None:
        pass


class LocksTimed(NamedTuple):
    """Every acquire is timed."""

    unused: int

    def take(self, k: Any, cpu: int, locks: Any, i: int, which: int) -> None:
        at = monotonic_ns()
        take_lock(k.mode.recovery, k, cpu, locks, i, which - TABLE_LOCK)
        record(k, cpu, which, monotonic_ns() - at)

    def began(self) -> int:
        return 0

    def ended(self, k: Any, cpu: int, which: int, at: int) -> None:
        pass


class CallsTimed(NamedTuple):
    """Both halves of a probed call are timed."""

    unused: int

    def take(self, k: Any, cpu: int, locks: Any, i: int, which: int) -> None:
        take_lock(k.mode.recovery, k, cpu, locks, i, which - TABLE_LOCK)

    def began(self) -> int:
        return monotonic_ns()

    def ended(self, k: Any, cpu: int, which: int, at: int) -> None:
        record(k, cpu, which, monotonic_ns() - at)


CLOCKS = {"": Untimed, "locks": LocksTimed, "calls": CallsTimed}
"""What a run may time, by the name that a Build has for it."""


@generic
def take(clock: Any, k: Any, cpu: int, locks: Any, i: int, which: int) -> None:
    """Acquire lock i of a scheme; its wait goes into the histogram `which`, if anybody asks."""
    raise NotImplementedError


@generic
def began(clock: Any) -> int:
    """The time, if anybody asks how long a half of a call takes."""
    raise NotImplementedError


@generic
def ended(clock: Any, k: Any, cpu: int, which: int, at: int) -> None:
    """What began at `at` has ended."""
    raise NotImplementedError


@inline
def record(k: Any, cpu: int, which: int, ns: int) -> None:
    """Count `ns` in the CPU's histogram `which`."""
    first = (cpu * len(CLASSES) + which) * HISTOGRAM_WORDS
    k.latencies.word[first + bin_of(ns)] += 1
    k.latencies.word[first + SUM] += ns
    if ns > k.latencies.word[first + MAX]:
        k.latencies.word[first + MAX] = ns


@inline
def bin_of(ns: int) -> int:
    """The bin of a time, 0 <= ns; the last bin holds everything from 68 seconds on."""
    shift = max(0, bit_length(ns) - LINEAR_BITS)
    return min(HALF * shift + (ns >> shift), NR_BINS - 1)


def least_of(which: int) -> int:
    """The least time, in ns, that belongs into a bin."""
    if which < 2 * HALF:
        return which
    shift = which // HALF - 1
    return (which - HALF * shift) << shift
