"""A recording: the events of a program's tasks in the order of time, a column a field.

    ENTER   a task enters a system call                arg: the number of the call
    RETURN  it comes back from it                      arg: the same
    YIELD   it is switched out, and could run          arg: the task that is switched in, or NOBODY
    BLOCK   it is switched out, and could not          arg: likewise
    FORK    it makes a task                            arg: the new task
    EXIT    it ends
    WAKE    it wakes a task                            arg: whom
    IRQ     an interrupt wakes a task                  arg: whom; task: NOBODY

Tasks are numbered in the order in which they appear; a pid that is used again is another task. NOBODY is idle, or no task of
the program. `after` is the time since the event before, in microseconds.

Always    a task that a FORK has made comes back from the call that its parent made it in; the first one, from one that it had
          entered before
          a task is in one call at a time, and comes back from the one that it has entered
          after its EXIT a task is switched out once, and then there is no event of it
"""

from __future__ import annotations

import json
import lzma
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shmkret.errors import RecordingError

KINDS = ENTER, RETURN, YIELD, BLOCK, FORK, EXIT, WAKE, IRQ = range(8)
NAMES = ("enters", "returns from", "yields to", "blocks, and lets run", "forks", "exits", "wakes", "an interrupt wakes")
COLUMNS = ("kind", "cpu", "task", "arg", "after")
NOBODY = -1
SCHEMA = 1
HEAD = "recording.json"

Column = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Recording:
    """kind, cpu, task, arg, after: int64[events], as above. head: where it comes from; `syscalls` names the calls by number."""

    kind: Column
    cpu: Column
    task: Column
    arg: Column
    after: Column
    head: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def time(self) -> Column:
        """Of each event, microseconds since the recording began."""
        return np.cumsum(self.after)

    @property
    def nr_tasks(self) -> int:
        """How many tasks it has."""
        return int(self.task.max(initial=NOBODY)) + 1

    def call(self, number: int) -> str:
        """The name of a system call."""
        return str(self.head["syscalls"].get(str(number), f"call {number}"))

    def event(self, i: int) -> str:
        """Event i in words."""
        kind, task, arg = int(self.kind[i]), int(self.task[i]), int(self.arg[i])
        if kind >= len(KINDS):
            return f"event of kind {kind}"
        who = "nobody" if task == NOBODY else f"task {task}"
        whom = "nobody" if arg == NOBODY else f"task {arg}"
        if kind in (ENTER, RETURN):
            return f"{who} {NAMES[kind]} {self.call(arg)}"
        return f"{NAMES[kind]} {whom}" if kind == IRQ else f"{who} {NAMES[kind]}{'' if kind == EXIT else f' {whom}'}"

    def write(self, path: Path) -> None:
        """To a file, each column as small as it can be."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
            for name in COLUMNS:
                with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, _small(getattr(self, name)), allow_pickle=False)
            file.writestr(HEAD, json.dumps({"schema": SCHEMA, **self.head}, indent=1))

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file. Raises RecordingError where it is none, or not whole; of its events, the first that does not fit."""
        try:
            with zipfile.ZipFile(path) as file:
                head = json.loads(file.read(HEAD))
                kind, cpu, task, arg, after = (_column(file, name) for name in COLUMNS)
        except FileNotFoundError:
            raise RecordingError(f"{path}: there is no such file") from None
        except (OSError, zipfile.BadZipFile, lzma.LZMAError, EOFError, KeyError, ValueError, NotImplementedError) as error:
            raise RecordingError(f"{path} is no recording, or a part of one: {error}") from None
        if not isinstance(head, dict) or head.get("schema") != SCHEMA or not isinstance(head.get("syscalls"), dict):
            raise RecordingError(f"{path} is of another schema than {SCHEMA}, or its head is not whole")
        if len({len(column) for column in (kind, cpu, task, arg, after)}) != 1:
            raise RecordingError(f"{path}: its columns have different lengths")
        found = cls(kind, cpu, task, arg, after, head)
        found.require_whole(str(path))
        return found

    def require_whole(self, name: str) -> None:
        """Raises RecordingError, with the first event that does not fit."""
        if not len(self):
            raise RecordingError(f"{name}: there is no event in it")
        wrong = min(_misfits(self), default=None)
        if wrong is not None:
            i, why = wrong
            raise RecordingError(f"{name}: event {i}, {self.time[i] / 1e6:.6f} s: {self.event(i)}: {why}")


