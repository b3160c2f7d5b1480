"""Functions that are compiled one at a time, for the plain machine and for timing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numba import types

from shmkret.arena import records as layout
from shmkret.machines.compiled.loop import compile_to
from shmkret.machines.compiled.types import bind
from shmkret.machines.compiled.verbs import teach
from shmkret.text import atomics, libc
from shmkret.text.atomics import EQ


def compile_helpers(cache: Path | None) -> dict[str, Callable[..., int]]:
    """What the plain machine calls one at a time: atomics, and libc's calls that may block, all by address."""
    teach()
    Column = layout.Script  # noqa: N806

    def load_acquire(at):  # type: ignore[no-untyped-def]
        return atomics.load_acquire(bind(Column, 8, at).word, 0)

    def store_release(at, value):  # type: ignore[no-untyped-def]
        atomics.store_release(bind(Column, 8, at).word, 0, value)
        return 0

    def exchange(at, value):  # type: ignore[no-untyped-def]
        return atomics.exchange(bind(Column, 8, at).word, 0, value)

    def fetch_add(at, value):  # type: ignore[no-untyped-def]
        return atomics.fetch_add(bind(Column, 8, at).word, 0, value)

    def cmpxchg(at, old, new):  # type: ignore[no-untyped-def]
        return atomics.cmpxchg(bind(Column, 8, at).word, 0, old, new)

    def sem_wait(at):  # type: ignore[no-untyped-def]
        libc.sem_wait(at)
        return 0

    def sem_post(at):  # type: ignore[no-untyped-def]
        libc.sem_post(at)
        return 0

    def mutex_lock(at):  # type: ignore[no-untyped-def]
        libc.mutex_lock(at)
        return 0

    def mutex_unlock(at):  # type: ignore[no-untyped-def]
        libc.mutex_unlock(at)
        return 0

    def clock_pair(_):  # type: ignore[no-untyped-def]
        least = np.int64(1 << 62)
        for _i in range(10_000):
            began = atomics.monotonic_ns()
            least = min(least, np.int64(atomics.monotonic_ns() - began))
        return least

    def ping_pong(at, me, batches, rounds):  # type: ignore[no-untyped-def]
        word = bind(Column, 8, at).word
        least = np.int64(1 << 62)
        turn = me
        for _batch in range(batches):
            began = atomics.monotonic_ns()
            for _round in range(rounds):
                atomics.wait_until(word, 0, EQ, turn)
                atomics.store_release(word, 0, turn + 1)
                turn += 2
            least = min(least, np.int64(atomics.monotonic_ns() - began))
        return least

    def futex_wait(at, value):  # type: ignore[no-untyped-def]
        atomics.futex_wait(bind(Column, 8, at).word, 0, value)
        return 0

    def futex_wake(at, most):  # type: ignore[no-untyped-def]
        atomics.futex_wake(bind(Column, 8, at).word, 0, most)
        return 0

    def sem_trywait(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.sem_trywait(at))

    def mutex_trylock(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.mutex_trylock(at))

    def sem_wait_unless(at, stop):  # type: ignore[no-untyped-def]
        return np.int64(libc.sem_wait_unless(at, bind(Column, 8, stop).word))

    def mutex_lock_unless(at, stop):  # type: ignore[no-untyped-def]
        return np.int64(libc.mutex_lock_unless(at, bind(Column, 8, stop).word))

    def robust_lock(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.robust_lock(at))

    def robust_trylock(at):  # type: ignore[no-untyped-def]
        return np.int64(libc.robust_trylock(at))

    functions = (
        futex_wait, futex_wake, sem_trywait, mutex_trylock, sem_wait_unless, mutex_lock_unless, robust_lock, robust_trylock,
        clock_pair, ping_pong, load_acquire, store_release, exchange, fetch_add, cmpxchg,
        sem_wait, sem_post, mutex_lock, mutex_unlock,
    )  # fmt: skip
    compiled = {}
    for function in functions:
        integers = [types.int64] * function.__code__.co_argcount
        compiled[function.__name__] = compile_to(function, types.int64(*integers), cache and cache / function.__name__)
    return compiled
