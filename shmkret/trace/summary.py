"""What is in a recording, in numbers and in lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from shmkret.trace.recording import ENTER, EXIT, FORK, IRQ, RETURN, Recording, running_after
from shmkret.trace.waits import Sorted, waits_of

MOST_CALLS = 12
SHOWN = ("command", "cores", "date", "time", "imported", "refused", "computer")
"""What is shown of the head, where it says it."""


def summary(of: Recording) -> dict[str, Any]:
    """Counts of events, and where the CPUs' time went, in seconds; `calls`: how often each was made, and how long it took."""
    outside, inside, idle = spent(of)
    waits = waits_of(of)
    by_task, by_interrupt = int(waits.edge.sum()), int((of.kind[waits.by[waits.by >= 0]] == IRQ).sum())
    return {
        "events": len(of),
        "seconds": float(of.time[-1] - of.time[0]) / 1e6,
        "tasks": of.nr_tasks,
        "forks": int((of.kind == FORK).sum()),
        "exits": int((of.kind == EXIT).sum()),
        "calls_entered": int((of.kind == ENTER).sum()),
        "outside_s": outside,
        "inside_s": inside,
        "idle_s": idle,
        "waits": len(waits.out),
        "ended_by_task": by_task,
        "ended_by_interrupt": by_interrupt,
        "ended_unknown": len(waits.out) - by_task - by_interrupt,
        "calls": _calls(of),
        **{key: of.head[key] for key in SHOWN if key in of.head},
        "flags": of.head.get("flags", True),
    }


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The same to read."""
    what = " ".join(found["command"]) if "command" in found else found.get("imported", "a recording")
    yield f"{what}: {found['events']:,} events in {found['seconds']:.3f} s, {found['tasks']:,} tasks"
    yield f"outside of system calls {found['outside_s']:.3f} s, inside {found['inside_s']:.3f} s, idle {found['idle_s']:.3f} s"
    share = found["ended_by_task"] / max(1, found["waits"])
    yield (
        f"{found['waits']:,} waits: {found['ended_by_task']:,} ended by a task ({share:.1%}), "
        f"{found['ended_by_interrupt']:,} by an interrupt, {found['ended_unknown']:,} by what is not known"
    )
    if not found["flags"]:
        yield "no line says whether an interrupt was served: some of those that a task has ended were ended by one"
    if found.get("refused"):
        yield f"{found['refused']:,} calls were refused before they were entered, as seccomp does, and are left out"
    yield f"{found['calls_entered']:,} system calls of {len(found['calls'])} kinds, the most frequent:"
    for call in found["calls"][:MOST_CALLS]:
        yield f"  {call['name']:20}{call['count']:12,}{call['seconds']:12.3f} s"


def _calls(of: Recording) -> list[dict[str, Any]]:
    entered = of.kind == ENTER
    numbers, counts = np.unique(of.arg[entered], return_counts=True)
    inside = _held(of)
    of_calls = [
        {
            "number": int(number),
            "name": of.call(int(number)),
            "count": int(count),
            "seconds": float(inside.get(int(number), 0.0)),
        }
        for number, count in zip(numbers, counts, strict=True)
    ]
    return sorted(of_calls, key=lambda call: -call["count"])


def _held(of: Recording) -> dict[int, float]:
    """How long tasks were in each call, asleep or not: seconds by number."""
    at = np.flatnonzero(of.kind <= RETURN)
    order = at[np.argsort(of.task[at], kind="stable")]
    is_pair = (of.kind[order][:-1] == ENTER) & (of.kind[order][1:] == RETURN) & (of.task[order][:-1] == of.task[order][1:])
    begun, ended = order[:-1][is_pair], order[1:][is_pair]
    took = (of.time[ended] - of.time[begun]) / 1e6
    return dict(enumerate(np.bincount(of.arg[begun], weights=took, minlength=1).tolist()))


def spent(of: Recording) -> tuple[float, float, float]:
    """Seconds of the CPUs that have events: outside of system calls, inside of one, and not with a task of the program."""
    calls = Sorted(np.flatnonzero(of.kind <= RETURN), of.task)
    totals = np.zeros(3)
    for cpu in np.unique(of.cpu).tolist():
        at = np.flatnonzero(of.cpu == cpu)
        at = at[of.kind[at] != IRQ]
        if not len(at):
            continue
        who = running_after(of, at)
        last = calls.before(who, at + 1)  # who was forked and has not come back yet is inside the call that made it
        inside = (last < 0) | (of.kind[last] == ENTER)
        state = np.where(who < 0, 2, np.where(inside, 1, 0))
        totals += np.bincount(state, weights=np.diff(of.time[at], append=of.time[-1]), minlength=3) / 1e6
        totals[2] += (of.time[at[0]] - of.time[0]) / 1e6
    return float(totals[0]), float(totals[1]), float(totals[2])
