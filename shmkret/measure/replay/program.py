"""A recording as the words of a worker program: for each task, what it does, one word after the other.

    word     op 4 bits, before 24, x 35: after `before` microseconds of work, do `op`
    WORK     nothing
    CALL     a system call: x is its number, 10 bits, and above them the microseconds of work in it
    ENTER    the entry of one in which the task waits, wakes, forks or ends: x is its number
    RETURN   its return
    WAIT     until another task has woken this one once more
    SLEEP    x microseconds
    WAKE     x is the task
    FORK     x is the task
    EXIT     the task ends
    END      the recording of the task ends here

What a task does on the CPU is work, in a call or outside; while it is switched out, nothing is. A task that a call has made
does not return from it: its stack is new.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.trace import recording as events
from shmkret.trace.recording import Recording
from shmkret.trace.waits import waits_of

OPS = END, WORK, CALL, ENTER, RETURN, WAIT, SLEEP, WAKE, FORK, EXIT = range(10)
BEFORE_AT, X_AT, INSIDE_AT = 4, 28, 10
MOST_BEFORE, MOST_NUMBER, MOST_INSIDE = (1 << 24) - 1, (1 << 10) - 1, (1 << 25) - 1

Column = NDArray[np.int64]


class Program(NamedTuple):
    """words: int64, the tasks' one after the other; first: of each task, its first word. user_us, inside_us: what the work adds
    up to, outside of calls and in them; calls: how many; edges, times: how many waits are for a task, and how many take their
    time.
    """

    words: Column
    first: Column
    user_us: int
    inside_us: int
    calls: int
    edges: int
    times: int


def program_of(of: Recording) -> Program:
    """All of a recording."""
    task, event, comes = _entries(of)
    is_first = np.diff(task, prepend=-1) != 0
    kind = np.where(comes, -1, of.kind[event])
    runs = np.ones(len(task), bool)
    runs[1:] = ~((kind[:-1] == events.YIELD) | (kind[:-1] == events.BLOCK))
    took = np.where(runs & ~is_first, np.diff(of.time[event], prepend=0), 0)

    op, x = _ops(of, task, event, kind, is_first)
    spent, at = np.cumsum(took), np.flatnonzero(op >= 0)
    of_task, op, x = task[at], op[at], x[at]
    starts = np.diff(of_task, prepend=-1) != 0
    base = spent[np.flatnonzero(is_first)] - took[is_first]
    before = np.where(starts, spent[at] - base[of_task], np.diff(spent[at], prepend=0))
    inside = _inside(op, of_task)
    edges, times = int((op == WAIT).sum()), int((op == SLEEP).sum())
    user_us, inside_us = int(before[~inside].sum()), int(before[inside].sum())
    calls = int((op == ENTER).sum())
    op, x, before, of_task = _merged(op, x, before, of_task)
    op, x, before, of_task = _split(op, x, before, of_task)
    words = op | (before << BEFORE_AT) | (x << X_AT)
    first = np.searchsorted(of_task, np.arange(of.nr_tasks))
    return Program(*_ended(words, first, of_task), user_us, inside_us, calls, edges, times)


def _entries(of: Recording) -> tuple[Column, Column, NDArray[np.bool_]]:
    """All that befalls each task, task by task: who, the event, and whether it is switched in there."""
    own = np.flatnonzero((of.task >= 0) & (of.kind != events.IRQ))
    into = np.flatnonzero(((of.kind == events.YIELD) | (of.kind == events.BLOCK)) & (of.arg >= 0))
    task = np.concatenate([of.task[own], of.arg[into]])
    event = np.concatenate([own, into])
    comes = np.concatenate([np.zeros(len(own), bool), np.ones(len(into), bool)])
    order = np.lexsort((event, task))
    return task[order], event[order], comes[order]


def _ops(of: Recording, task: Column, event: Column, kind: Column, is_first: NDArray[np.bool_]) -> tuple[Column, Column]:
    """Of each entry, the op and its x; -1: none."""
    waits = waits_of(of)
    wait_of = np.full(len(of), -1)
    wait_of[waits.out] = np.arange(len(waits.out))
    is_awaited = np.zeros(len(of), bool)
    is_awaited[waits.by[waits.edge & (waits.into >= 0)]] = True
    until = np.where(waits.by >= 0, waits.by, waits.into)
    lasts = np.where(waits.into >= 0, np.maximum(0, of.time[until] - of.time[waits.out]), 0)

    op, x = np.full(len(task), -1), of.arg[event].copy()
    first_call = is_first | (np.append(False, is_first[:-1]) & (np.append(-1, kind[:-1]) == -1))
    op[kind == events.ENTER] = ENTER
    op[kind == events.RETURN] = RETURN
    op[(kind == events.RETURN) & first_call] = WORK
    op[kind == events.FORK] = FORK
    op[kind == events.EXIT] = EXIT
    op[(kind == events.WAKE) & is_awaited[event]] = WAKE
    at = np.flatnonzero((kind == events.BLOCK) & (wait_of[event] >= 0))
    which = wait_of[event][at]
    op[at] = np.where(waits.into[which] < 0, END, np.where(waits.edge[which], WAIT, SLEEP))
    x[at] = lasts[which]
    x[np.isin(op, (WORK, WAIT, EXIT, END))] = 0
    return op, x


def _inside(op: Column, task: Column) -> NDArray[np.bool_]:
    """Whether the work before each op is done in a call."""
    in_call = np.where(op == ENTER, 1, np.where(np.isin(op, (RETURN, WORK, EXIT)), 0, -1))
    latest = np.maximum.accumulate(np.where(in_call >= 0, np.arange(len(op)), -1))
    before = np.append(-1, latest[:-1])
    same = (before >= 0) & (task[np.maximum(before, 0)] == task)
    found: NDArray[np.bool_] = same & (in_call[np.maximum(before, 0)] == 1)
    return found


def _merged(op: Column, x: Column, before: Column, task: Column) -> tuple[Column, ...]:
    """A call in which nothing happens is one word."""
    pairs = np.zeros(len(op), bool)
    pairs[:-1] = (op[:-1] == ENTER) & (op[1:] == RETURN) & (task[:-1] == task[1:]) & (before[1:] <= MOST_INSIDE)
    x = np.where(pairs, x | (np.append(before[1:], 0) << INSIDE_AT), x)
    op = np.where(pairs, CALL, op)
    keep = ~np.append(False, pairs[:-1])
    return op[keep], x[keep], before[keep], task[keep]


def _split(op: Column, x: Column, before: Column, task: Column) -> tuple[Column, ...]:
    """Work that is longer than a word can say."""
    more = before // (MOST_BEFORE + 1)
    if not more.any():
        return op, x, before, task
    of = np.repeat(np.arange(len(op)), 1 + more)
    is_last = np.append(of[1:] != of[:-1], True)
    return (
        np.where(is_last, op[of], WORK),
        np.where(is_last, x[of], 0),
        np.where(is_last, before[of] - more[of] * MOST_BEFORE, MOST_BEFORE),
        task[of],
    )


def _ended(words: Column, first: Column, task: Column) -> tuple[Column, Column]:
    """An END after the last word of each task, whatever that is."""
    nr = len(first)
    ends = np.searchsorted(task, np.arange(nr), side="right")
    return np.insert(words, ends, END), first + np.arange(nr)
