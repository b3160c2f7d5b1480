"""Processes that the run has not started take part in it, each as a CPU of its own, and may die like any other.

    shmkret stress --guests 1      the last CPU is left to whoever comes; the arena has a name
    shmkret join ARENA             somebody comes

A guest locks a byte for its slot (shmkret.host.ofd), and is there as long as nobody else could have that byte.

    guest       locks the byte of an EMPTY slot, writes its pid    leaves at STOP: pid 0, unlocks, begins again
    supervisor  sees a byte locked, in a slot that is EMPTY: LIVE  sees a byte free, in a slot that is LIVE: dead, or gone

A guest is watched and recovered, and never killed or stopped; it gets SIGURG where everybody does, to look at the gate.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from functools import partial

from shmkret.arch import ARCH
from shmkret.arena.segment import SHM, Arena
from shmkret.audit import arenas
from shmkret.errors import ArenaError, RunFailed, UsageError
from shmkret.host import ofd, posix, signals
from shmkret.host.processes import take_kicks
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines import native
from shmkret.machines.build import Build
from shmkret.machines.control import Control
from shmkret.machines.plain import PlainMachine
from shmkret.machines.world import World
from shmkret.plugins.registry import find, is_path
from shmkret.recovery.taking import EMPTY, LIVE
from shmkret.schemes import SCHEME

POLL_S = 0.0005


class NoSlot(ArenaError):
    """The run takes nobody in."""


def join(name: str, worker: str, scheme: str | None, lock: str | None, watch: Callable[[int, int], None]) -> int:
    """Take part in a run until it ends. watch(cpu, pid): called each time that it has become that CPU.

    Args:    name: of the arena. worker: the program that its CPUs run. scheme, lock: their files, where the arena's header does
             not find them.
    Returns: how many calls this process has made.
    Raises:  RunFailed when its CPU is killed, or raises. ArenaError: no slot for guests, another build; and as
             shmkret.audit.arenas.attach(). UnknownName, PluginError.
    """
    with _attached(name, lock) as arena:
        guests = _nr_guests(arena)
        if guests == 0:
            raise NoSlot(f"{name} has no slot for guests")
        header = arena.header[0]
        build = Build(
            arch=find(ARCH, os.fsdecode(header["arch"])),
            scheme=find(SCHEME, scheme or _built_in(header["scheme"], "scheme")),
            lock=find(LOCK, lock or _built_in(header["lock"], "lock")),
            worker=find(WORKER, worker),
            padding=arena.geometry.padding,
            nr_cpus=arena.geometry.nr_cpus,
            recoverable=True,
        )
        if not build.lock.constants.attachable:
            raise UsageError(f"the words of the lock {build.lock.name} mean nothing outside the run's own processes")
        if build.identity.encode() != bytes(header["build"]):
            raise ArenaError(
                f"{name} runs another worker, or other files, than {worker}, {build.scheme.name}, {build.lock.name}"
            )
        with signals.on_the_spot():
            machine = PlainMachine(build.common_cache())
            machine.prepare()
            bodies = native.compiled(World.of(build))(arena, machine)
        return _Guest(arena, Control(arena, machine), watch).run(bodies, range(build.nr_cpus - guests, build.nr_cpus))


def _attached(name: str, lock: str | None) -> Arena:
    try:
        return arenas.attach(name, lock)
    except ArenaError as error:
        hint = f"; has the run another lock than {lock}?" if lock and "layout" in str(error) else ""
        raise ArenaError(f"{error}{hint}") from error


def _nr_guests(arena: Arena) -> int:
    """How many slots the run leaves to others: written before the arena had a name, and never again."""
    return int(arena.records("run")["guests"][0])


def _built_in(name: bytes, what: str) -> str:
    text = os.fsdecode(name)
    if is_path(text):
        raise ArenaError(f"{text} is not run because an arena says so: give the {what} with `{what}`")
    return text


class _Guest:
    """Its CPU is a child, so that this process can end it when the run has ended, and Ctrl-C ends both."""

    def __init__(self, arena: Arena, control: Control, watch: Callable[[int, int], None]) -> None:
        self.arena = arena
        self.control = control
        self.watch = watch
        self.calls = 0

    def run(self, bodies: list[Callable[[], None]], slots: range) -> int:
        take_kicks()
        try:
            creator = os.pidfd_open(int(self.arena.header["creator_pid"][0]))
        except ProcessLookupError:
            return 0
        try:
            ended = select.poll()
            ended.register(creator, select.POLLIN)
            while self._is_running(ended):
                slot = next((slot for slot in slots if self._take(slot)), -1)
                if slot >= 0:
                    try:
                        self._take_part(slot, bodies[slot], ended)
                    finally:
                        ofd.unlock(self.arena.fd, slot)
                time.sleep(POLL_S)
        finally:
            os.close(creator)
        return self.calls

    def _is_running(self, ended: select.poll) -> bool:
        return not ended.poll(0) and (SHM / str(self.arena.name)).exists()

    def _take(self, slot: int) -> bool:
        """A slot that nobody has, and in which nobody is still to be recovered: its byte is free before that is seen."""
        if self.control.load("recovery", "life", slot) != EMPTY or not ofd.try_lock(self.arena.fd, slot):
            return False
        if self.control.load("recovery", "life", slot) == EMPTY:
            return True
        ofd.unlock(self.arena.fd, slot)
        return False

    def _take_part(self, slot: int, body: Callable[[], None], ended: select.poll) -> None:
        """From now on, if it is killed, others recover what it had. Raises RunFailed when it is."""
        before = self.control.calls(slot)
        pid = posix.fork_child(partial(self._be_cpu, slot, body))
        status: int | None = None
        try:
            while status is None and self._is_running(ended):
                time.sleep(POLL_S)
                status = os.waitstatus_to_exitcode(found[1]) if (found := os.waitpid(pid, os.WNOHANG))[0] else None
        finally:
            if status is None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        self.calls += max(0, self.control.calls(slot) - before)
        if status:
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else "ended by an exception"
            raise RunFailed(f"cpu {slot}, pid {pid}, {how}; what it had is recovered by the run")

    def _be_cpu(self, slot: int, body: Callable[[], None]) -> int:
        """In the child: it is admitted once its pid is there to be signalled; at STOP it leaves."""
        while self.control.load("recovery", "life", slot) != LIVE:
            # Again and again: that of a guest before us may be cleared late.
            self.control.store("recovery", "pid", slot, os.getpid())
            time.sleep(POLL_S)
        self.watch(slot, os.getpid())
        body()
        self.control.store("recovery", "pid", slot, 0)
        return 0
