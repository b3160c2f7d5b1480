"""What the machine did while a repetition was measured, by the kernel's own books.

    waited       /proc/PID/schedstat                     a worker was runnable, and somebody else had its core
    preempted    /proc/PID/status, nonvoluntary_ctxt_switches
    slept        /proc/PID/status, voluntary_ctxt_switches: waits for a lock that sleeps
    moved        /proc/PID/stat, processor               a worker ran elsewhere than on its core
    stolen       /proc/stat, steal                       the hypervisor ran something else on the core
    mhz          cpufreq/scaling_cur_freq                the clock of the cores, lowest and highest
    transfer_ns  shmkret.measure.transfer                what a cache line takes from core to core

What a kernel does not tell is None, never zero.

Source    proc(5); Documentation/admin-guide/pm/cpufreq.rst; Documentation/scheduler/sched-stats.rst
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

PROC = Path("/proc")
SYSFS = Path("/sys/devices/system/cpu")
STEAL = 8
"""The place of steal in a line `cpuN ...` of /proc/stat, behind the name."""
PROCESSOR = 36
"""The place of processor in /proc/PID/stat, behind the name in brackets."""


class Reading(NamedTuple):
    """The books at one moment: an entry a worker, or None where the kernel keeps none."""

    waited_ns: list[int] | None
    preempted: list[int] | None
    slept: list[int] | None
    cores: list[int] | None
    stolen_s: list[float] | None
    mhz: list[float] | None


class Conditions(NamedTuple):
    """One repetition. waited, stolen: parts of the window, of the CPU that fared worst; preempted, slept: times, all CPUs.

    moved: workers that were seen on another core than their own. mhz: the lowest and the highest seen.

    transfer_ns: before and after the window, the slowest pair of neighbours; None with one CPU.
    """

    waited: float | None = None
    preempted: int | None = None
    slept: int | None = None
    moved: int | None = None
    stolen: float | None = None
    mhz: tuple[float, float] | None = None
    transfer_ns: tuple[float, float] | None = None


def read(pids: Sequence[int], cores: Sequence[int]) -> Reading:
    """The books of these workers, pids[i] on cores[i]; without pids, those of the cores alone."""
    return Reading(
        _each(pids, lambda pid: int(_text(f"{pid}/schedstat").split()[1])),
        _each(pids, lambda pid: _status(pid, "nonvoluntary_ctxt_switches")),
        _each(pids, lambda pid: _status(pid, "voluntary_ctxt_switches")),
        _each(pids, lambda pid: int(_text(f"{pid}/stat").rpartition(")")[2].split()[PROCESSOR])),
        _each(cores, _stolen_s),
        _each(cores, lambda core: int((SYSFS / f"cpu{core}/cpufreq/scaling_cur_freq").read_text()) / 1000),
    )


def between(before: Reading, after: Reading, cores: Sequence[int], window_s: float) -> Conditions:
    """What happened between two readings, `window_s` apart."""
    waited, stolen = _most(before.waited_ns, after.waited_ns), _most(before.stolen_s, after.stolen_s)
    mhz = [*(before.mhz or ()), *(after.mhz or ())]
    return Conditions(
        waited=None if waited is None else waited / 1e9 / window_s,
        preempted=_sum(before.preempted, after.preempted),
        slept=_sum(before.slept, after.slept),
        moved=None if not after.cores else sum(seen != core for seen, core in zip(after.cores, cores, strict=True)),
        stolen=None if stolen is None else stolen / window_s,
        mhz=(min(mhz), max(mhz)) if mhz else None,
    )


def _each(subjects: Sequence[int], ask: Callable[[int], T]) -> list[T] | None:
    try:
        return [ask(subject) for subject in subjects]
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _most(before: Sequence[float] | None, after: Sequence[float] | None) -> float | None:
    if not before or not after:
        return None
    return max(b - a for a, b in zip(before, after, strict=True))


def _sum(before: Sequence[int] | None, after: Sequence[int] | None) -> int | None:
    return None if before is None or after is None else sum(after) - sum(before)


def _text(place: str) -> str:
    return (PROC / place).read_text()


def _status(pid: int, key: str) -> int:
    line = next(line for line in _text(f"{pid}/status").splitlines() if line.startswith(f"{key}:"))
    return int(line.split()[1])


def _stolen_s(core: int) -> float:
    line = next(line for line in _text("stat").splitlines() if line.startswith(f"cpu{core} "))
    return int(line.split()[STEAL]) / os.sysconf("SC_CLK_TCK")
