"""Whether a run reads the clock, and where. A run that is measured reads it nowhere: histograms are taken in a run apart.

    Untimed      nothing
    LocksTimed   acquires of a scheme's locks          TABLE_LOCK, PROBE_LOCK
    CallsTimed   both halves of probed calls           ENTRY: the breakpoint; RETURN: the trampoline

A reading of the clock takes longer than an acquire that nobody contends for, and under a lock it is everybody's time. So each
CPU times one in ONE_IN of each class, a number that the parent writes before the run. Half-way between two of them it records
the first, and times the clock itself, so that its cost in this place can be taken off:

    clock, acquire, clock      PENDING = the time, both readings included
    ...
    clock, clock               CLOCK += what these took, NR_CLOCK += 1;  PENDING goes into the histogram
    ...

So nothing but one reading delays an acquire that is timed, and nothing but one reading prolongs what follows it. ONE_IN is odd:
in step with the acquires of a call, it would time the same one of them for ever.

A histogram is log-linear: 32 bins for each power of two, so that a bin is 3 % wide. In nanoseconds:

    ns < 64      bin ns
    ns >= 64     shift = bit_length(ns) - 6;  bin = 32 * shift + (ns >> shift)

Behind the bins stand the sum and the maximum, exact, and the words above.

Source    HdrHistogram, http://hdrhistogram.org
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.moves.intents import TABLE, take_lock
from shmkret.text.arithmetic import bit_length
from shmkret.text.atomics import monotonic_ns
from shmkret.text.marks import inline, outline
from shmkret.text.verbs import generic

ENTRY, RETURN, TABLE_LOCK, PROBE_LOCK = range(4)
# TABLE_LOCK + array - TABLE is the class of an array's locks.
CLASSES = ("entry", "return", "table_lock", "probe_lock")
LINEAR_BITS = 6
HALF = 1 << (LINEAR_BITS - 1)
NR_BINS = 1024
SUM, MAX, CLOCK, NR_CLOCK, MOST_CLOCK, ONE_IN, COUNTDOWN, PENDING = range(NR_BINS, NR_BINS + 8)
HISTOGRAM_WORDS = NR_BINS + 8
"""A histogram begins on a cache line of its own."""


class Untimed(NamedTuple):
    """Nobody asks how long anything takes."""

    unused: int

    def take_timed(self, k: Any, cpu: int, locks: Any, i: int, which: int, outer: int) -> None:
        take_lock(k.mode.recovery, k, cpu, locks, i, which - TABLE_LOCK + TABLE, outer)

    def began(self, k: Any, cpu: int, which: int) -> int:
        return 0

    def ended(self, k: Any, cpu: int, which: int, at: int) -> None:
        pass


class LocksTimed(NamedTuple):
    """One acquire in ONE_IN is timed."""

    unused: int

    def take_timed(self, k: Any, cpu: int, locks: Any, i: int, which: int, outer: int) -> None:
        # Two acquires in the text, so that one that has no turn pays for one branch.
        if is_turn(k.latencies, words_of(cpu, which)):
            at = turn(k.latencies, words_of(cpu, which))
            take_lock(k.mode.recovery, k, cpu, locks, i, which - TABLE_LOCK + TABLE, outer)
            if at >= 0:
                keep(k.latencies, words_of(cpu, which), at)
        else:
            take_lock(k.mode.recovery, k, cpu, locks, i, which - TABLE_LOCK + TABLE, outer)

    def began(self, k: Any, cpu: int, which: int) -> int:
        return 0

    def ended(self, k: Any, cpu: int, which: int, at: int) -> None:
        pass


class CallsTimed(NamedTuple):
    """One half of a probed call in ONE_IN is timed."""

    unused: int

    def take_timed(self, k: Any, cpu: int, locks: Any, i: int, which: int, outer: int) -> None:
        take_lock(k.mode.recovery, k, cpu, locks, i, which - TABLE_LOCK + TABLE, outer)

    def began(self, k: Any, cpu: int, which: int) -> int:
        at = NOT_NOW
        if is_turn(k.latencies, words_of(cpu, which)):
            at = turn(k.latencies, words_of(cpu, which))
        return at

    def ended(self, k: Any, cpu: int, which: int, at: int) -> None:
        if at >= 0:
            keep(k.latencies, words_of(cpu, which), at)


NOT_NOW = -1
CLOCKS = {"": Untimed, "locks": LocksTimed, "calls": CallsTimed}
"""What a run may time, by the name that a Build has for it."""


@generic
def take_timed(clock: Any, k: Any, cpu: int, locks: Any, i: int, which: int, outer: int) -> None:
    """Acquire lock i of a scheme; its wait goes into the histogram `which`, if anybody asks and its turn has come."""
    raise NotImplementedError


@generic
def began(clock: Any, k: Any, cpu: int, which: int) -> int:
    """The time, if anybody asks how long this half of a call takes; else 0."""
    raise NotImplementedError


@generic
def ended(clock: Any, k: Any, cpu: int, which: int, at: int) -> None:
    """What began at `at` has ended; no lock of the scheme's is held."""
    raise NotImplementedError


@inline
def words_of(cpu: int, which: int) -> int:
    """The first word of a CPU's histogram `which`."""
    return (cpu * len(CLASSES) + which) * HISTOGRAM_WORDS


@inline
def is_turn(latencies: Any, words: int) -> bool:
    """Whether something is to be done this time, for the histogram that begins at `words`."""
    latencies.word[words + COUNTDOWN] -= 1
    left: int = latencies.word[words + COUNTDOWN]
    return left < 0


@outline
def turn(latencies: Any, words: int) -> int:
    """The time, if what follows is to be timed; or else, record what was timed last, and return NOT_NOW."""
    at = monotonic_ns()
    half = latencies.word[words + ONE_IN] >> 1
    if latencies.word[words + PENDING] == 0:
        latencies.word[words + COUNTDOWN] = half
        return at
    took = monotonic_ns() - at
    if took <= latencies.word[words + MOST_CLOCK]:  # else this CPU was interrupted meanwhile
        latencies.word[words + CLOCK] += took
        latencies.word[words + NR_CLOCK] += 1
    record(latencies, words, latencies.word[words + PENDING] - 1)
    latencies.word[words + PENDING] = 0
    latencies.word[words + COUNTDOWN] = half - 1
    return NOT_NOW


@inline
def keep(latencies: Any, words: int, at: int) -> None:
    """What began at `at` has ended: it is recorded at the next turn."""
    latencies.word[words + PENDING] = 1 + monotonic_ns() - at


@inline
def record(latencies: Any, words: int, ns: int) -> None:
    """Count `ns` in the histogram that begins at `words`."""
    latencies.word[words + bin_of(ns)] += 1
    latencies.word[words + SUM] += ns
    if ns > latencies.word[words + MAX]:
        latencies.word[words + MAX] = ns


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
