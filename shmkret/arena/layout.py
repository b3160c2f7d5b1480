"""What lies where in an arena: the sections, their order, their counts and their strides.

    0        header     two pages: magic, version, geometry, the table of sections
    8192     the sections of Kernel, in its order
             the arrays of locks, each followed by the tables of its lock
             the records that only the scheme has

Sections  the one table is Kernel itself (shmkret.arena.records): a field with a Place is a section. Locks and schemes add
          theirs by the annotations of their own classes.
Padding   `packed`: probes, buckets and locks side by side
          `cacheline`: each on lines of its own, as 2.6.27 had them. CPUs, tasks and instances always are.
          table_padding says it for the bucket locks alone: the seed packed those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from numbers import Integral
from typing import NamedTuple, get_args, get_type_hints

from shmkret.arena.fields import parts_of, record_bytes
from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.records import (
    PADDED,
    PER_BOOK,
    PER_DATA_WORD,
    PER_FUNCTION,
    PER_LATENCY_WORD,
    PER_LOCK,
    PER_SCRIPT_WORD,
    PER_STACK_WORD,
    RUNQUEUE_LOCKS,
    STACK_WORDS,
    Kernel,
    Place,
)
from shmkret.errors import GeometryError, UnknownName
from shmkret.text.domains import (
    ONE,
    PER_BUCKET,
    PER_CPU,
    PER_INSTANCE,
    PER_LOCK_AND_CPU,
    PER_LOCK_PER_CPU,
    PER_NODE,
    PER_PROBE,
    PER_PROBE_PER_CPU,
    PER_RING_WORD,
    PER_TASK,
    Domain,
)

CACHE_LINE = 64
PAGE = 4096
HEADER_BYTES = 2 * PAGE
PADDINGS = ("cacheline", "packed")
LARGEST_ARENA = 1 << 40
MOST_RECOVERABLE = 1 << 24
"""Instances of a recoverable run: an intent names two of them and more in one word."""


@dataclass(frozen=True)
class Geometry:
    """The sizes of an arena, validated. Counts of records; data_size in bytes; maxactive is the most that a probe may have.

    Raises: GeometryError when a size is out of range or the whole overflows.
    """

    nr_cpus: int
    nr_tasks: int
    nr_probes: int
    maxactive: int
    nr_locks: int
    nr_functions: int = 0
    data_size: int = 0
    script_words: int = 1
    latency_words: int = 1
    nr_recoverers: int = 0
    recoverable: int = 0
    padding: str = "cacheline"
    table_padding: str = ""
    nr_nodes: int = 1

    def __post_init__(self) -> None:
        if not self.nr_functions:
            object.__setattr__(self, "nr_functions", self.nr_probes)
        if not self.table_padding:
            object.__setattr__(self, "table_padding", self.padding)
        for name, low, high in (
            ("nr_cpus", 1, 4096),
            ("nr_tasks", 1, 1 << 24),
            ("nr_probes", 1, 1 << 24),
            ("maxactive", 1, 1 << 24),
            ("nr_locks", 1, 1 << 25),
            ("nr_functions", 1, 1 << 24),
            ("data_size", 0, 1 << 20),
            ("script_words", 1, 1 << 28),
            ("latency_words", 1, 1 << 28),
            ("nr_recoverers", 0, 16),
            ("recoverable", 0, 1),
            ("nr_nodes", 1, 1024),
        ):
            value = getattr(self, name)
            if not isinstance(value, Integral) or not low <= int(value) <= high:
                raise GeometryError(f"{name} is {value!r}: give a number from {low} to {high}")
        for padding in (self.padding, self.table_padding):
            if padding not in PADDINGS:
                raise UnknownName("padding", str(padding), PADDINGS)
        if self.nr_instances >= 1 << 31:
            raise GeometryError(
                f"{self.nr_probes} probes of {self.maxactive} instances are {self.nr_instances} instances: "
                f"the limit is {(1 << 31) - 1}; lower `nr_probes` or `maxactive`"
            )
        if self.recoverable and self.nr_instances > MOST_RECOVERABLE:
            raise GeometryError(
                f"{self.nr_instances} instances do not fit into an intent: a recoverable run has at most {MOST_RECOVERABLE}; "
                "lower `nr_probes` or `maxactive`"
            )

    @property
    def nr_instances(self) -> int:
        """Instances of all probes."""
        return self.nr_probes * self.maxactive

    @property
    def nr_slots(self) -> int:
        """CPUs and recoverers."""
        return self.nr_cpus + self.nr_recoverers

    @property
    def data_words(self) -> int:
        """Words of data an instance."""
        return _round_up(self.data_size, 8) // 8

    @property
    def nr_system_locks(self) -> int:
        """kprobe_mutex, the slab's, and one a run queue."""
        return RUNQUEUE_LOCKS + self.nr_cpus

    @property
    def ring_words(self) -> int:
        """Words of a ring that holds every instance of a probe: a power of two, and whole cache lines, as it is a CPU's own."""
        return max(CACHE_LINE // 8, 1 << (self.maxactive - 1).bit_length())


APART = {PER_PROBE: PADDED, PER_BUCKET: PADDED, PER_CPU: 1, PER_PROBE_PER_CPU: 1, PER_TASK: 1}
"""How far apart the records of a scheme lie, by their domain; those of any other lie side by side."""
GEOMETRY_FIELDS = tuple(field.name for field in fields(Geometry) if field.type == "int")
COUNTS: dict[Domain, Callable[[Geometry], int]] = {
    ONE: lambda _: 1,
    PER_CPU: lambda g: g.nr_slots,
    PER_TASK: lambda g: g.nr_tasks,
    PER_STACK_WORD: lambda g: g.nr_tasks * STACK_WORDS,
    PER_FUNCTION: lambda g: g.nr_functions,
    PER_PROBE: lambda g: g.nr_probes,
    PER_INSTANCE: lambda g: g.nr_instances,
    PER_BUCKET: lambda _: NR_BUCKETS,
    PER_BOOK: lambda g: g.nr_slots * g.nr_probes if g.recoverable else 1,
    PER_SCRIPT_WORD: lambda g: g.script_words,
    PER_DATA_WORD: lambda g: max(1, g.nr_instances * g.data_words),
    PER_LATENCY_WORD: lambda g: g.latency_words,
    PER_LOCK: lambda g: g.nr_system_locks + NR_BUCKETS + g.nr_locks,
    PER_PROBE_PER_CPU: lambda g: g.nr_probes * g.nr_slots,
    PER_RING_WORD: lambda g: g.nr_probes * g.nr_slots * g.ring_words,
}
OF_LOCKS: dict[Domain, Callable[[Geometry, int], int]] = {
    ONE: lambda _, __: 1,
    PER_CPU: lambda g, _: g.nr_slots,
    PER_LOCK_AND_CPU: lambda g, nr: nr + g.nr_slots,
    PER_LOCK_PER_CPU: lambda g, nr: nr * g.nr_slots,
    PER_NODE: lambda g, nr: nr * g.nr_nodes,
}
"""The members of a domain of a lock's table, where its array has `nr` locks."""
SYSTEM_ARRAY, TABLE_ARRAY, OTHER_ARRAY = "system_locks", "table_locks", "locks"
ARRAYS = {SYSTEM_ARRAY: "", TABLE_ARRAY: "table", OTHER_ARRAY: "locks"}
"""The arrays of locks by the names of their sections, in the order in which locks are numbered; and the field of a scheme."""


class Section(NamedTuple):
    """A section before anything is counted. array: the array of locks that it is, or belongs to."""

    name: str
    record: type
    place: Place
    array: str = ""


class Placed(NamedTuple):
    """A stretch of an arena: `nr` records of class `record`, `stride` bytes apart."""

    name: str
    record: type
    offset: int
    nr: int
    stride: int


@cache
def own_sections() -> tuple[Section, ...]:
    """The sections of Kernel."""
    notes = get_type_hints(Kernel, include_extras=True)
    found = [(name, get_args(notes[name])) for name in Kernel._fields if get_args(notes[name])]
    return tuple(Section(name, record, place) for name, (record, place) in found)


def arrays_of(scheme: type | None) -> tuple[str, ...]:
    """The arrays of locks of an arena for a scheme, in order; None: of any, both that a scheme can have."""
    own = parts_of(scheme).locks if scheme else {"table", "locks"}
    return tuple(array for array, field in ARRAYS.items() if not field or field in own)


def frame(lock: type, scheme: type | None = None) -> tuple[Section, ...]:
    """The sections of every arena with that lock and that scheme, in order."""
    found = list(own_sections())
    for array in arrays_of(scheme):
        apart = 1 if array == SYSTEM_ARRAY else PADDED
        found.append(Section(array, lock, Place(ONE, apart), array))
        for field, (record, per) in parts_of(lock).tables.items():
            found.append(Section(f"{array}.{field}", record, Place(per, 1), array))
    for field, (record, per) in parts_of(scheme).tables.items() if scheme else ():
        found.append(Section(f"scheme.{field}", record, Place(per, APART.get(per, 0))))
    return tuple(found)


def array_count(array: str, g: Geometry) -> int:
    """The locks of an array."""
    return {SYSTEM_ARRAY: g.nr_system_locks, TABLE_ARRAY: NR_BUCKETS, OTHER_ARRAY: g.nr_locks}[array]


def count_of(section: Section, g: Geometry) -> int:
    """The records of a section."""
    if section.name == section.array:
        return array_count(section.array, g)
    if section.array:
        return OF_LOCKS[section.place.per](g, array_count(section.array, g))
    return COUNTS[section.place.per](g)


def stride_of(section: Section, padding: str, table_padding: str) -> int:
    """Bytes from one record of a section to the next."""
    size, apart = record_bytes(section.record), section.place.apart
    if apart == PADDED:
        own = table_padding if section.name == TABLE_ARRAY else padding
        apart = 1 if own == "cacheline" else 0
    return _round_up(size, apart * CACHE_LINE or 8)


def sections(geometry: Geometry, lock: type, scheme: type | None = None) -> tuple[Placed, ...]:
    """The sections of an arena of that geometry, in order; its locks are records of class `lock`.

    Raises: GeometryError when the whole exceeds LARGEST_ARENA.
    """
    placed = list(_placed(geometry, frame(lock, scheme)))
    end = arena_bytes(tuple(placed))
    if end > LARGEST_ARENA:
        raise GeometryError(
            f"the arena would take {end} bytes, the limit is {LARGEST_ARENA}: "
            "lower `nr_probes`, `maxactive`, `data_size` or `nr_tasks`"
        )
    return tuple(placed)


def _placed(g: Geometry, found: tuple[Section, ...]) -> Iterator[Placed]:
    offset = HEADER_BYTES
    for section in found:
        nr, stride = count_of(section, g), stride_of(section, g.padding, g.table_padding)
        yield Placed(section.name, section.record, offset, nr, stride)
        offset = _round_up(offset + nr * stride, 2 * CACHE_LINE)


def arena_bytes(placed: tuple[Placed, ...]) -> int:
    """The size of the arena that holds these sections, in whole pages."""
    last = placed[-1]
    return _round_up(last.offset + last.nr * last.stride, PAGE)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
