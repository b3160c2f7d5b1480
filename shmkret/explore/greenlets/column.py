"""A column of words as the explored machine has it: each access to one may be a step."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from shmkret.text import arithmetic


class ExploredWords:
    """A column whose words the scheduler watches; `private` ones it does not."""

    def __init__(self, machine: Any, column: str, values: Sequence[int], private: bool) -> None:
        self.column = column
        self.values = list(values)
        self.private = private
        self.nobodys: Collection[int] = ()
        """Words that one CPU at most will use, and that it is not worth to interleave."""
        self._machine = machine

    def __getitem__(self, i: int) -> int:
        return int(self._machine.access("load", self, i, writes=False, plain=True))

    def __setitem__(self, i: int, value: int) -> None:
        value = arithmetic.as_word(value)
        self._machine.access("store", self, i, writes=True, plain=True, learns=False)
        self.values[i] = value
