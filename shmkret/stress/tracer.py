"""A child is killed as it enters the system call that wakes who waits for a lock: between sem_post()'s add and its wake.

Source    ptrace(2): PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SYSCALL, PTRACE_GET_SYSCALL_INFO
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time

from shmkret.errors import UnfitMachine

PTRACE_SYSCALL, PTRACE_DETACH = 24, 17
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GET_SYSCALL_INFO = 0x4206, 0x4207, 0x420E
PTRACE_O_TRACESYSGOOD = 1
PTRACE_EVENT_STOP = 128
SYSCALL_STOP = signal.SIGTRAP | 0x80
WALL = 0x40000000
ENTRY = 1
POLL_S = 0.00002
SYS_FUTEX = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
FUTEX_WAKE = 1
COMMAND = 0x7F
"""Of a futex's operation: without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME."""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)


class SyscallInfo(ctypes.Structure):
    """struct ptrace_syscall_info, as it is at an entry."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("nr", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    )


def kill_before_wake(pid: int, seconds: float) -> int | None:
    """SIGKILL a child of this thread as it enters FUTEX_WAKE. When: monotonic ns; None when it does not within that time.

    Then it goes on, untraced. Raises UnfitMachine where processes must not be traced.
    """
    if os.uname().machine not in SYS_FUTEX:
        raise UnfitMachine(f"poster knows the system calls of {', '.join(SYS_FUTEX)} only")
    if _libc.ptrace(PTRACE_SEIZE, pid, None, PTRACE_O_TRACESYSGOOD) < 0:
        raise UnfitMachine(f"poster needs ptrace(2) of children: {os.strerror(ctypes.get_errno())}")
    end = time.monotonic() + seconds
    _libc.ptrace(PTRACE_INTERRUPT, pid, None, None)
    is_leaving = False
    while True:
        found, status = os.waitpid(pid, os.WNOHANG | WALL)
        if found == 0:
            if not is_leaving and time.monotonic() > end:
                _libc.ptrace(PTRACE_INTERRUPT, pid, None, None)
                is_leaving = True
            time.sleep(POLL_S)  # this process comes before the child that it waits for
            continue
        event = os.WSTOPSIG(status)
        if event == SYSCALL_STOP and _is_wake(pid):
            at = time.monotonic_ns()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            return at
        passed = 0 if event == SYSCALL_STOP or status >> 16 == PTRACE_EVENT_STOP else event
        if is_leaving and passed == 0 and event != SYSCALL_STOP:
            _libc.ptrace(PTRACE_DETACH, pid, None, None)
            return None
        _libc.ptrace(PTRACE_SYSCALL, pid, None, passed)


def _is_wake(pid: int) -> bool:
    info = SyscallInfo()
    _libc.ptrace(PTRACE_GET_SYSCALL_INFO, pid, ctypes.c_void_p(ctypes.sizeof(info)), ctypes.byref(info))
    is_futex = info.op == ENTRY and info.nr == SYS_FUTEX[os.uname().machine]
    return bool(is_futex and info.args[1] & COMMAND == FUTEX_WAKE)
