"""What measuring costs: the loop around the calls, a reading of the clock, an entry in a histogram.

Source    the minimum of interleaved runs: what disturbs a run only makes it longer
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arena.records import Kernel
from shmkret.kernel.program import step
from shmkret.machines import native, plain
from shmkret.machines.world import World
from shmkret.measure.cell import Cell
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.moves.clock import ENTRY, record, words_of
from shmkret.text.atomics import monotonic_ns
from shmkret.text.marks import inline

CALLS = 1_000_000
TRIES = 9
WINDOW_S, WARM_UP_S = 0.05, 0.01


class Overhead(NamedTuple):
    """In nanoseconds. harness: a call in the measuring loop, less the same call in a bare one. clock: two readings."""

    harness: float
    clock: float
    histogram: float


@inline
def bare_cpu(k: Kernel, cpu: int) -> None:
    """The calls and nothing else: no phases, no batches, no quiescent states."""
    k.cpus.task[cpu] = cpu
    k.cpus.began_ns[cpu] = monotonic_ns()
    for n in range(CALLS):
        step(k.worker, k, cpu, cpu, n)
    k.cpus.ended_ns[cpu] = monotonic_ns()


@inline
def drawing_cpu(k: Kernel, cpu: int) -> None:
    """Times drawn at random, and not recorded."""
    k.cpus.began_ns[cpu] = monotonic_ns()
    ns = 12345
    for _ in range(CALLS):
        ns = (ns * 1103515245 + 12345) & 0xFFFFF
        k.latencies.word[cpu] = ns
    k.cpus.ended_ns[cpu] = monotonic_ns()


@inline
def recording_cpu(k: Kernel, cpu: int) -> None:
    """The same times, recorded."""
    k.cpus.began_ns[cpu] = monotonic_ns()
    ns = 12345
    for _ in range(CALLS):
        ns = (ns * 1103515245 + 12345) & 0xFFFFF
        record(k.latencies, words_of(cpu, ENTRY), ns)
    k.cpus.ended_ns[cpu] = monotonic_ns()


def measure() -> Overhead:
    """Measure it here and now. Raises UnfitMachine; RunFailed when a run fails."""
    prepared = Prepared(Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 1), seed=0)
    prepared.compile()
    quiet = World.of(prepared.build)
    timed = quiet.over(timed="calls")
    runs = [(quiet, bare_cpu), (timed, drawing_cpu), (timed, recording_cpu)]
    bodies = [native.compiled(world, function) for world, function in runs]
    least = [float("inf")] * (1 + len(runs))
    for _ in range(TRIES):
        rate = prepared.repeat(WINDOW_S, WARM_UP_S).rate
        least[0] = min(least[0], 1e9 / rate if rate else float("inf"))
        for i, ((world, _), body) in enumerate(zip(runs, bodies, strict=True)):
            least[i + 1] = min(least[i + 1], _ns_a_call(world, body))
    looped, bare, drawing, recording = least
    return Overhead(max(0.0, looped - bare), prepared.clock_ns(), max(0.0, recording - drawing))


def _ns_a_call(world: World, bodies: native.Bodies) -> float:
    machine = plain.PlainMachine(world.build.common_cache())
    with world.create_arena() as arena:
        native.free_locks(world, arena, machine)
        bodies(arena, machine)[0]()
        ran = arena.records("cpus")
        return float(ran["ended_ns"][0] - ran["began_ns"][0]) / CALLS
