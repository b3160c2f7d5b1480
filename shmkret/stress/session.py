"""One run of `shmkret stress`: prepare, let the nemesis work, judge.

What a run returns is a plain dict, as the command prints it with --json.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from shmkret.arena.segment import Arena
from shmkret.audit.checks import books
from shmkret.errors import UnfitMachine, UsageError
from shmkret.host import signals, topology
from shmkret.locks import GATE, family
from shmkret.machines import native
from shmkret.machines.build import Build
from shmkret.machines.control import Control
from shmkret.machines.plain import PlainMachine
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.recovery import recoverer as recovery
from shmkret.stress.faults import require_last_pid
from shmkret.stress.nemesis import Machines, Nemesis, Plan, execute
from shmkret.stress.record import Record
from shmkret.stress.supervisor import NR_RECOVERERS

SHOWN = (
    "kills", "recoveries", "stops", "stopped_holders", "fenced", "raised", "lost_guests", "rounds", "damaged",
    "lost", "doubled", "stuck", "count_errors", "other",
)  # fmt: skip
"""lost_guests: processes that the run had not started, and that died; raised: CPUs that died of an exception in the user's
text; damaged: times that the arena was."""
Watch = Callable[[Record, float], None]


def _nobody(_: Record, __: float) -> None:
    pass


def run(
    build: Build, sizes: Sizes, plan: Plan, watch: Watch = _nobody, announce: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Stress one build. watch(record, seconds): called now and then; announce(name): when guests may join the arena.

    Returns: worker, scheme, lock, mutant; the counts of SHOWN; calls, misses (of these);
             open_calls (calls that a death has ended), seconds,
             recovery_ms (p50, p99, max: from SIGKILL until every lock of the dead CPU is free),
             findings, note (of the last stopped holder),
             faults (for each term: struck, and how many of these did not find what the term says, and took what there was).
    Raises:  PluginError, UsageError, ArenaError, UnfitMachine.
    """
    _require(build, plan)
    cores = topology.allowed_cores()
    homes = topology.homes([cores[cpu % len(cores)] for cpu in range(build.nr_cpus)])
    world = World.of(build, sizes, plan.seed, homes)
    with signals.on_the_spot():  # a callback of LLVM's would swallow an interrupt
        compiled = [native.compiled(world, text) for text in (recovery.start, recovery.announce)]
        machine = PlainMachine(build.common_cache())
        machine.prepare()
    record = Record()
    began = time.monotonic()
    with world.create_arena(world.geometry(NR_RECOVERERS), named=plan.guests > 0) as arena:
        try:
            control = _begin(arena, world, machine, plan)
            bodies = [make(arena, machine) for make in compiled]
            if arena.name:
                announce(arena.name)
            nemesis = Nemesis(arena, world, Machines(*bodies), machine, cores, record)
            _guard(nemesis, plan, record, watch, began)
            counts = books(arena)
            _doubt(record, plan, counts["calls"])
            open_calls = sum(control.values("recovery", "open_calls"))
        finally:
            machine.close()
    return {
        "worker": build.worker.name,
        "scheme": build.scheme.name,
        "lock": build.lock.name,
        "mutant": build.mutant,
        **{name: record[name] for name in SHOWN},
        "calls": counts["calls"],
        "misses": counts["nmissed"] + counts["kp_nmissed"],
        "recovery_ms": record.times_ms(),
        "open_calls": open_calls,
        "findings": record.said(),
        "note": record.noted(),
        "faults": {term.text: {"struck": record.struck(i), "elsewhere": record.missed(i)} for i, term in enumerate(plan.terms)},
        "seconds": round(time.monotonic() - began, 1),
    }


def _begin(arena: Arena, world: World, machine: PlainMachine, plan: Plan) -> Control:
    """An arena before its first round: its locks are free, and no grace period waits for a CPU."""
    control = Control(arena, machine)
    control.store("run", "guests", 0, plan.guests)
    native.free_locks(world, arena, machine)
    for cpu in range(arena.sections["runqueues"].nr):
        control.store("runqueues", "quiescent", cpu, 1)
    return control


def _doubt(record: Record, plan: Plan, calls: int) -> None:
    """A run in which nothing happened has found nothing, and says so."""
    happened = {
        "no fault struck": sum(record.struck(i) for i in range(len(plan.terms))),
        "no round was audited": record["rounds"],
        "no call was made": calls,
    }
    missing = [what for what, count in happened.items() if not count]
    if missing and not record.said():
        record.say([f"{missing[0]}: there is nothing that held"])


def _require(build: Build, plan: Plan) -> None:
    """Raises UsageError or UnfitMachine for a fault that this build, or this machine, cannot have."""
    if plan.guests and not build.lock.constants.attachable:
        raise UsageError(f"no guests: the words of the lock {build.lock.name} mean nothing outside the run's own processes")
    for term in plan.terms:
        ours = build.nr_cpus - plan.guests
        if any(cpu >= ours for cpu in term.cpus):
            raise UsageError(f"the fault {term.text} names cpu {max(term.cpus)}, and there are {ours} CPUs to strike")
        if term.action == "reuse":
            require_last_pid()
        if term.action == "steal" and family(build.lock.abilities) != GATE:
            raise UsageError(f"the fault {term.text} needs a lock that names nobody, and {build.lock.name} knows its owner")
        if term.action == "steal" and not build.lock.can("try"):
            raise UsageError(f"the fault {term.text} needs try_acquire(), which {build.lock.path} does not have")


def _guard(nemesis: Nemesis, plan: Plan, record: Record, watch: Watch, began: float) -> None:
    """Keep a nemesis at work until one has a verdict; it may be killed by its own hand."""
    incarnation = 0
    nemesis.deadline = time.monotonic() + plan.seconds
    while not record["done"]:
        pid = execute(nemesis, plan, incarnation)
        pidfd = os.pidfd_open(pid)
        try:
            ended = select.poll()
            ended.register(pidfd, select.POLLIN)
            while not ended.poll(200):
                record.set("calls", sum(map(nemesis.control.calls, range(nemesis.arena.geometry.nr_slots))))
                watch(record, time.monotonic() - began)
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)
        incarnation += 1
        if incarnation > 1 + plan.kills:
            raise UnfitMachine("the nemesis dies again and again: is memory short?")
