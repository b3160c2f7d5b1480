"""Kretprobes as what is measured: a worker program's probed calls on a fresh arena, one process a CPU, and an audit after."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shmkret.arch import ARCH
from shmkret.arena import hashing, memory
from shmkret.arena.segment import Arena
from shmkret.audit import checks
from shmkret.errors import NotAWord, PluginError, UsageError
from shmkret.explore.rehearsal.rehearse import LONGEST_SEARCH, locate, rehearse, rehearse_lock, step_through
from shmkret.explore.scenario import Rehearsal
from shmkret.host import signals, topology
from shmkret.host.books import Conditions
from shmkret.host.crew import WorkerLost
from shmkret.kernel import cpu
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines import control, native, peers, plain
from shmkret.machines.build import Build
from shmkret.machines.world import World, lock_name
from shmkret.measure import latency, transfer, window
from shmkret.measure.cell import COUNTS, CPU_COUNTS, Cell, Sample
from shmkret.measure.knobs import OURS
from shmkret.measure.latency import Histogram
from shmkret.moves import bugs, oracle
from shmkret.plugins import registry
from shmkret.plugins.calls import blamed
from shmkret.plugins.registry import Plugin
from shmkret.schemes import SCHEME

LONGEST_DELAY_NS = 1_000_000_000


class Prepared:
    """A cell whose names are resolved and whose code is compiled; runs any number of repetitions.

    named: its arenas have names in /dev/shm, so that other programs can attach.

    Raises: UsageError and its kinds for anything that cannot be; UnfitMachine when a peer has no compiler.
    """

    def __init__(self, cell: Cell, seed: int, named: bool = False) -> None:
        self.cell = cell
        self.named = named
        self.seed = seed
        params = cell.params
        self.build = Build(
            arch=registry.find(ARCH, cell.arch),
            scheme=registry.find(SCHEME, cell.scheme),
            lock=registry.find(LOCK, cell.lock),
            worker=registry.find(WORKER, cell.worker),
            padding=cell.padding,
            nr_cpus=cell.cpus,
            extra_bugs=params.bugs,
            recoverable=params.recoverable,
        )
        with blamed(self._paths, "reading its declarations"):
            bugs.chosen(self.build.bugs)
            _ = self.build.declared
        _ = self.build.recovery_class
        if cell.peer != OURS:
            peers.require(cell.peer, cell.worker, cell.scheme, cell.lock, {knob: cell.value(knob) for knob in peers.DOES})
        self.cores = topology.place(cell.cpus, params.workers_per_core, params.pin_order)
        self.world = World.of(self.build, params, seed, topology.homes(self.cores))
        self.rehearsal = Rehearsal()
        self._apart: dict[str, tuple[World, native.Bodies]] = {}
        # All that can be refused is refused before anything runs.
        self._check_sizes()
        with blamed(self._paths, "asking for its sizes"):
            self.geometry = self.world.geometry()
        memory.require_room(self.geometry, self.build.lock.record, self.build.scheme.record)
        hashing.multiplier(params.hash)
        hashing.task_addresses(params.task_address, 1)

    @property
    def is_control(self) -> bool:
        """Whether its lock is broken on purpose."""
        return bool(self.build.lock.constants.control)

    @property
    def counts(self) -> tuple[str, ...]:
        """What a sample counts."""
        return COUNTS

    @property
    def used(self) -> Mapping[str, int]:
        """The sizes of its arenas, those that nobody asked for included."""
        g = self.geometry
        return {"probes": g.nr_probes, "tasks": g.nr_tasks, "maxactive": g.maxactive, "data_size": g.data_size}

    @property
    def sources(self) -> Mapping[str, str]:
        """A digest of each plug-in, by kind."""
        return {plugin.kind.name: _source(plugin) for plugin in self.build.plugins}

    @property
    def doubts(self) -> tuple[str, ...]:
        """What its rehearsal could not rule out."""
        return self.rehearsal.doubts

    @property
    def proved(self) -> tuple[str, ...]:
        """What its rehearsal has shown, and how far."""
        return self.rehearsal.proved

    @property
    def _paths(self) -> list[Path]:
        """The files of the plug-ins, the user's own first."""
        return [
            plugin.path for plugin in sorted(self.build.plugins, key=lambda plugin: plugin.path.parent == plugin.kind.folder)
        ]

    def _check_sizes(self) -> None:
        cell, sizes = self.cell, self.world.sizes
        least = len(self.build.declared.boot)
        if sizes.probes is not None and sizes.probes < least:
            raise UsageError(f"the worker {cell.worker} needs {least} probes on {cell.cpus} CPUs, `probes` says {sizes.probes}")
        if sizes.tasks is not None and sizes.tasks < cell.cpus:
            raise UsageError(f"{cell.cpus} CPUs need as many tasks at least, `tasks` says {sizes.tasks}")
        for name in ("handler_ns", "work_ns"):
            if not 0 <= (getattr(sizes, name) or 0) <= LONGEST_DELAY_NS:
                raise UsageError(f"`{name}` is {getattr(sizes, name)}: give 0 to {LONGEST_DELAY_NS} nanoseconds")
        needed = self.build.worker.constants.data_size
        table: Any = self.build.declared.handlers
        for handler in (*table.entries, *table.exits):
            if not (needed or sizes.data_size) and {"data", "data_at"} & set(handler.__code__.co_names):
                where = f"{handler.__code__.co_filename}:{handler.__code__.co_firstlineno}"
                raise PluginError(f"{where}: {handler.__name__}() uses the data of an instance: set DATA_SIZE, 8 for one word")
        if sizes.data_size is not None and 0 <= sizes.data_size < needed:
            raise UsageError(
                f"the handlers of {cell.worker} need {needed} bytes an instance, `data_size` says {sizes.data_size}"
            )

    def compile(self) -> None:
        """Rehearse what is the user's own, and compile what repetitions will run. Raises PluginError, UnfitMachine."""
        if self.cell.peer != OURS:
            _ = self._bodies
            return
        with signals.on_the_spot():  # a callback of LLVM's would swallow an interrupt
            if all(plugin.path.parent == plugin.kind.folder for plugin in self.build.plugins):
                _ = self._bodies
                return
            # On two CPUs at least, whatever is measured: a lock that nobody contends for proves nothing.
            cpus = max(2, self.cell.cpus)
            sizes = replace(self.world.sizes, probes=None, tasks=None)
            rehearsed = World.of(replace(self.build, nr_cpus=cpus), sizes, self.seed)
            step_through(rehearsed)
            self.rehearsal = rehearse_lock(rehearsed.build)
            if not self.rehearsal.flaws:
                _ = self._bodies
                self.rehearsal = self.rehearsal.beside(rehearse(rehearsed))

    @cached_property
    def _bodies(self) -> native.Bodies:
        return self._bodies_of(self.world)

    def _bodies_of(self, world: World) -> native.Bodies:
        with signals.on_the_spot():
            plain.PlainMachine(world.build.common_cache()).prepare(*control.ACCESSES)  # by which the CPUs are led
        if self.cell.peer != OURS:
            return native.peer(world, self.cell.peer)
        with signals.on_the_spot():
            return native.uncompiled(world) if self.cell.params.plain else native.compiled(world)

    @property
    def _patience_s(self) -> float:
        """How long a CPU may take to look at the phase: it does between two batches of rounds."""
        declared, sizes = self.build.worker.constants.handler_ns, self.world.sizes
        handler_ns = declared if sizes.handler_ns is None else sizes.handler_ns
        round_s = (sizes.work_ns + 2 * handler_ns) / 1e9
        return window.PATIENCE_S + 2 * cpu.BATCH * self.cell.params.workers_per_core * round_s

    def repeat(self, seconds: float, warm_up: float = 0.05) -> Sample:
        """One repetition, in fresh processes on a fresh arena. A worker that dies, hangs or sees a bug is a flaw."""
        if self.rehearsal.flaws:
            return Sample(flaws=self.rehearsal.flaws)
        return self._run(self.world, self._bodies, seconds, warm_up)[0]

    def timed(
        self, what: str, seconds: float, rate: float | None = None, warm_up: float = 0.05
    ) -> tuple[Sample, dict[str, Histogram]]:
        """A run apart that times `locks` or `calls`: a repetition like any other, and a histogram a class, warm-up included.

        rate: calls per second of the run that is not timed, from which follows how many times can be recorded without harm.
        With flaws there is no histogram. A peer does not time.
        """
        if self.rehearsal.flaws:
            return Sample(flaws=self.rehearsal.flaws), {}
        return self._run(*self._other(what, timed=what), seconds, warm_up, latency.one_in_of(rate))

    def asked(self, seconds: float, warm_up: float = 0.05) -> Sample:
        """A repetition apart in which each CPU asks, at each lock that it takes and gives back, whether it is alone inside.

        A peer does not ask.
        """
        if self.rehearsal.flaws:
            return Sample(flaws=self.rehearsal.flaws)
        return self._run(*self._other("asks", asks=True), seconds, warm_up)[0]

    def _other(self, name: str, **changes: Any) -> tuple[World, native.Bodies]:
        """What a run apart runs, compiled once: a branch for it in the code that is measured would cost a tenth and more."""
        if name not in self._apart:
            world = self.world.over(**changes)
            self._apart[name] = world, self._bodies_of(world)
        return self._apart[name]

    def clock_ns(self) -> float:
        """What two readings of the clock take, ns: the least of many."""
        return native.clock_ns(self.build)

    @cached_property
    def _least_clock_ns(self) -> float:
        return self.clock_ns()

    def _run(
        self, world: World, bodies: native.Bodies, seconds: float, warm_up: float, one_in: int = 0
    ) -> tuple[Sample, dict[str, Histogram]]:
        cache = world.build.common_cache()
        machine = plain.PlainMachine(cache)
        with world.create_arena(named=self.named) as arena:
            try:
                native.free_locks(world, arena, machine)
                if world.build.timed:
                    latency.prepare(arena, one_in, self._least_clock_ns)
                before = transfer.ways_ns(self.cores, cache)
                times = window.Times(seconds, warm_up, self._patience_s)
                flaws, seen = window.lead(bodies(arena, machine), self.cores, arena, machine, times)
                seen = seen.with_ways(before, transfer.ways_ns(self.cores, cache))
                sample = self._sample(arena, machine, flaws, seen)
                return sample, latency.histograms(arena) if world.build.timed and not sample.flaws else {}
            except WorkerLost as error:
                raise WorkerLost(self._in_a_sentence(str(error))) from error
            finally:
                machine.close()

    def _in_a_sentence(self, words: str) -> str:
        """What is said of a CPU's process that has ended, with the user's line in the place of a traceback.

        Compiled code has no lines: the line is that at which the same rounds, uncompiled, raise, if they do.
        """
        who, _, trace = words.partition(":\nTraceback")
        frames = re.findall(r'^ *File "(.+)", line (\d+)', trace, re.MULTILINE)
        own = [f"{file}:{line}" for file, line in frames if Path(file) in self._paths]
        if not trace or (self.cell.params.plain and not own):
            return words  # no error of the user's
        raised = next(line for line in reversed(trace.splitlines()) if line.strip())
        raised = raised.removeprefix(f"{NotAWord.__module__}.{NotAWord.__name__}: ")  # which names the line itself
        if own:
            return f"{who}: {raised}" if own[-1] in raised else f"{who}: {raised}, at {own[-1]}"
        place = locate(self.world)
        return f"{who}: compiled code has raised {raised}; " + (
            f"uncompiled, the same rounds raise at {place}"
            if place
            else f"it has no lines, and {LONGEST_SEARCH} uncompiled rounds of one CPU do not raise: run it with `plain`"
        )

    def _sample(self, arena: Arena, machine: plain.PlainMachine, flaws: tuple[str, ...], seen: Conditions) -> Sample:
        cpus = arena.records("cpus")
        flaws = tuple(bug_of(arena, cpus[i], i) for i in np.flatnonzero(cpus["bug"]).tolist()) or flaws
        if not flaws:
            held = native.still_held(self.world, arena, machine)
            wrong = checks.audit(arena, self.build.scheme) + checks.not_given_back(held)
            flaws = tuple(f"audit: {what}" for what in wrong)
        counts = checks.books(arena) | {name: int(cpus[name].sum()) for name in CPU_COUNTS}
        if not flaws and not counts["calls"]:
            flaws = ("no call hit a kretprobe: there is nothing to measure",)
        rate, concurrency = (None, 0.0) if flaws else window.rate(cpus)
        if rate == 0:
            rate, flaws = None, ("no call was made in the measured window: do all tasks sleep?",)
        return Sample(rate, counts, concurrency, seen, flaws)


