"""Monitors: what must not be at any moment of a run, whatever the scenario. One a file; all of them watch every search.

watch(run) -> () -> str      called when every CPU has come to its first step; what it returns is asked of every state that is
                             new, and must depend on the state alone: what is wrong, in a sentence, or nothing (empty)
"""

from __future__ import annotations

from pathlib import Path

from shmkret.plugins.contract import Contract, Signature

MONITOR = Contract(
    name="monitor",
    folder=Path(__file__).parent,
    package="shmkret.explore.monitors",
    record=lambda _contract, _path, _module: object,
    signatures=(Signature("watch", ("run",)),),
)
