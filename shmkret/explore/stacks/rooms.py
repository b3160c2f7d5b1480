"""The memory of a search: rooms, zeroed, which begin where a stack may; what nobody has touched takes none."""

from __future__ import annotations

import contextlib
import ctypes
import mmap

from shmkret.machines.compiled import watched


class Rooms:
    """Those of one search, by their addresses."""

    def __init__(self) -> None:
        self._maps: dict[int, mmap.mmap] = {}

    def room(self, size: int, *, shared: bool = True) -> int:
        """A new one, of so many bytes; its address, a multiple of STACK. shared: with processes that are forked from now on."""
        flags = (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
        room = mmap.mmap(-1, size + watched.STACK, flags=flags)
        if not shared:
            with contextlib.suppress(OSError):  # a kernel without huge pages
                room.madvise(mmap.MADV_HUGEPAGE)
        view = ctypes.c_char.from_buffer(room)
        address = -(-ctypes.addressof(view) // watched.STACK) * watched.STACK
        del view  # it would keep the room from being closed
        self._maps[address] = room
        return address

    def empty(self, address: int, begin: int, size: int) -> None:
        """Nobody reads these bytes of a room again, nor those before them: a multiple of a page, and the memory is free."""
        self._maps[address].madvise(mmap.MADV_DONTNEED, begin, size)

    def forget(self, address: int) -> None:
        """There is no such room any more. 0: there was none."""
        if address:
            self._maps.pop(address).close()

    def close(self) -> None:
        """Forget all."""
        self._maps.clear()
