"""The explored machine: the same functions under a scheduler that tries every interleaving.

Each CPU is a greenlet. Every access to a shared word, and every step of a lock, is a scheduling point: the CPU says what it
is about to do and hands control to the scheduler (shmkret.explore.run), which goes on with any CPU whose step is possible. A
state is the contents of all words and, for each CPU, everything that it has read so far, which determines where its code
stands.

Model     sequential consistency, of load_relaxed() and store_relaxed(), too. Text without races, whose locks are right on the
          machine that runs it, has no other outcomes there: races are reported. Whether a lock is right is shown for a machine
          without reordering alone. Two kinds of wrong locks are explored as if they were right: one whose release() ends in
          store_relaxed(), which Arm may show before what the lock protects; and one that relies on a store_release() being
          seen before a later load_acquire() of another word (Peterson, Dekker), which x86 and Arm both break: use exchange().
libc      see shmkret.explore.libc.
Limits    private words (a CPU's record, a task, its stack) are no scheduling points; that one CPU alone uses each is checked.
          A loop that spins without wait_until() is a violation: it would be explored for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import greenlet

from shmkret.explore.libc import MODELS, NotExplorable
from shmkret.text import arithmetic, atomics

LONGEST_RUN = 3_000

LONGEST_REHEARSAL = 1_000_000


Place = tuple[str, int]
"""A word: its column and its index."""


class Step(NamedTuple):
    """What a CPU is about to do: `kind` of access to the word `place`, possible now or not. places: that word, and others that
    are looked at in the same step.
    """

    kind: str
    place: Place
    places: tuple[Place, ...]
    writes: bool
    plain: bool
    possible: Callable[[], bool] | None = None


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

    def __init__(self) -> None:
        self._columns: dict[str, ExploredWords] = {}
        self._addresses: dict[int, tuple[ExploredWords, int]] = {}
        self._scheduler: greenlet.greenlet | None = None
        self._seen: dict[greenlet.greenlet, list[int]] = {}
        self._private: dict[Place, tuple[greenlet.greenlet, bool]] = {}
        self._left: set[Place] = set()
        self._alone = 0
        self._announces = False
        self._written: set[Place] = set()
        self._accessed: dict[Place, dict[greenlet.greenlet, bool]] = {}
        self.contended: set[Place] = set()
        """Places that two CPUs alive at once were seen to use, one of them writing."""
        self.announced: set[Place] = set()
        """Places that were used from outside, as a CPU died."""
        self._killed: set[greenlet.greenlet] = set()
        self._sleepers: list[tuple[str, int, greenlet.greenlet]] = []

    def words(self, column: str, values: Sequence[int], private: bool = False) -> ExploredWords:
        """A new column. Columns have different names."""
        words = self._columns[column] = ExploredWords(self, column, values, private)
        return words

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
    ) -> int:
        """One step of the running CPU: hand it to the scheduler, come back when it may be done; returns the word as it is.

        stop: a column whose first word is looked at in the same step. queues: who sleeps on the word may be others after it.
        Outside a search, and for private words, it is no step.
        """
        if not 0 <= i < len(words.values):
            raise IndexError(f"{kind} of {words.column}[{i}], of which there are {len(words.values)}")
        place = words.column, i
        if self._scheduler is None:
            self._alone += 1
            if self._announces:
                self.announced.add(place)
            if self._alone > LONGEST_REHEARSAL or (possible is not None and not possible()):
                raise WaitsForever(f"{kind} of {words.column}[{i}], which is {words.values[i]}")
        elif (words.private or i in words.nobodys) and place not in self._left:
            self._check_private(place, writes)
        else:
            seen = self._seen[greenlet.getcurrent()]
            if len(seen) > LONGEST_RUN:
                raise NotExplorable(f"{kind} of {words.column}[{i}] after {len(seen)} steps: wait with wait_until()")
            places = (place,) if stop is None else (place, (stop.column, 0))
            self._scheduler.switch(Step(kind, place, places, writes, plain, possible))
            if writes:
                self._written.add(place)
            self._use(place, writes or queues)
            for other in places[1:]:
                self._use(other, False)
            # The values read, one a step, stand for the CPU's local variables and its place in the code.
            seen.append(int(words.values[i]))
        return int(words.values[i])

    def _use(self, place: Place, changes: bool) -> None:
        """The running CPU uses a shared word, or who sleeps on it."""
        users = self._accessed.setdefault(place, {})
        me = greenlet.getcurrent()
        users[me] = users.get(me, False) or changes
        if place not in self.contended and len(users) > 1 and (users[me] or any(users.values())):
            self.contended.add(place)

    def _check_private(self, place: Place, writes: bool) -> None:
        me = greenlet.getcurrent()
        owner, wrote = self._private.setdefault(place, (me, writes))
        if owner is not me and (writes or wrote):
            raise NotExplorable(f"{place} is private to one CPU, and two use it")
        self._private[place] = owner, wrote or writes

    def state(self, cpus: Sequence[greenlet.greenlet]) -> tuple[Any, ...]:
        """Everything that the future depends on."""
        shared = tuple((place, self._columns[place[0]].values[place[1]]) for place in sorted(self._written))
        asleep = tuple((column, i, cpus.index(cpu)) for column, i, cpu in self._sleepers if cpu in cpus)
        return asleep, shared, tuple(None if cpu in self._killed else tuple(self._seen[cpu]) for cpu in cpus)

    def start(self, bodies: Sequence[Callable[[], None]]) -> list[greenlet.greenlet]:
        """A greenlet for each body, not yet run."""
        self._scheduler = greenlet.getcurrent()
        cpus = [greenlet.greenlet(body) for body in bodies]
        self._seen = {cpu: [] for cpu in cpus}
        return cpus

    def kill(self, cpu: greenlet.greenlet) -> None:
        """SIGKILL: it does nothing more, and what it alone used is a shared word from now on: several may finish its move."""
        scheduler, self._scheduler = self._scheduler, None
        cpu.throw()
        self._scheduler = scheduler
        self._killed.add(cpu)
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[2] is not cpu]
        # What it alone has written is now part of the state: its own past no longer stands for it.
        self._written |= {place for place, (owner, wrote) in self._private.items() if owner is cpu and wrote}
        self._left |= {place for place, (owner, _) in self._private.items() if owner is cpu}
        for users in self._accessed.values():
            users.pop(cpu, None)

    def alone(self, act: Callable[[], None]) -> None:
        """Do something in one step, while every CPU stands still."""
        scheduler, self._scheduler, self._announces = self._scheduler, None, True
        act()
        self._scheduler, self._announces = scheduler, False

    def stop(self, cpus: Sequence[greenlet.greenlet]) -> None:
        """End every CPU: a suspended greenlet keeps its frames alive."""
        for cpu in cpus:
            if not cpu.dead:
                cpu.throw()
        self._scheduler = None

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

        self.access("wait_until", words, i, writes=False, possible=holds)

    def wait_unless(self, words: Any, i: int, relation: int, value: int, stop: Any) -> bool:
        def holds() -> bool:
            return bool((words.values[i] == value) == (relation == atomics.EQ))

        self.access("wait_unless", words, i, writes=False, possible=lambda: holds() or stop.values[0] != 0, stop=stop)
        return holds()

    def futex_wait(self, words: Any, i: int, value: int) -> None:
        before = self.access("futex_wait", words, i, writes=False, queues=True)
        if before != value:
            return
        sleeper = (words.column, i, greenlet.getcurrent())
        self._sleepers.append(sleeper)
        self.access("asleep", words, i, writes=False, possible=lambda: sleeper not in self._sleepers)

    def futex_wake(self, words: Any, i: int, most: int) -> None:
        self.access("futex_wake", words, i, writes=False, queues=True)
        woken = [sleeper for sleeper in self._sleepers if sleeper[:2] == (words.column, i)][:most]
        self._sleepers = [sleeper for sleeper in self._sleepers if sleeper not in woken]

    def address_of(self, words: Any, i: int) -> int:
        address = hash((words.column, i))
        self._addresses[address] = (words, i)
        return address

    def monotonic_ns(self) -> int:
        return 0

    def delay_ns(self, ns: int) -> None:
        """Time stands still while a world is explored."""

    def cpu_relax(self) -> None:
        raise NotExplorable("cpu_relax(): wait with wait_until()")

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
        return self._number_of(greenlet.getcurrent())

    def is_owned(self, word: int) -> bool:
        """Whether a word that names a CPU by number_of_running() names one that is alive."""
        return word != 0 and not (self._seen and list(self._seen)[word - 1].dead)

    def _number_of(self, cpu: greenlet.greenlet) -> int:
        return 1 + next((n for n, other in enumerate(self._seen) if other is cpu), 0)
