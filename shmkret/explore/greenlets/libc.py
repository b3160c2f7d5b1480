"""What libc does, as the explorer has it: one model for each call of shmkret.text.libc.

sem_t is a counter, a mutex is a flag. A robust mutex names its owner: 0 free, n the n-th CPU. How who waits
for one sleeps and is woken has shmkret.explore.greenlets.line; what each call may do, beside what its model does, has
shmkret.explore.greenlets.promises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shmkret.explore.greenlets import line
from shmkret.text.libc import OWNER_DIED, REFUSED

SEM_VALUE_MAX = (1 << 31) - 1
"""Where sem_post(3) fails, and changes nothing."""


class NotExplorable(Exception):
    """The text does what the explorer cannot follow."""


def _set(machine: Any, address: int, value: int) -> None:
    words, i = machine.word_at(address)
    machine.access("init", words, i, writes=True, plain=True, learns=False)
    words.values[i] = value


def _value(machine: Any, address: int) -> int:
    words, i = machine.word_at(address)
    return int(machine.access("value", words, i, writes=False))


def sem_wait(machine: Any, address: int) -> None:
    words, i = machine.word_at(address)
    line.take(machine, "sem_wait", words, i, lambda: words.values[i] > 0, lambda: None)
    words.values[i] -= 1


def sem_post(machine: Any, address: int) -> None:
    words, i = machine.word_at(address)
    words.values[i] = min(machine.access("sem_post", words, i, writes=True, learns=False) + 1, SEM_VALUE_MAX)
    line.wake_one(machine, "sem_post", words, i)


def sem_trywait(machine: Any, address: int) -> bool:
    words, i = machine.word_at(address)
    before = machine.access("sem_trywait", words, i, writes=True, learns=False)
    taken = before > 0
    machine.learn(int(taken))
    if taken:
        words.values[i] = before - 1
    return bool(taken)


HAD, TOLD = 0, 1
"""The ways in which a wait that may be given up ends."""
LOOKED_IN_VAIN = 1
"""What who waits on knows and nobody else."""


def wait_or_stop(machine: Any, kind: str, words: Any, i: int, holds: Callable[[], bool], stop: Any, *, writes: bool) -> bool:
    """A wait for `holds()`, which is asked of the word, that is given up once stop[0] is not 0; returns whether it was not.

    The thing looks at the word, then at stop[0], again and again. So who has looked in vain once may be told to stop though
    the word is right by now; who finds it right at first never is.
    """

    def ways() -> list[int]:
        return [HAD] * holds() + [TOLD] * bool(stop.values[0] != 0)

    machine.access(kind, words, i, writes=writes, stop=stop, learns=False)
    found = machine.knowledge()
    if not ways():
        machine.learn(LOOKED_IN_VAIN)
        machine.access(kind, words, i, writes=writes, ways=ways, stop=stop, local=True, learns=False)
        had = bool(machine.way == HAD)
    else:
        had = holds()
    machine.forget_all_since(found)
    machine.learn(int(had))
    return had


def sem_wait_unless(machine: Any, address: int, stop: Any) -> bool:
    words, i = machine.word_at(address)
    had = wait_or_stop(machine, "sem_wait_unless", words, i, lambda: words.values[i] > 0, stop, writes=True)
    if had:
        words.values[i] -= 1
    return had


def sem_reset(machine: Any, address: int, value: int) -> None:
    words, i = machine.word_at(address)
    machine.access("sem_reset", words, i, writes=True, learns=False)
    words.values[i] = value


FREE, HELD, SLEPT_ON = 1, 0, -1
"""The word of a mutex; the last: it is held, and some may sleep."""


def mutex_lock(machine: Any, address: int) -> None:
    words, i = machine.word_at(address)

    def says() -> None:
        words.values[i] = SLEPT_ON

    has_slept = line.take(machine, "mutex_lock", words, i, lambda: words.values[i] == FREE, says)
    words.values[i] = SLEPT_ON if has_slept else HELD


def mutex_unlock(machine: Any, address: int) -> None:
    words, i = machine.word_at(address)
    before = machine.access("mutex_unlock", words, i, writes=True, learns=False)
    if before == FREE:
        raise NotExplorable(f"mutex_unlock of {words.column}[{i}], which nobody holds")
    words.values[i] = FREE
    if before == SLEPT_ON:
        line.wake_one(machine, "mutex_unlock", words, i)


def _robust_at(machine: Any, address: int) -> tuple[Any, int]:
    """The word of a robust mutex. A death changes what a step on it comes to, as if it wrote the word."""
    words, i = machine.word_at(address)
    machine.announced.add((words.column, i))
    machine.robust[words.column, i] = words
    return words, i


def _own(machine: Any, words: Any, i: int, *, has_slept: bool) -> int:
    """A robust mutex is the running CPU's now."""
    before = words.values[i]
    status = OWNER_DIED if before & line.OWNER else 0
    machine.learn(status)
    words.values[i] = machine.number_of_running() | (line.SLEEPERS if has_slept else before & line.SLEEPERS)
    return status


def robust_lock(machine: Any, address: int) -> int:
    words, i = _robust_at(machine, address)
    me = machine.number_of_running()

    def says() -> None:
        words.values[i] |= line.SLEEPERS
        machine.entering[me] = words.column, i

    has_slept = line.take(machine, "robust_lock", words, i, lambda: not machine.is_owned(words.values[i]), says)
    machine.entering.pop(me, None)
    return _own(machine, words, i, has_slept=has_slept)


def robust_trylock(machine: Any, address: int) -> int:
    words, i = _robust_at(machine, address)
    if machine.is_owned(machine.access("robust_trylock", words, i, writes=True, learns=False)):
        machine.learn(REFUSED)
        return REFUSED
    return _own(machine, words, i, has_slept=False)


def robust_unlock(machine: Any, address: int) -> None:
    words, i = _robust_at(machine, address)
    mine = machine.number_of_running()
    before = line.give(machine, "robust_unlock", words, i, lambda: words.values[i] & line.SLEEPERS != 0, writes=True)
    if before & line.OWNER != mine:
        raise NotExplorable(f"robust_unlock of {words.column}[{i}] by another than its holder")
    words.values[i] = 0


MODELS: dict[str, Callable[..., Any]] = {
    "sem_init": _set,
    "sem_open": lambda machine, value: machine.new_word("named semaphore", value),
    "sem_value": _value,
    "sem_wait": sem_wait,
    "sem_post": sem_post,
    "sem_trywait": sem_trywait,
    "sem_wait_unless": sem_wait_unless,
    "sem_reset": sem_reset,
    "mutex_init": lambda machine, address: _set(machine, address, 1),
    "mutex_is_free": lambda machine, address: _value(machine, address) == 1,
    "mutex_lock": mutex_lock,
    "mutex_unlock": mutex_unlock,
    "mutex_trylock": sem_trywait,
    "mutex_lock_unless": sem_wait_unless,
    "robust_init": lambda machine, address: _set(machine, address, 0),
    "robust_is_free": lambda machine, address: _value(machine, address) == 0,
    "robust_lock": robust_lock,
    "robust_trylock": robust_trylock,
    "robust_unlock": robust_unlock,
    "kick": lambda _, __: None,
}
"""By the name of the call. Who waits sees the gate at once, so that nobody needs a kick."""
