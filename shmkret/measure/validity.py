"""What makes a measured number doubtful: every reason that a cell can be given, each with its remedy.

A cell is *withheld* when the oracle or the audit failed in any repetition, *suspect* when anything below holds, else *valid*.
What the kernel does not tell (shmkret.measure.conditions) raises no doubt here; `shmkret doctor` lists it as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from shmkret.measure.cell import OURS, Cell, Sample
from shmkret.measure.conditions import Conditions
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


def doubts(
    cell: Cell, samples: Sequence[Sample], estimate: Estimate, machine: Mapping[str, Any], seconds: float, control: bool
) -> Iterator[str]:
    """The reasons to doubt a cell whose oracle held. control: its lock is broken on purpose."""
    if control and cell.cpus > 1:
        yield f"{cell.lock} is wrong by construction, and the oracle did not notice"
    yield from _of_the_run(cell, samples, estimate)
    conditions = [sample.conditions for sample in samples]
    yield from _of_the_scheduler(cell, conditions, seconds)
    yield from _of_the_cores(cell, conditions)
    yield from _of_the_machine(cell, conditions, machine, seconds)
    yield from _of_the_compiler(cell)


def _of_the_run(cell: Cell, samples: Sequence[Sample], estimate: Estimate) -> Iterator[str]:
    concurrency = min(sample.concurrency for sample in samples)
    if concurrency < LEAST_CONCURRENCY:
        yield (
            f"in one repetition all CPUs were measured together for {concurrency:.0%} of the window only: "
            "raise --seconds, or lower --cpus"
        )
    calls, missed = (sum(sample.counts[name] for sample in samples) for name in ("calls", "nmissed"))
    if missed > MOST_MISSED * calls:
        yield f"{missed / calls:.0%} of the calls found no free instance: raise --maxactive"
    if len(samples) < FEWEST_REPETITIONS:
        yield f"{len(samples)} repetitions are too few for a 95 % interval: give --repeat {FEWEST_REPETITIONS} or more"
    if estimate.ci95 and estimate.ci95[1] - estimate.ci95[0] > WIDEST_INTERVAL * estimate.median:
        spread = (estimate.ci95[1] - estimate.ci95[0]) / estimate.median
        yield f"the interval spans {spread:.0%} of the median: raise --repeat or --seconds, or quieten the machine"


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
        yield f"in one repetition workers were preempted {preempted:.0f} times a second: something else runs on their cores"
    moved = _worst(c.moved for c in conditions)
    if moved > 0:
        yield f"in one repetition {moved:.0f} workers ran on another core than their own: somebody changes their affinity"


def _of_the_cores(cell: Cell, conditions: Sequence[Conditions]) -> Iterator[str]:
    stolen = _worst(c.stolen for c in conditions)
    if stolen > MOST_STOLEN:
        yield f"in one repetition the hypervisor took {stolen:.0%} of the window from a core: use a machine of your own"
    mhz = [value for c in conditions for value in c.mhz or ()]
    if mhz and max(mhz) > WIDEST_MHZ * min(mhz):
        yield f"the cores' clock was between {min(mhz):.0f} and {max(mhz):.0f} MHz: fix the frequency, switch boost off"
    ways = [ns for c in conditions for ns in c.transfer_ns or ()]
    if ways and max(ways) > WIDEST_TRANSFER * min(ways):
        yield (
            f"a cache line took {min(ways):.0f} ns from core to core at one time and {max(ways):.0f} ns at another: "
            "a virtual CPU was moved; measure again"
        )


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
        from shmkret import compile as compiling

        unusual = compiling.unusual_settings()
        if unusual:
            yield f"Numba compiled with {', '.join(unusual)}: unset that, nobody else's numbers are made so"


def _worst(values: Iterable[float | int | None]) -> float:
    """The largest of what is known; 0 when nothing is."""
    return max((value for value in values if value is not None), default=0)
