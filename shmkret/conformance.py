"""The conformance suite for locks, for pytest: a lock of your own takes part in one line.

    from shmkret.conformance import lock_suite

    TestMyLock = lock_suite("mylock.py")      # beside this test file; or the name of an installed lock

Source    the suites of trio and Concurrency Kit, which run every lock through the same tests
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from shmkret import topology
from shmkret.measure.cell import Cell, Prepared
from shmkret.measure.rehearsal import rehearse, step_through
from shmkret.registry import LOCK, find

SECONDS = 0.1


def lock_suite(lock: str | Path) -> type:
    """A class of tests for a lock: a path, relative to the calling file, or a name.

    Raises: PluginError, UnknownName, when the test file is collected.
    """
    name = str(lock)
    if "/" in name or name.endswith(".py"):
        name = str(Path(sys._getframe(1).f_globals.get("__file__", os.curdir)).resolve().parent / name)
    plugin = find(LOCK, name)
    return type("LockSuite", (_LockSuite,), {"lock": name, "__doc__": f"The lock {plugin.name}.", "__module__": __name__})


class _LockSuite:
    lock = ""

    def _prepared(self, scheme: str, cpus: int, plain: bool = False) -> Prepared:
        cpus = min(cpus, topology.usable())
        return Prepared(Cell("hot", scheme, self.lock, "x86-64", "cacheline", cpus).over(plain=plain), seed=1)

    def test_it_lets_one_in_under_every_interleaving(self) -> None:
        """One call on each of two CPUs, explored; every index checked before."""
        prepared = self._prepared("hashed", 1)
        build = replace(prepared.build, nr_cpus=2)
        step_through(build, prepared.sizes, prepared.script)
        found = rehearse(build, prepared.sizes, prepared.script)
        assert found.flaws == ()
        assert found.doubts == ()

    def test_nothing_is_lost_between_processes(self) -> None:
        """Compiled, contended: the oracle, the audit of all lists and counts, and every lock free in the end."""
        import pytest

        if topology.usable() < 2:
            pytest.skip("a lock that two CPUs contend for needs two cores; this process may use one")
        for scheme in ("global", "hashed"):
            prepared = self._prepared(scheme, 2)
            prepared.compile()
            assert prepared.repeat(SECONDS).flaws == ()

    def test_it_does_the_same_uncompiled(self) -> None:
        """The same functions as plain Python."""
        prepared = self._prepared("hashed", 2, plain=True)
        prepared.compile()
        assert prepared.repeat(SECONDS).flaws == ()
