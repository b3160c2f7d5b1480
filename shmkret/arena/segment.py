"""The arena: one shared-memory segment that holds everything, seen through numpy.

Private   by default: a sealed memfd, handed to the workers by inheritance. It has no name, cannot leak, and cannot be
          truncated under us.
Named     on request: /dev/shm/shmkret.<random>, mode 0600, created exclusively; unlinked by close(). SHMKRET_SHM_DIR names
          another folder than /dev/shm.
Reserved  at creation, so that too little memory is an error here and not a SIGBUS later.
Attaching copies the header, checks it against the file's size and owner, and keeps the copy: what another program writes
          into the header afterwards moves none of our positions.

Source    memfd_create(2), fcntl(2) on file seals, fallocate(2)
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from shmkret.arena import hashing, layout
from shmkret.arena.boot import build_probes, build_tasks
from shmkret.arena.chains import IN_BUCKETS, Listed, statistics
from shmkret.arena.fields import describe_record, dtype_of
from shmkret.arena.header import HEADER, MAGIC, VERSION, layout_digest
from shmkret.arena.layout import GEOMETRY_FIELDS, Geometry, Placed
from shmkret.arena.memory import mib, require_room
from shmkret.arena.records import Boot
from shmkret.errors import ArenaError, GeometryError, UnfitMachine, UnknownName

SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

SHM = Path(os.environ.get("SHMKRET_SHM_DIR") or "/dev/shm")
"""Where named arenas lie. In a container whose /dev/shm is small, SHMKRET_SHM_DIR may name another tmpfs."""

NAME_PREFIX = "shmkret."


class Arena:
    """A mapped arena. Use `create()` or `attach()`.

    Attributes: fd, size (bytes), address (of byte 0 in this process), name (None when private), geometry, sections (by
    name), lists (where instances are kept: those of a hash table, unless a scheme says otherwise; empty: that is not known).

    A forked child that closes it only lets go of it itself: the name and its being live belong to the process that made or
    attached it.
    """

    def __init__(
        self, fd: int, placed: tuple[Placed, ...], geometry: Geometry, name: str | None, *, made: bool = False
    ) -> None:
        self.fd = fd
        self.name = name
        self._made = made
        self._pid = os.getpid()
        self.geometry = geometry
        self.lists: tuple[Listed, ...] = IN_BUCKETS
        self.sections = {section.name: section for section in placed}
        self.size = layout.arena_bytes(placed)
        self._map = mmap.mmap(fd, self.size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        self._bytes: NDArray[np.uint8] = np.frombuffer(self._map, np.uint8)
        self.address = int(self._bytes.ctypes.data)

    @classmethod
    def create(
        cls,
        geometry: Geometry,
        *,
        lock: type,
        scheme: type | None = None,
        names: dict[str, str] | None = None,
        hash_name: str = "mult-2008-64",
        task_address: str = "slab",
        named: bool = False,
        boot: Sequence[Boot] = (),
    ) -> Self:
        """Reserve an arena and build every list: all instances free, all buckets empty, all tasks at rest.

        Args:    geometry: its sizes. lock: the record class of its locks, whose words stay zero here. scheme: the class of
                 its scheme, for the records that only that has; None: those of a hash table.
                 names: `scheme`, `lock`, `arch`, for programs that attach: a name, or the absolute path of a file.
                 named: give it a name in /dev/shm.
                 boot: the probes; empty: a kretprobe on each function, with geometry.maxactive instances.
        Raises:  ArenaError when it does not fit into memory, UnfitMachine when it cannot have a name; GeometryError;
                 UnknownName for the hash or address model.
        """
        placed = layout.sections(geometry, lock, scheme)
        multiplier = hashing.multiplier(hash_name)
        addresses = hashing.task_addresses(task_address, geometry.nr_tasks)
        require_room(geometry, lock, scheme)
        fd, name = _reserve(layout.arena_bytes(placed), named)
        try:
            arena = cls(fd, placed, geometry, name, made=True)
            build_tasks(arena, addresses)
            build_probes(arena, boot)
            texts = {"hash": hash_name, "task_address": task_address, **(names or {})}
            arena._write_header(texts, lock, scheme, multiplier)
        except BaseException:
            _discard(fd, name)
            raise
        return arena

    @classmethod
    def attach(cls, fd: int, *, lock: type, scheme: type | None = None, name: str | None = None) -> Self:
        """Map an arena that another program made, after checking that it is one and that we may trust its sizes.

        Args:    fd: open for reading and writing; the arena keeps it. lock, scheme: as it was created with. name: its own.
        Raises:  ArenaError: not an arena, another version or layout, another owner, truncated, geometry that does not add up.
        """
        geometry, placed = checked(fd, lock, scheme)
        return cls(fd, placed, geometry, name)

    def records(self, section: str) -> NDArray[np.void]:
        """The records of a section, structured '<i8' fields, shared and writable."""
        s = self.sections[section]
        part = self._bytes[s.offset : s.offset + s.nr * s.stride]
        return part.view(dtype_of(s.record, s.stride))

    @property
    def header(self) -> NDArray[np.void]:
        """The header, one record of HEADER."""
        return self._bytes[: HEADER.itemsize].view(HEADER)

    def statistics(self) -> dict[str, Any]:
        """What is in it, as plain numbers, strings, lists and dicts: see statistics()."""
        return statistics(self)

    def close(self) -> None:
        """Unlink the name, if we made it, and close the descriptor. Again is harmless.

        The memory goes when the last view of it does.
        """
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            self._bytes = np.empty(0, np.uint8)
            is_ours = os.getpid() == self._pid  # a forked child has our lock and our name, and neither is its to give up
            if is_ours:
                fcntl.flock(fd, fcntl.LOCK_UN)  # the mapping holds a duplicate, which would keep us alive
            _discard(fd, self.name if is_ours and self._made else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write_header(self, texts: dict[str, str], lock: type, scheme: type | None, multiplier: int) -> None:
        header = self.header[0]
        for key, text in texts.items():
            encoded = os.fsencode(text)
            # Half a path would lead elsewhere: none says that it has to be given by hand.
            header[key] = encoded if len(encoded) <= HEADER[key].itemsize else b""
        for key, record in (("lock_record", lock), ("scheme_record", scheme)):
            described = describe_record(record).encode() if record else b""
            header[key] = described if len(described) <= HEADER[key].itemsize else b""
        header["version"] = VERSION
        header["size"] = self.size
        header["creator_pid"] = os.getpid()
        header["layout"] = layout_digest(lock, scheme)
        header["padding"] = self.geometry.padding.encode()
        header["table_padding"] = self.geometry.table_padding.encode()
        header["hash_multiplier"] = multiplier
        header["geometry"] = [getattr(self.geometry, field) for field in GEOMETRY_FIELDS]
        header["sections"][: len(self.sections)] = [[s.offset, s.nr, s.stride] for s in self.sections.values()]
        header["magic"] = MAGIC  # last: an arena that is half built is none


def _reserve(size: int, named: bool) -> tuple[int, str | None]:
    name = f"{NAME_PREFIX}{secrets.token_hex(8)}" if named else None
    if name:
        try:
            fd = os.open(SHM / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UnfitMachine(f"an arena with a name cannot be made in {SHM}: {error.strerror}") from error
        fcntl.flock(fd, fcntl.LOCK_SH)  # says that it is live, for as long as this process or a worker of it is
    else:
        fd = os.memfd_create("shmkret", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.posix_fallocate(fd, 0, size)
        if not named:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except BaseException as error:
        _discard(fd, name)
        if not isinstance(error, OSError):
            raise
        if named:
            words = f"an arena of {mib(size)} with a name cannot be made: {error.strerror}; is {SHM} full?"
            raise UnfitMachine(words) from error
        if error.errno in (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT, errno.EFBIG):
            raise ArenaError(f"the arena takes {mib(size)}, which memory does not have: {error.strerror}") from error
        raise
    return fd, name


def require_ours(status: os.stat_result) -> None:
    """Raises ArenaError for another user's arena, root or not: what it names would be imported, and run as us."""
    if status.st_uid != os.geteuid():
        raise ArenaError(f"the arena belongs to user {status.st_uid}, we are {os.geteuid()}")


