"""What makes a measured number doubtful: every reason that a cell can be given, each with its remedy.

A cell is *withheld* when the oracle or the audit failed in any repetition, *suspect* when anything below holds, else *valid*.
What the kernel does not tell (shmkret.host.books) raises no doubt here; `shmkret doctor` lists it as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from shmkret.host.books import TICK_S, Clock, Conditions
from shmkret.measure.cell import Cell, Sample
from shmkret.measure.knobs import OURS
from shmkret.measure.latency import TIMES, Histogram, clock_ns
from shmkret.measure.statistics import FEWEST_SAMPLES, Estimate

LEAST_CONCURRENCY = 0.95
LONGEST_WAIT = 0.03
MOST_STOLEN = 0.02
MOST_PREEMPTED_A_S = 100
MOST_SLEEPS_A_S = 1000
WIDEST_MHZ = 1.05
WIDEST_TRANSFER = 1.5
MOST_MISSED = 0.01
FEWEST_REPETITIONS = FEWEST_SAMPLES
WIDEST_INTERVAL = 0.10
LEAST_OF_MEASURED = 0.90
UNCONTENDED_NS = 20
"""What an acquire that nobody contends for may take between two readings of the clock; in a loop it hides behind others."""


def doubts(
    cell: Cell, samples: Sequence[Sample], estimate: Estimate, machine: Mapping[str, Any], seconds: float, control: bool
) -> Iterator[str]:
    """The reasons to doubt a cell whose oracle held. control: its lock is broken on purpose."""
    if control and cell.cpus > 1:
        yield f"{cell.lock} is wrong by construction, and the oracle did not notice"
    yield from _of_the_run(cell, samples, estimate)
    conditions = [sample.conditions for sample in samples]
    yield from _of_the_scheduler(cell, conditions, seconds)
    yield from _of_the_cores(conditions, seconds)
    yield from _of_the_machine(cell, conditions, machine, seconds)
    yield from _of_the_compiler(cell)


def doubts_of_timed(
    cell: Cell,
    what: str,
    timed: Sequence[Sample],
    samples: Sequence[Sample],
    found: Mapping[str, Histogram],
    seconds: float,
) -> Iterator[str]:
    """The reasons to doubt the times of a run apart: what holds for any run, and whether it was like the one measured."""
    conditions = [sample.conditions for sample in timed]
    for doubt in (
        *_of_the_windows(timed),
        *_of_the_scheduler(cell, conditions, seconds),
        *_of_the_cores(conditions, seconds),
        *_of_the_clock(cell, what, timed, samples, found),
    ):
        yield f"where {what} were timed: {doubt}"


def _of_the_clock(
    cell: Cell, what: str, timed: Sequence[Sample], samples: Sequence[Sample], found: Mapping[str, Histogram]
) -> Iterator[str]:
    part = of_measured(timed, samples)
    if part is not None and part < LEAST_OF_MEASURED:
        yield f"calls were {1 - part:.0%} slower than in the run that is measured: the times are those of another load"
    rate, calls = median_rate(timed), sum(sample.counts["calls"] for sample in timed)
    if what != "locks" or not rate or not found:
        return
    clock, call_ns = clock_ns(list(found.values())), cell.cpus / rate * 1e9
    locks = [found[name] for name in TIMES[what] if name in found]
    waits_ns = sum(one.one_in * one.nr * max(0.0, one.total_ns / one.nr - clock) for one in locks) / calls
    acquires = sum(one.one_in * one.nr for one in locks) / calls
    if waits_ns > call_ns + UNCONTENDED_NS * acquires:
        yield (
            f"the waits add up to {waits_ns:.0f} ns a call, and a call took {call_ns:.0f} ns: too few were timed, or "
            "a CPU that reads the clock loses the lock that it would have kept; give `handler_ns` or `work_ns`"
        )


def median_rate(samples: Sequence[Sample]) -> float | None:
    """Calls per second."""
    rates = [sample.rate for sample in samples if sample.rate is not None]
    return float(np.median(rates)) if rates else None


def of_measured(timed: Sequence[Sample], samples: Sequence[Sample]) -> float | None:
    """How fast the calls of a run apart were, as part of the repetition beside each."""
    parts = [one.rate / beside.rate for one, beside in zip(timed, samples, strict=False) if one.rate and beside.rate]
    return float(np.median(parts)) if parts else None


def _of_the_run(cell: Cell, samples: Sequence[Sample], estimate: Estimate) -> Iterator[str]:
    yield from _of_the_windows(samples)
    calls, missed = (sum(sample.counts[name] for sample in samples) for name in ("calls", "nmissed"))
    if missed > MOST_MISSED * calls:
        yield f"{missed / calls:.0%} of the calls found no free instance: raise `maxactive`"
    if len(samples) < FEWEST_REPETITIONS:
        yield f"{len(samples)} repetitions are too few for a 95 % interval: give `repeat` {FEWEST_REPETITIONS} or more"
    if estimate.ci95 and estimate.ci95[1] - estimate.ci95[0] > WIDEST_INTERVAL * estimate.median:
        spread = (estimate.ci95[1] - estimate.ci95[0]) / estimate.median
        yield f"the interval spans {spread:.0%} of the median: raise `repeat` or `seconds`, or quieten the machine"


def _of_the_windows(samples: Sequence[Sample]) -> Iterator[str]:
    concurrency = min(sample.concurrency for sample in samples)
    if concurrency < LEAST_CONCURRENCY:
        yield (
            f"in one repetition all CPUs were measured together for {concurrency:.0%} of the window only: "
            "raise `seconds`, or lower `cpus`"
        )


def _of_the_scheduler(cell: Cell, conditions: Sequence[Conditions], seconds: float) -> Iterator[str]:
    shared = cell.params.workers_per_core
    if shared > 1:
        yield f"{shared} workers a core: the scheduler is measured too"
        return
    waited = _worst(c.waited for c in conditions)
    if waited > LONGEST_WAIT:
        yield f"in one repetition a CPU waited {waited:.0%} of the window for its core: something else runs there"
    preempted = _worst(c.preempted for c in conditions) / seconds
    if preempted > MOST_PREEMPTED_A_S:
        yield f"in one repetition a CPU was preempted {preempted:.0f} times a second: something else runs on its core"
    moved = _worst(c.moved for c in conditions)
    if moved > 0:
        yield f"in one repetition {moved:.0f} workers ran on another core than their own: somebody changes their affinity"


def _of_the_cores(conditions: Sequence[Conditions], seconds: float) -> Iterator[str]:
    stolen = _worst(c.stolen for c in conditions)
    if stolen > most_stolen(seconds):
        yield f"in one repetition the hypervisor took {stolen:.0%} of the window from a core: use a machine of your own"
    unsteady = list(filter(None, map(_unsteady, by_core(conditions).values())))
    if unsteady:
        more = f", and {len(unsteady) - 1} more like it" if len(unsteady) > 1 else ""
        yield f"{unsteady[0]}{more}: fix the frequency, switch boost off"
    for one, other, low, high in by_pair(conditions):
        if high > WIDEST_TRANSFER * low:
            yield (
                f"a cache line took {low:.0f} ns from core {one} to core {other} at one time and {high:.0f} ns at another: "
                "a virtual CPU was moved; measure again"
            )
            return


def most_stolen(seconds: float) -> float:
    """The part of a window that may be stolen: the kernel counts it in ticks, and one of them may be of an earlier time."""
    return MOST_STOLEN + TICK_S / seconds


def by_core(conditions: Iterable[Conditions]) -> dict[int, Clock]:
    """The clock of each core over all repetitions: its lowest, its highest, what it may have."""
    found: dict[int, Clock] = {}
    for clock in (clock for c in conditions for clock in c.clocks or ()):
        known = found.get(clock.core, clock)
        low, high = min(known.low_mhz, clock.low_mhz), max(known.high_mhz, clock.high_mhz)
        found[clock.core] = Clock(clock.core, low, high, clock.most_mhz)
    return found


def _unsteady(clock: Clock) -> str | None:
    """A core is compared with itself: others may be of another kind."""
    core, low, high, most = clock
    if high > WIDEST_MHZ * low:
        return f"core {core}'s clock was between {low:.0f} and {high:.0f} MHz"
    if most is not None and most > WIDEST_MHZ * high:
        return f"core {core}'s clock was {high:.0f} MHz, and might be {most:.0f}"
    return None


def by_pair(conditions: Iterable[Conditions]) -> list[tuple[int, int, float, float]]:
    """Each pair of cores with the least and the most that a line took, ns; those that differ most first."""
    found: dict[tuple[int, int], list[float]] = {}
    for way in (way for c in conditions for way in c.ways or ()):
        found.setdefault((way.one, way.other), []).extend((way.before_ns, way.after_ns))
    pairs = [(*pair, min(times), max(times)) for pair, times in found.items()]
    return sorted(pairs, key=lambda pair: pair[2] / pair[3])


def _of_the_machine(cell: Cell, conditions: Sequence[Conditions], machine: Mapping[str, Any], seconds: float) -> Iterator[str]:
    if machine["governor"] not in (None, "performance"):
        yield f"the frequency governor is {machine['governor']}: cpupower frequency-set -g performance"
    slept = _worst(c.slept for c in conditions) / seconds
    if machine["hypervisor"] and cell.cpus > 1 and slept > MOST_SLEEPS_A_S:
        driver = machine["idle_driver"] or "unknown"
        yield (
            f"waiters slept {slept:.0f} times a second: on a virtual machine (idle driver: {driver}) "
            "that measures how the hypervisor wakes a CPU"
        )


def _of_the_compiler(cell: Cell) -> Iterator[str]:
    if cell.peer == OURS:
        from shmkret.machines import compiled

        unusual = compiled.unusual_settings()
        if unusual:
            yield f"Numba compiled with {', '.join(unusual)}: unset that, nobody else's numbers are made so"


def _worst(values: Iterable[float | int | None]) -> float:
    """The largest of what is known; 0 when nothing is."""
    return max((value for value in values if value is not None), default=0)
