"""Processes that run machine code and nothing else: cheap to start and to end, watched by one that comes first.

    come_first(pid)      it runs before all ordinary processes, where that is permitted
    take_kicks()         SIGURG interrupts a system call, and does nothing else
    forget_memory()      a child does not get the memory that it never touches
    wait_until(holds)    poll, a little slower each time

Source    sched_setscheduler(2), siginterrupt(3), madvise(2) (MADV_DONTFORK)
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

MADV_DONTFORK, MADV_DOFORK = 10, 11
NEEDED = re.compile(r"/(libc|libm|libgcc_s|libpthread|ld-linux-[^/]*|_helperlib[^/]*)[-.0-9]*\.so|\[stack|\[v")
BSS, STATIC_TLS, THREAD_DESCRIPTOR = 1 << 16, 1 << 15, 1 << 13
"""Bytes, all of them generous."""
SHORTEST_S, LONGEST_S = 0.00002, 0.002
"""Between two looks of wait_until()."""
_libc = ctypes.CDLL(None, use_errno=True)
_libc.pthread_self.restype = ctypes.c_size_t


def come_first(pid: int) -> bool:
    """Let a process run before all ordinary ones; whether that is permitted. Its children are ordinary."""
    try:
        os.sched_setscheduler(pid, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return False
    return True


def take_kicks() -> None:
    """Let SIGURG interrupt a system call and do nothing else, in this process and its children.

    Not through Python, whose handler would need memory that the children do not have.
    """
    nothing = ctypes.cast(_libc.getpid, ctypes.c_void_p)
    _libc.signal(signal.SIGURG, nothing)
    _libc.siginterrupt(signal.SIGURG, 1)


def forget_memory() -> None:
    """Keep from children what they never touch: forking and dying walk every mapping and its page tables.

    Children need the arena, which is shared; machine code and its constants, which are anonymous and not writable; the stack;
    libc and its kind with the memory right behind their data (.bss); and the block of thread-local words, wherever it lies.
    """
    needed = [(_libc.pthread_self() - STATIC_TLS, _libc.pthread_self() + THREAD_DESCRIPTOR)]
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last, flags, path = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \S+ *(.*)", line).groups()  # type: ignore[union-attr]
        start, end = int(first, 16), int(last, 16)
        if NEEDED.search(path):
            needed.append((start, end + BSS if flags == "rw-p" and path.startswith("/") else end))
        elif flags[3] == "p" and (path or flags == "rw-p"):
            _advise(start, end, MADV_DONTFORK)
    for start, end in needed:
        _advise(start, end, MADV_DOFORK)


def _advise(start: int, end: int, advice: int) -> None:
    start &= -mmap.PAGESIZE
    _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll for that long; whether it holds."""
    deadline = time.monotonic() + seconds
    pause = SHORTEST_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(LONGEST_S, pause * 1.3)
    return True
