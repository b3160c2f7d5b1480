"""A recording: the events of a program's tasks in the order of time, a column a field.

    ENTER   a task enters a system call                arg: the number of the call
    RETURN  it comes back from it                      arg: the same
    YIELD   it is switched out, and could run          arg: the task that is switched in, or NOBODY
    BLOCK   it is switched out, and could not          arg: likewise
    FORK    it makes a task                            arg: the new task
    EXIT    it ends                                    arg: NOBODY
    WAKE    it wakes a task                            arg: whom
    IRQ     an interrupt wakes a task                  arg: whom; task: NOBODY

Tasks are numbered in the order in which they appear; a pid that is used again is another task. NOBODY is idle, or no task of
the program. `after` is the time since the event before, in microseconds.

Always    a task that a FORK has made comes back from the call that its parent made it in, where the recording has its entry;
          the first one may come back from one that it had entered before
          a task is in one call at a time, and comes back from the one that it has entered
          after its EXIT a task makes no call and no task
          a task acts on the CPU on which it was switched in

In a file, each column is whole numbers without a sign, of little endian, as small as they can be; the largest is NOBODY.
"""

from __future__ import annotations

import json
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shmkret.errors import RecordingError

KINDS = ENTER, RETURN, YIELD, BLOCK, FORK, EXIT, WAKE, IRQ = range(8)
NAMES = ("enters", "returns from", "yields to", "blocks, and lets run", "forks", "exits", "wakes", "an interrupt wakes")
COLUMNS = ("kind", "cpu", "task", "arg", "after")
NOBODY = -1
UNKNOWN = 1023
"""The number of every call whose own is none of a table, such as that of syscall(-1)."""
MOST_CPUS, MOST_US = 1 << 16, 1 << 50
SCHEMA = 1
HEAD = "recording.json"
LARGEST_HEAD, LARGEST_COLUMN = 1 << 24, 1 << 32
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
IS_ENCRYPTED = 1

