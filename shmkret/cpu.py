"""A CPU: the outer loop of a worker process, and the phases that all CPUs follow.

    GATE -> WARM_UP -> MEASURE -> COOL_DOWN -> STOP      the parent writes run.phase, forwards only

Every CPU spins at the gate until all are ready, and goes on calling while any has not yet seen the window end, so that
nobody is measured against an idle neighbour. Each marks the clock and its count of calls itself, at the first batch that
sees the window begin and end.

Order     a CPU's store_release(ended_ns) pairs with the parent's load; its marks are complete by then
"""

from __future__ import annotations

from typing import Any

from shmkret.atomics import NE, load_acquire, monotonic_ns, store_release, wait_until
from shmkret.layout import Kernel
from shmkret.text import generic, inline

GATE, WARM_UP, MEASURE, COOL_DOWN, STOP = range(5)
PHASE = 0
BATCH = 64


@generic
def step(worker: Any, k: Any, cpu: int, task: int, n: int) -> int:
    """One round of a worker program on `cpu`; n counts the rounds. Returns the probed calls that it made."""
    raise NotImplementedError


@inline
def run_cpu(k: Kernel, cpu: int) -> None:
    """Run the worker program on `cpu` until the parent says STOP, or this CPU has seen a bug."""
    store_release(k.cpus.ready, cpu, 1)
    wait_until(k.run.phase, PHASE, NE, GATE)
    phase = GATE
    task = cpu
    calls = 0
    n = 0
    while phase != STOP and load_acquire(k.cpus.bug, cpu) == 0:
        for _ in range(BATCH):
            calls += step(k.worker, k, cpu, task, n)
            n += 1
        store_release(k.cpus.calls, cpu, calls)
        task = next_task(k, cpu, task)
        now = load_acquire(k.run.phase, PHASE)
        if now != phase:
            phase = now
            mark(k, cpu, phase, calls)
    store_release(k.cpus.ready, cpu, 2)


@inline
def mark(k: Kernel, cpu: int, phase: int, calls: int) -> None:
    """Note where this CPU stands as the measured window begins or ends."""
    if phase == MEASURE:
        k.cpus.began_calls[cpu] = calls
        store_release(k.cpus.began_ns, cpu, monotonic_ns())
    if phase == COOL_DOWN:
        k.cpus.ended_calls[cpu] = calls
        store_release(k.cpus.ended_ns, cpu, monotonic_ns())


@inline
def next_task(k: Kernel, cpu: int, task: int) -> int:
    """The tasks of a CPU are cpu, cpu + nr_cpus, ... and run in turn."""
    task += k.nr_cpus
    return task if task < k.nr_tasks else cpu
