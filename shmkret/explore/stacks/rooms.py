"""The memory of a search: rooms, zeroed, which begin where a stack may; what nobody has touched takes none."""

from __future__ import annotations

import contextlib
import ctypes
import mmap

from shmkret.machines.compiled import watched


class Rooms:
    """Those of one search, by their addresses; each with where it begins in its map."""

    def __init__(self) -> None:
        self._maps: dict[int, tuple[mmap.mmap, int]] = {}

    def room(self, size: int, *, shared: bool = True) -> int:
        """A new one, of so many bytes; its address, a multiple of STACK. shared: with processes that are forked from now on."""
        flags = (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE) | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
        room = mmap.mmap(-1, size + watched.STACK, flags=flags)
        if not shared:
            with contextlib.suppress(OSError):  # a kernel without huge pages
                room.madvise(mmap.MADV_HUGEPAGE)
        view = ctypes.c_char.from_buffer(room)
        begin = ctypes.addressof(view)
        del view  # it would keep the room from being closed
        address = -(-begin // watched.STACK) * watched.STACK
        self._maps[address] = room, address - begin
        return address

    def empty(self, address: int, begin: int, size: int) -> None:
        """Nobody reads these bytes of a room again: whole pages, and their memory is free."""
        room, offset = self._maps[address]
        room.madvise(mmap.MADV_DONTNEED, offset + begin, size)

    def forget(self, address: int) -> None:
        """There is no such room any more. 0: there was none."""
        if address:
            self._maps.pop(address)[0].close()

    def close(self) -> None:
        """Forget all."""
        self._maps.clear()
