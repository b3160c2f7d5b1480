"""A control: lets everybody in, and has whatever ability there is. What it says of a dead owner is what its word says."""

from typing import NamedTuple

from shmkret.text import Words, load_acquire

CONTROL = True


class Lenient(NamedTuple):
    word: Words


def acquire(lock: Lenient, i: int) -> None:
    load_acquire(lock.word, i)


def release(lock: Lenient, i: int) -> None:
    load_acquire(lock.word, i)


def try_acquire(lock: Lenient, i: int) -> bool:
    return load_acquire(lock.word, i) == 0


def acquire_shared(lock: Lenient, i: int) -> None:
    load_acquire(lock.word, i)


def release_shared(lock: Lenient, i: int) -> None:
    load_acquire(lock.word, i)


def acquire_unless(lock: Lenient, i: int, stop: Words) -> bool:
    return load_acquire(lock.word, i) == 0


def reset(lock: Lenient, i: int, owner: int) -> None:
    load_acquire(lock.word, i)


def take_over(lock: Lenient, i: int, dead: int) -> bool:
    return load_acquire(lock.word, i) == 0


def wake_all(lock: Lenient, i: int) -> None:
    load_acquire(lock.word, i)


def acquire_robust(lock: Lenient, i: int) -> int:
    return load_acquire(lock.word, i)


def try_acquire_robust(lock: Lenient, i: int) -> int:
    return load_acquire(lock.word, i)
