"""What lies where in an arena.

    0        header     magic, version, geometry, the table of sections; one page
    4096     run        one record: the phase that all CPUs follow
             cpus       one a CPU: its counters, its marks of the measured window, the first bug that it saw
             tasks      one a task: address, program counter, stack pointer, link register
             stack      stack_words a task
             functions  one a probed function: the kretprobe on it, or NIL
             probes     struct kretprobe
             instances  struct kretprobe_instance, maxactive a probe
             buckets    kretprobe_inst_table
             script     words that a worker program reads, such as a drawn sequence of system calls
             locks      the scheme's locks, words as the lock's own class declares them
             data       data_size bytes an instance

A record is a NamedTuple class whose fields are columns of int64 words (`Words`), in the order of the class. The same class
is a structured dtype for numpy, a tuple of views for the plain and the explored machine, and a tuple of addresses in
compiled code. Positions are indices and offsets, never addresses.

Padding   `packed`: probes, buckets and locks side by side, as the seed had its locks
          `cacheline`: each on lines of its own, as 2.6.27 had them. CPUs, tasks and instances always are.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shmkret.atomics import Words
from shmkret.errors import GeometryError, UnknownName
from shmkret.hash import NR_BUCKETS

CACHE_LINE = 64
PAGE = 4096
PADDINGS = ("cacheline", "packed")
STACK_WORDS = 64
LARGEST_ARENA = 1 << 40


class Run(NamedTuple):
    """What every CPU polls; see shmkret.cpu."""

    phase: Words


class Cpus(NamedTuple):
    """One CPU. It alone writes its record; counters only grow."""

    ready: Words
    calls: Words
    hits: Words
    returns: Words
    flushed: Words
    walked: Words
    began_ns: Words
    began_calls: Words
    ended_ns: Words
    ended_calls: Words
    bug: Words
    bug_task: Words
    bug_seen: Words
    bug_expected: Words


class Tasks(NamedTuple):
    """A task is data: no native frame spans a probed call."""

    address: Words
    pc: Words
    sp: Words
    lr: Words
    npc: Words


class Stack(NamedTuple):
    """The stacks of all tasks; a task's sp indexes this column."""

    word: Words


class Functions(NamedTuple):
    """A function that tasks call."""

    rp: Words


class Probes(NamedTuple):
    """struct kretprobe; `used` only under the scheme `global`."""

    free: Words
    used: Words
    nmissed: Words
    maxactive: Words


class Instances(NamedTuple):
    """struct kretprobe_instance; `next` chains the free list and the bucket, the used_ links `used`."""

    next: Words
    rp: Words
    ret_addr: Words
    task: Words
    used_next: Words
    used_prev: Words


class Buckets(NamedTuple):
    """kretprobe_inst_table."""

    first: Words


class Script(NamedTuple):
    """What a worker program reads."""

    word: Words


class Kernel(NamedTuple):
    """Everything that the text works on, as views of one arena. Only machines build one."""

    run: Run
    cpus: Cpus
    tasks: Tasks
    functions: Functions
    probes: Probes
    instances: Instances
    buckets: Buckets
    script: Script
    arch: Any
    scheme: Any
    worker: Any
    nr_cpus: int
    nr_tasks: int
    nr_instances: int
    script_words: int
    hash_multiplier: int


class Section(NamedTuple):
    """A stretch of the arena: `nr` records of class `record`, `stride` bytes apart."""

    name: str
    record: type
    offset: int
    nr: int
    stride: int


