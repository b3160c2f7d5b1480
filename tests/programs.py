"""Programs of a few steps, as numbers: one function of the text does them, so that one compiled loop, and one greenlet a CPU,
run them all.

    [[("store", X, 1), ("load", Y)], [("store", Y, 1), ("load", X)]]      one list a CPU: what it does, where, with which value
"""

from typing import NamedTuple

import numpy as np

from shmkret.explore.scene import SC, Scene
from shmkret.explore.stacks import control
from shmkret.explore.stacks.executor import Stacks, words_at
from shmkret.explore.stacks.looked_at import LookedAt
from shmkret.machines.compiled import watched
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.text import libc
from shmkret.text.atomics import (
    EQ,
    NE,
    address_of,
    cmpxchg,
    exchange,
    fence,
    fetch_add,
    futex_wait,
    futex_wake,
    load_acquire,
    load_relaxed,
    monotonic_ns,
    store_relaxed,
    store_release,
    wait_unless,
    wait_until,
)
from shmkret.text.marks import inline

from .worlds import build_of

NR_CPUS = 4
"""CPUs of a search; who has nothing to do has ended at once."""
LENGTH = 10
"""The most operations of a CPU."""
WIDTH = 4
STACK_WORDS = 64
NR_WORDS = 6
X, Y, Z, W, MUTEX, ROBUST = range(NR_WORDS)
"""Words that all share; X is the word that ends a wait; the last two are mutexes."""
ROBUST_KIND = 16

NAMES = (
    "end", "read", "write", "load", "store", "load relaxed", "store relaxed", "exchange", "add", "cmpxchg", "wait", "wait not",
    "wait unless", "wait not unless", "sleep", "wake", "down", "up", "try down", "down unless", "lock", "try lock",
    "lock unless",
    "unlock", "robust", "try robust", "unlock robust", "reset", "fence", "clock", "own", "read own", "write own", "outside",
    "divide", "hold", "again", "unless seen", "init", "down own", "look", "run", "tell", "down named", "up named", "beside",
    "forget",
)  # fmt: skip
(
    END, READ, WRITE, LOAD, STORE, LOAD_RELAXED, STORE_RELAXED, EXCHANGE, ADD, CMPXCHG, WAIT, WAIT_NOT,
    WAIT_UNLESS, WAIT_NOT_UNLESS, SLEEP, WAKE, DOWN, UP, TRY_DOWN, DOWN_UNLESS, LOCK, TRY_LOCK, LOCK_UNLESS,
    UNLOCK, ROBUST_LOCK, TRY_ROBUST, UNLOCK_ROBUST, RESET, FENCE, CLOCK, OWN, READ_OWN, WRITE_OWN, OUTSIDE,
    DIVIDE, HOLD, AGAIN, UNLESS_SEEN, INIT, DOWN_OWN, LOOK, RUN, TELL, DOWN_NAMED, UP_NAMED, BESIDE,
    FORGET,
) = range(len(NAMES))  # fmt: skip