def _source(plugin: Plugin) -> str:
    """16 hexadecimal digits that change with a plug-in's text, and with what a file of the user's imports."""
    own = plugin.path.read_bytes() if plugin.built_in else plugin.digest.encode()
    return hashlib.sha256(own).hexdigest()[:16]


def bug_of(arena: Arena, record: Any, i: int) -> str:
    """What the oracle of CPU i has seen, in a sentence."""
    bug = int(record["bug"])
    what = oracle.BUGS[bug] if 0 < bug < len(oracle.BUGS) else f"bug {bug}"
    where = f"oracle: cpu {i}, task {int(record['bug_task'])}: {what}"
    if bug == oracle.KRETPROBE_BUG:
        return f"{where}; with several CPUs this usually means that a lock let two in"
    if bug == oracle.NO_FUNCTION:
        return f"{where}: function {int(record['bug_seen'])}, of {int(record['bug_expected'])}"
    if bug == oracle.TWO_INSIDE:
        other = int(record["bug_seen"])
        who = f"cpu {other} is inside" if other >= 0 else "who was inside has been taken for gone"
        return f"{where}, {lock_name(arena, int(record['bug_expected']))}: {who}"
    return f"{where}: saw {int(record['bug_seen']):#x}, expected {int(record['bug_expected']):#x}"