Column = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Recording:
    """kind, cpu, task, arg, after: int64[events], as above. head: where it comes from; `nr_cpus`, and `syscalls`, the names of
    the calls by number.
    """

    kind: Column
    cpu: Column
    task: Column
    arg: Column
    after: Column
    head: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.kind)

    def before(self, i: int) -> Recording:
        """Its first i events."""
        kind, cpu, task, arg, after = (getattr(self, name)[:i] for name in COLUMNS)
        return Recording(kind, cpu, task, arg, after, self.head)

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
        if kind not in KINDS:
            return f"event of kind {kind}"
        who = "nobody" if task == NOBODY else f"task {task}"
        whom = "nobody" if arg == NOBODY else f"task {arg}"
        if kind in (ENTER, RETURN):
            return f"{who} {NAMES[kind]} {self.call(arg)}"
        if kind == EXIT and arg == NOBODY:
            return f"{who} {NAMES[kind]}"
        return f"{NAMES[kind]} {whom}" if kind == IRQ else f"{who} {NAMES[kind]} {whom}"

    def write(self, path: Path) -> None:
        """To a file, which is whole or not there."""
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with zipfile.ZipFile(beside, "w", zipfile.ZIP_LZMA) as file:
                for name in COLUMNS:
                    column = _small(getattr(self, name))
                    file.writestr(f"{name}.u{column.dtype.itemsize}", column.tobytes())
                file.writestr(HEAD, json.dumps({"schema": SCHEMA, **self.head}, indent=1))
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file. Raises RecordingError where it is none, or not whole; of its events, the first that does not fit."""
        try:
            with zipfile.ZipFile(path) as file:
                members = {info.filename: info for info in file.infolist()}
                head = json.loads(_content(file, members, HEAD, LARGEST_HEAD))
                kind, cpu, task, arg, after = (_column(file, members, name) for name in COLUMNS)
        except FileNotFoundError:
            raise RecordingError(f"{path}: there is no such file") from None
        except (OSError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, ValueError, RecursionError) as error:
            raise RecordingError(f"{path} is no recording, or a part of one: {error}") from None
        wrong = _wrong_head(head)
        if wrong:
            raise RecordingError(f"{path}: {wrong}")
        if len({len(column) for column in (kind, cpu, task, arg, after)}) != 1:
            raise RecordingError(f"{path}: its columns have different lengths")
        found = cls(kind, cpu, task, arg, after, head)
        found.require_whole(str(path))
        return found

    def require_whole(self, name: str) -> None:
        """Raises RecordingError, with the first event that does not fit."""
        if not len(self):
            raise RecordingError(f"{name}: there is no event in it")
        wrong = min(_out_of_range(self), default=(len(self), ""), key=itemgetter(0))
        # What comes after it would be taken for numbers of tasks, and is none.
        wrong = min([*_misfits(self.before(wrong[0])), wrong], key=itemgetter(0)) if wrong[0] else wrong
        if wrong[1]:
            at = self.before(wrong[0] + 1).time[-1] / 1e6
            raise RecordingError(f"{name}: event {wrong[0]}, {at:.6f} s: {self.event(wrong[0])}: {wrong[1]}")


def _small(column: Column) -> NDArray[Any]:
    """NOBODY is the largest number of its type."""
    largest = int(column.max(initial=0)) + 1
    return column.astype(next(kind for kind in ("<u1", "<u2", "<u4", "<u8") if largest <= np.iinfo(kind).max))


def _content(file: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str, most: int) -> bytes:
    info = members.get(name)
    if info is None:
        raise ValueError(f"it has no {name}")
    if info.file_size > most or info.compress_type not in PACKED or info.flag_bits & IS_ENCRYPTED:
        raise ValueError(f"{name} is too large, or packed as no recording is")
    return file.read(info)


def _column(file: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], name: str) -> Column:
    size = next((size for size in (1, 2, 4, 8) if f"{name}.u{size}" in members), 1)
    found = np.frombuffer(_content(file, members, f"{name}.u{size}", LARGEST_COLUMN), f"<u{size}")
    column = found.astype(np.int64)
    if name in ("task", "arg"):
        column[found == np.iinfo(found.dtype).max] = NOBODY
    return column


def _wrong_head(head: Any) -> str:
    """What is wrong with it; empty: nothing."""
    if not isinstance(head, dict) or head.get("schema") != SCHEMA:
        return f"it is of another schema than {SCHEMA}"
    nr_cpus, calls = head.get("nr_cpus"), head.get("syscalls")
    if type(nr_cpus) is not int or not 0 < nr_cpus <= MOST_CPUS:
        return f"its head says that there are {nr_cpus!r} CPUs"
    if not isinstance(calls, dict) or not all(isinstance(name, str) for name in calls.values()):
        return "its head does not name the system calls"
    command = head.get("command", [])
    if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
        return "its head names no command"
    return ""


def _first(found: list[tuple[NDArray[np.bool_], str]]) -> Iterator[tuple[int, str]]:
    return ((int(where.argmax()), why) for where, why in found if where.any())


def _out_of_range(of: Recording) -> list[tuple[int, str]]:
    """The first of each sort: fields that say nothing."""
    kind, task, arg = of.kind, of.task, of.arg
    acts, calls, exits = kind != IRQ, (kind == ENTER) | (kind == RETURN), kind == EXIT
    switches = (kind == YIELD) | (kind == BLOCK)
    forked = 1 + np.cumsum(kind == FORK)
    too_long = np.cumsum(of.after.astype(float)) > MOST_US
    return list(
        _first(
            [
                ((kind < 0) | (kind >= len(KINDS)), "there is no such kind of event"),
                ((of.cpu < 0) | (of.cpu >= of.head["nr_cpus"]), "there is no such CPU"),
                ((of.after < 0) | too_long, "its time is none, or before that of the event before it"),
                (acts & (task == NOBODY) & ~switches, "nobody does that"),
                (~acts & (task != NOBODY), "an interrupt is no task"),
                (switches & (task == NOBODY) & (arg == NOBODY), "it is of nobody"),
                (np.isin(kind, (FORK, WAKE, IRQ)) & (arg == NOBODY), "it names nobody"),
                (exits & (arg != NOBODY), "an end names nobody"),
                (calls & ((arg < 0) | (arg > UNKNOWN)), "there is no such call"),
                (~calls & ~exits & ((arg < NOBODY) | (arg >= forked)), "that task has not been forked yet"),
                (acts & ((task < NOBODY) | (task >= forked)), "its task has not been forked yet"),
            ]
        )
    )


def _misfits(of: Recording) -> list[tuple[int, str]]:
    """The first of each sort: events that those before them do not allow."""
    return [*_calls_that_do_not_fit(of), *_after_their_end(of), *_not_running(of)]


def _calls_that_do_not_fit(of: Recording) -> Iterator[tuple[int, str]]:
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
    made_in = _made_in(of)[task]
    found = [
        (is_first & (kind == ENTER) & (task != 0), "its first event is not its return from the call that made it"),
        (is_first & (kind == RETURN) & (made_in != NOBODY) & (arg != made_in), "it was made in another call"),
        (same_kind & (kind == ENTER), "it has not come back from the call before"),
        (same_kind & (kind == RETURN), "it is in no call"),
        (other_call, "it has entered another call"),
    ]
    return ((int(order[where].min()), why) for where, why in found if where.any())


def _made_in(of: Recording) -> Column:
    """Of each task, the call in which its parent made it; NOBODY: in none."""
    at = np.flatnonzero((of.kind <= RETURN) | (of.kind == FORK))
    order = at[np.argsort(of.task[at], kind="stable")]
    kind, task = of.kind[order], of.task[order]
    says = np.where(kind == FORK, -1, np.arange(len(order)))
    latest = np.maximum.accumulate(says) if len(says) else says
    is_in = (latest >= 0) & (kind[latest] == ENTER) & (task[latest] == task)
    found = np.full(max(of.nr_tasks, 1 + int((of.kind == FORK).sum())), NOBODY)
    forks = np.flatnonzero((kind == FORK) & (of.arg[order] < len(found)))
    found[of.arg[order][forks]] = np.where(is_in[forks], of.arg[order][latest[forks]], NOBODY)
    return found


def _after_their_end(of: Recording) -> Iterator[tuple[int, str]]:
    """Forks make tasks in the order of their numbers; what has ended calls nothing and makes nothing."""
    forks = np.cumsum(of.kind == FORK)
    ends = np.full(1 + int(forks[-1]), len(of)) if len(forks) else np.zeros(0, np.int64)
    exits = np.flatnonzero(of.kind == EXIT)
    ends[of.task[exits][::-1]] = exits[::-1]
    acting = np.flatnonzero(np.isin(of.kind, (ENTER, RETURN, FORK, EXIT)))
    late = np.zeros(len(of), bool)
    late[acting] = acting > ends[of.task[acting]]
    return _first(
        [((of.kind == FORK) & (of.arg != forks), "the tasks before it have not been forked yet"), (late, "its task has ended")]
    )


def _not_running(of: Recording) -> Iterator[tuple[int, str]]:
    """Who acts, or is switched out, is who was switched in on that CPU. A CPU's first event says who was there."""
    order = np.argsort(of.cpu, kind="stable")
    acts = of.kind[order] != IRQ
    order = order[acts]
    if not len(order):
        return iter(())
    runs = running_after(of, order)
    is_next = of.cpu[order][1:] == of.cpu[order][:-1]
    strange = np.zeros(len(of), bool)
    strange[order[1:]] = is_next & (of.task[order][1:] != runs[:-1])
    return _first([(strange, "it does not run on that CPU")])


def running_after(of: Recording, events: Column) -> Column:
    """Who runs on its CPU after each of these events, none of which is an interrupt's."""
    switches = (of.kind[events] == YIELD) | (of.kind[events] == BLOCK)
    return np.where(switches, of.arg[events], of.task[events])
