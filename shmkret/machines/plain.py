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
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.records import fields_of
from shmkret.arena.segment import Arena
from shmkret.host import posix
from shmkret.machines.world import LOCK_SECTIONS
from shmkret.text import atomics


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
        self._view[i] = value

    def at(self, i: int) -> int:
        return self._address + i * self._stride


@cache
def _helpers(folder: Path | None) -> dict[str, Any]:
    from shmkret.machines import compiled as compiling  # the parts of the plain machine that only set up need no compiler

    return compiling.compile_helpers(folder)


class PlainMachine:
    """Executes the uncompiled text on real memory. One a run: it owns the run's named semaphores until close()."""

    def __init__(self, cache_folder: Path | None = None) -> None:
        self._folder = cache_folder
        self._named: dict[int, posix.NamedSemaphore] = {}

    def prepare(self) -> None:
        """Compile the helpers now, before workers are forked."""
        _helpers(self._folder)

    def _call(self, name: str, *args: int) -> int:
        return _helpers(self._folder)[name](*args)  # type: ignore[no-any-return]

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

    def sem_init(self, address: int, value: int) -> None:
        posix.sem_init(address, value)

    def sem_open(self, value: int) -> int:
        semaphore = posix.NamedSemaphore(value)
        self._named[semaphore.address] = semaphore
        return semaphore.address

    def sem_wait(self, address: int) -> None:
        if address in self._named:
            self._named[address].acquire()
        else:
            self._call("sem_wait", address)

    def sem_post(self, address: int) -> None:
        if address in self._named:
            self._named[address].release()
        else:
            self._call("sem_post", address)

    def sem_value(self, address: int) -> int:
        return posix.sem_value(address)

    def mutex_is_free(self, address: int) -> bool:
        return posix.mutex_is_free(address)

    def mutex_init(self, address: int) -> None:
        posix.mutex_init(address)

    def mutex_lock(self, address: int) -> None:
        self._call("mutex_lock", address)

    def mutex_unlock(self, address: int) -> None:
        self._call("mutex_unlock", address)

    def sem_trywait(self, address: int) -> bool:
        return bool(self._call("sem_trywait", address))

    def mutex_trylock(self, address: int) -> bool:
        return bool(self._call("mutex_trylock", address))

    def sem_wait_unless(self, address: int, stop: Any) -> bool:
        return bool(self._call("sem_wait_unless", address, stop.at(0)))

    def sem_reset(self, address: int, value: int) -> None:
        posix.sem_init(address, value)

    def mutex_lock_unless(self, address: int, stop: Any) -> bool:
        return bool(self._call("mutex_lock_unless", address, stop.at(0)))

    def robust_init(self, address: int) -> None:
        posix.mutex_init(address, robust=True)

    def robust_lock(self, address: int) -> int:
        return self._call("robust_lock", address)

    def robust_trylock(self, address: int) -> int:
        return self._call("robust_trylock", address)

    def robust_is_free(self, address: int) -> bool:
        return posix.mutex_is_free(address)

    def robust_unlock(self, address: int) -> None:
        self._call("mutex_unlock", address)

    def kick(self, pid: int) -> None:
        if pid > 0:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGURG)

    def close(self) -> None:
        """Unmap the named semaphores. Again is harmless."""
        while self._named:
            self._named.popitem()[1].close()


def column(arena: Arena, section: str, field: str) -> PlainWords:
    """A column of the arena."""
    return PlainWords(arena.records(section)[field])


def locks_of(arena: Arena, record: type) -> Iterator[tuple[str, Any, int]]:
    """Every lock of an arena: the name of its section, the section as an array of locks, and its index there."""
    for name in LOCK_SECTIONS:
        locks = record(*[column(arena, name, field) for field in fields_of(record)])
        for i in range(arena.sections[name].nr):
            yield name, locks, i
