"""Who waits for whom: the waits of a recording's tasks, and what ended each.

A wait begins where a task is switched out and could not run, and ends where it is switched in again. What ended it is the last
wake-up of the task before that. One by a task is an edge: this task waits until that one has come so far. One by an interrupt
is none, and one that nothing tells is not known; both are time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.trace.recording import BLOCK, EXIT, IRQ, WAKE, YIELD, Column, Recording


class Waits(NamedTuple):
    """One a wait, in the order in which they begin. out, into: its events; by: that of the wake-up, or -1: not known; edge:
    whether a task did it. A wait that the recording does not see the end of has into -1.
    """

    out: Column
    into: Column
    by: Column
    edge: NDArray[np.bool_]


def waits_of(of: Recording) -> Waits:
    """All of a recording."""
    switches = (of.kind == YIELD) | (of.kind == BLOCK)
    ended = np.full(of.nr_tasks, len(of))
    exits = np.flatnonzero(of.kind == EXIT)
    ended[of.task[exits][::-1]] = exits[::-1]
    out = np.flatnonzero((of.kind == BLOCK) & (of.task >= 0))
    out = out[out < ended[of.task[out]]]
    came = Sorted(np.flatnonzero(switches & (of.arg >= 0)), of.arg)
    woken = Sorted(np.flatnonzero((of.kind == WAKE) | (of.kind == IRQ)), of.arg)
    who = of.task[out]
    into = came.after(who, out)
    until = np.where(into < 0, len(of), into)
    by = woken.before(who, until)
    by[by <= came.before(who, out)] = -1
    return Waits(out, into, by, (by >= 0) & (of.kind[by] == WAKE))


class Sorted:
    """Events by what they are of, and by time: which is the next of somebody, or the one before."""

    def __init__(self, events: Column, whose: Column) -> None:
        order = np.argsort(whose[events], kind="stable")
        self._events, self._whose = events[order], whose[events[order]]
        self._span = int(events.max(initial=0)) + 2
        self._keys = self._whose * self._span + self._events

    def before(self, whose: Column, event: Column) -> Column:
        """Of each pair, the last one of these of that one before that event; -1: there is none."""
        return self._of(whose, np.searchsorted(self._keys, whose * self._span + np.minimum(event, self._span - 1)) - 1)

    def after(self, whose: Column, event: Column) -> Column:
        """Likewise, the first one after it."""
        return self._of(
            whose, np.searchsorted(self._keys, whose * self._span + np.minimum(event, self._span - 1), side="right")
        )

    def _of(self, whose: Column, at: Column) -> Column:
        is_there = (at >= 0) & (at < len(self._events))
        held = np.where(is_there, at, 0)
        if not len(self._events):
            return np.full(len(whose), -1)
        return np.where(is_there & (self._whose[held] == whose), self._events[held], -1)