def checked(fd: int, lock: type, scheme: type | None = None) -> tuple[Geometry, tuple[Placed, ...]]:
    """The sizes and the sections of an arena, once all that its header says agrees with itself, its file and its lock.

    Raises: ArenaError, as Arena.attach().
    """
    header = _checked_header(fd, lock, scheme)
    sizes = dict(zip(GEOMETRY_FIELDS, header["geometry"].tolist(), strict=True))
    try:
        paddings = {key: header[key].decode("ascii", "replace") for key in ("padding", "table_padding")}
        geometry = Geometry(**sizes, **paddings)
        placed = layout.sections(geometry, lock, scheme)
    except (GeometryError, UnknownName) as error:
        raise ArenaError(f"the arena's geometry does not add up: {error}") from error
    table = [[s.offset, s.nr, s.stride] for s in placed]
    if (
        header["sections"][: len(table)].tolist() != table
        or header["sections"][len(table) :].any()
        or int(header["size"]) != layout.arena_bytes(placed)
    ):
        raise ArenaError("the arena's geometry does not add up: its sections are not where its sizes put them")
    return geometry, placed


def _checked_header(fd: int, lock: type, scheme: type | None) -> Any:
    status = os.fstat(fd)
    if status.st_size < layout.HEADER_BYTES:
        raise ArenaError(f"not an arena: the file has {status.st_size} bytes, a header alone has {layout.HEADER_BYTES}")
    require_ours(status)
    header = np.frombuffer(os.pread(fd, HEADER.itemsize, 0), HEADER)[0]
    if header["magic"] != MAGIC:
        raise ArenaError(f"not an arena: it begins with {bytes(header['magic'])!r}, not with {MAGIC!r}")
    if header["version"] != VERSION or header["layout"] != layout_digest(lock, scheme):
        raise ArenaError(
            f"the arena has version {header['version']}, layout {header['layout'].decode('ascii', 'replace')}; "
            f"this shmkret has version {VERSION}, layout {layout_digest(lock, scheme).decode()}"
        )
    if header["size"] != status.st_size:
        raise ArenaError(f"the arena was truncated: its header says {header['size']} bytes, the file has {status.st_size}")
    return header


def _discard(fd: int, name: str | None) -> None:
    os.close(fd)
    if name:
        (SHM / name).unlink(missing_ok=True)
