"""Fixtures for pytest, there as soon as shmkret is installed.

    shmkret_leaks      what this test leaves behind of ours fails it: processes, arenas, semaphores
    shmkret_explore    shmkret.explore(), which fails the test with the lanes of a violation, and when it is not complete

Use them by name, or the first for all tests of a file with `pytestmark = pytest.mark.usefixtures("shmkret_leaks")`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from shmkret.explore.search import Found

PYTHONS_OWN = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Processes that Python starts once, and keeps."""
LOOKS = 10
"""Within half a second: a process of Python's own is not known as such until it has executed its program."""


def left_behind() -> set[str]:
    """Arenas and semaphores that are not certainly another program's, and processes that this one has started, as text.

    Another program's are those whose maker lives and does not descend from this process.
    """
    from shmkret.arena import named
    from shmkret.arena import segment as arena  # this plug-in is imported by every pytest run of an environment that has it
    from shmkret.host import posix  # this plug-in is imported by every pytest run of an environment that has it

    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    pids = {process.pid for process in family}
    arenas = {str(arena.SHM / one.name): one.pid for one in named.listing() if one.state != named.NO_ARENA}
    names = {place for place, maker in {**arenas, **posix.names()}.items() if maker in pids or not psutil.pid_exists(maker)}
    return names | {f"process {child.pid} {child.name()}" for child in family[1:] if not _is_pythons(child)}


def _is_pythons(process: psutil.Process) -> bool:
    try:
        words = " ".join(process.cmdline())
    except psutil.Error:
        return True  # it is gone
    return any(name in words for name in PYTHONS_OWN)


@pytest.fixture
def shmkret_leaks() -> Iterator[None]:
    """Fail the test that leaves a process, an arena or a semaphore of shmkret's behind."""
    before = left_behind()
    yield
    left = left_behind() - before
    looks = 1
    while left and looks < LOOKS:
        time.sleep(0.05)
        left = left_behind() - before
        looks += 1
    assert not left, f"left behind: {', '.join(sorted(left))}"


class Explore:
    """What the fixture shmkret_explore is."""

    def __call__(self, scenario: str = "calls", *, complete: bool | None = None, **asked: Any) -> Found:
        """shmkret.explore(scenario, **asked), which must find no violation.

        Args:    complete: whether it must be complete, too; None: it must, with an engine that can be and
                 no bound of preemptions.
        Returns: what it has found.
        Raises:  what shmkret.explore() raises, and pytest's failure, with the lanes of each violation and the command that
                 runs it again.
        """
        __tracebackhide__ = True
        from shmkret.explore.library import explore

        found = explore(scenario, **asked)
        if found.violations:
            pytest.fail("\n\n".join(map(str, found.violations)), pytrace=False)
        can_be = not found.how.draws and found.how.preemptions is None
        if not found.complete and (can_be if complete is None else complete):
            counts = f"{found.schedules:,} runs" if found.states is None else f"{found.states:,} states"
            pytest.fail(f"{scenario} was not searched to the end: {found.bound}, after {counts}", pytrace=False)
        return found


@pytest.fixture
def shmkret_explore() -> Explore:
    """shmkret.explore(): a violation fails the test, and a search that is not complete."""
    return Explore()
