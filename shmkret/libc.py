"""What libc does between processes: `sem_t` and process-shared mutexes, by address.

Compiled, each is a call into libc. Uncompiled, it goes to the machine in force; the explored machine has the one model of each.
Source    sem_overview(7), pthread_mutexattr_setpshared(3)
"""

from __future__ import annotations

from shmkret.atomics import machine

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


def mutex_init(address: int) -> None:
    """Make a process-shared mutex of the default type in the pthread_mutex_t at `address`."""
    machine().mutex_init(address)


def mutex_lock(address: int) -> None:
    """Lock the mutex, sleeping while another holds it."""
    machine().mutex_lock(address)


def mutex_unlock(address: int) -> None:
    """Unlock the mutex that this CPU holds."""
    machine().mutex_unlock(address)