def _small(column: Column) -> NDArray[Any]:
    """NOBODY is the largest number of its type."""
    largest = int(column.max(initial=0)) + 1
    kind = next(kind for kind in (np.uint8, np.uint16, np.uint32, np.uint64) if largest <= np.iinfo(kind).max)
    return column.astype(kind)


def _column(file: zipfile.ZipFile, name: str) -> Column:
    with file.open(f"{name}.npy") as member:
        found = np.lib.format.read_array(member, allow_pickle=False)
    if found.ndim != 1 or found.dtype.kind != "u":
        raise ValueError(f"{name} is no column of whole numbers")
    column = found.astype(np.int64)
    if name in ("task", "arg"):
        column[found == np.iinfo(found.dtype).max] = NOBODY
    return column


def _misfits(of: Recording) -> list[tuple[int, str]]:
    """The first of each sort."""
    kind, cpu, task, arg = of.kind, of.cpu, of.task, of.arg
    acts = kind != IRQ
    named = np.isin(kind, (YIELD, BLOCK, FORK, WAKE, IRQ))
    found = [
        (kind >= len(KINDS), "there is no such kind of event"),
        (cpu >= int(of.head.get("nr_cpus", 1 << 16)), "there is no such CPU"),
        (of.after < 0, "it is before the one before it"),
        (acts & (task == NOBODY) & ~np.isin(kind, (YIELD, BLOCK)), "nobody does that"),
        (~acts & (task != NOBODY), "an interrupt is no task"),
        (np.isin(kind, (FORK, WAKE, IRQ)) & (arg == NOBODY), "it names nobody"),
        (named & (arg >= _forked_before(of)), "that task has not been forked yet"),
        (acts & (task >= _forked_before(of)), "its task has not been forked yet"),
    ]
    first = [(int(where.argmax()), why) for where, why in found if where.any()]
    return first if first else [*_calls_that_do_not_fit(of), *_after_their_end(of)]


def _forked_before(of: Recording) -> Column:
    """How many tasks there are as each event ends; the first task is there from the beginning."""
    return 1 + np.cumsum(of.kind == FORK)


def _calls_that_do_not_fit(of: Recording) -> list[tuple[int, str]]:
    """Of each task, its entries and returns take turns."""
    at = np.flatnonzero(of.kind <= RETURN)
    order = at[np.argsort(of.task[at], kind="stable")]
    kind, task, arg = of.kind[order], of.task[order], of.arg[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = task[1:] != task[:-1]
    same_kind = np.zeros(len(order), bool)
    same_kind[1:] = ~is_first[1:] & (kind[1:] == kind[:-1])
    other_call = np.zeros(len(order), bool)
    other_call[1:] = ~is_first[1:] & (kind[1:] == RETURN) & (kind[:-1] == ENTER) & (arg[1:] != arg[:-1])
    found = [
        (is_first & (kind == ENTER) & (task != 0), "its first event is not its return from the call that made it"),
        (same_kind & (kind == ENTER), "it has not come back from the call before"),
        (same_kind & (kind == RETURN), "it is in no call"),
        (other_call, "it has entered another call"),
    ]
    return [(int(order[where].min()), why) for where, why in found if where.any()]


def _after_their_end(of: Recording) -> list[tuple[int, str]]:
    """Forks make tasks in the order of their numbers; what has exited is switched out, and does nothing else."""
    forks = np.flatnonzero(of.kind == FORK)
    out_of_order = forks[of.arg[forks] != 1 + np.arange(len(forks))]
    ends = np.full(of.nr_tasks, len(of))
    exits = np.flatnonzero(of.kind == EXIT)
    ends[of.task[exits][::-1]] = exits[::-1]
    acting = np.flatnonzero((of.task >= 0) & ~np.isin(of.kind, (YIELD, BLOCK, WAKE)))
    late = acting[acting > ends[of.task[acting]]]
    found = [(out_of_order, "the tasks before it have not been forked yet"), (late, "its task has exited")]
    return [(int(where[0]), why) for where, why in found if len(where)]
