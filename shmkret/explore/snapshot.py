"""An arena's words, from which any number of explored worlds are made."""

from __future__ import annotations

from collections.abc import Collection

from shmkret.arena.fields import fields_of, parts_of
from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.layout import TABLE_ARRAY
from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.audit.checks import audit, not_given_back
from shmkret.audit.findings import BUG, Finding, sentences
from shmkret.explore.greenlets.column import ExploredWords
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.machines.world import World
from shmkret.moves import oracle
from shmkret.text.domains import PER_LOCK_PER_CPU, PER_NODE

REGISTRATION = frozenset({"functions", "registry.initialized"}) | {
    f"probes.{field}" for field in ("next", "kind", "entry_handler", "handler", "function", "maxactive", "registered")
}
"""Words that only registering and unregistering write."""

NOT_SHARED = frozenset({"run.phase", "run.work_ns", "cpus", "books", "tasks", "stack", "script"}) | REGISTRATION


class Snapshot:
    """An arena's words, from which any number of explored worlds are made; nothing of the layout is built twice.

    buckets: the buckets whose locks several CPUs use; None: all.
    shared: what several CPUs use and write beside the usual: REGISTRATION where probes come and go, "tasks" where tasks move.
    """

    def __init__(
        self, world: World, arena: Arena, shared: Collection[str] = (), buckets: Collection[int] | None = None
    ) -> None:
        self._quiet = () if buckets is None else frozenset(range(NR_BUCKETS)) - set(buckets)
        self._arena = arena
        self._world = world
        self._private = NOT_SHARED - set(shared)
        self._values = {
            (name, field): arena.records(name)[field].tolist()
            for name, section in arena.sections.items()
            for field in fields_of(section.record)
        }

    def kernel(self, machine: ExploredMachine) -> Kernel:
        """The world as the text sees it, its locks free."""

        def column(section: str, name: str) -> ExploredWords:
            known = machine.column(f"{section}.{name}")
            if known is not None:
                return known  # an array of locks is part of the scheme, too: it is the same words
            values = self._values[section, name]
            private = section in self._private or f"{section}.{name}" in self._private
            words = machine.words(f"{section}.{name}", values, private=private)
            words.nobodys = self._quiet_of(section, len(values))
            return words

        k = self._world.kernel(self._arena, column)
        self._world.free_locks(machine, k, self._arena)
        return k

    def _quiet_of(self, section: str, nr: int) -> Collection[int]:
        """The words of a section of that many records that belong to the locks of quiet buckets alone."""
        array, _, field = section.partition(".")
        table = parts_of(self._world.build.lock.record).tables.get(field)
        if array != TABLE_ARRAY or not self._quiet or (table and table.per not in (PER_LOCK_PER_CPU, PER_NODE)):
            return ()  # what goes with a CPU, or from hand to hand, is used for any lock
        each = nr // NR_BUCKETS
        return frozenset(i for i in range(nr) if i // each in self._quiet)

    def audit(self, machine: ExploredMachine, k: Kernel, *, at_rest: bool = True) -> list[str]:
        """What is wrong where no CPU runs: bugs that a CPU saw, locks not free, and what the audit of an arena finds."""
        held = self._world.held_locks(machine, k, self._arena)
        for section, name in self._values:
            words = machine.column(f"{section}.{name}")
            if words is not None:
                self._arena.records(section)[name] = words.values
        bugs = self._arena.records("cpus")["bug"].tolist()
        seen = [Finding(BUG, f"cpu {cpu}", oracle.BUGS[bug]) for cpu, bug in enumerate(bugs) if bug]
        return sentences([*seen, *not_given_back(held), *audit(self._arena, self._world.build.scheme, at_rest=at_rest)])
