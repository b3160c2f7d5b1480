"""One run of a recording's program: an arena, a process a CPU, and what it took."""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.segment import Arena
from shmkret.audit import checks
from shmkret.audit.findings import sentences
from shmkret.host import topology
from shmkret.host.crew import Crew
from shmkret.kernel.cpu import COOL_DOWN, MEASURE, STOP
from shmkret.kernel.program import WORKER
from shmkret.machines import native, plain
from shmkret.machines.build import Build
from shmkret.machines.control import Control
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.measure.replay import text
from shmkret.measure.replay.program import Program
from shmkret.measure.subjects.kretprobes import bug_of
from shmkret.plugins import registry
from shmkret.text.atomics import cpu_relax
from shmkret.text.marks import inline

PATIENCE_S = 10.0
SLICE_US = 1000


class Ran(NamedTuple):
    """real_s: of the whole run; user_s: work outside of calls, as the tasks have done it; returns: calls that came back;
    counts: of the kernel's books; lives: int64[tasks, 2], when each was made and when it ended, ns of the run's clock (the
    first task was there before; 0: never); wrong: what oracle and audit say.
    """

    real_s: float
    user_s: float
    returns: int
    counts: dict[str, int]
    lives: NDArray[np.int64]
    wrong: tuple[str, ...]


@inline
def spin(n: int) -> int:
    """Turns of the loop that work() is."""
    for _ in range(n):
        cpu_relax()
    return n


def loops_per_1024_ns(folder: Path | None) -> int:
    """Turns of the loop that work() is, in compiled code: the median of several measurements."""
    from shmkret.machines.compiled.loop import INT, compile_function

    spins = compile_function(spin, [INT], folder)
    found = []
    for _ in range(15):
        began = time.perf_counter_ns()
        spins(200_000)
        found.append(200_000 * 1024 / (time.perf_counter_ns() - began))
    return max(1, round(statistics.median(found)))


def words_of(program: Program, nr_cpus: int, ns_per_us: int, loops: int) -> NDArray[np.int64]:
    """The script of an arena for it."""
    nr_tasks = len(program.first)
    cpus_at = text.HEAD
    tasks_at = cpus_at + nr_cpus * text.CPU_WORDS
    program_at = tasks_at + nr_tasks * text.TASK_WORDS
    words = np.zeros(program_at + len(program.words), np.int64)
    head = {
        text.NS_PER_US: ns_per_us, text.LOOPS_PER_1024_NS: loops, text.ALIVE: nr_tasks, text.PROGRAM: program_at,
        text.CPUS_AT: cpus_at, text.TASKS_AT: tasks_at, text.SLICE_US: SLICE_US,
    }  # fmt: skip
    words[list(head)] = list(head.values())
    words[tasks_at + text.FIRST : program_at : text.TASK_WORDS] = program.first
    words[tasks_at + text.BORN] = 1
    words[program_at:] = program.words
    return words


def build_for(scheme: str, lock: str, nr_cpus: int, padding: str = "cacheline") -> Build:
    """With the worker that replays."""
    from shmkret.arch import ARCH
    from shmkret.locks import LOCK
    from shmkret.schemes import SCHEME

    worker = registry.find(WORKER, str(Path(text.__file__)))
    return Build(
        registry.find(ARCH, "x86-64"), registry.find(SCHEME, scheme), registry.find(LOCK, lock), worker, padding, nr_cpus
    )


def run(build: Build, program: Program, ns_per_us: int, limit_s: float) -> Ran:
    """Do it once."""
    loops = loops_per_1024_ns(build.common_cache())
    world = World(build, Sizes(tasks=len(program.first)), words_of(program, build.nr_cpus, ns_per_us, loops))
    bodies = native.compiled(world)
    cores = topology.allowed_cores()[: build.nr_cpus]
    machine = plain.PlainMachine(build.common_cache())
    with world.create_arena() as arena:
        try:
            native.free_locks(world, arena, machine)
            control = Control(arena, machine)
            with Crew(bodies(arena, machine), cores) as crew:
                crew.watch_until(lambda: control.all_nonzero("cpus", "ready"), PATIENCE_S, "reached the start line")
                began = time.monotonic_ns()
                control.set_phase(MEASURE)
                crew.watch_until(partial(_is_over, control), limit_s, "ended")
                control.set_phase(COOL_DOWN)
                control.set_phase(STOP)
                crew.join(PATIENCE_S)
            return _ran(arena, build, began, ns_per_us)
        finally:
            machine.close()


def _is_over(control: Control) -> bool:
    return control.load("script", "word", text.ALIVE) == 0 or control.any_nonzero("cpus", "bug")


def _ran(arena: Arena, build: Build, began_ns: int, ns_per_us: int) -> Ran:
    """Of an arena at rest."""
    words, cpus = arena.records("script")["word"], arena.records("cpus")
    wrong = [bug_of(arena, cpus[i], i) for i in np.flatnonzero(cpus["bug"]).tolist()]
    wrong += sentences(checks.audit(arena, build.scheme))
    of_cpus = words[text.HEAD : int(words[text.TASKS_AT])].reshape(build.nr_cpus, text.CPU_WORDS)
    of_tasks = words[int(words[text.TASKS_AT]) : int(words[text.PROGRAM])].reshape(-1, text.TASK_WORDS)
    return Ran(
        real_s=(int(words[text.DONE_NS]) - began_ns) / 1e9,
        user_s=int(of_cpus[:, text.USER_US].sum()) * ns_per_us / 1e9,
        returns=int(of_tasks[:, text.CALLS].sum()),
        counts=checks.books(arena),
        lives=of_tasks[:, [text.BORN, text.ENDED]].copy(),
        wrong=tuple(wrong),
    )
