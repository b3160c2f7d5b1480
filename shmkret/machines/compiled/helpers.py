"""Functions that are compiled one at a time, for the plain machine and for timing: accesses, libc's calls, the clock.

Each is compiled when it is first asked for: a run that leads compiled CPUs calls three of them, and all take seconds. Who forks
processes that will call some compiles these before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

from shmkret.machines.compiled.loop import INT, STOP, WORD, compile_function
from shmkret.text import atomics
from shmkret.text.atomics import EQ, Words, load_acquire, monotonic_ns, store_release, wait_until
from shmkret.text.libc import CALLS
from shmkret.text.marks import inline

ACCESSES: dict[Callable[..., object], tuple[str, ...]] = {
    atomics.load_relaxed: (WORD,),
    atomics.store_relaxed: (WORD, INT),
    atomics.fence: (),
    atomics.load_acquire: (WORD,),
    atomics.store_release: (WORD, INT),
    atomics.exchange: (WORD, INT),
    atomics.fetch_add: (WORD, INT),
    atomics.cmpxchg: (WORD, INT, INT),
    atomics.futex_wait: (WORD, INT),
    atomics.futex_wake: (WORD, INT),
}


@inline
def clock_pair(batch: int) -> int:
    """What two readings of the clock cost, ns: the least of `batch`."""
    least = 1 << 62
    for _ in range(batch):
        began = monotonic_ns()
        least = min(least, monotonic_ns() - began)
    return least


@inline
def ping_pong(word: Words, i: int, me: int, batches: int, rounds: int) -> int:
    """Take turns with another CPU in counting a word up; what the fastest batch of that many rounds took, ns."""
    least = 1 << 62
    turn = me
    for _ in range(batches):
        began = monotonic_ns()
        for _ in range(rounds):
            wait_until(word, i, EQ, turn)
            store_release(word, i, load_acquire(word, i) + 1)
            turn += 2
        least = min(least, monotonic_ns() - began)
    return least


CALLED: dict[Callable[..., object], tuple[str, ...]] = ACCESSES | {
    call.function: tuple(STOP if name == "stop" else INT for name in call.arguments)
    for call in CALLS.values()
    if not call.outside and not call.compiled
}
"""What the text calls on a plain machine: each access to a word at an address, each call of libc that compiled code has."""

TIMED: dict[Callable[..., object], tuple[str, ...]] = {clock_pair: (INT,), ping_pong: (WORD, INT, INT, INT)}


class Helpers(dict[str, Callable[..., int]]):
    """The functions of CALLED and TIMED by name, compiled or read from a folder (or None: not kept) when first asked for."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self._folder = folder

    def __missing__(self, name: str) -> Callable[..., int]:
        function, kinds = NAMED[name]
        self[name] = compile_function(function, kinds, self._folder and self._folder / name)
        return self[name]

    def prepare(self, names: Iterable[str]) -> None:
        """Compile these now, before processes that call them are forked."""
        for name in names:
            _ = self[name]


NAMED = {function.__name__: (function, kinds) for function, kinds in (CALLED | TIMED).items()}


@cache
def helpers_of(folder: Path | None) -> Helpers:
    """The helpers of a folder: the same for all of a process, so that each is compiled or read once."""
    return Helpers(folder)
