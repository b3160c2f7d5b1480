"""The table of states grows: it begins small, since each new state touches another page of it."""

from __future__ import annotations

from shmkret.explore.descent import is_new
from shmkret.machines.compiled.stacks import peek
from shmkret.text.marks import inline


@inline
def move(before: int, before_mask: int, table: int, mask: int) -> int:
    """Put all fingerprints of a table into a larger one; how many there are."""
    nr = 0
    for i in range(before_mask + 1):
        h = peek(before + 8 * i)
        if h != 0 and is_new(table, mask, h):
            nr += 1
    return nr
