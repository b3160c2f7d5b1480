"""Inter-process locks, one a file.

A file defines one NamedTuple class, whose fields are the words of a lock, and these functions on it. `lock` is the array of
all locks of a run, `i` the one meant:

    acquire(lock, i)      take it, waiting
    release(lock, i)      give it back; only its holder calls this
    init(lock, i)         optional: make it free, where all zeros is not free

Optional in the file: SIZE, the bytes of a lock whose words libc owns; CONTROL = True, for a lock that must fail.
"""

from __future__ import annotations

from typing import Any

from shmkret.text import generic


@generic
def acquire(lock: Any, i: int) -> None:
    """Take lock `i`, waiting until it is free."""
    raise NotImplementedError


@generic
def release(lock: Any, i: int) -> None:
    """Give lock `i` back; only its holder calls this."""
    raise NotImplementedError
