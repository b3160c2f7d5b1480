"""A byte for each CPU slot, behind the end of the arena's file, with a lock of an open file description (OFD).

The kernel lets go of it when the process that took it dies, however it dies, and not when another descriptor of the file is
closed. Whoever could not have the byte knows that somebody is alive.

Source    fcntl(2): F_OFD_SETLK, F_OFD_GETLK
"""

from __future__ import annotations

import fcntl
import os
import struct

FIRST_BYTE = 1 << 40
"""Behind the largest arena."""
FLOCK = "hhqqi4x"


def _flock(kind: int, slot: int) -> bytes:
    return struct.pack(FLOCK, kind, os.SEEK_SET, FIRST_BYTE + slot, 1, 0)


def try_lock(fd: int, slot: int) -> bool:
    """Take the byte of a slot, if nobody has it; `fd` is an open file description of our own."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK, slot))
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock(fd: int, slot: int) -> None:
    """Give the byte of a slot back."""
    fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK, slot))


def is_locked(fd: int, slot: int) -> bool:
    """Whether somebody has the byte of a slot, and so is alive; `fd` is not that one's own."""
    answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, slot))
    return bool(struct.unpack(FLOCK, answer)[0] != fcntl.F_UNLCK)
