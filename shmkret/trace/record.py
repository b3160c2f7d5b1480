"""A command, run and recorded: with a tracing of our own, which is read when the command has ended.

The command is begun stopped, so that no event of it is missed; what it makes is traced with it. Nobody reads while it runs: the
buffers have to hold all of it, and where they do not, there is no recording. Where the run is cut short, all that is traced is
killed.
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
KILLING_S = 5.0


def record(command: Sequence[str], *, buffer: int = BUFFER_MIB, cpus: Sequence[int] | None = None) -> Recording:
    """What a command does until it ends. buffer: MiB for each CPU; cpus: the cores that it may use, None: all that we may.

    Raises: UnfitMachine where the kernel does not let us trace; RecordingError where the buffers were too small; UsageError
    where this process may not use such cores; RunFailed where the command failed, or there is none of that name.
    """
    if not is_root():
        raise UnfitMachine("who records must be root: the kernel lets nobody else trace")
    allowed = os.sched_getaffinity(0)
    if cpus is not None and not (cpus and set(cpus) <= allowed):
        raise UsageError(f"cores {','.join(map(str, cpus))}: this process may use {','.join(map(str, sorted(allowed)))}")
    with instance(f"shmkret-{os.getpid()}") as tracing:
        for place in ("", *(f"per_cpu/cpu{cpu}/" for cpu in cpus or ())):
            if place or cpus is None:
                tracing.set(f"{place}buffer_size_kb", str(buffer << 10))
        tracing.set("trace_clock", "mono")
        tracing.set("options/event-fork", "1")
        root, status, times = _run(command, tracing, sorted(cpus or allowed))
        if status:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed: exit code {status}"
            raise RunFailed(f"{command[0]} {how}; nothing is recorded")
        lost = tracing.lost()
        if lost:
            raise RecordingError(f"{lost} events did not fit into `buffer`, {buffer} MiB a CPU: raise it")
        with tracing.text() as text:
            return recorded(text, _head(command, sorted(cpus or allowed), times), root)


def _run(command: Sequence[str], tracing: Instance, cpus: Sequence[int]) -> tuple[int, int, dict[str, float]]:
    """The pid, the exit status, and real, user and sys seconds with those of all children that it has waited for."""
    process = subprocess.Popen([*STARTED_STOPPED, *command])
    try:
        os.waitpid(process.pid, os.WUNTRACED)
        os.sched_setaffinity(process.pid, cpus)
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
            _kill_all(process, tracing)
    return process.pid, process.returncode, {"real_s": real, "user_s": used.ru_utime, "sys_s": used.ru_stime}


def _kill_all(process: subprocess.Popen[bytes], tracing: Instance) -> None:
    """The command and whatever it has made, sessions of their own included: the kernel knows them all."""
    until = time.monotonic() + KILLING_S
    process.kill()
    process.wait()
    while (alive := [pid for pid in tracing.pids() if pid != process.pid]) and time.monotonic() < until:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _head(command: Sequence[str], cpus: Sequence[int], times: dict[str, float]) -> dict[str, Any]:
    return {
        "command": list(command),
        "cores": list(cpus),
        "date": time.strftime("%Y-%m-%d"),
        "time": times,
        "syscalls": names_of_calls(platform.machine()),
    }


def names_of_calls(machine: str) -> dict[str, str]:
    """The system calls of a kind of machine, by their numbers; none where no table of it is known.

    Source    arch/x86/entry/syscalls/syscall_64.tbl
    """
    table = resources.files("shmkret.trace") / f"{machine}.txt"
    lines = table.read_text().splitlines() if table.is_file() else []
    return dict(line.split() for line in lines)
