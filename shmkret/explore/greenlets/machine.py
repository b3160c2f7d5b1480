"""The explored machine: the same functions under a scheduler that tries every interleaving.

Each CPU is a greenlet. Every access to a shared word, and every step of a lock, is a scheduling point: the CPU says what it
is about to do and hands control to the scheduler, shmkret.explore.greenlets.run, which goes on with any CPU whose step is
possible. A state is the contents of all words, the private ones that the dead had used, who sleeps, and, for each CPU, all
that its code has been told so far, which determines where it stands.

Model     sequential consistency, of load_relaxed() and store_relaxed(), too. Text without races, whose locks are right on the
          machine that runs it, has no other outcomes there: races are reported. Whether a lock is right is shown for a machine
          without reordering alone. Two kinds of wrong locks are explored as if they were right: one whose release() ends in
          store_relaxed(), which Arm may show before what the lock protects; and one that relies on a store_release() being
          seen before a later load_acquire() of another word (Peterson, Dekker), which x86 and Arm both break: use exchange().
libc      see shmkret.explore.greenlets.promises: for each call, what may happen, and what is tried.
Time      see shmkret.explore.greenlets.clock. cpu_relax() is no step, and takes no time
Limits    private words (a CPU's record, a task, its stack) are no scheduling points; that one CPU alone uses each is checked,
          but not against the announcement of a death. A CPU that does LONGEST_RUN steps in one run is a violation: a spin
          without a bound would be explored for ever. One that does no step is left, see shmkret.explore.greenlets.bounded
Unseen    a step of a CPU on a word of its own that another's wait looks at without saying so; what alone() does in a CPU's
          code beside others; what the dead left in Python objects
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import greenlet

from shmkret.explore.greenlets import futex, line
from shmkret.explore.greenlets.bounded import RunsOn
from shmkret.explore.greenlets.clock import Clock
from shmkret.explore.greenlets.column import ExploredWords
from shmkret.explore.greenlets.cpu import Cpu, Memory, WaitsForever
from shmkret.explore.greenlets.libc import MODELS, NotExplorable, wait_or_stop
from shmkret.explore.greenlets.steps import MOST_CPUS, Place, Step, cpu_of, way_of
from shmkret.text import arithmetic, atomics

LONGEST_RUN = 3_000
"""Steps of one CPU in one run."""
LONGEST_CALL = 1_000_000
"""Accesses outside a search, each of which finds nobody else."""


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
        self.sleepers = futex.Sleepers()
        self.may_die = False
        """Whether CPUs may die in this run."""
        self.robust: dict[Place, ExploredWords] = {}
        """The robust mutexes that somebody has used."""
        self.entering: dict[int, Place] = {}
        """By 1 + the CPU: the robust mutex that it has slept for, and does not have yet."""
        self.way = 0
        """That in which the last step was done, of those that it has."""

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
        ways: Callable[[], Sequence[int]] | None = None,
        stop: Any = None,
        queues: bool = False,
        local: bool = False,
        learns: bool = True,
    ) -> int:
        """One step of the running CPU: hand it to the scheduler, come back when it may be done; returns the word as it is.

        ways: those in which it can be done now, none where it is not possible; self.way is the one that was taken.
        stop: a column whose first word is looked at in the same step. queues: who sleeps on the word may be others after it.
        local: whether it is possible depends on these words, and who sleeps on them, alone; not said, it is taken to commute
        with nothing. learns: whether the code is told what the word is. Outside a search, and for private words, it is no step.
        """
        values: list[int] = words.values
        if not 0 <= i < len(values):
            raise IndexError(f"{kind} of {words.column}[{i}], of which there are {len(values)}")
        place = words.column, i
        if self._scheduler is None:
            self._alone += 1
            me = greenlet.getcurrent()
            if isinstance(me, Cpu) and me.ended:
                me.begins_a_step()
            if self._announces:
                self.announced.add(place)
                if writes:
                    self._memory.places[place] = None
            if possible is not None or ways is not None:
                self._by_itself(kind, words, i, possible, ways)
            if self._alone > self._most_alone:
                raise WaitsForever(f"{kind} of {words.column}[{i}], which is {values[i]}, after {LONGEST_CALL:,} accesses")
        elif (words.private or i in words.nobodys) and place not in self._left and stop is None:
            self._check_private(place, writes)
            if possible is not None or ways is not None:
                self._by_itself(kind, words, i, possible, ways)
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
                self.way = 0
            else:
                elsewhere = not local and not (possible is None and ways is None)
                step = Step(kind, place, places, writes, plain, writes or queues, elsewhere, possible, ways)
                self.way = self._scheduler.switch(step)
            if writes:
                self._memory.places[place] = None
            # What it was told, at each step, stands for the CPU's local variables and its place in the code.
            me.steps += 1
            pasts = self._memory.pasts
            me.past = pasts.setdefault((me.past, values[i] if learns else 0), len(pasts) + 1)
        return values[i]  # as_word() has made each a plain number

    def _by_itself(
        self, kind: str, words: Any, i: int, possible: Callable[[], bool] | None, ways: Callable[[], Sequence[int]] | None
    ) -> None:
        """An access that nobody else comes between. Raises: WaitsForever, where it waits for what nobody else can do."""
        choices = [0] if ways is None else ways()
        if not choices or (possible is not None and not possible()):
            alone = "" if self._scheduler is None else "deadlock: nobody else writes what a CPU waits for: "
            raise WaitsForever(f"{alone}{kind} of {words.column}[{i}], which is {words.values[i]}")
        self.way = choices[0]

    @property
    def accesses(self) -> int:
        """How many there were, on shared words or outside a search."""
        return self._alone + sum(cpu.steps for cpu in self.cpus)

    def begin_call(self) -> None:
        """Outside a search: what is done next has LONGEST_CALL accesses of its own."""
        self._most_alone = self._alone + LONGEST_CALL

    def learn(self, answer: int) -> None:
        """The running CPU has in this step learned more than the word says: who lives, or why it goes on."""
        if self._scheduler is not None:
            me, pasts = greenlet.getcurrent(), self._memory.pasts
            me.past = pasts.setdefault((me.past, answer), len(pasts) + 1)

    def knowledge(self) -> tuple[int, int]:
        """What the running CPU has learned so far, and in how many steps; see forget_all_since()."""
        me = greenlet.getcurrent()
        return (0, 0) if self._scheduler is None else (me.past, me.steps)

    def forget_all_since(self, knowledge: tuple[int, int]) -> None:
        """The running CPU's code is not told what it has learned since: its steps since then are a part of the one before."""
        if self._scheduler is not None:
            me = greenlet.getcurrent()
            me.past, me.steps = knowledge
            self.learn(0)

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
        asleep = self.sleepers.state()
        return asleep, frozenset(self._left), shared, tuple([cpu.standing for cpu in self.cpus])

    def start(self, bodies: Sequence[Callable[[], None]]) -> None:
        """A CPU for each body, not yet run."""
        if len(bodies) > MOST_CPUS:
            raise NotExplorable(f"{len(bodies)} CPUs, and a schedule can name {MOST_CPUS}")
        self._scheduler = greenlet.getcurrent()
        self.cpus = [Cpu(number, body) for number, body in enumerate(bodies)]

    def go_along(self, road: Sequence[int]) -> Iterator[tuple[int, Step | None]]:
        """The steps of a road, those of one CPU in a row at once; yields the choice, and what its CPU is about to do then. A
        death is yielded as it is.
        """
        self._road, self._done = road, 0
        while self._done < len(road):
            choice = road[self._done]
            self._done += 1
            if choice >= 0 and self.cpus[cpu_of(choice)].dead:
                raise NotExplorable(
                    f"cpu {cpu_of(choice)} has ended sooner than before: the scenario does not do the same each time"
                )
            yield choice, self.go_on(choice) if choice >= 0 else None

    def go_on(self, choice: int) -> Step | None:
        """A CPU does its step; returns what it is about to do then, None where its code has ended."""
        step: Step | None = self.cpus[cpu_of(choice)].switch(way_of(choice))
        return step

    def nr_deaths(self, number: int) -> int:
        """In how many ways the kernel may tidy up after a CPU."""
        return len(line.woken_by_death(self, number)) if self.robust else 1

    def kill(self, number: int, way: int = 0) -> None:
        """SIGKILL: it does nothing more, no `finally` either, and what it alone used is a shared word from now on: several may
        finish its move.
        """
        cpu = self.cpus[number]
        woken = line.woken_by_death(self, number)[way]
        cpu.killed = True
        self.sleepers.forget(1 + number)
        for place, sleeper in woken:
            self.sleepers.get_up(place, [sleeper])
        # What it alone has written is now part of the state: its own past no longer stands for it.
        self._memory.places |= {place: None for place, (owner, wrote) in self._private.items() if owner is cpu and wrote}
        self._left |= {place for place, (owner, _) in self._private.items() if owner is cpu}
        for users in self._accessed.values():
            users.pop(cpu, None)

    def stand_still(self, number: int) -> None:
        """It does nothing more, and nobody is told; what it has, and its place among those who sleep, it keeps."""
        self.cpus[number].stopped = True

    def alone(self, act: Callable[[], None]) -> None:
        """Do something in one step, while every CPU stands still."""
        scheduler, self._scheduler, self._announces = self._scheduler, None, True
        try:
            act()
        finally:
            self._scheduler, self._announces = scheduler, False

    def rest(self) -> None:
        """No CPU does a step any more: what is done to the words from now on is done outside the search."""
        self._scheduler = None

    def stop(self) -> None:
        """End every CPU: a suspended greenlet keeps its frames alive. Raises: RunsOn, of the first that goes on."""
        self.rest()
        on: list[RunsOn] = []
        for cpu in self.cpus:
            try:
                cpu.end()
            except RunsOn as error:
                on.append(error)
        if on:
            raise on[0]

    def load_relaxed(self, words: Any, i: int) -> int:
        return self.access("load_relaxed", words, i, writes=False)

    def store_relaxed(self, words: Any, i: int, value: int) -> None:
        self.access("store_relaxed", words, i, writes=True, learns=False)
        words.values[i] = value

    def fence(self) -> None:
        """Nothing: every access is in order already."""

    def load_acquire(self, words: Any, i: int) -> int:
        return self.access("load_acquire", words, i, writes=False)

    def store_release(self, words: Any, i: int, value: int) -> None:
        self.access("store_release", words, i, writes=True, learns=False)
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

        self.access("wait_until", words, i, writes=False, possible=holds, local=True, learns=False)

    def wait_unless(self, words: Any, i: int, relation: int, value: int, stop: Any) -> bool:
        def holds() -> bool:
            return bool((words.values[i] == value) == (relation == atomics.EQ))

        return wait_or_stop(self, "wait_unless", words, i, holds, stop, writes=False)

    def futex_wait(self, words: Any, i: int, value: int) -> None:
        futex.wait(self, words, i, value)

    def futex_wake(self, words: Any, i: int, most: int) -> None:
        futex.wake(self, words, i, most)

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
        """1 + the number of the CPU that runs; outside a search that of none."""
        running = greenlet.getcurrent()
        return 1 + (running.number if isinstance(running, Cpu) else MOST_CPUS)

    def is_owned(self, word: int) -> bool:
        """Whether a word that names a CPU by number_of_running() names one that lives: it may have ended its code."""
        owner = word & line.OWNER
        return owner != 0 and not (owner <= len(self.cpus) and self.cpus[owner - 1].killed)
