"""Fixtures for pytest, there as soon as shmkret is installed.

    shmkret_leaks    what this test leaves behind of ours fails it: processes, arenas, semaphores

Use it by name, or for all tests of a file with `pytestmark = pytest.mark.usefixtures("shmkret_leaks")`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

SHM = Path("/dev/shm")
PREFIXES = ("shmkret.", "sem.shmkret")


def left_behind() -> set[str]:
    """Names in /dev/shm that are ours, and processes that this one has started, as text."""
    ours = {str(path) for prefix in PREFIXES for path in SHM.glob(f"{prefix}*")}
    return ours | {f"process {child.pid}" for child in psutil.Process().children(recursive=True)}


@pytest.fixture
def shmkret_leaks() -> Iterator[None]:
    """Fail the test that leaves a process, an arena or a semaphore of shmkret's behind."""
    before = left_behind()
    yield
    left = left_behind() - before
    assert not left, f"left behind: {', '.join(sorted(left))}"