@inline
def run_program(k, cpu):
    """What CPU `cpu` does; of who announces, what row NR_CPUS + i says."""
    words = k.buckets.first
    first = LENGTH * WIDTH * cpu
    at = first
    seen = 0
    answers = 0
    mine = STACK_WORDS * (cpu % NR_CPUS)
    while True:
        op = k.script.word[at]
        if op == END:
            break
        i = k.script.word[at + 1]
        v = k.script.word[at + 2]
        w = k.script.word[at + 3]
        at += WIDTH
        if op < EXCHANGE:
            if op == READ:
                seen = words[i]
            elif op == WRITE:
                words[i] = v
            elif op == LOAD:
                seen = load_acquire(words, i)
            elif op == STORE:
                store_release(words, i, v)
            elif op == LOAD_RELAXED:
                seen = load_relaxed(words, i)
            else:
                store_relaxed(words, i, v)
        elif op < WAIT:
            if op == EXCHANGE:
                seen = exchange(words, i, v)
            elif op == ADD:
                seen = fetch_add(words, i, v)
            else:
                seen = cmpxchg(words, i, v, w)
        elif op < DOWN:
            if op == WAIT:
                wait_until(words, i, EQ, v)
            elif op == WAIT_NOT:
                wait_until(words, i, NE, v)
            elif op == WAIT_UNLESS:
                seen = 1 if wait_unless(words, i, EQ, v, words) else 0
            elif op == WAIT_NOT_UNLESS:
                seen = 1 if wait_unless(words, i, NE, v, words) else 0
            elif op == SLEEP:
                futex_wait(words, i, v)
            else:
                futex_wake(words, i, v)
        elif op < LOCK:
            if op == DOWN:
                libc.sem_wait(address_of(words, i))
            elif op == UP:
                libc.sem_post(address_of(words, i))
            elif op == TRY_DOWN:
                seen = 1 if libc.sem_trywait(address_of(words, i)) else 0
            else:
                seen = 1 if libc.sem_wait_unless(address_of(words, i), words) else 0
        elif op < RESET:
            if op == LOCK:
                libc.mutex_lock(address_of(words, i))
                seen = 1
            elif op == TRY_LOCK:
                seen = 1 if libc.mutex_trylock(address_of(words, i)) else 0
            elif op == LOCK_UNLESS:
                seen = 1 if libc.mutex_lock_unless(address_of(words, i), words) else 0
            elif op == UNLOCK:
                libc.mutex_unlock(address_of(words, i))
            elif op == ROBUST_LOCK:
                seen = libc.robust_lock(address_of(words, i))
            elif op == TRY_ROBUST:
                seen = libc.robust_trylock(address_of(words, i))
            else:
                libc.robust_unlock(address_of(words, i))
        elif op < DIVIDE:
            if op == RESET:
                libc.sem_reset(address_of(words, i), v)
            elif op == FENCE:
                fence()
            elif op == CLOCK:
                seen = monotonic_ns()
            elif op == OWN:
                k.stack.word[mine + 32] = k.stack.word[mine + 32] * 3 + v
            elif op == READ_OWN:  # of CPU i
                seen = k.stack.word[STACK_WORDS * i + 32]
            elif op == WRITE_OWN:
                k.stack.word[STACK_WORDS * i + 32] = v
            else:
                seen = words[i]
        elif op == DIVIDE:
            seen = v // seen
        elif op == HOLD:
            seen = _held(words, i, v)
        elif op == AGAIN:  # to operation i of its own, v times
            if answers < v:
                at = first + WIDTH * i
        elif op == UNLESS_SEEN:  # to operation i of its own, unless v was seen
            if seen != v:
                at = first + WIDTH * i
        elif op == INIT:
            libc.mutex_init(address_of(words, i))
        elif op == DOWN_OWN:
            libc.sem_wait(address_of(k.stack.word, mine + 40))
        elif op == LOOK:  # for ever at a word of its own
            while k.stack.word[mine + 32] == 0:
                pass
        elif op == RUN:  # v accesses to a word of its own
            for _ in range(v):
                k.stack.word[mine + 48] = 1
        elif op == TELL:
            store_release(words, i, seen)
        elif op == DOWN_NAMED:
            libc.sem_wait(i)
        elif op == UP_NAMED:
            libc.sem_post(i)
        elif op == FORGET:  # all that it has seen
            for j in range(answers):
                k.stack.word[mine + (j & 31)] = 0
            seen = 0
        else:
            libc.sem_post(address_of(words, i) + 4)
        if cpu < NR_CPUS and op != AGAIN and op != UNLESS_SEEN:
            k.stack.word[mine + (answers & 31)] = seen
            answers += 1


@inline
def _held(words, i, v):
    """Sixteen numbers that live across steps, more than there are registers."""
    a, b, c, d = v + 1, v * 3, v ^ 77, v - 5
    e, f, g, h = v * 7, v + 11, v * 13, v - 17
    x, y = v * 0.5, v * 0.25
    s = load_acquire(words, i)
    a, b, c, d, e, f, g, h = a + s, b - s, c ^ s, d * (s + 1), e + b, f + c, g + d, h + a
    x, y = x + s, y - s
    t = load_acquire(words, i)
    a, b, c, d, e, f, g, h = h + t, a - t, b ^ t, c + t, d - t, e ^ t, f + t, g - t
    x, y = x * 2.0 + t, y * 4.0 - t
    u = load_acquire(words, i)
    return a + 3 * b + 5 * c + 7 * d + 11 * e + 13 * f + 17 * g + 19 * h + int(x) + int(y) + 1000 * s + 10_000 * t + 100_000 * u


def script_of(program, announcements=()):
    """The words that run_program() reads."""
    script = np.zeros((2 * NR_CPUS, LENGTH * WIDTH), np.int64)
    for row, operations in [*enumerate(program), *enumerate(announcements, NR_CPUS)]:
        flat = [number for name, *values in operations for number in (NAMES.index(name), *values, *[0] * (3 - len(values)))]
        assert len(flat) < LENGTH * WIDTH
        script[row, : len(flat)] = flat
    return script.reshape(-1)


