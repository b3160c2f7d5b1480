"""What the computer did while a repetition was measured, by the kernel's own books.

    waited       /proc/PID/schedstat                     a worker was runnable, and somebody else had its core
    preempted    /proc/PID/status, nonvoluntary_ctxt_switches
    slept        /proc/PID/status, voluntary_ctxt_switches: waits for a lock that sleeps
    moved        /proc/PID/stat, processor               a worker ran elsewhere than on its core
    stolen       /proc/stat, steal                       the hypervisor ran something else on the core
    clocks       cpufreq/scaling_cur_freq, _max_freq     the clock of each core, and the most that it is allowed
    ways         in no book: whoever measures adds it    what a cache line takes from core to core, each pair

What a kernel does not tell is None, never zero.

Source    proc(5); Documentation/admin-guide/pm/cpufreq.rst; Documentation/scheduler/sched-stats.rst
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")
N = TypeVar("N", int, float)

PROC = Path("/proc")
SYSFS = Path("/sys/devices/system/cpu")
STEAL = 8
"""The place of steal in a line `cpuN ...` of /proc/stat, behind the name."""
PROCESSOR = 36
"""The place of processor in /proc/PID/stat, behind the name in brackets."""


TICK_S = 1 / os.sysconf("SC_CLK_TCK")
"""What /proc/stat counts in."""


class Reading(NamedTuple):
    """The books at one moment: an entry a worker, or a core; None where the kernel keeps none."""

    waited_ns: list[int] | None
    preempted: list[int] | None
    slept: list[int] | None
    cores: list[int] | None
    stolen_s: list[float] | None
    mhz: list[float] | None
    most_mhz: list[float] | None


class Clock(NamedTuple):
    """The clock of one core: the lowest and the highest seen, and the most that it is allowed; None: not told."""

    core: int
    low_mhz: float
    high_mhz: float
    most_mhz: float | None


class Way(NamedTuple):
    """What a cache line takes between two cores, one way, before and after the window."""

    one: int
    other: int
    before_ns: float
    after_ns: float


class Conditions(NamedTuple):
    """One repetition. waited, stolen: parts of the window, preempted, slept: times; all of the CPU that fared worst.

    moved: workers that were seen on another core than their own. mhz: the lowest and the highest seen, clocks: of each core.

    transfer_ns: before and after the window, the slowest pair of neighbours, ways: each pair; None with one CPU.
    """

    waited: float | None = None
    preempted: int | None = None
    slept: int | None = None
    moved: int | None = None
    stolen: float | None = None
    mhz: tuple[float, float] | None = None
    transfer_ns: tuple[float, float] | None = None
    clocks: tuple[Clock, ...] | None = None
    ways: tuple[Way, ...] | None = None

    def with_ways(self, before: Mapping[tuple[int, int], float], after: Mapping[tuple[int, int], float]) -> Conditions:
        """The same, with what was measured around the window, by pair of cores."""
        if not before:
            return self
        ways = tuple(Way(*pair, ns, after[pair]) for pair, ns in before.items())
        return self._replace(ways=ways, transfer_ns=(max(before.values()), max(after.values())))


def read(pids: Sequence[int], cores: Sequence[int]) -> Reading:
    """The books of these workers, pids[i] on cores[i]; without pids, those of the cores alone."""
    return Reading(
        _each(pids, lambda pid: int(_text(f"{pid}/schedstat").split()[1])),
        _each(pids, lambda pid: _status(pid, "nonvoluntary_ctxt_switches")),
        _each(pids, lambda pid: _status(pid, "voluntary_ctxt_switches")),
        _each(pids, lambda pid: int(_text(f"{pid}/stat").rpartition(")")[2].split()[PROCESSOR])),
        _each(cores, lambda core: ticks(core)[STEAL - 1] * TICK_S),
        _each(cores, lambda core: _mhz(core, "scaling_cur_freq")),
        _each(cores, lambda core: _mhz(core, "scaling_max_freq")),
    )


def between(before: Reading, after: Reading, cores: Sequence[int], window_s: float) -> Conditions:
    """What happened between two readings, `window_s` apart."""
    waited, stolen = _most(before.waited_ns, after.waited_ns), _most(before.stolen_s, after.stolen_s)
    clocks = _clocks(before, after, cores)
    return Conditions(
        waited=None if waited is None else waited / 1e9 / window_s,
        preempted=_most(before.preempted, after.preempted),
        slept=_most(before.slept, after.slept),
        moved=None if not after.cores else sum(seen != core for seen, core in zip(after.cores, cores, strict=True)),
        stolen=None if stolen is None else stolen / window_s,
        mhz=(min(clock.low_mhz for clock in clocks), max(clock.high_mhz for clock in clocks)) if clocks else None,
        clocks=clocks,
    )


def ticks(core: int) -> list[int]:
    """The line of a core in /proc/stat, in ticks: user, nice, system, idle, iowait, irq, softirq, steal.

    Raises: LookupError where there is none: a container may see some of the cores only, or others by these numbers.
    """
    for line in _text("stat").splitlines():
        if line.startswith(f"cpu{core} "):
            return [int(part) for part in line.split()[1 : STEAL + 1]]
    raise LookupError(core)


def _clocks(before: Reading, after: Reading, cores: Sequence[int]) -> tuple[Clock, ...] | None:
    if not before.mhz or not after.mhz:
        return None
    most: Sequence[float | None] = after.most_mhz or [None] * len(cores)
    both = zip(cores, before.mhz, after.mhz, most, strict=True)
    return tuple(Clock(core, min(a, b), max(a, b), limit) for core, a, b, limit in both)


def _each(subjects: Sequence[int], ask: Callable[[int], T]) -> list[T] | None:
    try:
        return [ask(subject) for subject in subjects]
    except (OSError, ValueError, LookupError, StopIteration):
        return None


def _most(before: Sequence[N] | None, after: Sequence[N] | None) -> N | None:
    if not before or not after:
        return None
    return max(b - a for a, b in zip(before, after, strict=True))


def _text(place: str) -> str:
    return (PROC / place).read_text()


def _status(pid: int, key: str) -> int:
    line = next(line for line in _text(f"{pid}/status").splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1])


def _mhz(core: int, file: str) -> float:
    return int((SYSFS / f"cpu{core}/cpufreq/{file}").read_text()) / 1000
