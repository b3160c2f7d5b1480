"""What watches a search of compiled code, beside races, deadlocks and code that cannot go on: a name each, switched on or off.

    always     what the scheme, the lock and the scene say that always holds: asked of every new state
    clocks     of two that use a word, one of them plainly and one of them writing, the later knows of the earlier:
               shmkret.explore.stacks.clocks; what CPUs know is part of the state
    holders    no two hold a lock, and nobody gives back what he does not hold: at every acquire() and release()
    fifo       who had queued for a lock that is FIFO, before another came, has it before that one:
               shmkret.machines.compiled.turns
    order      locks are not taken in orders that go round, holders with it: shmkret.machines.compiled.orders

The first is asked of each state that an engine comes to: `states` of each, the others of some. Who holds what is part of a
state, as words are; what CPUs know is part of one where clocks watch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shmkret.arena.segment import Arena
from shmkret.errors import UsageError
from shmkret.explore.always import question, sentence
from shmkret.explore.scene import RA, TSO, Scene, nothing_more
from shmkret.explore.stacks import clocks, control
from shmkret.machines.compiled import compile_question, orders, steps, turns, watched
from shmkret.machines.compiled.holders import READER
from shmkret.machines.compiled.loop import address_of

MONITORS = ("always", "holders", "clocks", "order", "fifo")
A_DEADLOCK_MAY_BE = "a deadlock may be"
USUAL = ("always", "holders")
"""Those that are asked for when nobody says."""


def require_monitors(monitors: Collection[str], beside: Collection[str] = ()) -> None:
    """Raises UsageError for one that there is not. beside: what else may be said, for its sentence."""
    for name in monitors:
        if name not in MONITORS:
            raise UsageError(f"`monitors` names {name!r}: there is {', '.join((*MONITORS, *beside))}")


def under(model: str, monitors: Collection[str]) -> tuple[str, ...]:
    """Those that watch under a model. Under TSO clocks would say that a word carries what it does from the store on, and not
    from when it is in memory: they are left out. Under RA a plain access is right where clocks say so: they always watch; and
    who has queued is not known where a step may read an old message.
    """
    watch = {*monitors} - {"clocks"} if model == TSO else {*monitors}
    if model == RA:
        watch = {*watch, "clocks"} - {"fifo"}
    return tuple(name for name in MONITORS if name in watch)


class Watching:
    """The monitors of one scene. folder: where its compiled code is kept, or None. Raises: PluginError."""

    def __init__(self, scene: Scene, monitors: Collection[str], folder: Path | None) -> None:
        self._monitors = monitors
        self._holders = self._rows = self._orders = self._turns = 0
        self.numbers = 0
        """Where it stands how each word is used: shmkret.explore.stacks.clocks."""
        self._asks: Callable[[int], int] | None = None
        asks = question(scene) if "always" in monitors else None
        if asks is not None:
            place = folder and _question_in(folder, scene)
            self._asks = compile_question(asks, scene.world.build.shape, scene.world.build.strides, place)

    def words(self, room: Callable[[int], int], arena: Arena) -> dict[int, int]:
        """What the control block must say. room: makes zeroed memory of so many bytes; its address."""
        has_order, has_turns = "order" in self._monitors, "fifo" in self._monitors
        self._holders = room(arena.size) if has_order or has_turns or "holders" in self._monitors else 0
        self._turns = room(turns.BYTES) if has_turns else 0
        self._orders = room(orders.TABLE_BYTES) if has_order else 0
        has_clocks = self.has_clocks
        self._rows = room(clocks.MOST_ROWS * clocks.ROW) if has_clocks else 0
        self.numbers = room(arena.size + watched.CONTROL_BYTES) if has_clocks else 0
        return {
            control.ASK: address_of(self._asks) if self._asks else 0,
            watched.HOLDERS: self._holders,
            watched.ORDERS: self._orders,
            watched.TURNS: self._turns,
            control.CLOCKS: self._rows,
            control.NUMBERS: self.numbers,
        }

    @property
    def has_clocks(self) -> bool:
        """Whether races are looked for that need not be about to happen."""
        return "clocks" in self._monitors

    def begin(self, arena: Arena) -> None:
        """Nobody holds a lock, or knows anything. How words are used is known from before."""
        if self._rows:
            ctypes.memset(self._rows, 0, clocks.MOST_ROWS * clocks.ROW)
        if self._holders:
            ctypes.memset(self._holders, 0, arena.size)
        if self._turns:
            ctypes.memset(self._turns, 0, turns.BYTES)
        if self._orders:
            ctypes.memset(self._orders + orders.MORE, 0, orders.TABLE_BYTES - orders.MORE)

    def held(self, arena: Arena) -> Iterator[tuple[int, list[int]]]:
        """The place in the arena of each lock that is held, and by whom; readers are several."""
        if self._holders:
            words = np.ctypeslib.as_array((ctypes.c_int64 * (arena.size // 8)).from_address(self._holders))
            yield from ((8 * int(i), _named(int(words[i]))) for i in np.flatnonzero(words))

    def before(self, cpu: int) -> list[int]:
        """The CPUs that should have had a lock before that one."""
        bits = ctypes.c_int64.from_address(self._turns + 16 * cpu + 8).value
        return [other for other in range(bits.bit_length()) if bits >> other & 1]

    @property
    def left_out(self) -> str:
        """What a monitor could not follow; empty: nothing."""
        more = self._orders and ctypes.c_int64.from_address(self._orders + orders.MORE).value
        return f"the order of no more than {orders.MOST_LOCKS} locks is followed" if more else ""

    def pairs(self) -> list[tuple[int, int]]:
        """The places of two locks for each pair of which the second was taken by who held the first."""
        if not self._orders:
            return []
        words = np.ctypeslib.as_array((ctypes.c_int64 * (orders.TABLE_BYTES // 8)).from_address(self._orders))
        first, found = words[orders.PLACES // 8 :], words[orders.PAIRS // 8 :].reshape(orders.MOST_LOCKS, -1)
        return [(int(first[a]), int(first[b])) for a, b in np.argwhere(found)]


def _question_in(folder: Path, scene: Scene) -> Path:
    """Where a compiled question is kept: a scene that adds nothing to it has that of all such scenes of its build."""
    whose = scene.world.build.digest if scene.always is nothing_more else folder.name.removesuffix("-watched")
    return folder.with_name(f"{whose}-{'locks' if scene.only_locks else 'always'}-watched")


def _named(word: int) -> list[int]:
    """Those that a word of shmkret.machines.compiled.holders names."""
    alone, shared = word & (READER - 1), word // READER
    return [alone - 1] if alone else [cpu for cpu in range(shared.bit_length()) if shared >> cpu & 1]


def learn(stacks: Any, schedule: Sequence[int]) -> None:
    """Follow a schedule, as far as it can be followed, until that teaches nothing about how words are used: then its races are
    found by who has searched nothing.
    """
    while stacks.watching.has_clocks:
        stacks.begin()
        all(map(stacks.follow, schedule))
        if not stacks.get(control.LEARNS):
            return


STATUSES = (control.SAID, control.UNORDERED)
"""Those of shmkret.explore.stacks.control that a monitor here has stopped a search with."""


def described(stacks: Any, status: int) -> str:
    """What is wrong, in a sentence. status: one of STATUSES."""
    if status == control.SAID:
        return sentence(stacks.scene, stacks.arena, stacks.get(control.TOLD))
    return _raced(stacks)


def _raced(stacks: Any) -> str:
    """The race that the last step of a path was found in."""
    nr, how = stacks.scene.nr_cpus, stacks.get(control.RACED_HOW)
    cpu, event = next((cpu, n) for cpu in range(nr) for n in range(4) if how >> (4 * cpu + n) & 1)
    last = stacks.get(control.FRAMES) + control.FRAME * (stacks.get(control.DEPTH) - 1)
    choice, kind = (ctypes.c_int64.from_address(last + at).value for at in (control.F_CHOICE, control.F_KIND))
    place = stacks.name_of(stacks.get(control.RACED) - stacks.arena.address)
    return (
        f"data race on {place}: {steps.NAMES[kind // 4]} of cpu {choice % nr} comes after {clocks.EVENTS[event]} of cpu {cpu}, "
        "and nothing orders the two"
    )


def held(stacks: Any) -> dict[str, list[int]]:
    """By the name of a lock's first word: who holds it, as the verbs of locks were called; readers are several."""
    return {stacks.name_of(place): who for place, who in stacks.watching.held(stacks.arena)}


