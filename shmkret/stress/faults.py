"""What each fault does: to CPUs that are at work, and to an arena between rounds.

A fault that kills waits until what it did has been recovered; every fault returns what went wrong meanwhile.

Source    ptrace(2), proc_sys_kernel(5) (ns_last_pid), sched_setaffinity(2)
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shmkret.arena.chains import chain
from shmkret.arena.header import HEADER
from shmkret.arena.layout import HEADER_BYTES
from shmkret.arena.records import KRETPROBE
from shmkret.arena.segment import Arena
from shmkret.errors import ArenaError, UnfitMachine
from shmkret.host import ptrace as tracer
from shmkret.kernel import oracle
from shmkret.locks import try_acquire
from shmkret.machines import plain
from shmkret.machines.plain import PlainMachine, locks_of
from shmkret.machines.world import World, lock_name
from shmkret.moves.intents import POP, op_of
from shmkret.recovery.redo import lock_under
from shmkret.recovery.taking import held_number
from shmkret.stress.damage import damage
from shmkret.stress.record import Record
from shmkret.stress.spec import Term
from shmkret.stress.supervisor import Supervisor, wait_until
from shmkret.text import atomics
from shmkret.text.atomics import NIL

PATIENCE_S = 20.0
SEARCH_S = 0.02
"""That long a fault looks for a CPU that is where it shall strike."""
LATER_NS = 300_000
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
STRANGER_S = "2"


@dataclass
class Stage:
    """What faults work on. machine: prepared. fence_s: a stopped holder is killed after that long."""

    arena: Arena
    world: World
    machine: PlainMachine
    crew: Supervisor
    record: Record
    rng: random.Random
    cores: list[int]
    fence_s: float

    @property
    def nr_cpus(self) -> int:
        """CPUs that faults may strike: without recoverers, and without guests."""
        return self.crew.nr_own

    def bugs(self) -> list[str]:
        """What the CPUs' own oracles have seen."""
        bugs = self.arena.records("cpus")["bug"].tolist()
        found = [f"cpu {cpu}: {oracle.BUGS[bug]}" for cpu, bug in enumerate(bugs) if bug]
        self.record.add("other", len(found))
        return found

    def stuck(self, what: str) -> list[str]:
        """Something has not come to its end."""
        self.record.add("stuck")
        life = self.crew.words["life"].tolist()
        guests = [
            f"cpu {slot} is process {self.crew.words['pid'][slot]}, not ours, in state {self.state(slot)}"
            for slot in self.crew.guests
        ]
        return [f"stuck for {PATIENCE_S:g} s: {what}; states of the slots: {life}", *guests, *self.bugs()]

    def recovered(self, slots: Any) -> bool:
        """Wait until these slots are empty or in use; whether they are. Raises Died when a recoverer ends by itself."""

        def are_recovered() -> bool:
            self.bury_now(0)
            return self.crew.recovered(list(slots))

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
        dead = self.crew.bury(wait_ms)
        self.record.add("raised", self.crew.raised)
        self.record.add("lost_guests", self.crew.lost_guests)
        self.crew.raised = self.crew.lost_guests = 0
        return dead

    def kill(self, victims: list[int]) -> list[int]:
        """SIGKILL; whom it was sent."""
        return [slot for slot in victims if self.crew.send(slot, signal.SIGKILL)]

    def see_recovered(self, sent: list[int], dead: list[int], at_ns: int | None) -> list[str]:
        """The dead are recovered, and others take their place. at_ns: when they were killed, if their recovery is timed."""
        if not set(sent) <= set(dead):
            return self.stuck(f"the end of slots {sorted(set(sent) - set(dead))}, which were sent SIGKILL")
        killed = [slot for slot in sent if self.crew.ends[slot] == "SIGKILL"]  # others had come to an end by themselves
        self.record.add("kills", len(killed))
        if not self.recovered(dead):
            return self.stuck(f"the recovery of slots {dead}")
        for slot in killed:
            self.record.add("recoveries")
            if at_ns is not None:
                self.record.add_time(int(self.crew.words["since_ns"][slot]) - at_ns)
        bugs = self.bugs()
        self.crew.start_missing()
        return bugs

    def state(self, cpu: int) -> str:
        """What the kernel says of its process: R, S, T ...; empty when it is gone."""
        try:
            return Path(f"/proc/{int(self.crew.words['pid'][cpu])}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""

    def victims(self, term: Term) -> tuple[list[int], bool]:
        """CPUs for a fault, and whether they are where it shall strike; when nobody is, anybody."""
        among = sorted(set(term.cpus)) or list(range(self.nr_cpus))
        if term.point == "all":
            return among, True
        words = self.crew.words
        points: dict[str, Callable[[int], bool]] = {
            "mover": lambda cpu: bool(words["intent"][cpu]),
            "holder": lambda cpu: bool(words["held"][cpu]) or op_of(int(words["intent"][cpu])) not in (0, POP),
            "waiter": lambda cpu: self.state(cpu) == "S",
        }
        wanted = points.get(term.point)
        if wanted is None:
            return [self.rng.choice(among)], True
        for _ in range(200):
            found = [cpu for cpu in among if wanted(cpu)]
            if found:
                return [self.rng.choice(found)], True
        return [self.rng.choice(among)], False

    def pause(self) -> None:
        """A moment, at random; without sleeping, which takes too long."""
        end = time.monotonic_ns() + self.rng.randrange(LATER_NS)
        while time.monotonic_ns() < end:
            pass


def strike(stage: Stage, i: int, term: Term) -> list[str]:
    """One fault of the i-th term while CPUs are at work. Returns what went wrong."""
    stage.record.strike(i)
    if term.point in STRIKES_AT:
        return STRIKES_AT[term.point](stage, i)
    victims, found = stage.victims(term)
    if not found:
        stage.record.miss(i)
    return STRIKES[term.action](stage, i, term, victims)


def _kill(stage: Stage, _: int, __: Term, victims: list[int]) -> list[str]:
    at = time.monotonic_ns()
    sent = stage.kill(victims)
    return stage.see_recovered(sent, stage.bury(sent), at)


def _reuse(stage: Stage, i: int, _: Term, victims: list[int]) -> list[str]:
    """The pids of the dead belong to strangers before anybody has recovered them: the recoverer stands still meanwhile."""
    pids = {slot: int(stage.crew.words["pid"][slot]) for slot in victims}
    recoverer = stage.crew.recoverer
    stage.crew.send(recoverer, signal.SIGSTOP)
    sent = stage.kill(victims)
    dead = stage.bury(sent)
    strangers = [_stranger(pids[slot]) for slot in sent]
    if strangers != [pids[slot] for slot in sent]:
        stage.record.miss(i)
    stage.crew.send(recoverer, signal.SIGCONT)
    wrong = stage.see_recovered(sent, dead, None)
    for pid in strangers:
        if _was_signalled(pid):
            stage.record.add("other")
            wrong.append(f"process {pid} has got the pid of a dead CPU, and was signalled")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return wrong


def _stranger(pid: int) -> int:
    """Start a process that has nothing to do with the run, with that pid if it is still free; it ends by itself."""
    require_last_pid()
    LAST_PID.write_text(str(pid - 1))
    return os.posix_spawn("/bin/sleep", ["sleep", STRANGER_S], {}, setsigmask=[signal.SIGURG])


def _was_signalled(pid: int) -> bool:
    """Whether a stranger has a signal waiting, SIGURG included, or has died of one."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is not None:
        return ended.si_code != os.CLD_EXITED
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    words = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return int(words["SigPnd"], 16) | int(words["ShdPnd"], 16) != 0


def require_last_pid() -> None:
    """Raises UnfitMachine when this user may not say what the next pid is."""
    if not os.access(LAST_PID, os.W_OK):
        raise UnfitMachine(f"reuse needs {LAST_PID} to be writable: run as root, or with CAP_CHECKPOINT_RESTORE")


def _stop(stage: Stage, _: int, term: Term, victims: list[int]) -> list[str]:
    """They stand still, and go on in another order. Stopped is not dead: nobody may take anything from them."""
    for slot in victims:
        stage.crew.send(slot, signal.SIGSTOP)
    stage.record.add("stops", len(victims))
    seconds = term.arg * stage.rng.random()
    began = time.monotonic()
    time.sleep(min(seconds, stage.fence_s))
    holders = [slot for slot in victims if _report_holder(stage, slot, time.monotonic() - began)]
    if seconds > stage.fence_s and holders:
        sent = stage.kill(holders)
        stage.record.add("fenced", len(sent))
        dead = stage.bury(sent)
        # Whoever recovers them may have to wait for the others.
        _go_on(stage, [slot for slot in victims if slot not in holders])
        return stage.see_recovered(sent, dead, None)
    time.sleep(max(0.0, seconds - stage.fence_s))
    _go_on(stage, victims)
    return []


def _go_on(stage: Stage, stopped: list[int]) -> None:
    """In another order than they were stopped in."""
    stage.rng.shuffle(stopped)
    for slot in stopped:
        stage.crew.send(slot, signal.SIGCONT)


def _report_holder(stage: Stage, slot: int, seconds: float) -> bool:
    """Whether a CPU that stands still has a lock; if so, the record says which, and for how long."""
    stands = wait_until(lambda: stage.state(slot) != "R", 0.01)  # SIGSTOP takes its time
    locks = held_by(stage, slot) if stands and stage.state(slot) == "T" else []
    if locks:
        stage.record.add("stopped_holders")
        stage.record.note(f"cpu {slot} stood still for {1000 * seconds:.1f} ms and held {', '.join(locks)}")
    return bool(locks)


def held_by(stage: Stage, slot: int) -> list[str]:
    """The locks that a CPU, standing still, certainly has: that of the move that it announced, that of the bucket in hand while
    it waits for another, and those whose word names it. Of locks that name nobody no more can be known.
    """
    holder = stage.world.build.lock.own("holder")
    intent = int(stage.arena.records("recovery")["intent"][slot])
    waits_with = int(stage.arena.records("recovery")["held"][slot])
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


def _delay(stage: Stage, i: int, term: Term, victims: list[int]) -> list[str]:
    """Two CPUs share a core: each is preempted wherever it happens to be."""
    if len(stage.cores) < 2:
        stage.record.miss(i)
    for slot in victims:
        stage.crew.move(slot, stage.rng.choice(stage.cores))
    time.sleep(term.arg * stage.rng.random())
    for slot in victims:
        stage.crew.move(slot, stage.cores[slot % len(stage.cores)])
    return stage.bugs()


def _interrupt(stage: Stage, _: int, __: Term, victims: list[int]) -> list[str]:
    for slot in victims:
        stage.crew.send(slot, signal.SIGURG)
    return stage.bugs()


STRIKES: dict[str, Callable[[Stage, int, Term, list[int]], list[str]]] = {
    "kill": _kill,
    "reuse": _reuse,
    "stop": _stop,
    "delay": _delay,
    "interrupt": _interrupt,
}
"""By action, where CPUs are chosen by the point."""


def _kill_poster(stage: Stage, i: int) -> list[str]:
    """Its next FUTEX_WAKE is its last system call: the lock is free, and nobody was told."""
    slot = stage.rng.randrange(stage.nr_cpus)
    pid = int(stage.crew.words["pid"][slot])
    stage.crew.expected.add(slot)
    at = tracer.kill_before_wake(pid, SEARCH_S)
    if at is None:
        stage.record.miss(i)
        at = time.monotonic_ns()
        stage.crew.send(slot, signal.SIGKILL)
    return stage.see_recovered([slot], stage.bury([slot]), at)


def _kill_recoverer(stage: Stage, i: int) -> list[str]:
    sent = stage.kill([stage.rng.randrange(stage.nr_cpus)])
    pause = time.monotonic_ns() + stage.rng.randrange(LATER_NS)
    dead = stage.bury(sent)
    while time.monotonic_ns() < pause:
        pass
    recoverer = stage.crew.recoverer
    if recoverer >= 0 and stage.crew.send(recoverer, signal.SIGKILL):
        dead += stage.bury([recoverer])
    else:
        stage.record.miss(i)
    stage.crew.start_missing()
    return stage.see_recovered(sent, dead, None)


def _kill_parent(_: Stage, __: int) -> list[str]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def _steal(stage: Stage, i: int) -> list[str]:
    """A lock is taken by nobody, as if a semaphore's value had been lost; whoever comes waits until a death is recovered."""
    name, locks, at = stage.rng.choice(list(locks_of(stage.arena, stage.world.build.lock.record)))
    with atomics.use(stage.machine):
        taken = any(try_acquire(locks, at, NIL) for _ in range(100))
    if not taken:
        stage.record.miss(i)
    stage.pause()
    sent = stage.kill([stage.rng.randrange(stage.nr_cpus)])
    wrong = stage.see_recovered(sent, stage.bury(sent), None)
    return [f"{what}; {name}[{at}] had been taken by nobody" for what in wrong]


STRIKES_AT = {"poster": _kill_poster, "recoverer": _kill_recoverer, "parent": _kill_parent, "lock": _steal}
"""By point, where that chooses its own victim."""


def begin_round(stage: Stage, i: int, term: Term) -> None:
    """The i-th term is in force until heal(). The arena is quiet."""
    stage.record.strike(i)
    if term.point == "pool":
        drain(stage.arena, int(term.arg))
    else:
        stage.arena.records("registry")["alloc_fault"][0] = -int(term.arg) if term.forever else int(term.arg)


def heal(arena: Arena) -> None:
    """Whatever begin_round() did, here or before a supervisor died, is undone. The arena is quiet."""
    arena.records("registry")["alloc_fault"][0] = 0
    refill(arena)


def drain(arena: Arena, keep: int) -> None:
    """Each free list keeps that many instances, and the slab has the others."""
    instances, probes, slab = arena.records("instances"), arena.records("probes"), arena.records("registry")["slab"]
    for p in np.flatnonzero(probes["free"] != NIL).tolist():
        order, _ = chain(instances["next"].tolist(), int(probes["free"][p]))
        if keep:
            instances["next"][order[:keep][-1]] = NIL
        else:
            probes["free"][p] = NIL
        for ri in order[keep:]:
            instances["rp"][ri] = instances["task"][ri] = NIL
            instances["next"][ri], slab[0] = slab[0], ri


def refill(arena: Arena) -> None:
    """Each registered kretprobe has maxactive instances again, in flight or free, as far as the slab goes."""
    instances, probes, slab = arena.records("instances"), arena.records("probes"), arena.records("registry")["slab"]
    for p in np.flatnonzero((probes["registered"] == 1) & (probes["kind"] == KRETPROBE)).tolist():
        for _ in range(int(probes["maxactive"][p]) - int((instances["rp"] == p).sum())):
            ri = int(slab[0])
            if ri == NIL:
                return
            slab[0] = instances["next"][ri]
            instances["rp"][ri] = p
            instances["next"][ri], probes["free"][p] = probes["free"][p], ri


def harm(stage: Stage, i: int, term: Term) -> list[str]:
    """The i-th term does its damage to the quiet arena, which must be found and mended, or refused."""
    stage.record.strike(i)
    stage.record.add("damaged")
    if term.action in ("torn", "truncate"):
        wrong = _attach_damaged(stage, term.action == "torn")
    else:
        wrong = damage(stage.arena, stage.world.build, term.action, stage.rng)
    if wrong:
        stage.record.add("other")
    return wrong


def _attach_damaged(stage: Stage, torn: bool) -> list[str]:
    """A copy with a torn header, or without its end, is no arena."""
    data = bytearray(os.pread(stage.arena.fd, stage.arena.size, 0))
    if torn:
        # Any word that says what an arena is: of plug-ins and who made it every text would do.
        fields = ("magic", "version", "size", "layout", "geometry", "sections")
        kind, first = HEADER.fields[stage.rng.choice(fields)][:2]  # type: ignore[index]
        at = first + 8 * stage.rng.randrange(kind.itemsize // 8)
        data[at : at + 8] = stage.rng.randbytes(8)
        what = f"the 8 bytes of its header from {at} on are torn"
    else:
        size = stage.rng.choice((stage.rng.randrange(HEADER_BYTES), stage.rng.randrange(len(data))))
        del data[size:]
        what = f"it was cut off at {size} of {stage.arena.size} bytes"
    fd = os.memfd_create("copy", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as copy:
            copy.write(data)
        Arena.attach(fd, lock=stage.world.build.lock.record, scheme=stage.world.build.scheme.record).close()
    except ArenaError:
        os.close(fd)
        return []
    return [f"a copy of the arena was attached though {what}"]
