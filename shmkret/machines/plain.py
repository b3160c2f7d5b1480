"""The plain machine: the text uncompiled, on the real arena, one process a CPU.

For stepping through with a debugger, for teaching and for coverage. Plain accesses go through memoryviews, so that the text
sees Python's integers; atomics, and the semaphores and mutexes that lie in the arena, through small compiled helpers; named
semaphores through posix_ipc.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.layout import ARRAYS
from shmkret.arena.records import Kernel
from shmkret.arena.segment import Arena
from shmkret.arena.shape import lock_shape, realize
from shmkret.host import posix
from shmkret.machines.world import World, every_lock
from shmkret.text import atomics
from shmkret.text.arithmetic import as_word
from shmkret.text.libc import CALLS

if TYPE_CHECKING:
    from shmkret.machines.compiled.helpers import Helpers


class PlainWords:
    """A column of the arena: indexing goes to the memory, `at(i)` is the address of word i."""

    __slots__ = ("_address", "_stride", "_view")

    def __init__(self, column: NDArray[np.int64]) -> None:
        self._view: memoryview[int] = memoryview(column)  # type: ignore[arg-type]
        self._address = int(column.ctypes.data)
        self._stride = column.strides[0]

    def __getitem__(self, i: int) -> int:
        return self._view[i]

    def __setitem__(self, i: int, value: int) -> None:
        self._view[i] = as_word(value)

    def at(self, i: int) -> int:
        """The address of word i."""
        return self._address + i * self._stride


class PlainMachine:
    """Executes the uncompiled text on real memory. One a run: it owns the run's named semaphores until close()."""

    def __init__(self, cache_folder: Path | None = None) -> None:
        self._folder = cache_folder
        self.named: dict[int, posix.NamedSemaphore] = {}

    def prepare(self, *names: str) -> None:
        """Compile what these accesses and calls need now, before workers are forked; without a name all that the text has."""
        from shmkret.machines import compiled as compiling

        self._helpers.prepare(names or [function.__name__ for function in compiling.CALLED])

    @cached_property
    def _helpers(self) -> Helpers:
        from shmkret.machines import compiled as compiling  # the parts of the plain machine that only set up need no compiler

        return compiling.helpers_of(self._folder)

    def _call(self, name: str, *args: int) -> int:
        return self._helpers[name](*args)

    def load_relaxed(self, words: Any, i: int) -> int:
        return self._call("load_relaxed", words.at(i))

    def store_relaxed(self, words: Any, i: int, value: int) -> None:
        self._call("store_relaxed", words.at(i), value)

    def fence(self) -> None:
        self._call("fence")

    def load_acquire(self, words: Any, i: int) -> int:
        return self._call("load_acquire", words.at(i))

    def store_release(self, words: Any, i: int, value: int) -> None:
        self._call("store_release", words.at(i), value)

    def exchange(self, words: Any, i: int, value: int) -> int:
        return self._call("exchange", words.at(i), value)

    def fetch_add(self, words: Any, i: int, value: int) -> int:
        return self._call("fetch_add", words.at(i), value)

    def cmpxchg(self, words: Any, i: int, old: int, new: int) -> int:
        return self._call("cmpxchg", words.at(i), old, new)

    def wait_until(self, words: Any, i: int, relation: int, value: int) -> None:
        while (self.load_acquire(words, i) == value) != (relation == atomics.EQ):
            os.sched_yield()

    def wait_unless(self, words: Any, i: int, relation: int, value: int, stop: Any) -> bool:
        while (self.load_acquire(words, i) == value) != (relation == atomics.EQ):
            if self.load_acquire(stop, 0) != 0:
                return False
            os.sched_yield()
        return True

    def futex_wait(self, words: Any, i: int, value: int) -> None:
        self._call("futex_wait", words.at(i), value)

    def futex_wake(self, words: Any, i: int, most: int) -> None:
        self._call("futex_wake", words.at(i), most)

    def address_of(self, words: Any, i: int) -> int:
        return words.at(i)  # type: ignore[no-any-return]

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def delay_ns(self, ns: int) -> None:
        end = time.monotonic_ns() + ns
        while time.monotonic_ns() < end:
            pass

    def cpu_relax(self) -> None:
        os.sched_yield()

    def libc(self, name: str, *args: Any) -> Any:
        """A call of shmkret.text.libc: Python's for what is done when an arena is made, and compiled for all else."""
        own = OWN.get(name)
        if own is not None:
            return own(self, *args)
        call = CALLS[name]
        words = [arg.at(0) if of == "stop" else arg for of, arg in zip(call.arguments, args, strict=True)]
        answer = self._call(name, *words)
        return bool(answer) if call.result == "bool" else answer if call.result == "int" else None

    def close(self) -> None:
        """Unmap the named semaphores. Again is harmless."""
        while self.named:
            self.named.popitem()[1].close()


def _sem_open(machine: PlainMachine, value: int) -> int:
    semaphore = posix.NamedSemaphore(value)
    machine.named[semaphore.address] = semaphore
    return semaphore.address


def _sem_wait(machine: PlainMachine, address: int) -> None:
    if address in machine.named:
        machine.named[address].acquire()
    else:
        machine._call("sem_wait", address)


def _sem_post(machine: PlainMachine, address: int) -> None:
    if address in machine.named:
        machine.named[address].release()
    else:
        machine._call("sem_post", address)


def _kick(_: PlainMachine, pid: int) -> None:
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGURG)


OWN: dict[str, Callable[..., Any]] = {
    "sem_init": lambda _, address, value: posix.sem_init(address, value),
    "sem_reset": lambda _, address, value: posix.sem_init(address, value),
    "sem_value": lambda _, address: posix.sem_value(address),
    "sem_open": _sem_open,
    "sem_wait": _sem_wait,
    "sem_post": _sem_post,
    "mutex_init": lambda _, address: posix.mutex_init(address),
    "mutex_is_free": lambda _, address: posix.mutex_is_free(address),
    "robust_init": lambda _, address: posix.mutex_init(address, robust=True),
    "robust_is_free": lambda _, address: posix.mutex_is_free(address),
    "kick": _kick,
}
"""Calls that the plain machine makes itself: those that are asked outside the text, and those of named semaphores."""


def column(arena: Arena, section: str, field: str) -> PlainWords:
    """A column of the arena."""
    return PlainWords(arena.records(section)[field])


def kernel(world: World, arena: Arena) -> Kernel:
    """The arena as the uncompiled text sees it."""
    return world.kernel(arena, partial(column, arena))


def locks_of(arena: Arena, record: type) -> Iterator[tuple[str, Any, int]]:
    """As every_lock(), of an arena that nobody has a Kernel of."""
    return every_lock(arena, lock_arrays(arena, record))


def lock_arrays(arena: Arena, record: type) -> Iterator[tuple[str, Any]]:
    """As arrays(), of an arena that nobody has a Kernel of."""
    numbers = {f"{name}.nr": placed.nr for name, placed in arena.sections.items()}
    numbers |= {"nr_slots": arena.geometry.nr_slots, "nr_nodes": arena.geometry.nr_nodes}
    for name in ARRAYS:
        if name in arena.sections:
            yield name, realize(lock_shape(name, record), partial(column, arena), numbers.__getitem__)
