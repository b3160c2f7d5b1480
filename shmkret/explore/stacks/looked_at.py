"""Which columns of an arena a check has looked at, told by what it has asked the arena for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret.arena.segment import Arena


class LookedAt:
    """Sections, each with the columns that were asked for by name; a section of which none was is looked at as a whole."""

    def __init__(self) -> None:
        self._columns: dict[str, set[str]] = {}
        self._known: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def _has(self, section: str, column: str, _: int) -> bool:
        columns = self._columns.get(section)
        return columns is not None and (column in columns or not columns)

    def places(self, placed: Callable[[Callable[[str, str, int], bool]], Collection[int]]) -> NDArray[np.int64]:
        """The words of these columns; `placed` says where those are that a function of (section, column, index) chooses."""
        size = sum(1 + len(columns) for columns in self._columns.values())
        if self._known[0] != size:
            self._known = size, np.array(sorted(placed(self._has)), np.int64)
        return self._known[1]

    def add(self, sections: Iterable[str]) -> None:
        """These were looked at as a whole, if no column of them is known to have been."""
        for section in sections:
            self._columns.setdefault(section, set())

    @contextmanager
    def noted(self, arena: Arena) -> Iterator[None]:
        """While this block runs, what the arena is asked for is noted."""
        records = arena.records

        def noting(section: str) -> NDArray[np.void]:
            found = records(section).view(_Noting)
            found.columns = self._columns.setdefault(section, set())
            return found

        arena.records = noting  # type: ignore[method-assign]
        try:
            yield
        finally:
            del arena.records


class _Noting(np.ndarray):
    """Records that note which of their columns are asked for."""

    columns: set[str] | None = None

    def __array_finalize__(self, other: Any) -> None:
        self.columns = getattr(other, "columns", None)

    def __getitem__(self, key: Any) -> Any:
        if self.columns is not None:
            self.columns.update(
                [key] if isinstance(key, str) else key if isinstance(key, list) and key and isinstance(key[0], str) else ()
            )
        found = super().__getitem__(key)
        return found.view(np.ndarray) if isinstance(key, str) else found
