"""What libc does between processes: `sem_t` and process-shared mutexes, by address.

Compiled, each is a call into libc. Uncompiled, it goes to the machine in force; the explored machine has the one model of each.
Source    sem_overview(7), pthread_mutexattr_setpshared(3)
"""

from __future__ import annotations

from shmkret.text.atomics import Words, machine

OWNER_DIED = 1
"""What robust_lock() returns: the mutex is ours, and the process that held it died in it."""
REFUSED = 2
"""What robust_trylock() returns: another process holds it."""
SIZEOF_SEM_T = 32
SIZEOF_PTHREAD_MUTEX_T = 48  # on 64-bit Arm; 40 on x86-64


def sem_init(address: int, value: int) -> None:
    """Make a process-shared semaphore in the sem_t at `address`."""
    machine().sem_init(address, value)


def sem_open(value: int) -> int:
    """Make a named semaphore, map it, unlink its name; returns its address in this process and its forks."""
    return machine().sem_open(value)


def sem_wait(address: int) -> None:
    """Take one from the semaphore, sleeping while there is none; goes on when a signal interrupts it."""
    machine().sem_wait(address)


def sem_post(address: int) -> None:
    """Give one to the semaphore and wake a waiter."""
    machine().sem_post(address)


def sem_value(address: int) -> int:
    """sem_getvalue(3); for audits, not part of the text."""
    return machine().sem_value(address)


def mutex_is_free(address: int) -> bool:
    """Whether pthread_mutex_trylock(3) succeeds; the mutex is given back. For audits, not part of the text."""
    return machine().mutex_is_free(address)


def robust_is_free(address: int) -> bool:
    """As mutex_is_free(); a robust mutex whose owner died is not free. For audits, not part of the text."""
    return machine().robust_is_free(address)


def mutex_init(address: int) -> None:
    """Make a process-shared mutex of the default type in the pthread_mutex_t at `address`."""
    machine().mutex_init(address)


def mutex_lock(address: int) -> None:
    """Lock the mutex, sleeping while another holds it."""
    machine().mutex_lock(address)


def mutex_unlock(address: int) -> None:
    """Unlock the mutex that this CPU holds."""
    machine().mutex_unlock(address)


def sem_trywait(address: int) -> bool:
    """Take one from the semaphore if it has one."""
    return machine().sem_trywait(address)


def sem_wait_unless(address: int, stop: Words) -> bool:
    """As sem_wait(), but give up, and return False, once `stop[0]` is not 0. A signal makes it look at once, else it looks
    every 20 ms.
    """
    return machine().sem_wait_unless(address, stop)


def sem_reset(address: int, value: int) -> None:
    """Make it a fresh semaphore of that value. Nobody may be inside sem_wait() or sem_post() of it."""
    machine().sem_reset(address, value)


def mutex_trylock(address: int) -> bool:
    """Lock the mutex if it is free."""
    return machine().mutex_trylock(address)


def mutex_lock_unless(address: int, stop: Words) -> bool:
    """As mutex_lock(), but give up, and return False, once `stop[0]` is not 0; it looks every 20 ms."""
    return machine().mutex_lock_unless(address, stop)


def robust_init(address: int) -> None:
    """Make a process-shared robust mutex in the pthread_mutex_t at `address`."""
    machine().robust_init(address)


def robust_lock(address: int) -> int:
    """Lock a robust mutex. Returns 0, or OWNER_DIED: then it is ours, and consistent again."""
    return machine().robust_lock(address)


def robust_trylock(address: int) -> int:
    """As robust_lock(), but do not wait: REFUSED when a live process holds it."""
    return machine().robust_trylock(address)


def robust_unlock(address: int) -> None:
    """Unlock the robust mutex that this CPU holds."""
    machine().robust_unlock(address)


def kick(pid: int) -> None:
    """Let a process that sleeps in sem_wait_unless() or futex_wait() look again: SIGURG, which nobody else minds."""
    machine().kick(pid)


def fork_process() -> int:
    """_Fork(3): 0 in the child, its pid in the parent. Compiled code only: nothing of Python is made ready for the child."""
    raise NotImplementedError


def exit_process(status: int) -> None:
    """_exit(2). Compiled code only."""
    raise NotImplementedError


def process_id() -> int:
    """getpid(2). Compiled code only."""
    raise NotImplementedError


def die_with_parent(parent: int) -> None:
    """PR_SET_PDEATHSIG: SIGKILL when the process that forked this one dies; at once, if it already has. Compiled code only."""
    raise NotImplementedError
