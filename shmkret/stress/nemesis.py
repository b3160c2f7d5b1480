"""The nemesis: faults at random from a seed, and the verdict after each round of them.

    guardian (the command)      holds the arena; restarts the nemesis when that is what the fault says
      +-- nemesis               supervises (shmkret.stress.supervisor), kills, and audits
            +-- CPUs, recoverer

    round    faults, with the CPUs at work
    heal     the CPUs are told to stop, and are recovered like the dead
    audit    lists, books, locks; then the next round goes on with the same arena

A count is kept in a shared page, so that it survives the nemesis.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from shmkret.arena.segment import Arena
from shmkret.audit.checks import audit, left_open, not_given_back
from shmkret.audit.findings import COUNTS, DOUBLED, LOST, sentences
from shmkret.host import ofd, posix
from shmkret.host.processes import wait_until
from shmkret.kernel.cpu import AT_GATE, MEASURE, STOP
from shmkret.machines import native
from shmkret.machines.control import Control
from shmkret.machines.plain import PlainMachine
from shmkret.machines.world import World
from shmkret.recovery.taking import DEAD, LIVE
from shmkret.stress.damage import harm
from shmkret.stress.faults import strike
from shmkret.stress.record import Record
from shmkret.stress.shortage import begin_round, heal
from shmkret.stress.spec import ALWAYS, Term
from shmkret.stress.stage import PATIENCE_S, Stage
from shmkret.stress.supervisor import Died, Supervisor


class Machines(NamedTuple):
    """What a run needs to have compiled, for each slot."""

    start: list[Callable[[], None]]
    announce: list[Callable[[], None]]


@dataclass
class Plan:
    """kills: how many, or, where no term kills without end, how many faults; round_kills: after how many there is an audit.

    fence_s: a stopped holder is killed after that long. guests: how many of the last CPUs are left to others.
    """

    kills: int
    round_kills: int
    terms: list[Term]
    seed: int
    pause_s: float = 0.0002
    seconds: float = float("inf")
    fence_s: float = float("inf")
    guests: int = 0

    @property
    def unit(self) -> str:
        """What of the record is counted."""
        return "kills" if any(term.kills and not term.of_round and term.most == ALWAYS for term in self.terms) else "strikes"


class Nemesis:
    """One process of faults. machine: prepared, so that its children need not compile."""

    def __init__(
        self,
        arena: Arena,
        world: World,
        machines: Machines,
        machine: PlainMachine,
        cores: list[int],
        record: Record,
    ) -> None:
        self.arena = arena
        self.world = world
        self.machines = machines
        self.machine = machine
        self.record = record
        self.cores = cores
        self.control = Control(arena, machine)
        self.nr_cpus = arena.geometry.nr_cpus
        self.deadline = float("inf")
        """Monotonic seconds; of the run, not of one incarnation."""

    def run(self, plan: Plan, incarnation: int) -> None:
        """Rounds until the kills are done, or something is wrong."""
        self.rng = random.Random(f"{plan.seed} {incarnation}")
        self.plan = plan
        self.incarnation = incarnation
        with Supervisor(self.arena, self.control, self.machines.start, self.machines.announce, self.cores) as self.supervisor:
            self.stage = Stage(
                self.arena,
                self.control,
                self.world,
                self.machine,
                self.supervisor,
                self.record,
                self.rng,
                self.cores,
                plan.fence_s,
            )
            self._take_up()
            wrong = self._stop() if self.supervisor.guests else []
            is_over = False
            while not is_over:
                wrong = wrong or self._round()
                is_over = self._is_over()
                if wrong:
                    self.record.say(wrong)
                    self.record.add("done", 2)
                    return
            self.record.add("done")

    def _is_over(self) -> bool:
        return self.record[self.plan.unit] >= self.plan.kills or time.monotonic() > self.deadline or not self._terms_left()

    def _take_up(self) -> None:
        """Whoever the arena says is alive died with the nemesis before us."""
        life = self.supervisor.lives()
        present = {slot for slot in range(self.supervisor.nr_own, self.nr_cpus) if ofd.is_locked(self.arena.fd, slot)}
        self.supervisor.guests = {slot for slot in present if life[slot] == LIVE}
        dead = [slot for slot in range(len(life)) if life[slot] in (LIVE, DEAD) and slot not in self.supervisor.guests]
        for slot in dead:
            if life[slot] == LIVE and slot < self.supervisor.nr_own:
                self.record.add("kills")
            if life[slot] == LIVE and self.supervisor.nr_own <= slot < self.nr_cpus:
                self.record.add("lost_guests", self.supervisor.has_not_left(slot))
            self.machines.announce[slot]()
            self.supervisor.say("pid", slot, 0)
        self.supervisor.start_recoverer()

    def _round(self) -> list[str]:
        """Faults, then healing and the audit; what is wrong."""
        self.control.set_phase(AT_GATE)
        try:
            self.supervisor.start_missing()
            if not self.stage.recovered(range(self.supervisor.nr_slots)):
                return self.stage.stuck("a recovery at the start of a round")
            self.supervisor.start_missing()
            if not wait_until(lambda: self._is_ready() or bool(self.stage.bury_now(0)), PATIENCE_S):
                return self.stage.stuck("the start of a round")
            heal(self.arena, self.control)
            for i, term in self._for_this_round(on_arena=False):
                begin_round(self.stage, i, term)
            self.control.set_phase(MEASURE)
            goal = min(self.plan.kills, self.record[self.plan.unit] + self.plan.round_kills)
            while self.record[self.plan.unit] < goal and time.monotonic() < self.deadline and self._terms_left():
                time.sleep(self.rng.random() * self.plan.pause_s)
                wrong = self._fault()
                if wrong:
                    return wrong
            return self._stop() or self._audit() or self._damage()
        except Died as error:
            bugs = self.stage.bugs()
            self.record.add("other")
            return bugs or [str(error)]

    def _fault(self) -> list[str]:
        """One strike of a term, chosen among those that may be."""
        raised = self.stage.bury_now(0)
        if raised:
            return self.stage.see_recovered([], raised, None)
        n = self.record["strikes"]
        possible = [(i, term) for i, term in self._terms(of_round=False) if term.may(n, self.record.struck(i))]
        self.record.add("strikes")
        if not possible:
            return []
        i, term = self.rng.choices(possible, [term.share for _, term in possible])[0]
        return strike(self.stage, i, term)

    def _terms(self, *, of_round: bool) -> list[tuple[int, Term]]:
        return [(i, term) for i, term in enumerate(self.plan.terms) if term.of_round == of_round]

    def _for_this_round(self, *, on_arena: bool) -> list[tuple[int, Term]]:
        """The terms that strike in this round: those that damage the arena after it, or those in force during it."""
        n = self.record["rounds"] - on_arena
        return [
            (i, term)
            for i, term in self._terms(of_round=True)
            if (term.point == "arena") == on_arena
            and term.may(n, self.record.struck(i))
            and self.rng.random() * 100 < term.share
        ]

    def _is_ready(self) -> bool:
        slots = [slot for slot in self.supervisor.running() if slot < self.nr_cpus]
        return self.control.all_nonzero("cpus", "ready", slots)

    def _terms_left(self) -> bool:
        return any(term.action != "off" and self.record.struck(i) < term.most for i, term in self._terms(of_round=False))

    def _stop(self) -> list[str]:
        """Every CPU stops, and is recovered like a dead one: its task goes back to the queue, the arena is quiet. It heals."""
        self.control.set_phase(STOP)
        for slot in range(self.supervisor.nr_own):
            self.supervisor.expected_exit.add(slot)
        left = set(range(self.nr_cpus)) & set(self.supervisor.running())
        end = time.monotonic() + PATIENCE_S
        while left:
            left -= set(self.stage.bury_now(100))
            if time.monotonic() > end:
                return self.stage.stuck(f"CPUs {sorted(left)}, which were told to stop")
        if not self.stage.recovered(range(self.nr_cpus)):
            return self.stage.stuck("the recovery of CPUs that had stopped")
        heal(self.arena, self.control)
        return self.stage.bugs()

    def _audit(self) -> list[str]:
        self.record.add("rounds")
        held = native.still_held(self.world, self.arena, self.machine)
        # A nemesis may have died before it counted the death of a CPU, and those of all others came with its own.
        deaths = [died + self.incarnation for died in self.record.deaths(self.nr_cpus)]
        found = [*audit(self.arena, self.world.build.scheme), *left_open(self.arena, deaths), *not_given_back(held)]
        for finding in found:
            if finding.kind in (LOST, DOUBLED):
                self.record.add(finding.kind, finding.seen)
            else:
                self.record.add("count_errors" if finding.kind in COUNTS else "other")
        return sentences(found)

    def _damage(self) -> list[str]:
        """Now and then a word of the quiet arena: what is found and mended is no failure, the next round goes on with it."""
        for i, term in self._for_this_round(on_arena=True):
            wrong = harm(self.stage, i, term)
            if wrong:
                return wrong
        return []


def execute(nemesis: Nemesis, plan: Plan, incarnation: int) -> int:
    """Run the nemesis in a child; returns its pid."""

    def body() -> int:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            nemesis.run(plan, incarnation)
        except BaseException as error:  # the guardian prints it
            nemesis.record.say([f"{type(error).__name__}: {error}"])
            nemesis.record.add("done", 2)
            return 1
        return 0

    return posix.fork_child(body)
