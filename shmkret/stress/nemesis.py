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

import json
import mmap
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shmkret import atomics, native, oracle, posix
from shmkret.arena import Arena
from shmkret.audit import audit
from shmkret.build import Build
from shmkret.cpu import GATE, MEASURE, STOP
from shmkret.intents import POP, op_of
from shmkret.kernel import LOCK_SECTIONS, Sizes
from shmkret.plain import PlainMachine, locks_of
from shmkret.redo import named_lock
from shmkret.stress.damage import damage
from shmkret.stress.spec import Term
from shmkret.stress.supervisor import Died, Supervisor, wait_until
from shmkret.survive import DEAD, LIVE

PATIENCE_S = 20.0
MOST_TIMES = 1 << 20
"""Recovery times that are kept; later ones replace the oldest."""
NOTE_BYTES = 256
COUNTS = (
    "kills",
    "recoveries",
    "stops",
    "rounds",
    "damaged",
    "stopped_holders",
    "fenced",
    "lost",
    "doubled",
    "stuck",
    "count_errors",
    "other",
    "times",
    "done",
)


class Machines(NamedTuple):
    """What a run needs to have compiled, for each slot."""

    start: list[Callable[[], None]]
    announce: list[Callable[[], None]]


class Record:
    """Counts and recovery times (us) in shared memory."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 8 * len(COUNTS) + 4 * MOST_TIMES + (1 << 16) + NOTE_BYTES)
        self.counts = np.frombuffer(self._map, np.int64, len(COUNTS))
        self._times = np.frombuffer(self._map, np.uint32, MOST_TIMES, 8 * len(COUNTS))
        self._words = 8 * len(COUNTS) + 4 * MOST_TIMES

    def add(self, name: str, n: int = 1) -> None:
        """Count."""
        self.counts[COUNTS.index(name)] += n

    def __getitem__(self, name: str) -> int:
        return int(self.counts[COUNTS.index(name)])

    def add_time(self, ns: int) -> None:
        """From SIGKILL until every lock of the dead CPU was free, in ns."""
        self._times[self["times"] % MOST_TIMES] = min(max(0, ns // 1000), (1 << 32) - 1)
        self.add("times")

    def times_ms(self) -> dict[str, float | None]:
        """p50, p99 and max of the recovery times."""
        times = self._times[: min(self["times"], MOST_TIMES)] / 1000
        if not len(times):
            return {"p50": None, "p99": None, "max": None}
        p50, p99, most = np.percentile(times, [50, 99, 100]).tolist()
        return {"p50": round(p50, 4), "p99": round(p99, 4), "max": round(most, 4)}

    def note(self, what: str) -> None:
        """Keep a sentence that is no finding; the last one stays."""
        text = what.encode()[:NOTE_BYTES]
        self._map[-NOTE_BYTES:] = text.ljust(NOTE_BYTES, b"\0")

    def noted(self) -> str:
        """That sentence; empty when there was none."""
        return bytes(self._map[-NOTE_BYTES:]).rstrip(b"\0").decode()

    def say(self, findings: list[str]) -> None:
        """Keep what was found."""
        text = json.dumps(findings[:20]).encode()[: (1 << 16) - 9]
        self._map[self._words : self._words + 8] = len(text).to_bytes(8, "little")
        self._map[self._words + 8 : self._words + 8 + len(text)] = text

    def said(self) -> list[str]:
        """What was found."""
        size = int.from_bytes(self._map[self._words : self._words + 8], "little")
        found: list[str] = json.loads(self._map[self._words + 8 : self._words + 8 + size] or b"[]")
        return found


@dataclass
class Plan:
    """kills: how many; round_kills: after how many there is an audit; fence_s: a stopped holder is killed after that long."""

    kills: int
    round_kills: int
    terms: list[Term]
    seed: int
    pause_s: float = 0.0002
    seconds: float = float("inf")
    fence_s: float = float("inf")


class Nemesis:
    """One process of faults."""

    def __init__(self, arena: Arena, build: Build, sizes: Sizes, machines: Machines, cores: list[int], record: Record) -> None:
        self.arena = arena
        self.build = build
        self.sizes = sizes
        self.machines = machines
        self.record = record
        self.cores = cores
        self.cpus = arena.records("cpus")
        self.run_words = arena.records("run")
        self.nr_cpus = arena.geometry.nr_cpus

    def run(self, plan: Plan, incarnation: int) -> None:
        """Rounds until the kills are done, or something is wrong."""
        self.rng = random.Random(f"{plan.seed} {incarnation}")
        self.plan = plan
        self.deadline = time.monotonic() + plan.seconds
        with Supervisor(self.arena, self.machines.start, self.machines.announce, self.cores) as self.crew:
            self._take_up()
            while not self._is_over():
                wrong = self._round()
                if wrong:
                    self.record.say(wrong)
                    self.record.add("done", 2)
                    return
            self.record.add("done")

    def _is_over(self) -> bool:
        return self.record["kills"] >= self.plan.kills or time.monotonic() > self.deadline

    def _take_up(self) -> None:
        """Whoever the arena says is alive died with the nemesis before us."""
        life = self.crew.words["life"]
        dead = [slot for slot in range(len(life)) if life[slot] in (LIVE, DEAD)]
        for slot in dead:
            if life[slot] == LIVE and slot < self.nr_cpus:
                self.record.add("kills")
            self.machines.announce[slot]()

    def _round(self) -> list[str]:
        """Faults, then healing and the audit; what is wrong."""
        self.run_words["phase"] = GATE
        self.crew.start_missing()
        if not self._recovered(range(len(self.crew.words))):
            return self._stuck("a recovery at the start of a round")
        self.crew.start_missing()
        try:
            if not wait_until(lambda: bool(self.cpus["ready"][: self.nr_cpus].all() or self.crew.bury(0)), PATIENCE_S):
                return self._stuck("the start of a round")
        except Died as error:
            return [str(error)]
        self.run_words["phase"] = MEASURE
        goal = min(self.plan.kills, self.record["kills"] + self.plan.round_kills)
        n = 0
        try:
            while self.record["kills"] < goal and time.monotonic() < self.deadline:
                time.sleep(self.rng.random() * self.plan.pause_s)
                wrong = self._fault(n)
                n += 1
                if wrong:
                    return wrong
            return self._heal() or self._audit() or self._damage()
        except Died as error:
            bugs = self._bugs()
            self.record.add("other")
            return bugs or [str(error)]

    def _fault(self, n: int) -> list[str]:
        possible = [term for term in self.plan.terms if term.point != "arena" and term.may(n)]
        if not possible:
            return []
        term = self.rng.choices(possible, [term.share for term in possible])[0]
        term.done += 1
        if term.point == "parent":
            os.kill(os.getpid(), signal.SIGKILL)
        if term.action == "stop":
            return self._stop(term)
        victims = self._victims(term)
        at = time.monotonic_ns()
        sent = [slot for slot in victims if self.crew.send(slot, signal.SIGKILL)]
        self.record.add("kills", len(sent))
        if term.point == "recoverer":
            pause = time.monotonic_ns() + self.rng.randrange(300_000)
            dead = self._bury(sent)
            while time.monotonic_ns() < pause:
                pass
            recoverer = self.crew.recoverer
            if recoverer >= 0 and self.crew.send(recoverer, signal.SIGKILL):
                dead += self._bury([recoverer])
            self.crew.start_missing()
        else:
            dead = self._bury(sent)
        if not self._recovered(dead):
            return self._stuck(f"the recovery of slots {dead}")
        for slot in sent:
            self.record.add("recoveries")
            if term.point != "recoverer":
                self.record.add_time(int(self.crew.words["since_ns"][slot]) - at)
        bugs = self._bugs()
        self.crew.start_missing()
        return bugs

    def _bury(self, sent: list[int]) -> list[int]:
        dead: list[int] = []
        end = time.monotonic() + PATIENCE_S
        while not set(sent) <= set(dead) and time.monotonic() < end:
            dead += self.crew.bury(1000)
        return dead

    def _recovered(self, slots: Any) -> bool:
        return wait_until(lambda: self.crew.recovered(list(slots)), PATIENCE_S)

    def _victims(self, term: Term) -> list[int]:
        among = [cpu for cpu in term.cpus or range(self.nr_cpus) if cpu < self.nr_cpus]
        if term.point == "all":
            return among
        words = self.crew.words
        points: dict[str, Callable[[int], bool]] = {
            "mover": lambda cpu: bool(words["intent"][cpu]),
            "holder": lambda cpu: bool(words["held"][cpu]) or op_of(int(words["intent"][cpu])) not in (0, POP),
            "waiter": lambda cpu: self._state(cpu) == "S",
        }
        wanted = points.get(term.point)
        if wanted is not None:
            for _ in range(200):
                found = [cpu for cpu in among if wanted(cpu)]
                if found:
                    return [self.rng.choice(found)]
        return [self.rng.choice(among)]

    def _state(self, cpu: int) -> str:
        """What the kernel says of its process: R, S, T ...; empty when it is gone."""
        try:
            return Path(f"/proc/{int(self.crew.words['pid'][cpu])}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    def _stop(self, term: Term) -> list[str]:
        """Let some CPUs stand still, and go on in another order. Stopped is not dead: nobody may take anything from them."""
        stopped = self._victims(term)
        for slot in stopped:
            self.crew.send(slot, signal.SIGSTOP)
        self.record.add("stops", len(stopped))
        seconds = term.arg * self.rng.random()
        began = time.monotonic()
        time.sleep(min(seconds, self.plan.fence_s))
        holders = [slot for slot in stopped if self._report_holder(slot, time.monotonic() - began)]
        if seconds > self.plan.fence_s and holders:
            wrong = self._fence(holders)
            if wrong:
                return wrong
            stopped = [slot for slot in stopped if slot not in holders]
        time.sleep(max(0.0, seconds - self.plan.fence_s))
        self.rng.shuffle(stopped)
        for slot in stopped:
            self.crew.send(slot, signal.SIGCONT)
        return []

    def _report_holder(self, slot: int, seconds: float) -> bool:
        """Whether a CPU that stands still has a lock that others wait for; if so, the record says which, and for how long."""
        stands = wait_until(lambda: self._state(slot) != "R", 0.01)  # SIGSTOP takes its time
        locks = held_by(self.arena, self.build, self.sizes, slot) if stands and self._state(slot) == "T" else []
        if locks:
            self.record.add("stopped_holders")
            self.record.note(f"cpu {slot} stood still for {1000 * seconds:.1f} ms and held {', '.join(locks)}")
        return bool(locks)

    def _fence(self, holders: list[int]) -> list[str]:
        """They have stood still for too long: now they are dead, and recovered like others."""
        sent = [slot for slot in holders if self.crew.send(slot, signal.SIGKILL)]
        self.record.add("kills", len(sent))
        self.record.add("fenced", len(sent))
        if not self._recovered(self._bury(sent)):
            return self._stuck(f"the recovery of slots {sent}, which were fenced")
        self.record.add("recoveries", len(sent))
        self.crew.start_missing()
        return self._bugs()

    def _heal(self) -> list[str]:
        """Every CPU stops, and is recovered like a dead one: its task goes back to the queue, the arena is quiet."""
        self.run_words["phase"] = STOP
        for slot in range(self.nr_cpus):
            self.crew.expected_exit.add(slot)
        left = set(range(self.nr_cpus)) & set(self.crew.running())
        end = time.monotonic() + PATIENCE_S
        while left:
            left -= set(self.crew.bury(100))
            if time.monotonic() > end:
                return self._stuck(f"CPUs {sorted(left)}, which were told to stop")
        if not self._recovered(range(self.nr_cpus)):
            return self._stuck("the recovery of CPUs that had stopped")
        return self._bugs()

    def _audit(self) -> list[str]:
        self.record.add("rounds")
        machine = PlainMachine(None)
        wrong = audit(self.arena, self.build.scheme)
        held = native.still_held(self.arena, machine, self.build, self.sizes)
        wrong += held
        for what in wrong:
            kind = next((name for name in ("lost", "doubled") if f"instances {name}" in what), "")
            if kind:
                self.record.add(kind, int(what.split()[0]))
            else:
                self.record.add("count_errors" if " hits, but " in what or " calls, but " in what else "other")
        return wrong

    def _damage(self) -> list[str]:
        """Now and then a word of the quiet arena: what is found and mended is no failure, the next round goes on with it."""
        for term in self.plan.terms:
            if term.point == "arena" and term.may(self.record["rounds"] - 1) and self.rng.random() * 100 < term.share:
                term.done += 1
                self.record.add("damaged")
                wrong = damage(self.arena, self.build, term.action, self.rng)
                if wrong:
                    self.record.add("other")
                    return wrong
        return []

    def _bugs(self) -> list[str]:
        found = [f"cpu {cpu}: {oracle.BUGS[bug]}" for cpu, bug in enumerate(self.cpus["bug"].tolist()) if bug]
        self.record.add("other", len(found))
        return found

    def _stuck(self, what: str) -> list[str]:
        self.record.add("stuck")
        life = self.crew.words["life"].tolist()
        return [f"stuck for {PATIENCE_S:g} s: {what}; states of the slots: {life}", *self._bugs()]


def held_by(arena: Arena, build: Build, sizes: Sizes, slot: int) -> list[str]:
    """The locks that a CPU, standing still, certainly has: that of the move that it announced, and those whose word names it.

    Of locks that name nobody no more can be known.
    """
    holder = getattr(build.lock.module, "holder", None)
    intent = int(arena.records("recovery")["intent"][slot])
    found = set()
    with atomics.use(PlainMachine(None)):
        if op_of(intent) not in (0, POP):  # a pop's intent may be older than its lock
            i, section = divmod(named_lock(native.kernel(arena, build, sizes), intent), 3)
            found.add(f"{LOCK_SECTIONS[section]}[{i}]")
        if holder is not None:
            found |= {f"{name}[{i}]" for name, locks, i in locks_of(arena, build.lock.record) if holder(locks, i) == slot}
    return sorted(found)


def execute(nemesis: Nemesis, plan: Plan, incarnation: int) -> int:
    """Run the nemesis in a child; returns its pid."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            posix.die_with_parent(parent)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            nemesis.run(plan, incarnation)
            status = 0
        except BaseException as error:  # the guardian prints it
            nemesis.record.say([f"{type(error).__name__}: {error}"])
            nemesis.record.add("done", 2)
        finally:
            os._exit(status)
    return pid
