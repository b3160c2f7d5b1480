"""A crew: one forked, pinned process a CPU, watched by its parent.

A worker dies with its parent (PR_SET_PDEATHSIG), ignores Ctrl-C, which the parent owns, and is killed and reaped however
the parent leaves the block: nothing is left running. The parent watches pidfds, so that a death is seen at once and by name.

    with Crew(bodies, cores) as crew:
        crew.watch(seconds)
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from shmkret.errors import RunFailed, UnfitMachine
from shmkret.host import posix, signals


class WorkerLost(RunFailed):
    """A worker process ended before it was told to."""


class WorkerHung(RunFailed):
    """A worker process did not answer in time."""


class Crew:
    """The worker processes of one run; CPU i runs bodies[i]() on core cores[i]."""

    def __init__(self, bodies: Sequence[Callable[[], None]], cores: Sequence[int]) -> None:
        self._bodies = bodies
        self._cores = cores
        self._pids: list[int] = []
        self._pidfds: list[int] = []
        self._poll = select.poll()
        self._errors = -1
        self.was_stopped: list[int] = []
        """The CPUs whose process was stopped (SIGSTOP, a debugger) when a WorkerHung was raised."""

    def __enter__(self) -> Self:
        self._errors = os.memfd_create("shmkret-errors", os.MFD_CLOEXEC)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
        gc.freeze()
        try:
            # A Ctrl-C between fork() and the append would lose a child; the end of this block raises it.
            with signals.held_back() as one_waits:
                for cpu in range(len(self._bodies)):
                    if one_waits():
                        break
                    self._fork(cpu)
        except BaseException:  # then __exit__ will not be called
            self._end()
            raise
        finally:
            gc.unfreeze()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        try:
            with signals.held_back():
                self._kill()
        finally:  # of which nothing is left to do, unless a signal came before the block
            self._kill()

    def _fork(self, cpu: int) -> None:
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            raise UnfitMachine(f"cannot start worker {cpu}: {error.strerror}; raise ulimit -u") from error
        if pid == 0:
            self._child(cpu, parent)
        try:
            self._pidfds.append(os.pidfd_open(pid))
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise UnfitMachine(f"cannot watch worker {cpu}: {error.strerror}; raise ulimit -n") from error
        self._pids.append(pid)
        self._poll.register(self._pidfds[-1], select.POLLIN)

    def _child(self, cpu: int, parent: int) -> NoReturn:
        status = 1
        try:
            posix.die_with_parent(parent)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.NUMBERS)
            os.sched_setaffinity(0, {self._cores[cpu]})
            self._bodies[cpu]()
            status = 0
        except BaseException:
            os.pwrite(self._errors, traceback.format_exc().encode(), os.fstat(self._errors).st_size)
        finally:
            os._exit(status)

    def watch(self, seconds: float) -> None:
        """Sleep for that long. Raises WorkerLost as soon as a worker has ended."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            for pidfd, _ in self._poll.poll(max(0.0, left) * 1000):
                self._lost(self._pidfds.index(pidfd))
            if left <= 0:
                return

    def watch_until(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        """Sleep until done(). Raises WorkerLost, or WorkerHung after that long."""
        deadline = time.monotonic() + seconds
        pause = 0.0002
        while not done():
            if time.monotonic() > deadline:
                self.was_stopped = self._stopped()
                raise WorkerHung(f"after {seconds:g} s not all of {len(self._pids)} workers have {what}")
            self.watch(pause)
            pause = min(0.01, pause * 1.5)

    @property
    def pids(self) -> list[int]:
        """The process of each CPU."""
        return list(self._pids)

    def _stopped(self) -> list[int]:
        states = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in self._pids]
        return [cpu for cpu, state in enumerate(states) if state in "Tt"]

    def join(self, seconds: float) -> None:
        """Wait for every worker to end well. Raises WorkerLost or WorkerHung."""
        deadline = time.monotonic() + seconds
        for cpu, pidfd in enumerate(self._pidfds):
            ended = select.poll()
            ended.register(pidfd, select.POLLIN)
            if not ended.poll(max(0.0, deadline - time.monotonic()) * 1000):
                self.was_stopped = self._stopped()
                raise WorkerHung(f"cpu {cpu}, pid {self._pids[cpu]}, did not stop within {seconds:g} s")
            status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
            if status and (status.si_code != os.CLD_EXITED or status.si_status != 0):
                self._lost(cpu)

    def _lost(self, cpu: int) -> NoReturn:
        who = f"cpu {cpu}, pid {self._pids[cpu]}, on core {self._cores[cpu]}"
        status = os.waitid(os.P_PIDFD, self._pidfds[cpu], os.WEXITED | os.WNOWAIT)
        if status and status.si_code != os.CLD_EXITED:
            names = {number.value: number.name for number in signal.Signals}
            raise WorkerLost(f"{who}, was killed by {names.get(status.si_status, f'signal {status.si_status}')}")
        words = os.pread(self._errors, 65536, 0).decode(errors="replace").strip()
        ended = f"{who}, ended with exit status {status.si_status if status else '?'}"
        raise WorkerLost(f"{ended}:\n{words}" if words else ended)

    def _kill(self) -> None:
        for pidfd in self._pidfds:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for pid, pidfd in zip(self._pids, self._pidfds, strict=True):
            os.waitpid(pid, 0)
            os.close(pidfd)
        self._pids, self._pidfds = [], []
        if self._errors >= 0:
            os.close(self._errors)
            self._errors = -1
