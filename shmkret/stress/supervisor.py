"""The processes of a run that survives deaths: CPUs that are replaced, and a recoverer.

    supervisor          holds the arena; forks, watches by pidfd, says who is dead, starts a new CPU in its slot
      +-- CPU 0 ... n   run_cpu(), compiled
      +-- recoverer     run_recoverer(), compiled; when it dies another takes its place, in another slot

A CPU's process does nothing but run machine code on the arena, so that it is forked without the heap and the libraries of this
one, which are marked MADV_DONTFORK first: that makes a fork and a death five times as fast.

CPUs spin, and there may be no core left for who watches them: the supervisor and the recoverer, which would be interrupts in a
kernel, run at SCHED_RR where that is permitted.

Nobody is killed or stopped but children, through their pidfds. A child dies with the supervisor (PR_SET_PDEATHSIG). By the pid
that the arena has of a slot only SIGURG is sent, which means nothing to a stranger; yet it is cleared before it could be one's.

Source    pidfd_open(2), madvise(2), waitid(2)
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
import select
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from shmkret.arena.named import maps
from shmkret.arena.segment import Arena
from shmkret.errors import RunFailed, UnfitMachine
from shmkret.host import ofd
from shmkret.kernel.cpu import STOP
from shmkret.recovery.recoverer import RAISED
from shmkret.recovery.taking import BURIED, DEAD, EMPTY, LIVE, UNLOCKED

MADV_DONTFORK, MADV_DOFORK = 10, 11
NEEDED = re.compile(r"/(libc|libm|libgcc_s|libpthread|ld-linux-[^/]*|_helperlib[^/]*)[-.0-9]*\.so|\[stack|\[v")
BSS, STATIC_TLS, THREAD_DESCRIPTOR = 1 << 16, 1 << 15, 1 << 13
"""Bytes, all of them generous."""
GUEST_POLL_S = 0.001
NR_RECOVERERS = 6
"""One runs; the others are there for when it dies, and the next, before anybody has recovered their slots."""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.pthread_self.restype = ctypes.c_size_t


class Died(RunFailed):
    """A process of the run ended though nobody had killed it."""


class Supervisor:
    """CPU i runs on core cores[i % len(cores)].

    start[i](): fork the process of slot i. announce[i](): say that slot i is dead. Both are compiled.
    """

    def __init__(
        self, arena: Arena, start: Sequence[Callable[[], None]], announce: Sequence[Callable[[], None]], cores: Sequence[int]
    ) -> None:
        self.arena = arena
        self.nr_cpus = arena.geometry.nr_cpus
        self.nr_own = self.nr_cpus - int(arena.records("run")["guests"][0])
        self.words = arena.records("recovery")
        self._start = start
        self._announce = announce
        self._cores = cores
        self._pidfds: dict[int, int] = {}
        self._slots: dict[int, int] = {}
        self._epoll = select.epoll()
        self.is_realtime = False
        self.expected: set[int] = set()
        """Slots that were sent a SIGKILL on purpose."""
        self.expected_exit: set[int] = set()
        """Slots that were told to stop."""
        self.guests: set[int] = set()
        """Slots that are a process's which was not started here: see shmkret.stress.guests."""
        self.ends: dict[int, str] = {}
        """How the last process of each slot has ended."""
        self.lost_guests = 0
        """Guests that died before they were told to stop."""
        self.raised = 0
        """CPUs whose program has raised an exception, and ended."""

    def __enter__(self) -> Self:
        self._life = self.words["life"]
        take_kicks()
        come_first(0)
        forget_memory()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pidfd in self._pidfds.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for slot in list(self._pidfds):
            self.reap(slot)
        self._epoll.close()

    @property
    def recoverer(self) -> int:
        """The slot of the recoverer that runs; -1: none."""
        return next((slot for slot in self._pidfds if slot >= self.nr_cpus), -1)

    def start(self, slot: int) -> None:
        """Start the process of a slot that is empty."""
        self._start[slot]()
        pid = int(self.words["pid"][slot])
        if pid <= 0:
            self._life[slot] = EMPTY
            raise UnfitMachine(f"cannot start the process of slot {slot}: is ulimit -u reached?")
        if slot < self.nr_cpus:
            os.sched_setaffinity(pid, {self._cores[slot % len(self._cores)]})
        else:
            self.is_realtime = come_first(pid)
        pidfd = os.pidfd_open(pid)
        self._pidfds[slot] = pidfd
        self._slots[pidfd] = slot
        self._epoll.register(pidfd, select.EPOLLIN)

    def start_missing(self) -> None:
        """Start a CPU in every slot of ours that is empty, admit guests to theirs, and start a recoverer if there is none."""
        life = self._life.tolist()
        for slot in range(self.nr_own):
            if life[slot] == EMPTY and slot not in self._pidfds:
                self.start(slot)
        for slot in range(self.nr_own, self.nr_cpus):
            if life[slot] == EMPTY and ofd.is_locked(self.arena.fd, slot) and self._has_come(slot):
                self.words["generation"][slot] += 1
                self._life[slot] = LIVE
                self.guests.add(slot)
        self.start_recoverer()

    def _has_come(self, slot: int) -> bool:
        """Whether the pid of a guest's slot is its own already, and not that of one who died before it was admitted."""
        pid = int(self.words["pid"][slot])
        try:
            return pid > 0 and maps(pid, os.fstat(self.arena.fd))
        except OSError:
            return False

    def start_recoverer(self) -> None:
        """If there is none."""
        life = self._life.tolist()
        if self.recoverer < 0:
            free = [slot for slot in range(self.nr_cpus, len(life)) if life[slot] == EMPTY]
            if free:
                self.start(free[0])

    def send(self, slot: int, number: int) -> bool:
        """Signal the process of a slot; False when it is gone already."""
        if slot not in self._pidfds:
            return False
        if number == signal.SIGKILL:
            self.expected.add(slot)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfds[slot], number)
            return True
        return False

    def move(self, slot: int, core: int) -> None:
        """Let the process of a slot run on that core from now on, if it has one."""
        if slot in self._pidfds:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(self.words["pid"][slot]), {core})

    def bury(self, wait_ms: float) -> list[int]:
        """Wait that long for a death; announce and reap who died. Returns their slots. Raises Died if nobody had killed one.

        In that order: its pid cannot belong to a stranger while others may still take it for a CPU's, and signal it.
        """
        end = time.monotonic() + wait_ms / 1000
        dead: list[int] = []
        gone: list[int] = []
        is_over = False
        while not dead and not gone and not is_over:
            left = max(0.0, end - time.monotonic())
            dead = [self._slots[pidfd] for pidfd, _ in self._epoll.poll(min(left, GUEST_POLL_S) if self.guests else left)]
            gone = self.bury_guests()
            is_over = time.monotonic() >= end
        for slot in dead:
            self._announce[slot]()
            how = self.ends[slot] = self.reap(slot)
            told = slot in self.expected_exit and how == "exit status 0"
            raised = slot < self.nr_cpus and how == f"exit status {RAISED}"
            self.raised += raised
            self.expected_exit.discard(slot)
            if not told and not raised and (slot not in self.expected or how != "SIGKILL"):
                who = f"cpu {slot}" if slot < self.nr_cpus else f"the recoverer in slot {slot}"
                hint = ": shmkret bench rehearses what it runs" if how in ("SIGSEGV", "SIGBUS", "SIGILL") else ""
                raise Died(f"{who} ended by {how}, and nobody had killed it{hint}")
            self.expected.discard(slot)
        return dead + gone

    def bury_guests(self) -> list[int]:
        """Announce the guests that are there no more; their slots."""
        gone = [slot for slot in self.guests if not ofd.is_locked(self.arena.fd, slot)]
        for slot in gone:
            self.guests.discard(slot)
            self.lost_guests += int(self.arena.records("run")["phase"][0]) != STOP
            self._announce[slot]()
            self.words["pid"][slot] = 0
        return gone

    def running(self) -> list[int]:
        """The slots that have a process."""
        return sorted({*self._pidfds, *self.guests})

    def recovered(self, slots: Sequence[int]) -> bool:
        """Whether these slots are empty again, or in use."""
        return not any(life in (DEAD, UNLOCKED, BURIED) for life in self._life[list(slots)].tolist())

    def reap(self, slot: int) -> str:
        """Take the exit status of a process that has ended or is about to; returns how it ended."""
        pidfd = self._pidfds.pop(slot)
        del self._slots[pidfd]
        with contextlib.suppress(OSError):
            self._epoll.unregister(pidfd)
        self.words["pid"][slot] = 0
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        if status is None:
            return "nothing"
        if status.si_code == os.CLD_EXITED:
            return f"exit status {status.si_status}"
        return signal.Signals(status.si_status).name


