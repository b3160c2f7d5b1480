"""What a lock is tried in by itself: a trial for each thing that it may be able to do, under every interleaving.

acquire    CPUs take and release locks; every lock is tried in this
try        one takes locks, the others try to; who fails has left nothing behind
shared     one writes, the others read; the readers are inside together
sequence   one writes two words, the others read both, again until they are of one time
combine    CPUs have their critical sections run, by whomever
give up    one takes locks, the others wait for them until they are told to stop, at any time; nothing is left behind
gate       as in recovery: CPUs let go and park, or park inside; all locks are reset, each to who is inside, or to nobody;
           one CPU may die at any step
take over  one CPU may die at any step; another takes over what it has
robust     one CPU may die at any step; who comes next is told

Each may begin with locks that have a past: see shmkret.explore.rehearsal.past.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

from shmkret import locks
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.rehearsal.alone import NONE, Alone, Past
from shmkret.explore.scenario import Broken, Outcome, Scenario, Violation
from shmkret.explore.schedule import explore
from shmkret.plugins.registry import Plugin
from shmkret.text.atomics import (
    EQ,
    NE,
    NIL,
    Words,
    exchange,
    load_acquire,
    load_relaxed,
    store_relaxed,
    store_release,
    wait_until,
)
from shmkret.text.libc import OWNER_DIED, REFUSED
from shmkret.text.verbs import has_verb

LARGEST = 200_000
"""States of one trial: what is larger is not complete."""


class Trial(NamedTuple):
    """ability: what a lock must have; empty: nothing. bystanders: the slots beside the CPUs, for recoverers."""

    ability: str
    scenario: Callable[[Alone, int, int], Scenario]
    bystanders: int = 0


def of(abilities: Collection[str]) -> list[str]:
    """The names of the trials for a lock with these abilities."""
    return [name for name, trial in TRIALS.items() if not trial.ability or trial.ability in abilities]


def sizes(name: str) -> tuple[tuple[int, int, int], ...]:
    """How large a trial is made: CPUs, rounds of each, locks."""
    return ((2, 1, 1), (2, 2, 1), (2, 1, 2), (3, 1, 1)) if TRIALS[name].bystanders else ((2, 2, 1), (3, 1, 1), (2, 2, 2))


def tried(
    plugin: Plugin,
    name: str,
    cpus: int = 2,
    rounds: int = 1,
    nr_locks: int = 1,
    limit: int = LARGEST,
    seconds: float = math.inf,
    past: Past = NONE,
    at: int = 0,
) -> Outcome:
    """A lock in one trial: `cpus` CPUs, `rounds` of taking a lock each, under every interleaving.

    past: what the locks have been through. at: the first that is taken; nobody takes those before it.
    """
    trial = TRIALS[name]
    met: set[int] = set()

    def scenario(machine: ExploredMachine) -> Scenario:
        return trial.scenario(Alone(plugin, machine, at + nr_locks, cpus + trial.bystanders, met, past, at), cpus, rounds)

    outcome = explore(scenario, limit, seconds)
    if name == "shared" and cpus > 2 and outcome.complete and 2 not in met:
        outcome.violations.append(Violation("no two readers were ever inside at once", []))
    return outcome


def turns(alone: Alone, cpu: int, rounds: int) -> list[int]:
    """The locks that a CPU takes, one after the other."""
    return [alone.at + (cpu + turn) % (alone.nr_locks - alone.at) for turn in range(rounds)]


def takes(alone: Alone, cpu: int, rounds: int) -> None:
    """Take, count, release."""
    for i in turns(alone, cpu, rounds):
        locks.acquire(alone.locks, i, cpu)
        alone.count(i, cpu)
        locks.release(alone.locks, i, cpu)


def acquire(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """Every CPU takes locks."""
    return Scenario([partial(takes, alone, cpu, rounds) for cpu in range(cpus)], lambda: alone.wrong(cpus * rounds))


def try_acquire(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """CPU 0 takes locks, the others try to."""
    won = []

    def tries(cpu: int) -> None:
        for i in turns(alone, cpu, rounds):
            if locks.try_acquire(alone.locks, i, cpu):
                alone.count(i, cpu)
                locks.release(alone.locks, i, cpu)
                won.append(cpu)

    bodies = [partial(takes, alone, 0, rounds), *(partial(tries, cpu) for cpu in range(1, cpus))]
    return Scenario(bodies, lambda: alone.wrong(rounds + len(won)))


def shared(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """CPU 0 writes, the others read."""

    def reads(cpu: int) -> None:
        for i in turns(alone, cpu, rounds):
            locks.acquire_shared(alone.locks, i, cpu)
            alone.enter(i, cpu, reader=True)
            _ = alone.counter[i]
            alone.leave(i, cpu)
            locks.release_shared(alone.locks, i, cpu)

    bodies = [partial(takes, alone, 0, rounds), *(partial(reads, cpu) for cpu in range(1, cpus))]
    return Scenario(bodies, lambda: alone.wrong(rounds))


def sequence(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """CPU 0 writes two words that race by design; the others read both."""
    first, second = alone.words("first", alone.nr_locks), alone.words("second", alone.nr_locks)

    def writes() -> None:
        for i in turns(alone, 0, rounds):
            locks.acquire(alone.locks, i, 0)
            for words in (first, second):
                store_relaxed(words, i, load_relaxed(words, i) + 1)
            locks.release(alone.locks, i, 0)

    def reads(cpu: int) -> None:
        for i in turns(alone, cpu, rounds):
            again = True
            while again:
                begun = locks.read_begin(alone.locks, i)
                seen = load_relaxed(first, i), load_relaxed(second, i)
                again = locks.read_retry(alone.locks, i, begun)
            if seen[0] != seen[1]:
                raise Broken(f"cpu {cpu} has read {seen[0]} and {seen[1]}, which are of two times, and need not read again")

    return Scenario([writes, *(partial(reads, cpu) for cpu in range(1, cpus))], alone.wrong)


class Adding(NamedTuple):
    """A critical section: add 1 to a word, and answer with what was there."""

    counter: Words

    def enter(self, _k: object, arg: int) -> int:
        """To word `arg`."""
        before = self.counter[arg]
        self.counter[arg] = before + 1
        return before


def combine(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """Every CPU has 1 added, by whomever; each addition gets an answer of its own."""
    answers: list[tuple[int, int]] = []

    def adds(cpu: int) -> None:
        for i in turns(alone, cpu, rounds):
            answers.append((i, locks.apply(alone.locks, i, cpu, Adding(alone.counter), None, i)))

    def check() -> list[str]:
        wanted = [(i, n) for i in range(alone.nr_locks) for n in range(alone.counter[i])]
        return alone.wrong(cpus * rounds) + ([] if sorted(answers) == wanted else [f"the answers were {sorted(answers)}"])

    return Scenario([partial(adds, cpu) for cpu in range(cpus)], check)


def give_up(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """CPU 0 takes locks; the others wait for them, until they are told to stop."""
    stop = alone.words("stop")
    had = []

    def waits(cpu: int) -> None:
        for i in turns(alone, cpu, rounds):
            if locks.acquire_unless(alone.locks, i, stop, cpu):
                alone.count(i, cpu)
                locks.release(alone.locks, i, cpu)
                had.append(cpu)

    bodies = [partial(takes, alone, 0, rounds), *(partial(waits, cpu) for cpu in range(1, cpus))]
    return Scenario([*bodies, partial(store_release, stop, 0, 1)], lambda: alone.wrong(rounds + len(had)))


ENDED, DIED = 1, 2


class Told(NamedTuple):
    """What CPUs and the recoverer tell one another. fate: of CPU 0, the only one that may die."""

    gate: Words
    parked: Words
    holds: Words
    fate: Words


def told(alone: Alone) -> Told:
    """All 0, for each CPU."""
    return Told(*(alone.words(name, alone.nr_slots) for name in Told._fields))


def recoverable(alone: Alone, t: Told, bodies: list[Callable[[], None]], recovers: Callable[[], None]) -> Scenario:
    """CPUs of which the first may die at any step, and one that recovers when it has."""

    def lives(body: Callable[[], None]) -> None:
        body()
        store_release(t.fate, 0, ENDED)

    def watches() -> None:
        wait_until(t.fate, 0, NE, 0)
        if load_acquire(t.fate, 0) == DIED:
            recovers()

    def announce(dead: int) -> None:
        alone.forget(dead)
        store_release(t.holds, dead, 0)
        store_release(t.parked, dead, 1)
        store_release(t.fate, dead, DIED)

    return Scenario([partial(lives, bodies[0]), *bodies[1:], watches], alone.wrong, (0,), 1, announce)


def parks(t: Told, cpu: int) -> None:
    """Until the gate is open. It may close again at once: whoever comes from here looks again."""
    exchange(t.parked, cpu, 1)
    wait_until(t.gate, 0, EQ, 0)
    exchange(t.parked, cpu, 0)


def passes(alone: Alone, t: Told, rounds: int, cpu: int) -> None:
    """As takes(), where locks may be reset at any time; inside one, the CPU says so and parks."""
    for i in turns(alone, cpu, rounds):
        while load_acquire(t.gate, 0) != 0 or not locks.acquire_unless(alone.locks, i, t.gate, cpu):
            parks(t, cpu)
        alone.enter(i, cpu)
        alone.counter[i] = alone.counter[i] + 1
        store_release(t.holds, cpu, 1 + i)
        while load_acquire(t.gate, 0) != 0:
            parks(t, cpu)
        store_release(t.holds, cpu, 0)
        alone.leave(i, cpu)
        locks.release(alone.locks, i, cpu)
    exchange(t.parked, cpu, 1)


def resets(alone: Alone, t: Told, cpus: int) -> None:
    """Close the gate, wait until everybody has parked, reset all locks, open it."""
    exchange(t.gate, 0, 1)
    for cpu in range(cpus):
        wait_until(t.parked, cpu, NE, 0)
    holders = {load_acquire(t.holds, cpu): cpu for cpu in range(cpus)}
    if has_verb(alone.locks, "reset_cpu"):
        for cpu in range(alone.nr_slots):
            locks.reset_cpu(alone.locks, cpu)
    for i in range(alone.nr_locks):
        locks.reset(alone.locks, i, holders.get(1 + i, NIL))
    exchange(t.gate, 0, 0)


def gate(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """The gate is closed once, at any time, and nobody dies."""
    t = told(alone)
    bodies = [*(partial(passes, alone, t, rounds, cpu) for cpu in range(cpus)), partial(resets, alone, t, cpus)]
    return Scenario(bodies, lambda: alone.wrong(cpus * rounds))


def repair(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """The gate is closed when CPU 0 has died, as a holder or as one who waits."""
    t = told(alone)
    return recoverable(
        alone, t, [partial(passes, alone, t, rounds, cpu) for cpu in range(cpus)], partial(resets, alone, t, cpus)
    )


def take_over(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """The recoverer has every lock that the dead had; then it lets go of them, and wakes everybody."""

    def recovers() -> None:
        me = alone.nr_slots - 1
        taken = [i for i in range(alone.nr_locks) if locks.take_over(alone.locks, i, 0, me)]
        for i in taken:
            alone.count(i, me)
        for i in range(alone.nr_locks):
            if i in taken:
                locks.release(alone.locks, i, me)
            locks.wake_all(alone.locks, i)

    return recoverable(alone, told(alone), [partial(takes, alone, cpu, rounds) for cpu in range(cpus)], recovers)


def robust(alone: Alone, cpus: int, rounds: int) -> Scenario:
    """Whoever comes next is told, the recoverer at the latest."""

    def count(i: int, cpu: int, status: int) -> None:
        if status == OWNER_DIED and not alone.dead:
            raise Broken(f"cpu {cpu} has lock {i}, of which it is said that its owner died; nobody has")
        if status != OWNER_DIED and i in alone.orphaned:
            raise Broken(f"cpu {cpu} has lock {i}, in which another died, and is not told")
        alone.orphaned.discard(i)
        alone.count(i, cpu)
        locks.release(alone.locks, i, cpu)

    def lives(cpu: int) -> None:
        for i in turns(alone, cpu, rounds):
            count(i, cpu, locks.acquire_robust(alone.locks, i, cpu))

    def recovers() -> None:
        me = alone.nr_slots - 1
        for i in range(alone.nr_locks):
            status = locks.try_acquire_robust(alone.locks, i, me)
            if status != REFUSED:
                count(i, me, status)

    return recoverable(alone, told(alone), [partial(lives, cpu) for cpu in range(cpus)], recovers)


TRIALS: dict[str, Trial] = {
    "acquire": Trial("", acquire),
    "try": Trial("try", try_acquire),
    "shared": Trial("shared", shared),
    "sequence": Trial("sequence", sequence),
    "combine": Trial("combine", combine),
    "give up": Trial("owner", give_up),
    "gate": Trial("gate", gate, 1),
    "repair": Trial("gate", repair, 1),
    "take over": Trial("owner", take_over, 1),
    "robust": Trial("robust", robust, 1),
}
