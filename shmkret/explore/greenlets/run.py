"""One run: the CPUs of a scenario along a schedule, step by step.

Schedule  see shmkret.explore.greenlets.steps
Always    the same schedule leads to the same state: a scenario builds a fresh world, and does the same each time
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from shmkret.errors import NotAWord
from shmkret.explore.greenlets import places
from shmkret.explore.greenlets.bounded import RunsOn, guarded
from shmkret.explore.greenlets.cpu import Memory, WaitsForever
from shmkret.explore.greenlets.libc import NotExplorable
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.greenlets.steps import DIES, MOST_CPUS, Place, Step, cpu_of, way_of
from shmkret.explore.scenario import Broken, Scenario
from shmkret.text import atomics

SAYS_ALL = (NotExplorable, WaitsForever)
"""Errors whose words are a sentence."""
SAYS_WHERE = (Broken, RunsOn, NotAWord)
"""Those that need no line beside it."""

Watch = Callable[[], str]
"""What a monitor asks of each new state: what is wrong, in a sentence; empty: nothing."""
Begin = Callable[[], AbstractContextManager["Run"]]
"""How an engine begins a run."""


class Run:
    """Where a run stands.

    pending: the step that each CPU is about to do; None where it has ended or died. schedule: how it came here.
    """

    def __init__(self, machine: ExploredMachine, world: Scenario, monitors: Sequence[Callable[[Run], Watch]]) -> None:
        self.world = world
        self.schedule: list[int] = []
        self.pending: list[Step | None] = []
        self._machine = machine
        machine.start(world.bodies)
        machine.sleepers.left = world.wakes
        machine.may_die = bool(world.mortal) and world.deaths > 0
        self._deaths = 0
        self._possible: list[int] | None = None
        self._monitors = monitors
        self._watches: list[Watch] = []

    def begin(self, road: Sequence[int]) -> None:
        """Let every CPU come to its first step, and follow a road. Raises: what a step raises."""
        self.pending = [cpu.switch() for cpu in self._machine.cpus]
        self._watches = [watch(self) for watch in self._monitors]
        self.schedule = list(road)
        for choice, step in self._machine.go_along(road):
            self._went(choice, step)

    def go_on(self, choice: int) -> None:
        """A CPU does its step, or dies before it, or stands still from there on. Raises: what the step raises."""
        self.schedule.append(choice)
        self._possible = None
        self._went(choice, self._machine.go_on(choice) if choice >= 0 else None)

    def _went(self, choice: int, step: Step | None) -> None:
        cpu = cpu_of(choice)
        self.pending[cpu] = step
        if choice < 0:
            self._deaths += 1
        if choice < 0 and self.world.stops:
            self._machine.stand_still(cpu)
        elif choice < 0:
            self._machine.kill(cpu, way_of(choice))
            self._machine.alone(lambda: guarded(lambda: self.world.announce(cpu)))

    def value_of(self, place: Place) -> int:
        """What a word is now."""
        column = self._machine.column(place[0])
        return column.values[place[1]] if column else 0

    @property
    def stopped(self) -> list[int]:
        """The CPUs that stand still for good."""
        return [cpu.number for cpu in self._machine.cpus if cpu.stopped]

    def frame_of(self, cpu: int) -> FrameType | None:
        """Where a CPU's code stands, innermost first; None where it has ended."""
        return self._machine.cpus[cpu].gr_frame  # type: ignore[no-any-return]

    @property
    def possible(self) -> list[int]:
        """The steps that can be done: of each CPU that can go on its choices, one for each way."""
        if self._possible is None:
            self._possible = [choice for i, step in enumerate(self.pending) if step for choice in step.choices(i)]
        return self._possible

    def next_step(self, choice: int) -> Step:
        """What the CPU of a choice, which can go on, is about to do."""
        step = self.pending[cpu_of(choice)]
        assert step is not None
        return step

    @property
    def mortal(self) -> list[int]:
        """The CPUs that may die now."""
        return [i for i in self.world.mortal if self.pending[i]] if self._deaths < self.world.deaths else []

    @property
    def deaths(self) -> list[int]:
        """The deaths that may come now: of each mortal CPU its choices, one for each way in which the kernel may tidy up."""
        ways = {i: 1 if self.world.stops else self._machine.nr_deaths(i) for i in self.mortal}
        return [DIES - i - MOST_CPUS * way for i, nr in ways.items() for way in range(nr)]

    @property
    def may_die(self) -> bool:
        """Whether a CPU may die, now or later."""
        return bool(self.world.mortal) and self._deaths < self.world.deaths

    @property
    def contended(self) -> set[Place]:
        """The words that two CPUs were seen to use in this run, one of them writing."""
        return self._machine.contended

    @property
    def announced(self) -> set[Place]:
        """The words that were used as somebody's death was announced."""
        return self._machine.announced

    def state(self) -> tuple[object, ...]:
        """Everything that the future depends on."""
        return self._machine.state()

    def wrong(self) -> str:
        """What a monitor has to say of this moment, and where the CPUs stand; empty: nothing."""
        words = next((words for watch in self._watches if (words := watch())), "")
        cpus = self._machine.cpus
        standing = [(i, places.of_frame(cpus[i].gr_frame)) for i, step in enumerate(self.pending) if step] if words else []
        lines = "; ".join(f"cpu {i} at {place}" for i, place in standing if place)
        return f"{words} ({lines})" if lines else words

    def check(self) -> str:
        """What is wrong at the end, when every CPU has ended; empty: nothing."""
        self._machine.rest()
        return "; ".join(guarded(self.world.check))

    def stop(self) -> None:
        """End every CPU, wherever it is."""
        self._machine.stop()


def in_a_sentence(error: Exception) -> str:
    """What a CPU's code, or the announcement of a death, has raised."""
    if isinstance(error, SAYS_WHERE):
        return str(error)
    words = str(error) if isinstance(error, SAYS_ALL) else f"{type(error).__name__}: {error}"
    place = places.of_error(error)
    return f"{place}: {words}" if place else words


@contextmanager
def one_run(
    scenario: Callable[[ExploredMachine], Scenario], monitors: Sequence[Callable[[Run], Watch]], memory: Memory
) -> Iterator[Run]:
    """A run on a machine of its own, which is in force meanwhile; not yet begun. memory: that of the search."""
    machine = ExploredMachine(memory)
    with atomics.use(machine):
        run = Run(machine, guarded(lambda: scenario(machine)), monitors)
        try:
            yield run
        finally:
            run.stop()
