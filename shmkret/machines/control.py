"""The control words of a live run, for who supervises it: the phase, and what it waits for the CPUs to say.

    set_phase(STOP)                       the CPUs see it at their next look
    all_nonzero("cpus", "ready")          every CPU has said so, and what it wrote before is in the arena
    load, values, store                   any other word that both sides use while CPUs run

Order     set_phase() and store() are store_release, and pair with the load_acquire of a CPU; every read here is load_acquire,
          and pairs with a CPU's store_release of `ready`, `began_ns`, `ended_ns`, `bug`
Always    Arena.records() is for quiet arenas: numpy's loads and stores have no order, and on Arm nothing gives them one
"""

from __future__ import annotations

from collections.abc import Iterable

from shmkret.arena.segment import Arena
from shmkret.kernel.cpu import PHASE
from shmkret.machines.plain import column
from shmkret.text.atomics import Machine, Words

ACCESSES = ("load_acquire", "store_release")
"""What it asks a machine for."""


class Control:
    """The words of one arena that are shared with its CPUs while they run.

    machine: executes the accesses, a plain machine where CPUs are processes. It is asked itself, not as the machine in force,
    since another thread may be exploring meanwhile, and a supervisor may not wait for that.
    """

    def __init__(self, arena: Arena, machine: Machine) -> None:
        self._arena = arena
        self._machine = machine
        self._columns: dict[tuple[str, str], Words] = {}

    def phase(self) -> int:
        """The phase of the run (shmkret.kernel.cpu: AT_GATE ... STOP)."""
        return self.load("run", "phase", PHASE)

    def set_phase(self, phase: int) -> None:
        """Tell every CPU; each sees it between two batches of rounds."""
        self.store("run", "phase", PHASE, phase)

    def load(self, section: str, field: str, i: int) -> int:
        """A word of record i."""
        return self._machine.load_acquire(self._words(section, field), i)

    def store(self, section: str, field: str, i: int, value: int) -> None:
        """Write a word of record i."""
        self._machine.store_release(self._words(section, field), i, value)

    def values(self, section: str, field: str, slots: Iterable[int] | None = None) -> list[int]:
        """A word of each of these records, each at its own moment. slots None: of every record."""
        words = self._words(section, field)
        return [self._machine.load_acquire(words, i) for i in self._or_all(section, slots)]

    def calls(self, cpu: int) -> int:
        """The calls of kretprobes that a CPU has begun."""
        if not self._arena.geometry.recoverable:
            return self.load("cpus", "calls", cpu)
        nr = self._arena.geometry.nr_probes
        return sum(self.values("books", "calls", range(cpu * nr, (cpu + 1) * nr)))

    def all_nonzero(self, section: str, field: str, slots: Iterable[int] | None = None) -> bool:
        """Whether a word is not 0 in each of these records. slots None: in every record."""
        words = self._words(section, field)
        return all(self._machine.load_acquire(words, i) for i in self._or_all(section, slots))

    def any_nonzero(self, section: str, field: str, slots: Iterable[int] | None = None) -> bool:
        """Whether a word is not 0 in any of these records. slots None: in any record at all."""
        words = self._words(section, field)
        return any(self._machine.load_acquire(words, i) for i in self._or_all(section, slots))

    def _or_all(self, section: str, slots: Iterable[int] | None) -> Iterable[int]:
        return range(self._arena.sections[section].nr) if slots is None else slots

    def _words(self, section: str, field: str) -> Words:
        if (section, field) not in self._columns:
            self._columns[section, field] = column(self._arena, section, field)
        return self._columns[section, field]
