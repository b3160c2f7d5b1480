"""A lock by itself: an array of locks, and nothing of the probe path.

    locks      the words of the array, and the tables beside them, as in an arena
    counter    a plain word for each lock, added to under it: the race monitor sees who is not kept out
    inside     who is in the critical section of each lock: one CPU, or readers alone

At the end of a run every lock is free, every CPU is idle in the array, and each CPU in turn can take each lock once more.

Source    ck_spinlock's validate.h, Concurrency Kit; trio's tests of locks
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shmkret import locks
from shmkret.arena.fields import parts_of
from shmkret.arena.layout import OF_LOCKS, OTHER_ARRAY, Geometry
from shmkret.arena.shape import lock_shape, realize
from shmkret.explore.greenlets.column import ExploredWords
from shmkret.explore.greenlets.cpu import WaitsForever
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.scenario import Broken
from shmkret.plugins.registry import Plugin
from shmkret.text.atomics import Words
from shmkret.text.domains import Home
from shmkret.text.libc import OWNER_DIED

NR_NODES = 2
"""Memory nodes: every other CPU is on the second."""
OURS = frozenset({"counter", "never"})
"""Columns that are not the lock's."""


class Past(NamedTuple):
    """What locks have been through. words: those that such locks had, by column; begun: start(lock, i, begun) wrote them."""

    words: Mapping[str, Sequence[int]] = {}
    begun: int | None = None


NONE = Past()


class Alone:
    """One world of `nr_locks` locks and `nr_slots` CPUs, recoverers included, every lock free.

    past: what its locks have been through. at: CPUs take this lock, and those behind it.
    """

    def __init__(
        self,
        plugin: Plugin,
        machine: ExploredMachine,
        nr_locks: int,
        nr_slots: int,
        met: set[int],
        past: Past = NONE,
        at: int = 0,
    ) -> None:
        self.plugin = plugin
        self.met = met
        """How many readers were seen inside at once: whoever makes worlds of one search gives them all the same set."""
        self.nr_locks = nr_locks
        self.nr_slots = nr_slots
        self.at = at
        self._machine = machine
        self.locks = self._array()
        self.counter = machine.words("counter", [0] * nr_locks)
        self.inside: list[dict[int, bool]] = [{} for _ in range(nr_locks)]
        """For each lock the CPUs in its critical section, and whether each is a reader."""
        self.dead: set[int] = set()
        self.orphaned: set[int] = set()
        """The locks in whose critical section one died."""
        init, init_cpu = plugin.own("init"), plugin.own("init_cpu")
        for i in range(nr_locks if init else 0):
            init(self.locks, i)  # type: ignore[misc]
        for cpu in range(nr_slots if init_cpu else 0):
            init_cpu(self.locks, cpu)  # type: ignore[misc]
        start = plugin.own("start")
        for i in range(nr_locks if start and past.begun is not None else 0):
            start(self.locks, i, past.begun)  # type: ignore[misc]
        for column, values in past.words.items():
            machine.columns[column].values[:] = values

    def past(self) -> Past:
        """What its locks have been through: all words but those of a trial."""
        return Past({name: tuple(words.values) for name, words in self._machine.columns.items() if name not in OURS})

    def _array(self) -> Any:
        geometry = Geometry(nr_cpus=self.nr_slots, nr_tasks=1, nr_probes=1, maxactive=1, nr_locks=1, nr_nodes=NR_NODES)
        tables = {f"{OTHER_ARRAY}.{field}": table for field, table in parts_of(self.plugin.record).tables.items()}

        def column(section: str, name: str) -> ExploredWords:
            values = [0] * self.nr_locks
            if section in tables:
                record, per = tables[section]
                values = [0] * OF_LOCKS[per](geometry, self.nr_locks)
                if record is Home:
                    values = [cpu % NR_NODES for cpu in range(self.nr_slots)]
            return self._machine.words(f"{section}.{name}", values)

        numbers = {f"{OTHER_ARRAY}.nr": self.nr_locks, "nr_slots": self.nr_slots, "nr_nodes": NR_NODES}
        return realize(lock_shape(OTHER_ARRAY, self.plugin.record), column, numbers.__getitem__)

    def words(self, name: str, nr: int = 1) -> Words:
        """Shared words of a trial's own, all 0."""
        return self._machine.words(name, [0] * nr)

    def enter(self, i: int, cpu: int, *, reader: bool = False) -> None:
        """CPU `cpu` has lock `i`. Raises: Broken, when another has it who must not."""
        for other, reads in self.inside[i].items():
            if not (reads and reader):
                raise Broken(f"cpu {cpu} is inside lock {i} beside cpu {other}")
        self.inside[i][cpu] = reader
        if reader:
            self.met.add(len(self.inside[i]))

    def leave(self, i: int, cpu: int) -> None:
        """It is about to release it."""
        del self.inside[i][cpu]

    def count(self, i: int, cpu: int) -> None:
        """The critical section of who has lock `i` for itself."""
        self.enter(i, cpu)
        self.counter[i] = self.counter[i] + 1
        self.leave(i, cpu)

    def forget(self, cpu: int) -> None:
        """It is dead."""
        self.dead.add(cpu)
        self.orphaned |= {i for i in range(self.nr_locks) if cpu in self.inside[i]}
        for one in self.inside:
            one.pop(cpu, None)

    def wrong(self, counted: int | None = None) -> list[str]:
        """What is wrong when no CPU runs. counted: the critical sections that were run, if that is known."""
        found = self.held()
        total = sum(self.counter[i] for i in range(self.nr_locks))
        if counted is not None and total != counted:
            found.append(f"{counted} critical sections have counted to {total}")
        return found or self._unusable()

    def held(self) -> list[str]:
        """The locks that are not free, or the CPUs that are not idle in them; none where the lock cannot say."""
        is_free, is_idle = self.plugin.own("is_free"), self.plugin.own("is_idle")
        held = [f"lock {i} is not free" for i in range(self.nr_locks) if is_free and not is_free(self.locks, i)]
        return held or [f"cpu {cpu} is not idle" for cpu in range(self.nr_slots) if is_idle and not is_idle(self.locks, cpu)]

    def _unusable(self) -> list[str]:
        """Each CPU takes each lock once more, without waiting where it can; then all is as before."""
        for cpu in range(self.nr_slots):
            for i in range(self.nr_locks):
                try:
                    self._once_more(i, cpu)
                except WaitsForever as wait:
                    return [f"cpu {cpu} cannot take lock {i}, which is free: {wait}"]
                except Broken as flaw:
                    return [str(flaw)]
        return [f"once more used: {words}" for words in self.held()]

    def _once_more(self, i: int, cpu: int) -> None:
        if self.plugin.can("try"):
            if not locks.try_acquire(self.locks, i, cpu):
                raise Broken(f"cpu {cpu} tries for lock {i}, which is free, and does not get it")
            if self._try_beside(i, (cpu + 1) % self.nr_slots):
                raise Broken(f"cpu {cpu} has got lock {i}, and another that tries gets it, too")
        elif self.plugin.can("robust"):
            if locks.acquire_robust(self.locks, i, cpu) == OWNER_DIED:
                raise Broken(f"lock {i} is free, and says that its owner died")
        else:
            locks.acquire(self.locks, i, cpu)
        locks.release(self.locks, i, cpu)

    def _try_beside(self, i: int, cpu: int) -> bool:
        """Another tries for a lock that is held; whether it got it."""
        try:
            return locks.try_acquire(self.locks, i, cpu)
        except WaitsForever as wait:
            raise Broken(f"cpu {cpu} tries for lock {i}, which is held, and waits: {wait}") from wait
