"""A cell of a measurement, and one repetition of it: an arena, a crew of CPUs, a fixed window, an audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret import arena as arenas
from shmkret import cpu, native, peers, plain, probes, registry, topology
from shmkret import hash as hashing
from shmkret.arena import Arena
from shmkret.audit import audit
from shmkret.crew import Crew, WorkerHung, WorkerLost
from shmkret.errors import PluginError, UsageError
from shmkret.layout import Geometry
from shmkret.measure.rehearsal import Rehearsal, rehearse
from shmkret.native import Build
from shmkret.registry import ARCH, LOCK, SCHEME, WORKER, Plugin

PATIENCE_S = 10.0
OURS = "shmkret"


@dataclass(frozen=True)
class Params:
    """The knobs of a cell beside its key. None: what the worker program or the kernel would choose."""

    probes: int | None = None
    tasks: int | None = None
    maxactive: int | None = None
    data_size: int = 0
    hash: str = "mult-2008-64"
    task_address: str = "slab"
    workers_per_core: int = 1
    plain: bool = False


@dataclass(frozen=True)
class Cell:
    """What is measured: the key of a result."""

    worker: str
    scheme: str
    lock: str
    arch: str
    padding: str
    cpus: int
    peer: str = OURS
    params: Params = Params()

    def over(self, **changes: Any) -> Cell:
        """The same cell with some of its key changed."""
        return replace(self, **changes)

    def key(self) -> dict[str, Any]:
        """As the JSON objects name it."""
        return asdict(self)

    def __str__(self) -> str:
        peer = "" if self.peer == OURS else f" ({self.peer})"
        return f"{self.worker} {self.scheme} {self.lock} cpus {self.cpus}{peer}"


@dataclass(frozen=True)
class Sample:
    """One repetition. rate: calls per second in the window, None when it was not measured; counts: of the whole run.

    concurrency: the part of the time from the first CPU's window to the last one's in which all were measured.
    waited: the part of the window in which the worst-off CPU was kept from its core by somebody else.
    flaws: why it must not be used; empty when nothing is known against it.
    """

    rate: float | None
    calls: int
    hits: int
    nmissed: int
    refused: int
    walked: int
    concurrency: float
    waited: float
    flaws: tuple[str, ...]


class Prepared:
    """A cell whose names are resolved and whose code is compiled; runs any number of repetitions.

    Raises: UsageError and its kinds for anything that cannot be; UnfitMachine when a peer has no compiler.
    """

    def __init__(self, cell: Cell, seed: int) -> None:
        self.cell = cell
        self.seed = seed
        self.build = Build(
            arch=registry.find(ARCH, cell.arch),
            scheme=registry.find(SCHEME, cell.scheme),
            lock=registry.find(LOCK, cell.lock),
            worker=registry.find(WORKER, cell.worker),
            padding=cell.padding,
        )
        if cell.peer != OURS:
            peers.require(cell.peer, cell.worker, cell.scheme, cell.lock)
        self.cores = topology.place(cell.cpus, cell.params.workers_per_core)
        self.script = self._script(cell.cpus)
        self.rehearsal = Rehearsal()
        self.geometry = self._geometry(cell.cpus, self.script)
        # All that can be refused is refused before anything runs.
        arenas.require_room(self.geometry, self.build.lock.record)
        hashing.multiplier(cell.params.hash)
        hashing.task_addresses(cell.params.task_address, 1)

    def _geometry(self, cpus: int, script: NDArray[np.int64]) -> Geometry:
        cell, params = self.cell, self.cell.params
        least = _ask(self.build.worker, "nr_probes", cpus)
        nr_probes = least if params.probes is None else params.probes
        if nr_probes < least and cpus == cell.cpus:
            raise UsageError(f"the worker {cell.worker} needs {least} probes on {cpus} CPUs, --probes says {nr_probes}")
        nr_tasks = cell.cpus if params.tasks is None else params.tasks
        if nr_tasks < cell.cpus:
            raise UsageError(f"{cell.cpus} CPUs need as many tasks at least, --tasks says {nr_tasks}")
        return Geometry(
            nr_cpus=cpus,
            nr_tasks=max(nr_tasks, cpus),
            nr_probes=max(nr_probes, least),
            maxactive=default_maxactive(cpus) if params.maxactive is None else params.maxactive,
            nr_locks=_ask(self.build.scheme, "nr_locks", max(1, nr_probes, least)),
            data_size=params.data_size,
            script_words=len(script),
            padding=cell.padding,
        )

    def _script(self, cpus: int) -> NDArray[np.int64]:
        write = getattr(self.build.worker.module, "script", None)
        if write is None:
            return np.zeros(1, np.int64)
        if not callable(write):
            raise PluginError(f"{self.build.worker.path}: script is {write!r}, not a function")
        path = self.build.worker.path
        try:
            script = np.asarray(write(cpus, np.random.default_rng(self.seed)))
        except Exception as error:
            raise PluginError(f"{path}: script({cpus}) raised {type(error).__name__}: {error}") from error
        if script.ndim != 1 or not len(script) or script.dtype.kind not in "iu":
            kind = f"an array of {script.dtype} of shape {script.shape}"
            raise PluginError(f"{path}: script({cpus}) returned {kind}, not of whole numbers in a row")
        return script.astype(np.int64)

    def compile(self) -> None:
        """Rehearse what is the user's own, and compile what repetitions will run. Raises PluginError, UnfitMachine."""
        plugins = (self.build.worker, self.build.scheme, self.build.lock)
        if not all(plugin.path.parent == plugin.kind.folder for plugin in plugins):
            # On two CPUs at least, whatever is measured: a lock that nobody contends for proves nothing.
            cpus = max(2, self.cell.cpus)
            script = self._script(cpus)
            self.rehearsal = rehearse(self.build, self._geometry(cpus, script), script)
        _ = self._bodies

    @cached_property
    def _bodies(self) -> native.Bodies:
        if self.cell.peer != OURS:
            return native.peer(self.build, self.cell.peer)
        return native.uncompiled(self.build) if self.cell.params.plain else native.compiled(self.build)

    def repeat(self, seconds: float, warm_up: float = 0.05) -> Sample:
        """One repetition, in fresh processes on a fresh arena. A worker that dies, hangs or sees a bug is a flaw."""
        if self.rehearsal.flaws:
            return Sample(None, 0, 0, 0, 0, 0, 0.0, 0.0, self.rehearsal.flaws)
        names = {kind: getattr(self.build, kind).name for kind in ("scheme", "lock", "arch")}
        params = self.cell.params
        machine = plain.PlainMachine(self.build.cache())
        with Arena.create(
            self.geometry,
            lock=self.build.lock.record,
            names=names,
            hash_name=params.hash,
            task_address=params.task_address,
        ) as arena:
            arena.records("script")["word"] = self.script
            try:
                self.build.init_locks(arena, machine)
                flaws, waited_ns = _window(self._bodies(arena, machine), self.cores, arena, seconds, warm_up)
                return self._sample(arena, machine, flaws, waited_ns)
            finally:
                machine.close()

    def _sample(self, arena: Arena, machine: plain.PlainMachine, flaws: tuple[str, ...], waited_ns: int) -> Sample:
        cpus = arena.records("cpus")
        bugs = tuple(_bug(cpus[i], i) for i in np.flatnonzero(cpus["bug"]).tolist())
        flaws = bugs or flaws
        if not flaws:
            wrong = audit(arena, self.build.scheme) + self.build.held_locks(arena, machine)
            flaws = tuple(f"audit: {what}" for what in wrong)
        totals = {field: int(cpus[field].sum()) for field in ("calls", "hits", "walked")}
        nmissed = int(arena.records("probes")["nmissed"].sum())
        rate, concurrency = (None, 0.0) if flaws else _rate(cpus)
        spans_ns = cpus["ended_ns"] - cpus["began_ns"]
        waited = waited_ns / int(spans_ns.max()) if rate else 0.0
        return Sample(rate=rate, nmissed=nmissed, refused=0, concurrency=concurrency, waited=waited, flaws=flaws, **totals)