def come_first(pid: int) -> bool:
    """Let a process run before all ordinary ones; whether that is permitted. Its children are ordinary."""
    try:
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return False
    return True


def take_kicks() -> None:
    """Let SIGURG interrupt a system call and do nothing else, in this process and its children.

    Not through Python, whose handler would need memory that the children do not have.
    """
    nothing = ctypes.cast(_libc.getpid, ctypes.c_void_p)
    _libc.signal(signal.SIGURG, nothing)
    _libc.siginterrupt(signal.SIGURG, 1)


def forget_memory() -> None:
    """Keep from children what they never touch: forking and dying walk every mapping and its page tables.

    Children need the arena, which is shared; machine code and its constants, which are anonymous and not writable; the stack;
    libc and its kind with the memory right behind their data (.bss); and the block of thread-local words, wherever it lies.
    """
    needed = [(_libc.pthread_self() - STATIC_TLS, _libc.pthread_self() + THREAD_DESCRIPTOR)]
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last, flags, path = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()  # type: ignore[union-attr]
        start, end = int(first, 16), int(last, 16)
        if NEEDED.search(path):
            needed.append((start, end + BSS if flags == "rw-p" and path.startswith("/") else end))
        elif flags[3] == "p" and (path or flags == "rw-p"):
            _advise(start, end, MADV_DONTFORK)
    for start, end in needed:
        _advise(start, end, MADV_DOFORK)


def _advise(start: int, end: int, advice: int) -> None:
    start &= -mmap.PAGESIZE
    _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll for that long; whether it holds."""
    deadline = time.monotonic() + seconds
    pause = 0.00002
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(0.002, pause * 1.3)
    return True
