"""Messages and views of release-acquire memory, as Python sees them: where they lie, and what they say."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shmkret.explore.scene import RA
from shmkret.explore.stacks import clocks, control, view_states, views
from shmkret.machines.compiled import watched
from shmkret.machines.compiled.loop import INT, address_of, compile_function

ASKED = {control.SEES: views.sees, control.CAN_SEE: views.can_see, control.VIEWS_PRINT: view_states.views_print}


class Messages:
    """The memory of one scene; of another model, none. folder: where what is compiled is kept, or None."""

    def __init__(self, model: str, folder: Path | None) -> None:
        asked = ASKED if model == RA else {}
        self._asked = {
            at: compile_function(function, [INT], folder and folder / f"search-{function.__name__}")
            for at, function in asked.items()
        }
        self._views = self._history = 0

    def words(self, room: Callable[[int], int]) -> dict[int, int]:
        """What the control block must say. room: makes zeroed memory of so many bytes; its address."""
        if self._asked:
            self._views = room(clocks.MOST_ROWS * clocks.ROW)
            self._history = room(views.HISTORY_BYTES)
        addresses = {at: address_of(function) for at, function in self._asked.items()}
        return {watched.VIEWS: self._views, watched.HISTORY: self._history, **addresses}

    def begin(self) -> None:
        """Each word has the message that is in memory, and all may read it. Which words have messages is known from before."""
        if self._asked:
            ctypes.memset(self._views, 0, clocks.MOST_ROWS * clocks.ROW)
            ctypes.memset(self._history, 0, views.PLACES)

    def old(self, address: int, back: int) -> int:
        """What the message says that is so many before the newest of the word at an address. Raises: ValueError."""
        words = np.ctypeslib.as_array((ctypes.c_int64 * (views.HISTORY_BYTES // 8)).from_address(self._history))
        w = words[views.PLACES // 8 :][: views.MOST_WORDS].tolist().index(address)
        n = int(words[views.NEWEST // 8 + w]) - back
        return int(words[views.VALUES // 8 + w * control.MOST_MESSAGES + n % control.MOST_MESSAGES])
