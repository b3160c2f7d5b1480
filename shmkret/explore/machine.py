"""The explored machine: the same functions under a scheduler that tries every interleaving.

Each CPU is a greenlet. Every access to a shared word, and every step of a lock, is a scheduling point: the CPU says what it
is about to do and hands control to the scheduler (shmkret.explore.run), which goes on with any CPU whose step is possible. A
state is the contents of all words, the private ones that the dead had used, who sleeps, and, for each CPU, everything that it
has read so far, which determines where its code stands.

Model     sequential consistency, of load_relaxed() and store_relaxed(), too. Text without races, whose locks are right on the
          machine that runs it, has no other outcomes there: races are reported. Whether a lock is right is shown for a machine
          without reordering alone. Two kinds of wrong locks are explored as if they were right: one whose release() ends in
          store_relaxed(), which Arm may show before what the lock protects; and one that relies on a store_release() being
          seen before a later load_acquire() of another word (Peterson, Dekker), which x86 and Arm both break: use exchange().
libc      see shmkret.explore.libc.
Time      see shmkret.explore.clock. cpu_relax() is no step, and takes no time
Limits    private words (a CPU's record, a task, its stack) are no scheduling points; that one CPU alone uses each is checked,
          but not against the announcement of a death. A CPU that does LONGEST_RUN steps in one run is a violation: a spin
          without a bound would be explored for ever. One that does no step is left, see shmkret.explore.bounded
Unseen    a step of a CPU on a word of its own that another's wait looks at without saying so; what alone() does in a CPU's
          code beside others; what the dead left in Python objects; a futex that wakes for no reason, and the low 32 bits that
          it compares. A death runs a `finally`, which SIGKILL does not, up to its first access
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import greenlet

from shmkret.explore.bounded import RunsOn, leave
from shmkret.explore.clock import Clock
from shmkret.explore.cpus import Cpu, Memory, Place
from shmkret.explore.libc import MODELS, NotExplorable
from shmkret.text import arithmetic, atomics

LONGEST_RUN = 3_000
"""Steps of one CPU in one run."""
LONGEST_CALL = 1_000_000
"""Accesses outside a search, each of which finds nobody else."""
MOST_ENDS = 100
"""How often a CPU that was ended may do a step more: `finally` does."""


class Step(NamedTuple):
    """What a CPU is about to do: `kind` of access to the word `place`, possible now or not. places: that word, and others that
    are looked at in the same step. changes: the word, or who sleeps on it. elsewhere: it looks at more than its places.
    """

    kind: str
    place: Place
    places: tuple[Place, ...]
    writes: bool
    plain: bool
    changes: bool
    elsewhere: bool
    possible: Callable[[], bool] | None = None

    def commutes_with(self, other: Step) -> bool:
        """Whether the two, of different CPUs, lead to the same state in either order, and neither hinders the other."""
        if self.elsewhere or other.elsewhere:
            return False
        return not (self.changes and self.place in other.places) and not (other.changes and other.place in self.places)


class ExploredWords:
    """A column whose words the scheduler watches; `private` ones it does not."""

    def __init__(self, machine: ExploredMachine, column: str, values: Sequence[int], private: bool) -> None:
        self.column = column
        self.values = list(values)
        self.private = private
        self.nobodys: Collection[int] = ()
        """Words that one CPU at most will use, and that it is not worth to interleave."""
        self._machine = machine

    def __getitem__(self, i: int) -> int:
        return self._machine.access("load", self, i, writes=False, plain=True)

    def __setitem__(self, i: int, value: int) -> None:
        self._machine.access("store", self, i, writes=True, plain=True)
        self.values[i] = value


class WaitsForever(Exception):
    """Outside a search, a CPU waits for what nobody can do any more."""


class ExploredMachine:
    """Executes the text step by step: one run of one schedule."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.cpus: list[Cpu] = []
        self._memory = memory or Memory()
        self._columns: dict[str, ExploredWords] = {}
        self._addresses: dict[int, tuple[ExploredWords, int]] = {}
        self._scheduler: greenlet.greenlet | None = None
        self._road: Sequence[int] = ()
        self._done = 0
        self._private: dict[Place, tuple[greenlet.greenlet | None, bool]] = {}
        self._left: set[Place] = set()
        self._alone = 0
        self._most_alone = LONGEST_CALL
        self._clock = Clock()
        self._announces = False
        self._accessed: dict[Place, dict[greenlet.greenlet, bool]] = {}
        self.contended: set[Place] = set()
        """Places that two CPUs alive at once were seen to use, or to be about to, one of them writing."""
        self.announced: set[Place] = set()
        """Places that were used from outside, as a CPU died."""
        self._sleepers: list[tuple[str, int, greenlet.greenlet]] = []

    def words(self, column: str, values: Sequence[int], private: bool = False) -> ExploredWords:
        """A new column. Columns have different names."""
        words = self._columns[column] = ExploredWords(self, column, values, private)
        return words

    @property
    def columns(self) -> Mapping[str, ExploredWords]:
        """All of them, by name."""
        return self._columns

    def column(self, name: str) -> ExploredWords | None:
        """The column of that name, if there is one."""
        return self._columns.get(name)

    def access(
        self,
        kind: str,
        words: Any,
        i: int,
        *,
        writes: bool,
        plain: bool = False,
        possible: Callable[[], bool] | None = None,
        stop: Any = None,
        queues: bool = False,
        local: bool = False,
    ) -> int:
        """One step of the running CPU: hand it to the scheduler, come back when it may be done; returns the word as it is.

        stop: a column whose first word is looked at in the same step. queues: who sleeps on the word may be others after it.
        local: whether it is possible depends on these words, and who sleeps on them, alone; not said, it is taken to commute
        with nothing. Outside a search, and for private words, it is no step.
        """
        values = words.values
        if not 0 <= i < len(values):
            raise IndexError(f"{kind} of {words.column}[{i}], of which there are {len(values)}")
        place = words.column, i
        if self._scheduler is None:
            self._alone += 1
            me = greenlet.getcurrent()
            if isinstance(me, Cpu) and me.ended:
                self._goes_on(me)
            if self._announces:
                self.announced.add(place)
                if writes:
                    self._memory.places[place] = None
            if possible is not None and not possible():
                raise WaitsForever(f"{kind} of {words.column}[{i}], which is {values[i]}")
            if self._alone > self._most_alone:
                raise WaitsForever(f"{kind} of {words.column}[{i}], which is {values[i]}, after {LONGEST_CALL:,} accesses")
        elif (words.private or i in words.nobodys) and place not in self._left:
            self._check_private(place, writes)
        else:
            me = greenlet.getcurrent()
            if me.steps > LONGEST_RUN:
                raise NotExplorable(
                    f"{me.name} spins: {kind} of {words.column}[{i}] after {me.steps:,} steps in one run; "
                    "wait with wait_until(), or spin less often"
                )
            places = (place,) if stop is None else (place, (stop.column, 0))
            # Who waits for ever never does the step, and yet another's step on the word may come too early for it.
            self._use(me, place, writes or queues)
            for other in places[1:]:
                self._use(me, other, False)
            if self._done < len(self._road) and self._road[self._done] == me.number:
                self._done += 1  # the road goes on with the same CPU
            else:
                elsewhere = possible is not None and not local
                self._scheduler.switch(Step(kind, place, places, writes, plain, writes or queues, elsewhere, possible))
            if writes:
                self._memory.places[place] = None
            # The values read, one a step, stand for the CPU's local variables and its place in the code.
            me.steps += 1
            pasts = self._memory.pasts
            me.past = pasts.setdefault((me.past, int(values[i])), len(pasts) + 1)
        return int(values[i])

    @property
    def accesses(self) -> int:
        """How many there were, on shared words or outside a search."""
        return self._alone + sum(cpu.steps for cpu in self.cpus)

    def begin_call(self) -> None:
        """Outside a search: what is done next has LONGEST_CALL accesses of its own."""
        self._most_alone = self._alone + LONGEST_CALL

    def _goes_on(self, cpu: Cpu) -> None:
        """A CPU that was ended is about to do a step."""
        cpu.ends += 1
        if cpu.ends <= MOST_ENDS:
            raise greenlet.GreenletExit
        leave(cpu)
        cpu.parent.throw(RunsOn(f"{cpu.name} catches what ends it, and goes on"))

    def learn(self, answer: int) -> None:
        """The running CPU has in this step learned more than the word says: who lives."""
        if self._scheduler is not None:
            me, pasts = greenlet.getcurrent(), self._memory.pasts
            me.past = pasts.setdefault((me.past, answer), len(pasts) + 1)

    def _use(self, me: greenlet.greenlet, place: Place, changes: bool) -> None:
        """A CPU is about to use a shared word, or who sleeps on it."""
        if place in self.contended:
            return
        users = self._accessed.setdefault(place, {})
        users[me] = users.get(me, False) or changes
        if len(users) > 1 and any(users.values()):
            self.contended.add(place)

    def _check_private(self, place: Place, writes: bool) -> None:
        me = greenlet.getcurrent()
        owner, wrote = self._private.get(place, (me, False))
        if owner is not me:
            owner = None  # several read it
            if writes or wrote:
                raise NotExplorable(f"{place} is private to one CPU, and two use it")
        self._private[place] = owner, wrote or writes

    def state(self) -> tuple[Any, ...]:
        """Everything that the future depends on; to be compared with those of the same memory."""
        columns = self._columns
        shared = tuple([columns[column].values[i] if column in columns else 0 for column, i in self._memory.places])
        asleep = tuple((column, i, cpu.number) for column, i, cpu in self._sleepers) if self._sleepers else ()
        return asleep, frozenset(self._left), shared, tuple([None if cpu.killed else cpu.past for cpu in self.cpus])

    def start(self, bodies: Sequence[Callable[[], None]]) -> None:
        """A CPU for each body, not yet run."""
        self._scheduler = greenlet.getcurrent()
        self.cpus = [Cpu(number, body) for number, body in enumerate(bodies)]

    def go_along(self, road: Sequence[int]) -> Iterator[tuple[int, Step | None]]:
        """The steps of a road, those of one CPU in a row at once; yields the CPU, and what it is about to do then. A number
        below 0 is no CPU's, and yielded as it is.
        """
        self._road, self._done = road, 0
        while self._done < len(road):
            choice = road[self._done]
            self._done += 1
            if choice >= 0 and self.cpus[choice].dead:
                raise NotExplorable(f"cpu {choice} has ended sooner than before: the scenario does not do the same each time")
            yield choice, self.cpus[choice].switch() if choice >= 0 else None

    def kill(self, number: int) -> None:
        """SIGKILL: it does nothing more, and what it alone used is a shared word from now on: several may finish its move."""
        cpu = self.cpus[number]
        scheduler, self._scheduler = self._scheduler, None
        cpu.ended = True
        cpu.throw()
        self._scheduler = scheduler
        cpu.killed = True
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[2] is not cpu]
        # What it alone has written is now part of the state: its own past no longer stands for it.
        self._memory.places |= {place: None for place, (owner, wrote) in self._private.items() if owner is cpu and wrote}
        self._left |= {place for place, (owner, _) in self._private.items() if owner is cpu}
        for users in self._accessed.values():
            users.pop(cpu, None)

    def alone(self, act: Callable[[], None]) -> None:
        """Do something in one step, while every CPU stands still."""
        scheduler, self._scheduler, self._announces = self._scheduler, None, True
        try:
            act()
        finally:
            self._scheduler, self._announces = scheduler, False

    def stop(self) -> None:
        """End every CPU: a suspended greenlet keeps its frames alive."""
        self._scheduler = None
        on: list[RunsOn] = []
        for cpu in self.cpus:
            cpu.ended = True
            try:
                if not cpu.dead and not cpu.left:
                    cpu.throw()
            except RunsOn as error:
                on.append(error)
        if on:
            raise on[0]

    def load_relaxed(self, words: Any, i: int) -> int:
        return self.access("load_relaxed", words, i, writes=False)

    def store_relaxed(self, words: Any, i: int, value: int) -> None:
        self.access("store_relaxed", words, i, writes=True)
        words.values[i] = value

    def fence(self) -> None:
        """Nothing: every access is in order already."""

    def load_acquire(self, words: Any, i: int) -> int:
        return self.access("load_acquire", words, i, writes=False)

    def store_release(self, words: Any, i: int, value: int) -> None:
        self.access("store_release", words, i, writes=True)
        words.values[i] = value

    def exchange(self, words: Any, i: int, value: int) -> int:
        before = self.access("exchange", words, i, writes=True)
        words.values[i] = value
        return before

    def fetch_add(self, words: Any, i: int, value: int) -> int:
        before = self.access("fetch_add", words, i, writes=True)
        words.values[i] = arithmetic.add64(before, value)
        return before

    def cmpxchg(self, words: Any, i: int, old: int, new: int) -> int:
        before = self.access("cmpxchg", words, i, writes=True)
        if before == old:
            words.values[i] = new
        return before

    def wait_until(self, words: Any, i: int, relation: int, value: int) -> None:
        def holds() -> bool:
            return bool((words.values[i] == value) == (relation == atomics.EQ))

        self.access("wait_until", words, i, writes=False, possible=holds, local=True)

    def wait_unless(self, words: Any, i: int, relation: int, value: int, stop: Any) -> bool:
        def holds() -> bool:
            return bool((words.values[i] == value) == (relation == atomics.EQ))

        def may_go_on() -> bool:
            return holds() or bool(stop.values[0] != 0)

        self.access("wait_unless", words, i, writes=False, possible=may_go_on, stop=stop, local=True)
        return holds()

    def futex_wait(self, words: Any, i: int, value: int) -> None:
        before = self.access("futex_wait", words, i, writes=False, queues=True)
        if before != value:
            return
        sleeper = (words.column, i, greenlet.getcurrent())
        self._sleepers.append(sleeper)
        self.access("asleep", words, i, writes=False, possible=lambda: sleeper not in self._sleepers, local=True)

    def futex_wake(self, words: Any, i: int, most: int) -> None:
        self.access("futex_wake", words, i, writes=False, queues=True)
        woken = [sleeper for sleeper in self._sleepers if sleeper[:2] == (words.column, i)][:most]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper not in woken]

    def address_of(self, words: Any, i: int) -> int:
        address = hash((words.column, i))
        self._addresses[address] = (words, i)
        return address

    def monotonic_ns(self) -> int:
        me = greenlet.getcurrent()
        asks = sys._getframe(2)  # behind shmkret.text.atomics
        return me.clock.read(me.steps, asks) if isinstance(me, Cpu) else self._clock.read(self._alone, asks)

    def delay_ns(self, ns: int) -> None:
        me = greenlet.getcurrent()
        (me.clock if isinstance(me, Cpu) else self._clock).delay(ns)

    def cpu_relax(self) -> None:
        """Nothing: a bounded spin ends by itself."""

    def libc(self, name: str, *args: Any) -> Any:
        """A call of shmkret.text.libc, as its model has it."""
        return MODELS[name](self, *args)

    def word_at(self, address: int) -> tuple[ExploredWords, int]:
        """The word that address_of() was asked for."""
        return self._addresses[address]

    def new_word(self, name: str, value: int) -> int:
        """The address of a word of its own."""
        return self.address_of(self.words(f"{name} {len(self._columns)}", [value]), 0)

    def number_of_running(self) -> int:
        """1 + the number of the CPU that runs; 1 outside a search."""
        running = greenlet.getcurrent()
        return 1 + (running.number if isinstance(running, Cpu) else 0)

    def is_owned(self, word: int) -> bool:
        """Whether a word that names a CPU by number_of_running() names one that lives: it may have ended its code."""
        return word != 0 and not (self.cpus and self.cpus[word - 1].killed)
