"""Every access to a word that another process can see.

    plain     words[i], words[i] = v      protected by a lock; the explorer reports a race when it is not
    atomic    load_relaxed ... cmpxchg    words that race by design
    ordered   store_ordered               a release store that recovery relies on: no earlier store sinks below it

Words     one column of 64-bit signed integers in the arena: `words[i]` is the word of record i
Waiting   goes through wait_until(), wait_unless() and futex_wait() only, so that a spin can be explored and has an end
Order     load_acquire pairs with store_release; exchange, fetch_add, cmpxchg and fence are sequentially consistent; relaxed
          accesses promise nothing but the word itself
Wrapping  and what a word can hold: see shmkret.text.arithmetic

The functions have three executors. Compiled, `shmkret.machines.compiled` replaces each by LLVM's instruction. Uncompiled,
they ask the machine in force (`use()`): the plain machine, or the explored one, for which each of them is a scheduling point.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from shmkret.text.arithmetic import as_word

EQ = 0

NE = 1

NIL = -1


class Words(Protocol):
    """A column of int64 words, one a record. Indices are not checked: they come from the arena or its geometry."""

    def __getitem__(self, i: int, /) -> int: ...

    def __setitem__(self, i: int, value: int, /) -> None: ...


class Machine(Protocol):
    """What executes the uncompiled text: shared accesses, and what libc does for us."""

    def load_relaxed(self, words: Words, i: int) -> int: ...
    def store_relaxed(self, words: Words, i: int, value: int) -> None: ...
    def fence(self) -> None: ...
    def load_acquire(self, words: Words, i: int) -> int: ...
    def store_release(self, words: Words, i: int, value: int) -> None: ...
    def exchange(self, words: Words, i: int, value: int) -> int: ...
    def fetch_add(self, words: Words, i: int, value: int) -> int: ...
    def cmpxchg(self, words: Words, i: int, old: int, new: int) -> int: ...
    def wait_until(self, words: Words, i: int, relation: int, value: int) -> None: ...
    def wait_unless(self, words: Words, i: int, relation: int, value: int, stop: Words) -> bool: ...
    def futex_wait(self, words: Words, i: int, value: int) -> None: ...
    def futex_wake(self, words: Words, i: int, most: int) -> None: ...
    def address_of(self, words: Words, i: int) -> int: ...
    def monotonic_ns(self) -> int: ...
    def delay_ns(self, ns: int) -> None: ...
    def cpu_relax(self) -> None: ...
    def libc(self, name: str, *args: Any) -> Any: ...


class _Unused:
    def __getattr__(self, name: str) -> None:
        raise RuntimeError(f"{name}() was called outside a machine; see shmkret.text.atomics.use()")


_machine: Machine = _Unused()  # type: ignore[assignment]

_one_thread = threading.RLock()
_depth = 0


def _forget_threads() -> None:
    """A forked child has none of the threads that may hold the lock."""
    global _one_thread
    _one_thread = threading.RLock()


os.register_at_fork(after_in_child=_forget_threads)


@contextmanager
def use(machine: Machine) -> Iterator[None]:
    """Execute the text that is called inside this block on `machine`. Another thread that wants to waits until it is left.

    A machine for each thread would be looked up at every access.
    """
    global _machine, _depth
    with _one_thread:
        before, _machine = _machine, machine
        _depth += 1
        try:
            yield
        finally:
            _machine = before
            _depth -= 1


def leave_to(before: Machine, depth: int) -> None:
    """Leave the blocks of use() that this thread has entered since: their code was left, and does not come back."""
    global _machine, _depth
    while _depth > depth:
        _depth -= 1
        _one_thread.release()
    _machine = before


def depth() -> int:
    """How many blocks of use() this thread, if it is in any, is in."""
    return _depth


def machine() -> Machine:
    """The machine in force."""
    return _machine


def load_relaxed(words: Words, i: int) -> int:
    """Read words[i], a word that races by design; nothing is said of the order of other accesses."""
    return _machine.load_relaxed(words, i)


def store_relaxed(words: Words, i: int, value: int) -> None:
    """Write words[i], a word that races by design; nothing is said of the order of other accesses."""
    _machine.store_relaxed(words, i, as_word(value))


def fence() -> None:
    """Every access of this CPU before it is done before every access after it, to all who look: a full memory barrier."""
    _machine.fence()


def load_acquire(words: Words, i: int) -> int:
    """Read words[i]; no later access of this CPU is done before it. Pairs with store_release()."""
    return _machine.load_acquire(words, i)


def store_release(words: Words, i: int, value: int) -> None:
    """Write words[i]; every earlier access of this CPU is done before it. Pairs with load_acquire()."""
    _machine.store_release(words, i, as_word(value))


def store_ordered(words: Words, i: int, value: int) -> None:
    """Write words[i], which recovery reads after this CPU's death: earlier stores are in the arena before it."""
    _machine.store_release(words, i, as_word(value))


def exchange(words: Words, i: int, value: int) -> int:
    """Write words[i] and return what it held, in one step."""
    return _machine.exchange(words, i, as_word(value))


def fetch_add(words: Words, i: int, value: int) -> int:
    """Add to words[i], wrapping at 64 bits, and return what it held, in one step."""
    return _machine.fetch_add(words, i, as_word(value))


def cmpxchg(words: Words, i: int, old: int, new: int) -> int:
    """Write `new` to words[i] if it holds `old`; return what it held: success is `cmpxchg(...) == old`."""
    return _machine.cmpxchg(words, i, as_word(old), as_word(new))


def wait_until(words: Words, i: int, relation: int, value: int) -> None:
    """Spin, with acquire order, until `words[i] == value` (relation EQ) or `words[i] != value` (NE)."""
    _machine.wait_until(words, i, relation, as_word(value))


def wait_unless(words: Words, i: int, relation: int, value: int, stop: Words) -> bool:
    """As wait_until(), but give up, and return False, once `stop[0]` is not 0. Compiled, it sleeps between two looks when that
    takes long: who waits may be of a higher priority than who is waited for.
    """
    return _machine.wait_unless(words, i, relation, as_word(value), stop)


def futex_wait(words: Words, i: int, value: int) -> None:
    """futex(2): sleep if words[i], of which the low 32 bits count, is `value`. Returns when woken, or for no
    reason at all: compiled, after 20 ms.
    """
    _machine.futex_wait(words, i, as_word(value))


def futex_wake(words: Words, i: int, most: int) -> None:
    """futex(2): wake at most that many who sleep on words[i]."""
    _machine.futex_wake(words, i, as_word(most))


def address_of(words: Words, i: int) -> int:
    """The address of words[i] in this process: for libc's calls, never for the arena."""
    return _machine.address_of(words, i)


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds."""
    return _machine.monotonic_ns()


def delay_ns(ns: int) -> None:
    """Be busy for that many nanoseconds of CLOCK_MONOTONIC; to the resolution of reading it, some 20 ns."""
    _machine.delay_ns(ns)


def cpu_relax() -> None:
    """The CPU's hint that it spins. A spin that the explorer is to follow goes through wait_until() instead."""
    _machine.cpu_relax()