def make(arena):
    """What words are at first: 0, a mutex that is free, a robust one."""
    arena.records("buckets")["first"] = 0
    section = arena.sections["buckets"]
    place = section.offset + ROBUST * section.stride
    arena._map[place + 16 : place + 24] = ROBUST_KIND.to_bytes(8, "little")


def scene(program=(), announcements=(), mortal=(), deaths=0, prepare=make, check=lambda *_: []):
    """A scene of a program."""
    world = World(build_of(nr_cpus=NR_CPUS), Sizes(maxactive=2), script_of(program, announcements))
    announces = bool(announcements)
    return Scene("programs", world, run_program, NR_CPUS, (), mortal, deaths, announces, prepare=prepare, check=check)


class Found(NamedTuple):
    """What a search has found. ends: what each CPU has seen, and what X, Y, Z, W and the mutexes are then. wrong: sentences.
    told: how many ends it came back with.
    """

    ends: set
    wrong: list
    told: int

    @property
    def seen(self):
        """What the CPUs have seen at the ends."""
        return {seen for seen, _ in self.ends}

    @property
    def words(self):
        """What X, Y, Z and W are at the ends."""
        return {words[:4] for _, words in self.ends}


def LOOK_AT_WORDS(arena):  # noqa: N802
    """What the check of an end looks at, unless a test says otherwise."""
    return arena.records("buckets")["first"]


class Programs:
    """A search for any program: the same stacks, begun anew."""

    def __init__(self, *, reduced=False, monitors=(), model=SC):
        self.looks = LOOK_AT_WORDS
        self.stacks = Stacks(scene(check=self._check), 1 << 16, reduced=reduced, monitors=monitors, model=model)
        section = self.stacks.arena.sections["buckets"]
        self._places = [(section.offset + i * section.stride) // 8 for i in range(NR_WORDS)]
        self._all = np.frombuffer(self.stacks.arena._bytes, np.int64)

    def _check(self, _, arena):
        self.looks(arena)
        return []

    def load(self, program, announcements=(), first=()):
        """The next search is of that program; `first`: what words are then."""
        stacks = self.stacks
        arena = stacks.arena
        arena.records("script")["word"] = script_of(program, announcements)
        arena.records("buckets")["first"] = 0
        arena.records("buckets")["first"][: len(first)] = first
        arena.records("stack")["word"] = 0
        stacks._first = bytes(arena._map)
        stacks._shared.clear()
        stacks._looked_at = LookedAt()
        words_at(stacks._users, arena.size // 8)[:] = 0
        stacks._set({control.MORTAL: 0, control.DEATHS: 0, control.STOPS: 0})

    def words(self):
        """X to ROBUST as they are."""
        return tuple(self._all[self._places].tolist())

    def seen(self, cpu, nr):
        """What a CPU has seen; None of who is dead, or has stopped."""
        if self.stacks.pending(cpu).kind in ("dead", "stopped", "stopped, asleep"):
            return None
        return tuple(self.stacks.arena.records("stack")["word"][STACK_WORDS * cpu :][:nr].tolist())

    def find(self, program, announcements=(), first=(), mortal=(), deaths=1, **values):
        """All that a search finds, beyond what is wrong as well. values: words of the control block."""
        self.load(program, announcements, first)
        stacks = self.stacks
        values = {"every": 1, **values, "mortal": sum(1 << cpu for cpu in mortal), "deaths": deaths}
        while True:
            stacks.begin(**values, announces=int(bool(announcements)))
            found = Found(set(), [], 0)
            while (status := stacks.descend(1 << 40)) != control.FINISHED:
                if status == control.BROKEN and stacks.culprit()[1] == watched.NOT_PRIVATE:
                    stacks.share({stacks.culprit()[2]})
                    break
                if status == control.LEARNED:
                    break
                if status in (control.FULL, control.TOO_DEEP):
                    return found._replace(wrong=["full" if status == control.FULL else "too deep"])
                if status == control.AT_END:
                    stacks.check()
                    if half_done := stacks.half_done():
                        stacks.share(half_done)
                        break
                    seen = tuple(self.seen(cpu, len(one)) for cpu, one in enumerate(program))
                    found.ends.add((seen, self.words()))
                    found = found._replace(told=found.told + 1)
                elif status != control.AT_STATE:
                    found.wrong.append(stacks.describe(status))
            else:
                return found
