"""What libc and the kernel do between processes, by address: `sem_t`, process-shared mutexes, signals, processes.

Each call is one row of CALLS, made by its declaration here. Every machine has one way to do a row: compiled code a call into
libc (shmkret.machines.compiled.libc), the plain machine the same compiled call or Python's (shmkret.machines.plain), the
explored machine a model (shmkret.explore.greenlets.libc).

Source    sem_overview(7), pthread_mutexattr_setpshared(3)
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from shmkret.text.arithmetic import as_word
from shmkret.text.atomics import Words, machine

OWNER_DIED = 1
"""What robust_lock() returns: the mutex is ours, and the process that held it died in it."""
REFUSED = 2
"""What robust_trylock() returns: another process holds it."""
SIZEOF_SEM_T = 32
SIZEOF_PTHREAD_MUTEX_T = 48  # on 64-bit Arm; 40 on x86-64

F = TypeVar("F", bound=Callable[..., Any])


class Call(NamedTuple):
    """One call. arguments: their names; `stop` is a column, all others are numbers. result: None, bool or int.

    changes: whether a death just before it leaves something else behind than one just after it.
    outside: it is asked in plain Python only: when an arena is made, or by audits. compiled: it is called in compiled code
    only.
    """

    name: str
    arguments: tuple[str, ...]
    result: str
    changes: bool
    outside: bool
    compiled: bool
    function: Callable[..., Any]


CALLS: dict[str, Call] = {}


def _call(*, changes: bool = False, outside: bool = False, compiled: bool = False) -> Callable[[F], F]:
    """Declare a call: its parameters, its result and its docstring are the row."""

    def declare(contract: F) -> F:
        name = contract.__name__

        signature = inspect.signature(contract)
        is_number = [parameter != "stop" for parameter in signature.parameters]

        @functools.wraps(contract)
        def call(*args: Any) -> Any:
            words = [as_word(arg) if number else arg for number, arg in zip(is_number, args, strict=True)]
            return machine().libc(name, *words)

        row = tuple(signature.parameters), str(signature.return_annotation), changes, outside, compiled, call
        CALLS[name] = Call(name, *row)
        return call  # type: ignore[return-value]

    return declare


@_call(outside=True)
def sem_init(address: int, value: int) -> None:
    """Make a process-shared semaphore in the sem_t at `address`."""


@_call(outside=True)
def sem_open(value: int) -> int:  # type: ignore[empty-body]
    """Make a named semaphore, map it, unlink its name; returns its address in this process and its forks."""


@_call(changes=True)
def sem_wait(address: int) -> None:
    """Take one from the semaphore, sleeping while there is none; goes on when a signal interrupts it."""


@_call(changes=True)
def sem_post(address: int) -> None:
    """Give one to the semaphore and wake a waiter."""


@_call(outside=True)
def sem_value(address: int) -> int:  # type: ignore[empty-body]
    """sem_getvalue(3); for audits, not part of the text."""


@_call(changes=True)
def sem_trywait(address: int) -> bool:  # type: ignore[empty-body]
    """Take one from the semaphore if it has one."""


@_call(changes=True)
def sem_wait_unless(address: int, stop: Words) -> bool:  # type: ignore[empty-body]
    """As sem_wait(), but give up, and return False, once `stop[0]` is not 0. A signal makes it look at once, else it looks
    every 20 ms.
    """


@_call(changes=True)
def sem_reset(address: int, value: int) -> None:
    """Make it a fresh semaphore of that value. Nobody may be inside sem_wait() or sem_post() of it."""


@_call(changes=True)
def mutex_init(address: int) -> None:
    """Make a process-shared mutex of the default type in the pthread_mutex_t at `address`."""


@_call(outside=True)
def mutex_is_free(address: int) -> bool:  # type: ignore[empty-body]
    """Whether nobody holds the mutex, which is looked at and not touched. For audits, not part of the text."""


@_call(changes=True)
def mutex_lock(address: int) -> None:
    """Lock the mutex, sleeping while another holds it."""


@_call(changes=True)
def mutex_unlock(address: int) -> None:
    """Unlock the mutex that this CPU holds."""


@_call(changes=True)
def mutex_trylock(address: int) -> bool:  # type: ignore[empty-body]
    """Lock the mutex if it is free."""


@_call(changes=True)
def mutex_lock_unless(address: int, stop: Words) -> bool:  # type: ignore[empty-body]
    """As mutex_lock(), but give up, and return False, once `stop[0]` is not 0; it looks every 20 ms."""


@_call(outside=True)
def robust_init(address: int) -> None:
    """Make a process-shared robust mutex in the pthread_mutex_t at `address`."""


@_call(outside=True)
def robust_is_free(address: int) -> bool:  # type: ignore[empty-body]
    """As mutex_is_free(); a robust mutex whose owner died is not free. For audits, not part of the text."""


@_call(changes=True)
def robust_lock(address: int) -> int:  # type: ignore[empty-body]
    """Lock a robust mutex. Returns 0, or OWNER_DIED: then it is ours, and consistent again."""


@_call(changes=True)
def robust_trylock(address: int) -> int:  # type: ignore[empty-body]
    """As robust_lock(), but do not wait: REFUSED when a live process holds it."""


@_call(changes=True)
def robust_unlock(address: int) -> None:
    """Unlock the robust mutex that this CPU holds."""


@_call()
def kick(pid: int) -> None:
    """Let a process that sleeps in sem_wait_unless() or futex_wait() look again: SIGURG, which nobody else minds."""


@_call(compiled=True)
def fork_process() -> int:  # type: ignore[empty-body]
    """_Fork(3): 0 in the child, its pid in the parent. Nothing of Python is made ready for the child."""


@_call(compiled=True)
def exit_process(status: int) -> None:
    """_exit(2)."""


@_call(compiled=True)
def process_id() -> int:  # type: ignore[empty-body]
    """getpid(2)."""


@_call(compiled=True)
def die_with_parent(parent: int) -> None:
    """PR_SET_PDEATHSIG: SIGKILL when the process that forked this one dies; at once, if it already has."""
