"""What tracefs and `perf script` print of a program, as a recording.

    make-1234    [001] d.h2.   120.123456: sched_waking: comm=cc1 pid=1240 prio=120 target_cpu=000      tracefs
    make  1234   [001]         120.123456: sched:sched_waking: comm=cc1 pid=1240 ...                    perf script

The program is a task and all its descendants. What others do is left out, but for whom they wake: such a wake-up is an IRQ, and
so is one in the context of an interrupt, as the third of the flags says. perf prints no flags. Then `flags` of the head is
false, and a wake-up by an interrupt is taken for one by the task that it interrupted.

A call that seccomp refuses has a return and no entry: it is left out, and counted in `refused` of the head. A thread that calls
execve() goes on under the pid of its process.

Source    Documentation/trace/ftrace.rst; kernel/trace/trace_output.c, trace_print_lat_fmt()
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from shmkret.errors import RecordingError
from shmkret.trace.recording import BLOCK, ENTER, EXIT, FORK, IRQ, NOBODY, RETURN, UNKNOWN, WAKE, YIELD, Recording

EVENTS = (
    "raw_syscalls:sys_enter",
    "raw_syscalls:sys_exit",
    "sched:sched_switch",
    "sched:sched_waking",
    "sched:sched_process_fork",
    "sched:sched_process_exec",
    "sched:sched_process_exit",
)
"""What the kernel is to be asked for."""
LINE = re.compile(
    r"(?P<comm>.{1,16}?)(?:-| {1,9})(?P<pid>\d{1,9}) {1,9}(?:\([^)]{0,20}\) {1,9})?\[(?P<cpu>\d{1,5})\] {1,20}"
    r"(?:(?P<flags>[^ \d]\S{0,9}) {1,20})?(?P<s>\d{1,12})\.(?P<us>\d{6})\d{0,3}: {1,20}"
    r"(?:\w{1,40}:)?(?P<event>\w{1,60}): (?P<words>.*)"
)
CALL = re.compile(r"NR (-?\d{1,20})(?!\d)")
SWITCH = re.compile(r"prev_comm=.* prev_pid=(\d+) prev_prio=-?\d+ prev_state=(\S+) ==> next_comm=.* next_pid=(\d+) ")
WAKING = re.compile(r"comm=.* pid=(\d+) prio=")
FORKED = re.compile(r"comm=.* pid=\d+ child_comm=.* child_pid=(\d+)")
EXECUTED = re.compile(r"filename=.* pid=(\d+) old_pid=(\d+)")
LOST = re.compile(r"LOST (\d+) EVENTS")
SERVED = frozenset("hHsSzZ")
DEAD = frozenset("ZX")


def recorded(lines: Iterable[str], head: Mapping[str, Any], root: int | None = None) -> Recording:
    """The recording of the task of pid `root` and those that it makes; None: of the first that does anything.

    Raises: RecordingError, with the first line that is none of such a text, or the first event that does not fit.
    """
    reader = _Reader(root)
    for i, line in enumerate(lines, 1):
        if line.startswith("#") or line.isspace():
            continue
        found = LINE.match(line.lstrip(" "))
        if found is None:
            lost = LOST.search(line)
            why = (
                f"{lost[1]} events are lost there: give a larger `buffer`"
                if lost
                else "it is no event as tracefs or perf print one"
            )
            raise RecordingError(f"line {i}: {line.strip()[:120]}: {why}")
        try:
            reader.read(found)
        except RecordingError as error:
            raise RecordingError(f"line {i}: {line.strip()[:120]}: {error}") from None
    recording = reader.recording(head)
    recording.require_whole("the recording")
    return recording


class _Reader:
    def __init__(self, root: int | None) -> None:
        self._tasks: dict[int, int] = {} if root is None else {root: 0}
        self._nr_tasks = len(self._tasks)
        self._entered: dict[int, int] = {0: NOBODY}
        self._ended: set[int] = set()
        self._refused = 0
        self._has_flags = False
        self._columns = [array("q") for _ in range(4)]
        self._times = array("q")
        self._last = -1
        self._nr_cpus = 0

    def read(self, found: re.Match[str]) -> None:
        """One line."""
        now = int(found["s"]) * 1_000_000 + int(found["us"])
        if now < self._last:
            raise RecordingError("it is before the one before it")
        self._last = now
        pid, event, words = int(found["pid"]), found["event"], found["words"]
        if not self._nr_tasks and event == "sys_enter":
            self._tasks[pid], self._nr_tasks = 0, 1
        task = self._tasks.get(pid, NOBODY)
        kind = arg = NOBODY
        if event in ("sys_enter", "sys_exit"):
            kind, arg = self._call(event, task, words)
        elif event == "sched_switch":
            before, state, after = self._fields(SWITCH, words)
            task, arg = self._tasks.get(int(before), NOBODY), self._tasks.get(int(after), NOBODY)
            kind = (YIELD if "R" in state else BLOCK) if task != NOBODY or arg != NOBODY else NOBODY
            if task in self._ended and state[:1] in DEAD:
                del self._tasks[int(before)]  # the next of that pid is another, and may be none of ours
        elif event == "sched_waking":
            arg = self._tasks.get(int(self._fields(WAKING, words)[0]), NOBODY)
            self._has_flags |= found["flags"] is not None
            is_served = (found["flags"] or "...")[2:3] in SERVED
            kind = NOBODY if arg == NOBODY else IRQ if is_served or task == NOBODY else WAKE
            task = NOBODY if kind == IRQ else task
        elif task != NOBODY and event == "sched_process_fork":
            kind, arg = FORK, self._nr_tasks
            self._tasks[int(self._fields(FORKED, words)[0])] = arg
            self._entered[arg] = self._entered.get(task, NOBODY)
            self._nr_tasks += 1
        elif event == "sched_process_exec":
            now_pid, old_pid = map(int, self._fields(EXECUTED, words))
            if now_pid != old_pid and old_pid in self._tasks:
                self._tasks[now_pid] = self._tasks.pop(old_pid)
        elif task != NOBODY and event == "sched_process_exit":
            kind = EXIT
            self._ended.add(task)
        if kind != NOBODY:
            self._keep(now, kind, int(found["cpu"]), task, arg)

    def _call(self, event: str, task: int, words: str) -> tuple[int, int]:
        if task == NOBODY:
            return NOBODY, NOBODY
        number = int(self._fields(CALL, words)[0])
        number = number if 0 <= number < UNKNOWN else UNKNOWN
        if event == "sys_enter":
            self._entered[task] = number
            return ENTER, number
        if task not in self._entered:
            self._refused += 1
            return NOBODY, NOBODY
        entered = self._entered.pop(task)
        # rt_sigreturn() restores the number, too. What the first task had entered is not known.
        return RETURN, number if entered == NOBODY or number != UNKNOWN else entered

    def _fields(self, pattern: re.Pattern[str], words: str) -> tuple[str, ...]:
        found = pattern.match(words)
        if found is None:
            raise RecordingError("its fields are others than this kernel's event has")
        return found.groups()

    def _keep(self, now: int, *fields: int) -> None:
        for column, field in zip(self._columns, fields, strict=True):
            column.append(field)
        self._times.append(now)
        self._nr_cpus = max(self._nr_cpus, 1 + fields[1])

    def recording(self, head: Mapping[str, Any]) -> Recording:
        """All that was read."""
        times = np.array(self._times, np.int64)
        kind, cpu, task, arg = (np.array(column, np.int64) for column in self._columns)
        known = {"nr_cpus": max(1, self._nr_cpus), "flags": self._has_flags, "refused": self._refused}
        return Recording(kind, cpu, task, arg, np.diff(times, prepend=times[:1]), {**known, **head})
