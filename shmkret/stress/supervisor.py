"""The processes of a run that survives deaths: CPUs that are replaced, and a recoverer.

    supervisor          holds the arena; forks, watches by pidfd, says who is dead, starts a new CPU in its slot
      +-- CPU 0 ... n   run_cpu(), compiled
      +-- recoverer     run_recoverer(), compiled; when it dies another takes its place, in another slot

A CPU's process runs machine code on the arena and nothing else. So it is forked without the heap and the libraries of this one
(forget_memory()): a fork and a death are five times as fast.

CPUs spin, and may leave no core for who watches them. The supervisor and the recoverer would be interrupts in a kernel; here
they run at SCHED_RR, where that is permitted.

Always    only children are killed or stopped, and only through their pidfds; a child dies with the supervisor
          the pid of a slot in the arena gets SIGURG alone, and is 0 before a stranger could have it
          the words of a slot are read and written in order (Control): its process, the recoverer and guests use them, too
Source    pidfd_open(2), waitid(2), PR_SET_PDEATHSIG(2const)
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from shmkret.arena.named import maps
from shmkret.arena.segment import Arena
from shmkret.errors import RunFailed, UnfitMachine
from shmkret.host import ofd
from shmkret.host.processes import come_first, forget_memory, take_kicks
from shmkret.machines.control import Control
from shmkret.recovery.recoverer import RAISED
from shmkret.recovery.taking import BURIED, DEAD, EMPTY, LIVE, UNLOCKED

GUEST_POLL_S = 0.001
NR_RECOVERERS = 6
"""One runs; the others are there for when it dies, and the next, before anybody has recovered their slots."""


class Died(RunFailed):
    """A process of the run ended though nobody had killed it."""


class Supervisor:
    """CPU i runs on core cores[i % len(cores)].

    start[i](): fork the process of slot i. announce[i](): say that slot i is dead. Both are compiled.
    """

    def __init__(
        self,
        arena: Arena,
        control: Control,
        start: Sequence[Callable[[], None]],
        announce: Sequence[Callable[[], None]],
        cores: Sequence[int],
    ) -> None:
        self.arena = arena
        self.control = control
        self.nr_cpus = arena.geometry.nr_cpus
        self.nr_slots = arena.geometry.nr_slots
        self.nr_own = self.nr_cpus - control.load("run", "guests", 0)
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
        self.died: list[int] = []
        """Slots whose process has died, since somebody has looked. Of a guest that is gone nobody knows how it ended."""
        self.lost_guests = 0
        """Guests that have died, and did not leave."""
        self.raised = 0
        """CPUs whose program has raised an exception, and ended."""

    def __enter__(self) -> Self:
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

    @property
    def nobody(self) -> int:
        """The last slot that no process has; -1: none. A lock may need a CPU's number of whoever takes it."""
        return max((slot for slot in range(self.nr_cpus, self.nr_slots) if self.word("life", slot) == EMPTY), default=-1)

    def word(self, field: str, slot: int) -> int:
        """What the arena says of a slot."""
        return self.control.load("recovery", field, slot)

    def say(self, field: str, slot: int, value: int) -> None:
        """Let the arena say that of a slot."""
        self.control.store("recovery", field, slot, value)

    def lives(self) -> list[int]:
        """The state of every slot: EMPTY, LIVE, DEAD ..."""
        return self.control.values("recovery", "life")

    def start(self, slot: int) -> None:
        """Start the process of a slot that is empty. Raises UnfitMachine."""
        self._start[slot]()
        pid = self.word("pid", slot)
        if pid <= 0:
            self.say("life", slot, EMPTY)
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
        empty = [slot for slot, life in enumerate(self.lives()) if life == EMPTY]
        for slot in empty:
            if slot < self.nr_own and slot not in self._pidfds:
                self.start(slot)
            elif self.nr_own <= slot < self.nr_cpus and ofd.is_locked(self.arena.fd, slot) and self._has_come(slot):
                self._admit(slot)
        self.start_recoverer()

    def _admit(self, slot: int) -> None:
        """The guest that has come to that slot takes part from now on."""
        self.say("generation", slot, self.word("generation", slot) + 1)
        self.say("life", slot, LIVE)
        self.guests.add(slot)

    def _has_come(self, slot: int) -> bool:
        """Whether the pid of a guest's slot is its own already, and not that of one who died before it was admitted."""
        pid = self.word("pid", slot)
        try:
            return pid > 0 and maps(pid, os.fstat(self.arena.fd))
        except OSError:
            return False

    def start_recoverer(self) -> None:
        """If there is none."""
        if self.recoverer < 0:
            free = [slot for slot in range(self.nr_cpus, self.nr_slots) if self.word("life", slot) == EMPTY]
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
                os.sched_setaffinity(self.word("pid", slot), {core})

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
            self.ends[slot] = self.reap(slot)
            self._account_for(slot)
        return dead + gone

    def _account_for(self, slot: int) -> None:
        """The process of a slot may have ended as it did. Raises Died if nobody had killed it or told it to stop."""
        how = self.ends[slot]
        told = slot in self.expected_exit and how == "exit status 0"
        raised = slot < self.nr_cpus and how == f"exit status {RAISED}"
        killed = slot in self.expected and how == "SIGKILL"
        self.raised += raised
        self.died += [] if told else [slot]
        self.expected_exit.discard(slot)
        if not told and not raised and not killed:
            who = f"cpu {slot}" if slot < self.nr_cpus else f"the recoverer in slot {slot}"
            hint = ": `shmkret.run()` rehearses what it runs" if how in ("SIGSEGV", "SIGBUS", "SIGILL") else ""
            raise Died(f"{who} ended by {how}, and nobody had killed it{hint}")
        self.expected.discard(slot)

    def bury_guests(self) -> list[int]:
        """Announce the guests that are there no more; their slots."""
        gone = [slot for slot in self.guests if not ofd.is_locked(self.arena.fd, slot)]
        for slot in gone:
            self.guests.discard(slot)
            self.died.append(slot)
            self.lost_guests += self.has_not_left(slot)
            self._announce[slot]()
            self.say("pid", slot, 0)
        return gone

    def has_not_left(self, slot: int) -> bool:
        """Whether the guest that was here is dead: one that leaves takes its pid away first."""
        return self.word("pid", slot) != 0

    def running(self) -> list[int]:
        """The slots that have a process."""
        return sorted({*self._pidfds, *self.guests})

    def recovered(self, slots: Sequence[int]) -> bool:
        """Whether these slots are empty again, or in use."""
        return not any(self.word("life", slot) in (DEAD, UNLOCKED, BURIED) for slot in slots)

    def reap(self, slot: int) -> str:
        """Take the exit status of a process that has ended or is about to; returns how it ended."""
        pidfd = self._pidfds.pop(slot)
        del self._slots[pidfd]
        with contextlib.suppress(OSError):
            self._epoll.unregister(pidfd)
        self.say("pid", slot, 0)
        status = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
        if status is None:
            return "nothing"
        if status.si_code == os.CLD_EXITED:
            return f"exit status {status.si_status}"
        return signal.Signals(status.si_status).name
