"""What we ask of libc and the kernel outside the hot path: making semaphores and mutexes, dying with the parent.

posix_ipc makes the named semaphores. Where it has no wheel, ctypes does the same through sem_open(3).

A name lives in /dev/shm only between making and mapping, and carries the pid namespace and pid of its maker: a name whose
maker was killed in between is removed by the next run.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shmkret.errors import UnfitMachine
from shmkret.host import signals

try:
    import posix_ipc
except ImportError:  # no wheel for this Python
    posix_ipc = None

SHM = Path("/dev/shm")
MAKING_FAILS: tuple[type[Exception], ...] = (OSError, posix_ipc.Error) if posix_ipc else (OSError,)
PR_SET_PDEATHSIG = 1
PTHREAD_PROCESS_SHARED = 1
PTHREAD_MUTEX_ROBUST = 1
O_CREAT_EXCL = os.O_CREAT | os.O_EXCL

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sem_open.restype = ctypes.c_void_p


def _check(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def sem_init(address: int, value: int) -> None:
    """sem_init(3), process-shared. Raises OSError."""
    _check(_libc.sem_init(ctypes.c_void_p(address), 1, value), "sem_init")


def mutex_init(address: int, *, robust: bool = False) -> None:
    """pthread_mutex_init(3), process-shared, default type, robust if asked for. Raises OSError."""
    attributes = ctypes.create_string_buffer(64)
    _check(_libc.pthread_mutexattr_init(attributes), "pthread_mutexattr_init")
    _check(_libc.pthread_mutexattr_setpshared(attributes, PTHREAD_PROCESS_SHARED), "pthread_mutexattr_setpshared")
    if robust:
        _check(_libc.pthread_mutexattr_setrobust(attributes, PTHREAD_MUTEX_ROBUST), "pthread_mutexattr_setrobust")
    _check(_libc.pthread_mutex_init(ctypes.c_void_p(address), attributes), "pthread_mutex_init")


def sem_value(address: int) -> int:
    """sem_getvalue(3). Raises OSError."""
    value = ctypes.c_int()
    _check(_libc.sem_getvalue(ctypes.c_void_p(address), ctypes.byref(value)), "sem_getvalue")
    return value.value


def mutex_is_free(address: int) -> bool:
    """Whether nobody holds a mutex, and no holder of a robust one has died in it; it is looked at, and not touched.

    A question must not change what it asks: others would find the mutex taken meanwhile, and a robust one whose holder died
    would be on this thread's robust list, which crashes once the mutex is unmapped.
    """
    lock, owner = ctypes.c_uint32.from_address(address).value, ctypes.c_uint32.from_address(address + 8).value
    return lock == 0 and owner == 0  # an owner that is no thread's says that it is not recoverable


class NamedSemaphore:
    """A named semaphore without its name: mapped, then unlinked.

    Attributes: address, of the sem_t in this process and in those it forks from now on.
    """

    def __init__(self, value: int) -> None:
        with signals.held_back():
            self._make(value)

    def _make(self, value: int) -> None:
        name = f"/shmkret.{_pid_namespace()}.{os.getpid()}.{secrets.token_hex(6)}"
        self._owner: Any = None
        try:
            if posix_ipc is not None:
                self._owner = posix_ipc.Semaphore(name, posix_ipc.O_CREX, mode=0o600, initial_value=value)
            # glibc keeps one mapping a name, so that this is the address that posix_ipc uses too.
            flags = 0 if self._owner else O_CREAT_EXCL
            address = _libc.sem_open(name.encode(), flags, ctypes.c_uint(0o600), ctypes.c_uint(value))
            if not address:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        except MAKING_FAILS as error:
            raise UnfitMachine(
                f"cannot make a named semaphore: {error}; is /dev/shm full, or vm.max_map_count too low?"
            ) from error
        finally:
            _libc.sem_unlink(name.encode())
        self.address = int(address)

    def acquire(self) -> None:
        """Wait, and go on waiting when a signal interrupts."""
        while True:
            if self._owner is None:
                if _libc.sem_wait(ctypes.c_void_p(self.address)) == 0:
                    return
                if ctypes.get_errno() != errno.EINTR:
                    _check(-1, "sem_wait")
                continue
            try:
                self._owner.acquire()
                return
            except posix_ipc.SignalError:
                continue

    def release(self) -> None:
        """Post."""
        if self._owner is None:
            _check(_libc.sem_post(ctypes.c_void_p(self.address)), "sem_post")
        else:
            self._owner.release()

    def close(self) -> None:
        """Unmap it in this process."""
        _libc.sem_close(ctypes.c_void_p(self.address))
        if self._owner is not None:
            self._owner.close()


def names() -> dict[str, int]:
    """The semaphores of our pid namespace that have a name: the path, and the pid of the maker."""
    pattern = re.compile(rf"sem\.shmkret\.{_pid_namespace()}\.(\d+)\.[0-9a-f]+")
    matches = {path: pattern.fullmatch(path.name) for path in SHM.glob("sem.shmkret.*")}
    return {str(path): int(match[1]) for path, match in matches.items() if match}


def sweep_names() -> list[str]:
    """Remove the names of semaphores whose maker, of our pid namespace, is dead. Returns the names removed."""
    removed = []
    for path, maker in ((Path(name), maker) for name, maker in names().items()):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == os.geteuid() and not Path(f"/proc/{maker}").exists():
                path.unlink()
                removed.append(path.name)
    return removed


def die_with_parent(parent: int) -> None:
    """Ask for SIGKILL when the parent dies; exits at once if it already has. For use in a forked child."""
    _libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def fork_child(body: Callable[[], int]) -> int:
    """Fork a child that dies with this process; its pid. It ends with the status that body() returns, 255 when that raises."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        status = 255
        try:
            die_with_parent(parent)
            status = body()
        finally:
            os._exit(status)
    return pid


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
