"""A control: no lock at all. What remains is the cost of the path itself.

    word 0   unused

Right on one CPU only. On more the oracle must catch it.
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text import Words

CONTROL = True


class Empty(NamedTuple):
    """Takes a word, so that the layout is that of a one-word lock."""

    unused: Words


def acquire(lock: Empty, i: int) -> None:
    pass


def release(lock: Empty, i: int) -> None:
    pass