def default_maxactive(nr_cpus: int) -> int:
    """The kernel's default with preemption: max(10, 2 * NR_CPUS)."""
    return max(10, 2 * nr_cpus)


def _ask(plugin: Plugin, question: str, argument: int) -> int:
    """Call a plug-in's sizing function. Raises PluginError unless it answers with a whole number."""
    try:
        answer = getattr(plugin.module, question)(argument)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{plugin.path}: {question}({argument}) raised {type(error).__name__}: {error}") from error
    if not isinstance(answer, int) or isinstance(answer, bool):
        raise PluginError(f"{plugin.path}: {question}({argument}) returned {answer!r}, not a whole number")
    return answer


def _window(
    bodies: list[Callable[[], None]], cores: list[int], arena: Arena, seconds: float, warm_up: float
) -> tuple[tuple[str, ...], int]:
    """Run the bodies through the phases; returns the flaws of a run that failed, and the longest wait for a core."""
    cpus = arena.records("cpus")
    phase = arena.records("run")["phase"]

    def all_or_bug(field: str) -> Callable[[], bool]:
        return lambda: bool(cpus[field].all() or cpus["bug"].any())

    waited_ns = 0
    try:
        with Crew(bodies, cores) as crew:
            crew.watch_until(all_or_bug("ready"), PATIENCE_S, "reached the gate")
            phase[0] = cpu.WARM_UP
            crew.watch(warm_up)
            phase[0] = cpu.MEASURE
            crew.watch_until(all_or_bug("began_ns"), PATIENCE_S, "seen the window begin")
            before = crew.waited_ns()
            if not cpus["bug"].any():
                crew.watch(seconds)
            waited_ns = max(after - began for after, began in zip(crew.waited_ns(), before, strict=True))
            phase[0] = cpu.COOL_DOWN
            crew.watch_until(all_or_bug("ended_ns"), PATIENCE_S, "seen the window end")
            phase[0] = cpu.STOP
            if not cpus["bug"].any():
                crew.join(PATIENCE_S)
    except WorkerHung as error:
        idle = ", ".join(str(i) for i in np.flatnonzero(cpus["calls"] == 0).tolist())
        hint = f"; cpu {idle} made no call: does it wait in acquire() for ever?" if idle else ""
        return (f"{error}{hint}",), waited_ns
    except WorkerLost:
        if not cpus["bug"].any():  # else it went down with what it had already reported
            raise
    return (), waited_ns


def _rate(cpus: NDArray[np.void]) -> tuple[float, float]:
    """Calls per second over all CPUs, each by its own clock marks; and the full-concurrency fraction."""
    spans_ns = cpus["ended_ns"] - cpus["began_ns"]
    rate = float(((cpus["ended_calls"] - cpus["began_calls"]) / spans_ns).sum() * 1e9)
    together = int(cpus["ended_ns"].min() - cpus["began_ns"].max())
    whole = int(cpus["ended_ns"].max() - cpus["began_ns"].min())
    return rate, max(0.0, together / whole)


def _bug(record: Any, i: int) -> str:
    bug = int(record["bug"])
    what = probes.BUGS[bug] if 0 < bug < len(probes.BUGS) else f"bug {bug}"
    where = f"oracle: cpu {i}, task {int(record['bug_task'])}: {what}"
    if bug == probes.KRETPROBE_BUG:
        return f"{where}; with several CPUs this usually means that a lock let two in"
    return f"{where}: saw {int(record['bug_seen']):#x}, expected {int(record['bug_expected']):#x}"
