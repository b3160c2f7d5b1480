"""What one death does where nothing is recoverable: the same kill, on the same path, with each lock as it is.

Each trial is a fresh arena. CPU 0 is killed after a random time, wherever it is by then; the others are watched: does everybody
still make calls? At the end the lists are audited.

Outcomes   hangs       a survivor makes no call for HANG_S seconds
           corrupts    the survivors go on, and an oracle or the audit of the lists finds more than what the dead CPU had
           leaks       the survivors go on, and what the dead CPU had in hand, or its task had in a bucket, is never given back
           unharmed    neither; only the call of the dead CPU itself is missing
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

from shmkret.audit.checks import audit
from shmkret.audit.findings import COUNTS, LOST
from shmkret.errors import RunFailed
from shmkret.host import posix, topology
from shmkret.host.processes import wait_until
from shmkret.kernel.cpu import MEASURE
from shmkret.machines import native
from shmkret.machines.build import Build
from shmkret.machines.control import Control
from shmkret.machines.plain import PlainMachine
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.recovery import recoverer as recovery
from shmkret.stress.supervisor import Supervisor

HANG_S = 0.15
READY_S = 10
OUTCOMES = ("hangs", "corrupts", "leaks", "unharmed")
NOT_READY = len(OUTCOMES)
"""The status of a trial that has not begun."""


def trials(build: Build, sizes: Sizes, count: int, seed: int) -> dict[str, Any]:
    """`count` deaths. Returns worker, scheme, lock, trials, and how many ended in each of OUTCOMES.

    Raises: RunFailed when the CPUs of a trial do not come to their start, or a trial fails by itself.
    """
    build = replace(build, recoverable=False, mutant="")
    rng = random.Random(seed)
    world = World.of(build, sizes, seed)
    start = native.compiled(world, recovery.start_mortal)
    found = Counter(_in_child(world, start, rng.random()) for _ in range(count))
    key = {"worker": build.worker.name, "scheme": build.scheme.name, "lock": build.lock.name}
    return {**key, "trials": count, **{outcome: found[i] for i, outcome in enumerate(OUTCOMES)}}


def _in_child(world: World, start: native.Bodies, after: float) -> int:
    """One trial in a process of its own, which forgets its memory for its children; its exit status is the outcome."""
    pid = posix.fork_child(partial(_trial, world, start, after))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status == NOT_READY:
        raise RunFailed(f"the CPUs of a trial were not ready within {READY_S} s")
    if status not in range(len(OUTCOMES)):
        raise RunFailed(f"a trial ended with status {status}")
    return status


def _trial(world: World, start: native.Bodies, after: float) -> int:
    build = world.build
    machine = PlainMachine(build.common_cache())
    with world.create_arena() as arena:
        native.free_locks(world, arena, machine)
        control, others = Control(arena, machine), range(1, build.nr_cpus)
        with Supervisor(arena, control, start(arena, machine), [], topology.allowed_cores()) as crew:
            for cpu in range(build.nr_cpus):
                crew.start(cpu)
            if not wait_until(lambda: control.all_nonzero("cpus", "ready"), READY_S):
                return NOT_READY
            control.set_phase(MEASURE)
            time.sleep(0.002 + after * 0.003)
            crew.send(0, signal.SIGKILL)
            crew.reap(0)
            time.sleep(0.005)
            before = control.values("cpus", "calls", others)
            moves = wait_until(lambda: _has_bug(control) or _all_call(control, others, before), HANG_S)
            if _has_bug(control):
                return OUTCOMES.index("corrupts")
            if not moves:
                return OUTCOMES.index("hangs")
            for cpu in others:
                crew.send(cpu, signal.SIGSTOP)
        return OUTCOMES.index(_judge(arena, build))


def _has_bug(control: Control) -> bool:
    return control.any_nonzero("cpus", "bug")


def _all_call(control: Control, cpus: range, before: list[int]) -> bool:
    """Whether each of these CPUs has made a call since it had made so many."""
    return all(now > then for now, then in zip(control.values("cpus", "calls", cpus), before, strict=True))


def _judge(arena: Any, build: Build) -> str:
    found = audit(arena, build.scheme, at_rest=False)
    if any(finding.kind not in COUNTS | {LOST} for finding in found):
        return "corrupts"
    return "leaks" if found else "unharmed"
