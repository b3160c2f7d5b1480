"""Processes that the run has not started take part in it, each as a CPU of its own, and may die like any other.

    shmkret stress --guests 1      the last CPU is left to whoever comes; the arena has a name
    shmkret join ARENA             somebody comes

A guest locks a byte for its slot (shmkret.stress.ofd), and is there as long as nobody else could have that byte.

    guest       locks the byte, writes its pid                     leaves at STOP: pid 0, unlocks, begins again
    supervisor  sees a byte locked, in a slot that is EMPTY: LIVE  sees a byte free, in a slot that is LIVE: dead, or gone

A guest is watched and recovered, and never killed or stopped; it gets SIGURG where everybody does, to look at the gate.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable

from shmkret import named, native
from shmkret.arena import SHM, Arena
from shmkret.build import Build
from shmkret.errors import ArenaError, UsageError
from shmkret.kernel import Sizes
from shmkret.plain import PlainMachine
from shmkret.registry import ARCH, LOCK, SCHEME, WORKER, find, is_path
from shmkret.stress import ofd
from shmkret.stress.supervisor import take_kicks
from shmkret.survive import EMPTY, LIVE

POLL_S = 0.0005


def join(name: str, worker: str, scheme: str | None, lock: str | None, watch: Callable[[int], None]) -> int:
    """Take part in a run until it ends. watch(cpu): called each time that this process has become that CPU.

    Args:    name: of the arena. worker: the program that its CPUs run. scheme, lock: their files, where the arena's header does
             not find them.
    Returns: how many calls this process has made.
    Raises:  ArenaError: no slot for guests, another build; and as shmkret.named.attach(). UnknownName, PluginError.
    """
    with named.attach(name, lock) as arena:
        guests = int(arena.records("run")["guests"][0])
        if guests == 0:
            raise ArenaError(f"{name} has no slot for guests: start the run with `shmkret stress --guests 1`")
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
        if not getattr(build.lock.module, "ATTACHABLE", True):
            raise UsageError(f"the words of the lock {build.lock.name} mean nothing outside the run's own processes")
        if build.identity.encode() != bytes(header["build"]):
            raise ArenaError(
                f"{name} runs another worker, or other files, than {worker}, {build.scheme.name}, {build.lock.name}"
            )
        bodies = native.compiled(build, Sizes())(arena, PlainMachine(build.cache()))
        return _Guest(arena, watch).run(bodies, range(build.nr_cpus - guests, build.nr_cpus))


def _built_in(name: bytes, what: str) -> str:
    text = os.fsdecode(name)
    if is_path(text):
        raise ArenaError(f"{text} is not run because an arena says so: give the {what} with --{what}")
    return text


class _Guest:
    def __init__(self, arena: Arena, watch: Callable[[int], None]) -> None:
        self.arena = arena
        self.watch = watch
        self.recovery = arena.records("recovery")
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
                slot = next((slot for slot in slots if ofd.try_lock(self.arena.fd, slot)), -1)
                if slot >= 0:
                    self._take_part(slot, bodies[slot], ended)
                time.sleep(POLL_S)
        finally:
            os.close(creator)
        return self.calls

    def _is_running(self, ended: select.poll) -> bool:
        return not ended.poll(0) and (SHM / str(self.arena.name)).exists()

    def _take_part(self, slot: int, body: Callable[[], None], ended: select.poll) -> None:
        """From now on, if it is killed, others recover what it had. Without being admitted it has nothing."""
        try:
            while self.recovery["life"][slot] != LIVE and self._is_running(ended):
                self.recovery["pid"][slot] = os.getpid()  # again and again: the pid of a dead guest before us is cleared late
                time.sleep(POLL_S)
            if self.recovery["life"][slot] == LIVE:
                self.watch(slot)
                before = int(self.arena.records("cpus")["calls"][slot])
                body()
                self.calls += int(self.arena.records("cpus")["calls"][slot]) - before
        finally:
            self.recovery["pid"][slot] = 0
            ofd.unlock(self.arena.fd, slot)
        while self.recovery["life"][slot] != EMPTY and self._is_running(ended):
            time.sleep(POLL_S)
