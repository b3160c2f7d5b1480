"""The compiled executor: CPUs as stacks in this process, on an arena of their own.

    with Stacks(scene) as stacks:
        stacks.begin()
        stacks.descend(1_000_000)

Memory    the arena, the stacks and the path are shared with forked children, so that who watches a search sees where it is;
          the table of states belongs to the process that searches
Always    a stack is never run by two processes
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.fields import fields_of
from shmkret.arena.layout import ARRAYS
from shmkret.audit.checks import not_given_back
from shmkret.audit.findings import sentences
from shmkret.errors import ArenaError, UsageError
from shmkret.explore.scene import SC, TSO, Scene, seen_by_cpus
from shmkret.explore.snapshot import NOT_SHARED
from shmkret.explore.stacks import control, descent, described, nodes, watching
from shmkret.explore.stacks.looked_at import LookedAt
from shmkret.explore.stacks.messages import Messages
from shmkret.explore.stacks.rooms import Rooms
from shmkret.machines import plain
from shmkret.machines.compiled import cache_folder, compile_cpu, steps, watched
from shmkret.machines.compiled.hooks import hooks
from shmkret.machines.compiled.loop import INT, compile_function, entry_of
from shmkret.machines.compiled.stacks import fresh_stack

MOST_FRAMES = 20_000
MOST_WRITES = 1 << 20
ROOM_TO_UNDO = 16 * (MOST_WRITES + 2 * watched.QUEUE_END * MOST_FRAMES)  # a choice writes some, beside a CPU's step
LONGEST_RUN = 3_000
SAVED = MOST_FRAMES * 2048
MOST_STACK = watched.STACK - (24 << 10)
FIRST_PLACES = 1 << 20
PIECE = 1 << 23
"""Places that are put into a larger table at once; then the memory that they took is given back."""


class Pending(NamedTuple):
    """What a CPU is about to do: the kind of step, and the word as `table_locks[0].locked`; whether it writes it."""

    kind: str
    place: str
    value: int
    writes: bool = False


class Stacks:
    """A scene on stacks. reduced: words that nobody shares as far as is known are no steps; else only those that never are.

    places: to how many the table of states grows at most, of 8 bytes each; seven of eight are used. model: of MODELS.
    monitors: of `watching`; under TSO without `clocks`.
    """

    def __init__(
        self,
        scene: Scene,
        places: int = 1 << 22,
        *,
        reduced: bool = False,
        model: str = SC,
        monitors: Collection[str] = watching.USUAL,
    ) -> None:
        self.scene = scene
        self.symmetric = False
        """Whether a search takes the CPUs for alike."""
        self.preemptions: int | None = None
        """The most that a search may have in one run; None: any number."""
        self._buffered = watched.MOST_BUFFERED if model == TSO else 0
        if scene.nr_cpus >= watched.QUEUE_END:
            raise UsageError(f"a search has at most {watched.QUEUE_END - 1} CPUs; {scene.name} has {scene.nr_cpus}")
        world, build = scene.world, scene.world.build
        folder, own = build.cache(), cache_folder(())  # own: what is compiled of ours alone
        self._hooks = hooks(own and own / "search")
        self._begin, self._follow, self._descend, self._rehash, self._races = (
            compile_function(function, [INT] * nr, own and own / f"search-{function.__name__}")
            for function, nr in (
                (descent.begin, 1),
                (descent.follow, 2),
                (descent.descend, 2),
                (descent.rehash, 4),
                (descent.race, 3),
            )
        )
        self._messages = Messages(model, own)
        place = folder and folder / f"{build.digest}-{scene.name}-watched"
        self._rooms = Rooms()
        self._control = self._rooms.room(watched.CONTROL_BYTES)
        self._first_named: list[int] = []
        self._loop = compile_cpu(scene.body, build.shape, build.strides, place, watched=True)
        self.watching = watching.Watching(scene, watching.under(model, monitors), place)
        self.geometry = world.geometry(scene.nr_recoverers)
        self.arena = world.create_arena(self.geometry)
        machine = _Beginning(self._named, own)
        world.free_locks(machine, plain.kernel(world, self.arena), self.arena)
        scene.prepare(self.arena)
        self._machine = machine
        self._parameters = world.parameters(self.arena)
        self._first = bytes(self.arena._map)
        self._looked_at = LookedAt()
        self._shared: set[int] = set()
        """Places in the arena, in bytes, of words that were taken for one CPU's own."""
        self._static = None if reduced else self._usual()
        self._stacks = self._rooms.room((scene.nr_cpus + 1) * watched.STACK)
        self._users = self._rooms.room(self.arena.size)
        self._table = 0
        self._ends = self._rooms.room(8 * control.ENDS_PLACES, shared=False)
        self._on_path = self._rooms.room(8 * (control.PATH_MASK + 1), shared=False)
        saved = self._rooms.room(SAVED)
        self._saved = saved
        c = control
        self._set(
            {
                watched.UNDO: self._rooms.room(ROOM_TO_UNDO), watched.UNDO_MOST: MOST_WRITES, watched.USERS: self._users,
                watched.ARENA: self.arena.address, watched.SIZE: self.arena.size, watched.LONGEST: LONGEST_RUN,
                watched.NR: scene.nr_cpus, watched.MOST_STACK: MOST_STACK, c.STACKS: self._stacks,
                c.FRAMES: self._rooms.room(c.FRAME * MOST_FRAMES), c.MOST_FRAMES: MOST_FRAMES, c.SAVED_END: saved + SAVED,
                nodes.NODES: self._rooms.room(nodes.NODE * (MOST_FRAMES + 3)),
                c.ENDS_TABLE: self._ends, c.ON_PATH: self._on_path, c.MORTAL: sum(1 << cpu for cpu in scene.mortal),
                c.DEATHS: scene.deaths, c.ANNOUNCES: int(scene.announces), c.STOPS: int(scene.stops),
                c.PARAMETERS: self._parameters.ctypes.data,
            }
        )  # fmt: skip
        self._set(self.watching.words(self._rooms.room, self.arena) | self._messages.words(self._rooms.room))
        self._most_places = min(places, control.MOST_PLACES)
        self._resize(min(self._most_places, FIRST_PLACES))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give back the arena, and all that the search has kept."""
        self._machine.close()
        self.arena.close()
        self._rooms.close()

    def _resize(self, places: int) -> None:
        """An empty table of that size."""
        self._rooms.forget(self._table)
        self._table = self._rooms.room(8 * places, shared=False)
        self._set({control.TABLE: self._table, control.PLACES: places, control.ROOM: control.room_in(places)})

    def grow(self) -> bool:
        """Make the table larger, with all that is in it, if it may be."""
        nr, old = self.get(control.PLACES), self._table
        if nr >= self._most_places:
            return False
        self._table = 0  # the old one is kept meanwhile
        places = min(4 * nr, self._most_places)
        self._resize(places)
        for i in range(0, nr, PIECE):
            n = min(PIECE, nr - i)
            self._rehash(old + 8 * i, n, self._table, places)
            if n == PIECE:  # both tables have the same order: of the new one, the rest is not there yet
                self._rooms.empty(old, 8 * i, 8 * n)
        self._rooms.forget(old)
        return True

    def _usual(self) -> set[int]:
        """The words of which it is known that nobody shares them."""
        private = NOT_SHARED - set(self.scene.shared)
        return self._places(lambda name, field, _: name in private or f"{name}.{field}" in private)

    def _places(self, has: Callable[[str, str, int], bool]) -> set[int]:
        return {
            section.offset + i * section.stride + 8 * j
            for name, section in self.arena.sections.items()
            for j, field in enumerate(fields_of(section.record))
            for i in range(section.nr)
            if has(name, field, i)
        }

    def _set(self, values: dict[int, int]) -> None:
        for offset, value in values.items():
            _word(self._control + offset).value = value

    def get(self, offset: int) -> int:
        """A word of the control block."""
        return int(_word(self._control + offset).value)

    def put(self, offset: int, value: int) -> None:
        """Write a word of the control block."""
        self._set({offset: value})

    def _named(self, value: int) -> int:
        """A word for one more named semaphore; its address."""
        self._first_named.append(value)
        if len(self._first_named) > watched.MOST_NAMED:
            raise ArenaError(f"there are more than {watched.MOST_NAMED} named semaphores")
        return self._control + watched.NAMED + 8 * (len(self._first_named) - 1)

    def begin(self, **values: int) -> None:
        """Every CPU comes to its first step. values: words of the control block by their names, in small letters."""
        values = {
            "bound": -1,
            "every": 0,
            "by_past": 0,
            "reasonless": self.scene.reasonless,
            "buffered": self._buffered,
            "of_path": 1,
            "symmetric": int(self.symmetric),
            **values,
        }
        self._resize(self.get(control.PLACES))
        ctypes.memset(self._ends, 0, 8 * control.ENDS_PLACES)
        ctypes.memset(self._on_path, 0, 8 * (control.PATH_MASK + 1))
        self.arena._map[:] = self._first
        users = words_at(self._users, self.arena.size // 8)
        if self._static is not None:
            users[:] |= watched.STEP
            users[[place // 8 for place in self._static]] &= ~watched.STEP
        users[[place // 8 for place in self._shared]] |= watched.STEP
        zero = (
            control.STATES, control.DONE_STEPS, control.ENDS, control.DEEPEST, control.DISTINCT, control.DEPTH, *nodes.COUNTS,
            control.CUT, watched.PRINT, watched.OWN_PRINT, watched.UNDO_TOP, watched.OVERFLOWED,
        )  # fmt: skip
        self._set(dict.fromkeys(zero, 0) | {control.SAVED_TOP: self._saved, control.REDUCED: int(self._static is None)})
        self.put(nodes.RACE_AT, -1)
        self._set({getattr(control, name.upper()): value for name, value in values.items()})
        self.put(watched.MAY_DIE, int(self.get(control.MORTAL) != 0 and self.get(control.DEATHS) > 0))
        ctypes.memset(self._control + watched.QUEUE, 0, 8 * watched.QUEUE_END)
        self.watching.begin(self.arena)
        self._messages.begin()
        words_at(self._control + watched.NAMED, len(self._first_named) + 1)[:-1] = self._first_named
        entry = entry_of(self._loop)
        for cpu in range(self.scene.nr_cpus + 1):
            r = self._record(cpu)
            ctypes.memset(r, 0, watched.RECORD)
            parameters, left = self._parameters.ctypes.data, self._hooks["left"]
            sp, frame, number = fresh_stack(r, entry, parameters, cpu, left, r + watched.SCRATCH)
            ctypes.memmove(sp, frame, len(frame))
            for offset, value in ((watched.SP, sp), (watched.NUMBER, cpu), (watched.CONTROL, self._control)):
                _word(r + offset).value = value
        for offset, value in ((control.FIRST_SP, sp), (control.CPU_WORD, number), (watched.AT_ONCE, 1)):
            _word(r + offset).value = value  # of the last, who is no CPU
        ctypes.memmove(r + control.FIRST_FRAME, frame, len(frame))
        self._busy(control.BEGINS, self._begin)

    def _busy(self, which: int, compiled: Callable[..., int], *args: int) -> int:
        """Run compiled code, and say so meanwhile: it may never come back."""
        busy = _word(self._control + control.BUSY)
        busy.value = which
        answer = int(compiled(self._control, *args))
        busy.value = 0
        return answer

    def descend(self, budget: int) -> int:
        """Search on for that many steps; a number of shmkret.explore.stacks.control says why it came back."""
        return self._busy(control.GOES_ON, self._descend, budget)

    def follow(self, choice: int) -> bool:
        """Make a choice, and say whether it was possible."""
        return bool(self._busy(control.GOES_ON, self._follow, choice))

    def replay(self, schedule: Sequence[int]) -> Iterator[tuple[int, Pending]]:
        """Follow a schedule from the beginning: each choice, and the step that it was. Raises: ValueError where it is none."""
        watching.learn(self, schedule)
        self.begin()
        for n, choice in enumerate(schedule):
            step = self.pending(choice % self.scene.nr_cpus)
            if not self.follow(choice):
                raise ValueError(f"choice {n} of the schedule, {choice}, is not possible there")
            yield choice, step

    def judge(self) -> list[str]:
        """What is wrong in the state to which choices have led that were followed; it cannot be gone on from then."""
        self._set({control.FRESH: 1, control.REDUCED: 0})
        status = self.descend(1)
        if status == control.AT_END:
            return self.check()
        return [self.describe(status)] if status in control.WRONG else []

    def share(self, places: Collection[int]) -> None:
        """From the next beginning on, these words of the arena are steps."""
        self._shared.update(places)

    def _record(self, cpu: int) -> int:
        return self._stacks + (cpu + 1) * watched.STACK - watched.RECORD

    def culprit(self) -> tuple[int, int, int] | None:
        """The CPU that cannot go on, why (a number of compiled.watched), and at which place of the arena; None: all can."""
        for cpu in range(self.scene.nr_cpus + 1):
            r = self._record(cpu)
            if _word(r + watched.KIND).value == steps.BROKEN:
                return cpu, int(_word(r + watched.ARG).value), int(_word(r + watched.PLACE).value) - self.arena.address
        return None

    def path(self) -> list[int]:
        """The choices that led here."""
        frames = words_at(self.get(control.FRAMES), control.FRAME // 8 * (self.get(control.DEPTH) + 1))
        return frames.reshape(-1, control.FRAME // 8)[: self.get(control.DEPTH), control.F_CHOICE // 8].tolist()  # type: ignore[no-any-return]

    def states(self) -> list[int]:
        """The fingerprints of the states of the path, and of that to which it has come; 0 where there is none."""
        words = control.FRAME // 8
        all_of_it = words_at(self.get(control.FRAMES), words * (self.get(control.DEPTH) + 1))
        return all_of_it[control.F_STATE // 8 :: words].tolist()  # type: ignore[no-any-return]

    def pending(self, cpu: int) -> Pending:
        """What a CPU is about to do."""
        r = self._record(cpu)
        kind, place, value = (int(_word(r + offset).value) for offset in (watched.KIND, watched.PLACE, watched.ARG))
        named = self.name_of(place - self.arena.address) if place else ""
        return Pending(steps.NAMES[kind // 4], named, value, kind & steps.WRITES != 0)

    def _kind(self, cpu: int) -> int:
        return int(_word(self._record(cpu) + watched.KIND).value)

    def describe(self, status: int) -> str:
        """What is wrong in a state in which a search has stopped."""
        return described.what(self, status)

    def name_of(self, offset: int) -> str:
        """The word at a place of the arena, as `table_locks[0].locked`."""
        return described.name_of(self, offset)

    def number_of_named(self, address: int) -> int | None:
        """The number of the named semaphore whose word lies there; None: it is none."""
        named = (address - self._control - watched.NAMED) // 8
        return named if 0 <= named < len(self._first_named) else None

    def races(self, one: int, other: int) -> bool:
        """Whether two CPUs are about to use one word, one of them plainly, one of them writing."""
        return bool(self._races(self._control, one, other))

    def check(self) -> list[str]:
        """What is wrong where every CPU has ended; the arena is as before. Who has stopped may be in the middle of a move."""
        if any(self._kind(cpu) in (steps.STOPPED, steps.STOPPED_ASLEEP) for cpu in range(self.scene.nr_cpus)):
            return seen_by_cpus(self.scene.world, self.arena)
        before = bytes(self.arena._map)
        world = self.scene.world
        held = world.held_locks(self._machine, plain.kernel(world, self.arena), self.arena)
        self.arena._map[:] = before
        self._looked_at.add(name for name in self.arena.sections if name.partition(".")[0] in ARRAYS)  # is_free() and is_idle()
        with self._looked_at.noted(self.arena) if self._is_left_half_done() else contextlib.nullcontext():
            found = [*sentences(not_given_back(held)), *self.scene.check(world, self.arena)]
        self.arena._map[:] = before
        return found

    def _is_left_half_done(self) -> bool:
        return self.get(control.DEATHS) != 0 and not self.get(control.STOPS)

    def half_done(self) -> Collection[int]:
        """Words that a CPU which may die writes, each store no step, and at which the check of an end has looked: what is in
        them depends on between which stores it died.
        """
        if not self._is_left_half_done():
            return ()
        places = self._looked_at.places(self._places)
        users = words_at(self._users, self.arena.size // 8)[places // 8]
        writers = users >> watched.WRITERS  # none, or one, where an access is no step
        alone = (writers != 0) & (writers & ~self.get(control.MORTAL) == 0) & (users & watched.STEP == 0)
        return places[alone].tolist()  # type: ignore[no-any-return]


class _Beginning(plain.PlainMachine):
    """What makes locks free before a search. Named semaphores are words, as all others are in a search."""

    def __init__(self, named: Callable[[int], int], folder: Path | None) -> None:
        super().__init__(folder)
        self._new = named

    def libc(self, name: str, *args: Any) -> Any:
        return self._new(*args) if name == "sem_open" else super().libc(name, *args)


def words_at(address: int, nr: int) -> NDArray[np.int64]:
    """Words of memory, as they are."""
    return np.ctypeslib.as_array((ctypes.c_int64 * nr).from_address(address))


def _word(address: int) -> Any:
    return ctypes.c_int64.from_address(address)
