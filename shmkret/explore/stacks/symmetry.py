"""CPUs that are alike: a search lets them begin in the order of their numbers.

What they do when others begin before them, those do that begin before them: each run is one of these, but for the numbers. Who
has begun is part of a state: a step that changes nothing else may let the next begin.
"""

from __future__ import annotations

from shmkret.explore.stacks.control import SYMMETRIC
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek
from shmkret.machines.compiled.watched import KIND, STEPS
from shmkret.text.marks import inline


@inline
def has_begun(r: int) -> bool:
    """Whether a CPU, by its record, has done its first step, or has none."""
    return peek(r + STEPS) > 1 or peek(r + KIND) >= steps.DONE


@inline
def may_begin(c: int, r: int, before: int) -> bool:
    """Whether a CPU has begun, or may, by its record and that of the CPU before it."""
    return peek(c + SYMMETRIC) == 0 or has_begun(r) or has_begun(before)
