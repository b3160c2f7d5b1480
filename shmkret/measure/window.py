"""One repetition's window: the phases that its CPUs are led through, what was seen meanwhile, the rate, and why it hung.

    start line   until every CPU is ready
    warm-up      so long; nothing is counted
    measure      each CPU marks its clock and its calls as it sees it begin
    cool-down    and as it sees it end; all go on until the last one has
    stop         they leave, and the arena is quiet

Order     the phase is written, and what CPUs say is read, through shmkret.machines.control; records() once the crew has gone
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.segment import Arena
from shmkret.host import books
from shmkret.host.books import Conditions
from shmkret.host.crew import Crew, WorkerHung, WorkerLost
from shmkret.kernel.cpu import COOL_DOWN, MEASURE, STOP, WARM_UP
from shmkret.machines.control import Control
from shmkret.text.atomics import NIL, Machine

PATIENCE_S = 10.0
"""What a CPU is waited for at least; a subject adds what its rounds take."""


class Times(NamedTuple):
    """In seconds: the window, the warm-up before it, and how long a CPU may take to look at the phase."""

    window: float
    warm_up: float
    patience: float


def lead(
    bodies: Sequence[Callable[[], None]], cores: Sequence[int], arena: Arena, machine: Machine, times: Times
) -> tuple[tuple[str, ...], Conditions]:
    """Run the bodies through the phases, CPU i on cores[i].

    Returns: the flaws of a run that failed, and what the computer did in the window. A run in which a CPU has seen a bug is
             led to its end at once, and has no flaw here: the bug is in the arena.
    Raises:  WorkerLost when a worker ended by itself and had seen no bug.
    """
    control = Control(arena, machine)
    seen = Conditions()
    try:
        with Crew(bodies, cores) as crew:
            crew.watch_until(_all_or_bug(control, "ready"), times.patience, "reached the start line")
            control.set_phase(WARM_UP)
            crew.watch(times.warm_up)
            control.set_phase(MEASURE)
            crew.watch_until(_all_or_bug(control, "began_ns"), times.patience, "seen the window begin")
            before, began = books.read(crew.pids, cores), time.monotonic()
            if not _sees_bug(control):
                crew.watch(times.window)
            seen = books.between(before, books.read(crew.pids, cores), cores, time.monotonic() - began)
            control.set_phase(COOL_DOWN)
            crew.watch_until(_all_or_bug(control, "ended_ns"), times.patience, "seen the window end")
            control.set_phase(STOP)
            if not _sees_bug(control):
                crew.join(times.patience)
    except WorkerHung as error:
        waits_for = arena.records("cpus")["waits_for"].tolist()
        calls = [control.calls(cpu) for cpu in range(len(bodies))]
        return (f"{error}{_why_hung(waits_for, calls, crew.was_stopped)}",), seen
    except WorkerLost:
        if not _sees_bug(control):  # else it went down with what it had already reported
            raise
    return (), seen


def rate(cpus: NDArray[np.void]) -> tuple[float, float]:
    """Calls per second over all CPUs, each by its own clock marks; and the full-concurrency fraction."""
    spans_ns = cpus["ended_ns"] - cpus["began_ns"]
    calls_a_s = float(((cpus["ended_calls"] - cpus["began_calls"]) / spans_ns).sum() * 1e9)
    together = int(cpus["ended_ns"].min() - cpus["began_ns"].max())
    whole = int(cpus["ended_ns"].max() - cpus["began_ns"].min())
    return calls_a_s, max(0.0, together / whole)


def _all_or_bug(control: Control, field: str) -> Callable[[], bool]:
    return lambda: control.all_nonzero("cpus", field) or _sees_bug(control)


def _sees_bug(control: Control) -> bool:
    return control.any_nonzero("cpus", "bug")


def _why_hung(waits_for: Sequence[int], calls: Sequence[int], stopped: Sequence[int]) -> str:
    """Of each CPU: for whom it waits, or NIL, and its calls. stopped: those whose process was (SIGSTOP, a debugger)."""
    for i, other in enumerate(waits_for):
        if other == NIL:
            continue
        halted = ", which is stopped,"
        who, whom = (f"cpu {cpu}{halted if cpu in stopped else ''}" for cpu in (i, other))
        return f"; {who} waits for a grace period of {whom}".removesuffix(",")
    if stopped:
        return f"; cpu {', '.join(map(str, stopped))} is stopped"
    idle = ", ".join(str(i) for i, made in enumerate(calls) if not made)
    return f"; cpu {idle} made no call: does it wait in acquire() for ever?" if idle else ""