@dataclass(frozen=True)
class Geometry:
    """The sizes of an arena, validated. Counts of records; data_size in bytes.

    Raises: GeometryError when a size is out of range or the whole overflows.
    """

    nr_cpus: int
    nr_tasks: int
    nr_probes: int
    maxactive: int
    nr_locks: int
    data_size: int = 0
    script_words: int = 1
    padding: str = "cacheline"

    def __post_init__(self) -> None:
        for name, low, high in (
            ("nr_cpus", 1, 4096),
            ("nr_tasks", 1, 1 << 24),
            ("nr_probes", 1, 1 << 24),
            ("maxactive", 1, 1 << 24),
            ("nr_locks", 1, 1 << 25),
            ("data_size", 0, 1 << 20),
            ("script_words", 1, 1 << 28),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise GeometryError(f"{name} is {value}: give a number from {low} to {high}")
        if self.padding not in PADDINGS:
            raise UnknownName("padding", self.padding, PADDINGS)
        if self.nr_instances >= 1 << 31:
            raise GeometryError(
                f"{self.nr_probes} probes of {self.maxactive} instances are {self.nr_instances} instances: "
                f"the limit is {(1 << 31) - 1}; lower --probes or --maxactive"
            )

    @property
    def nr_instances(self) -> int:
        """Instances of all probes."""
        return self.nr_probes * self.maxactive


RECORDS: tuple[type, ...] = (
    Run, Cpus, Tasks, Stack, Functions, Probes, Instances, Buckets, Script,
)  # fmt: skip
PADDED = frozenset({"probes", "buckets", "locks"})
PRIVATE = frozenset({"run", "cpus", "tasks", "instances"})


def record_bytes(record: type) -> int:
    """Bytes of one unpadded record: its fields, or SIZE where the record's module says so."""
    return max(8 * len(fields_of(record)), getattr(sys.modules[record.__module__], "SIZE", 0))


def fields_of(record: type) -> tuple[str, ...]:
    """The names of a record class's columns, in order."""
    fields: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
    return fields


def stride_of(name: str, record: type, padding: str) -> int:
    """Bytes from one record of a section to the next."""
    size = record_bytes(record)
    if name == "cpus":
        return _round_up(size, 2 * CACHE_LINE)
    if name in PRIVATE or (name in PADDED and padding == "cacheline"):
        return _round_up(size, CACHE_LINE)
    return _round_up(size, 8)


def dtype_of(record: type, stride: int) -> np.dtype[np.void]:
    """The structured dtype of one record: '<i8' fields in the order of the class, `stride` bytes each."""
    fields = fields_of(record)
    return np.dtype(
        {
            "names": list(fields),
            "formats": ["<i8"] * len(fields),
            "offsets": [8 * j for j in range(len(fields))],
            "itemsize": stride,
        }
    )


class Data(NamedTuple):
    """The user's bytes of an instance, in words."""

    word: Words


def sections(geometry: Geometry, lock: type) -> tuple[Section, ...]:
    """The sections of an arena of that geometry whose locks are records of class `lock`, in order.

    Raises: GeometryError when the whole exceeds LARGEST_ARENA.
    """
    g = geometry
    data_words = _round_up(g.data_size, 8) // 8
    wanted: tuple[tuple[str, type, int], ...] = (
        ("run", Run, 1),
        ("cpus", Cpus, g.nr_cpus),
        ("tasks", Tasks, g.nr_tasks),
        ("stack", Stack, g.nr_tasks * STACK_WORDS),
        ("functions", Functions, g.nr_probes),
        ("probes", Probes, g.nr_probes),
        ("instances", Instances, g.nr_instances),
        ("buckets", Buckets, NR_BUCKETS),
        ("script", Script, g.script_words),
        ("locks", lock, g.nr_locks),
        ("data", Data, g.nr_instances * data_words),
    )
    placed = []
    offset = PAGE
    for name, record, count in wanted:
        stride = stride_of(name, record, g.padding)
        placed.append(Section(name, record, offset, count, stride))
        offset = _round_up(offset + count * stride, 2 * CACHE_LINE)
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


SECTION_NAMES = (
    "run", "cpus", "tasks", "stack", "functions", "probes", "instances", "buckets", "script", "locks", "data",
)  # fmt: skip

HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<i8"),
        ("size", "<i8"),
        ("creator_pid", "<i8"),
        ("layout", "S32"),
        ("scheme", "S64"),
        ("lock", "S64"),
        ("arch", "S64"),
        ("padding", "S16"),
        ("hash", "S32"),
        ("task_address", "S32"),
        ("hash_multiplier", "<i8"),
        ("geometry", "<i8", (7,)),
        ("sections", "<i8", (len(SECTION_NAMES), 3)),
    ]
)
MAGIC = b"shmkret"
VERSION = 1
GEOMETRY_FIELDS = ("nr_cpus", "nr_tasks", "nr_probes", "maxactive", "nr_locks", "data_size", "script_words")


def layout_digest(lock: type) -> bytes:
    """32 hexadecimal digits that change with any record's fields, the lock's included: others must not attach."""
    records = [(record.__name__, fields_of(record), record_bytes(record)) for record in (*RECORDS, lock)]
    text = repr((records, HEADER.descr))
    return hashlib.sha256(text.encode()).hexdigest()[:32].encode()


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
