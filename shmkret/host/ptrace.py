"""A child is killed as it enters the system call that wakes who waits for a lock: between sem_post()'s add and its wake.

Source    ptrace(2): PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_SYSCALL, PTRACE_GET_SYSCALL_INFO
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

from shmkret.errors import UnfitMachine

PTRACE_SYSCALL, PTRACE_DETACH = 24, 17
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GET_SYSCALL_INFO = 0x4206, 0x4207, 0x420E
PTRACE_O_TRACESYSGOOD = 1
SYSCALL_STOP = signal.SIGTRAP | 0x80
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

    Then it goes on, untraced, if it has not ended. Raises UnfitMachine where processes must not be traced.
    """
    if os.uname().machine not in SYS_FUTEX:
        raise UnfitMachine(f"poster knows the system calls of {', '.join(SYS_FUTEX)} only")
    if _libc.ptrace(PTRACE_SEIZE, pid, None, PTRACE_O_TRACESYSGOOD) < 0:
        reason = ctypes.get_errno()
        if _has_ended(pid):
            return None
        raise UnfitMachine(f"poster needs ptrace(2) of children: {os.strerror(reason)}")
    end = time.monotonic() + seconds
    _libc.ptrace(PTRACE_INTERRUPT, pid, None, None)
    is_leaving = False
    while True:
        if _has_ended(pid):
            return None
        stopped = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG)
        if stopped is None:
            if not is_leaving and time.monotonic() > end:
                is_leaving = True
                _libc.ptrace(PTRACE_INTERRUPT, pid, None, None)
            time.sleep(POLL_S)  # this process comes before the child that it waits for
            continue
        if stopped.si_status == SYSCALL_STOP and _is_wake(pid):
            at = time.monotonic_ns()
            os.kill(pid, signal.SIGKILL)
            return at
        signalled = stopped.si_status if stopped.si_status < SYSCALL_STOP and stopped.si_status != signal.SIGTRAP else 0
        if is_leaving:  # at whatever stop: it has swallowed the interrupt
            _libc.ptrace(PTRACE_DETACH, pid, None, signalled)
            return None
        _libc.ptrace(PTRACE_SYSCALL, pid, None, signalled)


def _has_ended(pid: int) -> bool:
    """By itself, for others to see: it is not reaped here. A traced child's stops are told here, too."""
    seen = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return seen is not None and seen.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)


def _is_wake(pid: int) -> bool:
    info = SyscallInfo()
    _libc.ptrace(PTRACE_GET_SYSCALL_INFO, pid, ctypes.c_void_p(ctypes.sizeof(info)), ctypes.byref(info))
    is_futex = info.op == ENTRY and info.nr == SYS_FUTEX[os.uname().machine]
    return bool(is_futex and info.args[1] & COMMAND == FUTEX_WAKE)
