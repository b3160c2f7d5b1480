"""A command, run and recorded: with a tracing of our own, which is read when the command has ended.

The command is begun stopped, so that no event of it is missed; what it makes is traced with it. Nobody reads while it runs: the
buffers have to hold all of it, and where they do not, there is no recording.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import subprocess
import time
from collections.abc import Sequence
from importlib import resources
from typing import Any

from shmkret.errors import RecordingError, RunFailed, UnfitMachine, UsageError
from shmkret.trace.lines import EVENTS, recorded
from shmkret.trace.recording import Recording
from shmkret.trace.tracefs import Instance, instance, is_root

STARTED_STOPPED = ["/bin/sh", "-c", 'kill -STOP $$; exec "$@"', "sh"]
BUFFER_MIB = 256
"""A CPU. A million events take some fifty of them."""


def record(command: Sequence[str], *, buffer: int = BUFFER_MIB, cpus: Sequence[int] | None = None) -> Recording:
    """What a command does until it ends. buffer: MiB for each CPU; cpus: the cores that it may use, None: all that we may.

    Raises: UnfitMachine where the kernel lets us not trace; RecordingError where the buffers were too small; UsageError where
    there is no such command, or core; RunFailed where it failed.
    """
    if not is_root():
        raise UnfitMachine("who records must be root: the kernel lets nobody else trace")
    with instance(f"shmkret-{os.getpid()}") as tracing:
        tracing.set("buffer_size_kb", str(buffer << 10))
        tracing.set("trace_clock", "mono")
        tracing.set("options/event-fork", "1")
        tracing.set("options/record-tgid", "0")
        root, status, times = _run(command, tracing, cpus)
        if status:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed: exit code {status}"
            raise RunFailed(f"{command[0]} {how}; nothing is recorded")
        lost = tracing.lost()
        if lost:
            raise RecordingError(f"{lost} events did not fit: give a larger `buffer` than {buffer} MiB a CPU")
        return recorded(tracing.lines(), {**_head(command, cpus), **times}, root)


def _run(command: Sequence[str], tracing: Instance, cpus: Sequence[int] | None) -> tuple[int, int, dict[str, float]]:
    """The pid, the exit status, and real, user and sys seconds with those of all children that it has waited for."""
    if cpus is not None and not set(cpus) <= os.sched_getaffinity(0):
        raise UsageError(f"cores {','.join(map(str, cpus))}: this process may use {sorted(os.sched_getaffinity(0))}")
    process = subprocess.Popen([*STARTED_STOPPED, *command], start_new_session=True)
    try:
        os.waitpid(process.pid, os.WUNTRACED)
        os.sched_setaffinity(process.pid, cpus or os.sched_getaffinity(0))
        tracing.set("set_event_pid", str(process.pid))
        tracing.enable(EVENTS)
        tracing.set("tracing_on", "1")
        began = time.monotonic()
        os.kill(process.pid, signal.SIGCONT)
        _, status, used = os.wait4(process.pid, 0)
        real = time.monotonic() - began
        tracing.set("tracing_on", "0")
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return process.pid, process.returncode, {"real_s": real, "user_s": used.ru_utime, "sys_s": used.ru_stime}


def _head(command: Sequence[str], cpus: Sequence[int] | None) -> dict[str, Any]:
    return {
        "command": list(command),
        "cores": sorted(cpus or os.sched_getaffinity(0)),
        "date": time.strftime("%Y-%m-%d"),
        "syscalls": names_of_calls(platform.machine()),
    }


def names_of_calls(machine: str) -> dict[str, str]:
    """The system calls of a kind of machine, by their numbers; none where no table of it is known."""
    table = resources.files("shmkret.trace") / f"{machine}.txt"
    lines = table.read_text().splitlines() if table.is_file() else []
    return dict(line.split() for line in lines)
