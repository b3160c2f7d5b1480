"""Functions that are compiled one at a time, for the plain machine and for timing: accesses, libc's calls, the clock."""

from __future__ import annotations

from collections.abc import Callable
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


def compile_helpers(cache: Path | None) -> dict[str, Callable[..., int]]:
    """By name: each access to a word at an address, each call of libc that compiled code has, clock_pair(), ping_pong()."""
    kinds = dict(ACCESSES) | {clock_pair: (INT,), ping_pong: (WORD, INT, INT, INT)}
    for call in CALLS.values():
        if not call.outside and not call.compiled:
            kinds[call.function] = tuple(STOP if name == "stop" else INT for name in call.arguments)
    found = {}
    for function, of in kinds.items():
        name = function.__name__
        found[name] = compile_function(function, of, cache and cache / name)
    return found