def in_order(stacks: Any) -> set[tuple[str, str]]:
    """The names of locks of which the second was taken by who held the first, where that is watched."""
    names = {at: stacks.name_of(at - stacks.arena.address).rpartition(".")[0] for two in stacks.watching.pairs() for at in two}
    return {(names[a], names[b]) for a, b in stacks.watching.pairs()}


def circle(stacks: Any, place: int) -> str:
    """The order that is broken by who has taken the lock at a place of the arena, for a sentence: the shortest."""
    start = place + stacks.arena.address
    pairs = stacks.watching.pairs()
    ways = [[start]]
    for way in ways:  # it grows meanwhile
        if (way[-1], start) in pairs:
            break
        ways += [[*way, b] for a, b in pairs if a == way[-1] and not any(b in other for other in ways)]
    names = [stacks.name_of(one - stacks.arena.address) for one in way]
    after = ", and that before ".join(names[1:])
    return f" while it holds {names[-1]}, and {names[0]} is taken before {after} elsewhere: {A_DEADLOCK_MAY_BE}"


def overtaken(stacks: Any, cpu: int) -> str:
    """Before whom a CPU has a lock, for a sentence."""
    before = " and ".join(f"cpu {other}" for other in stacks.watching.before(cpu))
    return f" before {before}, though first come is first served there: that had queued before this one came"


def whose(stacks: Any, place: int) -> str:
    """Who holds a lock, for a sentence."""
    of_it = dict(stacks.watching.held(stacks.arena)).get(place, [])
    dead = [cpu for cpu in of_it if cpu < stacks.scene.nr_cpus and stacks.pending(cpu).kind == "dead"]
    if dead:
        return f", in which cpu {dead[0]} died, and is not told"
    return f", which {' and '.join(f'cpu {cpu}' for cpu in of_it) or 'nobody'} holds"
