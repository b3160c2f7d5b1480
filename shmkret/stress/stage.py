"""The stage: what faults work on, and what each of them does with a death: wait for it, see it recovered, count it.

victims()         CPUs that are where the fault shall strike
kill(), bury()    they die, and their deaths are announced
see_recovered()   what they had is recovered, and others take their place
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shmkret.arena.segment import Arena
from shmkret.host.processes import wait_until
from shmkret.machines import plain
from shmkret.machines.control import Control
from shmkret.machines.plain import PlainMachine, locks_of
from shmkret.machines.world import World, lock_name
from shmkret.moves import oracle
from shmkret.moves.intents import POP, op_of
from shmkret.recovery.redo import lock_under
from shmkret.recovery.taking import held_number
from shmkret.stress.record import Record
from shmkret.stress.spec import Term
from shmkret.stress.supervisor import Supervisor
from shmkret.text import atomics

PATIENCE_S = 20.0
LATER_NS = 300_000
LOOKS = 200
"""So often a fault looks for a CPU that is where it shall strike."""


@dataclass
class Stage:
    """What faults work on. machine: prepared. fence_s: a stopped holder is killed after that long."""

    arena: Arena
    control: Control
    world: World
    machine: PlainMachine
    supervisor: Supervisor
    record: Record
    rng: random.Random
    cores: list[int]
    fence_s: float

    @property
    def nr_cpus(self) -> int:
        """CPUs that faults may strike: without recoverers, and without guests."""
        return self.supervisor.nr_own

    def bugs(self) -> list[str]:
        """What the CPUs' own oracles have seen."""
        bugs = enumerate(self.control.values("cpus", "bug"))
        found = [f"cpu {cpu}: {oracle.BUGS[bug]}" for cpu, bug in bugs if bug]
        self.record.add("other", len(found))
        return found

    def stuck(self, what: str) -> list[str]:
        """Something has not come to its end."""
        self.record.add("stuck")
        guests = [
            f"cpu {slot} is process {self.supervisor.word('pid', slot)}, not ours, in state {self.state(slot)}"
            for slot in self.supervisor.guests
        ]
        return [f"stuck for {PATIENCE_S:g} s: {what}; states of the slots: {self.supervisor.lives()}", *guests, *self.bugs()]

    def recovered(self, slots: Any) -> bool:
        """Wait until nobody in these slots is still to be recovered. False: it took too long. Raises Died."""

        def are_recovered() -> bool:
            self.bury_now(0)
            return self.supervisor.recovered(list(slots))

        return wait_until(are_recovered, PATIENCE_S)

    def bury(self, sent: list[int]) -> list[int]:
        """Wait for these deaths; all that were buried."""
        dead: list[int] = []
        end = time.monotonic() + PATIENCE_S
        while not set(sent) <= set(dead) and time.monotonic() < end:
            dead += self.bury_now(1000)
        return dead

    def bury_now(self, wait_ms: float) -> list[int]:
        """Wait that long for a death; all that were buried, by whatever they died."""
        dead = self.supervisor.bury(wait_ms)
        self.record.add("raised", self.supervisor.raised)
        self.record.add("lost_guests", self.supervisor.lost_guests)
        self.record.add_deaths(self.supervisor.died)
        self.supervisor.raised = self.supervisor.lost_guests = 0
        self.supervisor.died = []
        return dead

    def kill(self, victims: list[int]) -> list[int]:
        """SIGKILL; whom it was sent."""
        return [slot for slot in victims if self.supervisor.send(slot, signal.SIGKILL)]

    def see_recovered(self, sent: list[int], dead: list[int], at_ns: int | None) -> list[str]:
        """The dead are recovered, and others take their place. at_ns: when they were killed, if that is timed."""
        if not set(sent) <= set(dead):
            return self.stuck(f"the end of slots {sorted(set(sent) - set(dead))}, which were sent SIGKILL")
        killed = [slot for slot in sent if self.supervisor.ends[slot] == "SIGKILL"]  # others had come to an end by themselves
        self.record.add("kills", len(killed))
        if not self.recovered(dead):
            return self.stuck(f"the recovery of slots {dead}")
        for slot in killed:
            self.record.add("recoveries")
            if at_ns is not None:
                self.record.add_time(self.supervisor.word("since_ns", slot) - at_ns)
        bugs = self.bugs()
        self.supervisor.start_missing()
        return bugs

    def state(self, cpu: int) -> str:
        """What the kernel says of its process: R, S, T ...; empty when it is gone."""
        try:
            return Path(f"/proc/{self.supervisor.word('pid', cpu)}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    def victims(self, term: Term) -> tuple[list[int], bool]:
        """CPUs for a fault, and whether they are where it shall strike. Where none is, any CPU, and False."""
        among = sorted(set(term.cpus)) or list(range(self.nr_cpus))
        if term.point == "all":
            return among, True
        points: dict[str, Callable[[int], bool]] = {
            "mover": lambda cpu: self.supervisor.word("intent", cpu) != 0,
            "holder": lambda cpu: self.supervisor.word("held", cpu) != 0 or self._moves_under_a_lock(cpu),
            "waiter": lambda cpu: self.state(cpu) == "S",
        }
        wanted = points.get(term.point)
        if wanted is None:
            return [self.rng.choice(among)], True
        for _ in range(LOOKS):
            found = [cpu for cpu in among if wanted(cpu)]
            if found:
                return [self.rng.choice(found)], True
        return [self.rng.choice(among)], False

    def _moves_under_a_lock(self, cpu: int) -> bool:
        """The intent of a pop may be older than its lock."""
        return op_of(self.supervisor.word("intent", cpu)) not in (0, POP)

    def pause(self) -> None:
        """A moment of random length. It spins: sleeping takes too long."""
        end = time.monotonic_ns() + self.rng.randrange(LATER_NS)
        while time.monotonic_ns() < end:
            pass


def held_by(stage: Stage, slot: int) -> list[str]:
    """The locks that a CPU, standing still, certainly has. Of locks that name nobody no more can be known.

    They are: the lock of the move that it announced; the lock that it published while it waits for another; and every lock
    whose word names it.
    """
    holder = stage.world.build.lock.own("holder")
    intent = stage.supervisor.word("intent", slot)
    waits_with = stage.supervisor.word("held", slot)
    found = {lock_name(stage.arena, held_number(waits_with))} if waits_with else set()
    with atomics.use(stage.machine):
        if op_of(intent) not in (0, POP):  # a pop's intent may be older than its lock
            found.add(lock_name(stage.arena, lock_under(plain.kernel(stage.world, stage.arena), intent)))
        if holder is not None:
            found |= {
                f"{name}[{i}]"
                for name, locks, i in locks_of(stage.arena, stage.world.build.lock.record)
                if holder(locks, i) == slot
            }
    return sorted(found)
