"""What each fault does to CPUs that are at work. What happens between rounds is in `shortage` and `damage`.

A fault that kills waits until what it did has been recovered. Every fault returns what went wrong meanwhile.

Source    ptrace(2), proc_sys_kernel(5) (ns_last_pid), sched_setaffinity(2)
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from shmkret.errors import UnfitMachine
from shmkret.host import ptrace
from shmkret.host.processes import wait_until
from shmkret.locks import try_acquire
from shmkret.machines.plain import locks_of
from shmkret.stress.spec import Term
from shmkret.stress.stage import LATER_NS, Stage, held_by
from shmkret.text import atomics

SEARCH_S = 0.02
"""That long a fault looks for a CPU that is where it shall strike."""
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
STRANGER_S = "2"


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
    pids = {slot: stage.supervisor.word("pid", slot) for slot in victims}
    recoverer = stage.supervisor.recoverer
    stage.supervisor.send(recoverer, signal.SIGSTOP)
    sent = stage.kill(victims)
    dead = stage.bury(sent)
    strangers = [_stranger(pids[slot]) for slot in sent]
    if strangers != [pids[slot] for slot in sent]:
        stage.record.miss(i)
    stage.supervisor.send(recoverer, signal.SIGCONT)
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
        stage.supervisor.send(slot, signal.SIGSTOP)
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
        stage.supervisor.send(slot, signal.SIGCONT)


def _report_holder(stage: Stage, slot: int, seconds: float) -> bool:
    """Whether a CPU that stands still has a lock; if so, the record says which, and for how long."""
    stands = wait_until(lambda: stage.state(slot) != "R", 0.01)  # SIGSTOP takes its time
    locks = held_by(stage, slot) if stands and stage.state(slot) == "T" else []
    if locks:
        stage.record.add("stopped_holders")
        stage.record.note(f"cpu {slot} stood still for {1000 * seconds:.1f} ms and held {', '.join(locks)}")
    return bool(locks)


def _delay(stage: Stage, i: int, term: Term, victims: list[int]) -> list[str]:
    """Two CPUs share a core: each is preempted wherever it happens to be."""
    if len(stage.cores) < 2:
        stage.record.miss(i)
    for slot in victims:
        stage.supervisor.move(slot, stage.rng.choice(stage.cores))
    time.sleep(term.arg * stage.rng.random())
    for slot in victims:
        stage.supervisor.move(slot, stage.cores[slot % len(stage.cores)])
    return stage.bugs()


def _interrupt(stage: Stage, _: int, __: Term, victims: list[int]) -> list[str]:
    for slot in victims:
        stage.supervisor.send(slot, signal.SIGURG)
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
    pid = stage.supervisor.word("pid", slot)
    stage.supervisor.expected.add(slot)
    at = ptrace.kill_before_wake(pid, SEARCH_S)
    if at is None:
        stage.record.miss(i)
        at = time.monotonic_ns()
        stage.supervisor.send(slot, signal.SIGKILL)
    return stage.see_recovered([slot], stage.bury([slot]), at)


def _kill_recoverer(stage: Stage, i: int) -> list[str]:
    sent = stage.kill([stage.rng.randrange(stage.nr_cpus)])
    pause = time.monotonic_ns() + stage.rng.randrange(LATER_NS)
    dead = stage.bury(sent)
    while time.monotonic_ns() < pause:
        pass
    recoverer = stage.supervisor.recoverer
    if recoverer >= 0 and stage.supervisor.send(recoverer, signal.SIGKILL):
        dead += stage.bury([recoverer])
    else:
        stage.record.miss(i)
    stage.supervisor.start_missing()
    return stage.see_recovered(sent, dead, None)


def _kill_parent(_: Stage, __: int) -> list[str]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def _steal(stage: Stage, i: int) -> list[str]:
    """A lock is taken by nobody, as if a semaphore's value had been lost; whoever comes waits until a death is recovered."""
    name, locks, at = stage.rng.choice(list(locks_of(stage.arena, stage.world.build.lock.record)))
    thief = stage.supervisor.nobody
    with atomics.use(stage.machine):
        taken = thief >= 0 and any(try_acquire(locks, at, thief) for _ in range(100))
    if not taken:
        stage.record.miss(i)
    stage.pause()
    sent = stage.kill([stage.rng.randrange(stage.nr_cpus)])
    wrong = stage.see_recovered(sent, stage.bury(sent), None)
    return [f"{what}; {name}[{at}] had been taken by nobody" for what in wrong]


STRIKES_AT = {"poster": _kill_poster, "recoverer": _kill_recoverer, "parent": _kill_parent, "lock": _steal}
"""By point, where that chooses its own victim."""
