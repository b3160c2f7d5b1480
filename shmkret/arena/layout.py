"""What lies where in an arena.

    0        header     magic, version, geometry, the table of sections; one page
    4096     run        one record: the phase that all CPUs follow
             cpus       one a CPU: what it alone writes: its counters, its flags, the first bug that it saw
             runqueues  one a CPU: what others read and write of it
             tasks      one a task: address and registers
             entities   one a task: its place in the run queues
             stack      STACK_WORDS a task
             functions  one a function that tasks call: the probes on it
             probes     struct kretprobe and struct kprobe
             instances  struct kretprobe_instance
             buckets    kretprobe_inst_table
             registry   the slab of free instances
             recovery   one a CPU: what others need when it dies
             misses     one a CPU and probe, where a run is recoverable
             script     words that a worker program reads, such as a drawn sequence of system calls
             data       data_size bytes an instance
             table_locks, locks, system_locks
                        the bucket locks; the scheme's others; kprobe_mutex, the slab's and the run queues'

A record is a NamedTuple class whose fields are columns of int64 words (`Words`), in the order of the class. The same class
is a structured dtype for numpy, a tuple of views for the plain and the explored machine, and a tuple of addresses in
compiled code. Positions are indices and offsets, never addresses.

Padding   `packed`: probes, buckets and locks side by side
          `cacheline`: each on lines of its own, as 2.6.27 had them. CPUs, tasks and instances always are.
          table_padding says it for the bucket locks alone: the seed packed those.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.records import (
    PAGE,
    RUNQUEUE_LOCKS,
    STACK_WORDS,
    Buckets,
    Cpus,
    Data,
    Entities,
    Functions,
    Instances,
    Latencies,
    Misses,
    Probes,
    Recovery,
    Registry,
    Run,
    Runqueues,
    Script,
    Stack,
    Tasks,
    record_bytes,
)
from shmkret.errors import GeometryError, UnknownName

CACHE_LINE = 64

PADDINGS = ("cacheline", "packed")

LARGEST_ARENA = 1 << 40

MOST_RECOVERABLE = 1 << 24
"""Instances of a recoverable run: an intent names two of them and more in one word."""


class Section(NamedTuple):
    """A stretch of the arena: `nr` records of class `record`, `stride` bytes apart."""

    name: str
    record: type
    offset: int
    nr: int
    stride: int


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
                f"the limit is {(1 << 31) - 1}; lower --probes or --maxactive"
            )
        if self.recoverable and self.nr_instances > MOST_RECOVERABLE:
            raise GeometryError(
                f"{self.nr_instances} instances do not fit into an intent: a recoverable run has at most {MOST_RECOVERABLE}; "
                "lower --probes or --maxactive"
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


PADDED = frozenset({"probes", "buckets", "locks", "table_locks"})

PRIVATE = frozenset({"run", "cpus", "runqueues", "recovery", "tasks", "entities", "instances", "system_locks"})

RECORDS: dict[str, type | None] = {
    "run": Run,
    "cpus": Cpus,
    "runqueues": Runqueues,
    "tasks": Tasks,
    "entities": Entities,
    "stack": Stack,
    "functions": Functions,
    "probes": Probes,
    "instances": Instances,
    "buckets": Buckets,
    "registry": Registry,
    "recovery": Recovery,
    "misses": Misses,
    "script": Script,
    "data": Data,
    "latencies": Latencies,
    "table_locks": None,
    "locks": None,
    "system_locks": None,
}
"""The record class of each section in order; None: that of the lock."""


def records_with(lock: type) -> dict[str, type]:
    """The record class of each section, the lock's filled in."""
    return {name: record or lock for name, record in RECORDS.items()}


def stride_of(name: str, record: type, padding: str) -> int:
    """Bytes from one record of a section to the next."""
    size = record_bytes(record)
    if name in ("cpus", "runqueues", "recovery"):
        return _round_up(size, 2 * CACHE_LINE)
    if name in PRIVATE or (name in PADDED and padding == "cacheline"):
        return _round_up(size, CACHE_LINE)
    return _round_up(size, 8)


def padding_of(name: str, padding: str, table_padding: str) -> str:
    """Which of an arena's two paddings holds for a section."""
    return table_padding if name == "table_locks" else padding


def sections(geometry: Geometry, lock: type) -> tuple[Section, ...]:
    """The sections of an arena of that geometry whose locks are records of class `lock`, in order.

    Raises: GeometryError when the whole exceeds LARGEST_ARENA.
    """
    g = geometry
    counts = {
        "run": 1,
        "cpus": g.nr_slots,
        "runqueues": g.nr_slots,
        "tasks": g.nr_tasks,
        "entities": g.nr_tasks,
        "stack": g.nr_tasks * STACK_WORDS,
        "functions": g.nr_functions,
        "probes": g.nr_probes,
        "instances": g.nr_instances,
        "buckets": NR_BUCKETS,
        "registry": 1,
        "recovery": g.nr_slots,
        "misses": g.nr_slots * g.nr_probes if g.recoverable else 1,
        "script": g.script_words,
        "data": max(1, g.nr_instances * g.data_words),
        "latencies": g.latency_words,
        "table_locks": NR_BUCKETS,
        "locks": g.nr_locks,
        "system_locks": g.nr_system_locks,
    }
    placed = []
    offset = PAGE
    for name, record in records_with(lock).items():
        stride = stride_of(name, record, padding_of(name, g.padding, g.table_padding))
        placed.append(Section(name, record, offset, counts[name], stride))
        offset = _round_up(offset + counts[name] * stride, 2 * CACHE_LINE)
    if offset > LARGEST_ARENA:
        raise GeometryError(
            f"the arena would take {offset} bytes, the limit is {LARGEST_ARENA}: "
            "lower --probes, --maxactive, --data-size or --tasks"
        )
    return tuple(placed)


def arena_bytes(placed: tuple[Section, ...]) -> int:
    """The size of the arena that holds these sections, in whole pages."""
    last = placed[-1]
    return _round_up(last.offset + last.nr * last.stride, PAGE)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
