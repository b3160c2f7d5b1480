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

import hashlib
import sys
from collections import namedtuple
from dataclasses import dataclass
from numbers import Integral
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
MOST_RECOVERABLE = 1 << 24
"""Instances of a recoverable run: an intent names two of them and more in one word."""


class Run(NamedTuple):
    """What every CPU polls; see shmkret.cpu. guests: how many of the last CPUs are processes that the run does not start."""

    phase: Words
    work_ns: Words
    gate: Words
    deaths: Words
    guests: Words


class Cpus(NamedTuple):
    """One CPU. It alone writes its record; counters only grow."""

    task: Words
    current_kprobe: Words
    preempt_count: Words
    irqs_off: Words
    irq_flags: Words
    need_resched: Words
    calls: Words
    hits: Words
    returns: Words
    flushed: Words
    refused: Words
    walked: Words
    irqs: Words
    switches: Words
    grace_periods: Words
    grace_ns: Words
    waits_for: Words
    ready: Words
    began_ns: Words
    began_calls: Words
    ended_ns: Words
    ended_calls: Words
    bug: Words
    bug_task: Words
    bug_seen: Words
    bug_expected: Words


class Runqueues(NamedTuple):
    """What other CPUs read and write of a CPU: its run queue, its quiescent states, its pending interrupt."""

    first: Words
    last: Words
    quiescent: Words
    irq: Words


class Tasks(NamedTuple):
    """A task is data: no native frame spans a probed call. Its registers are what a trap would save."""

    address: Words
    pc: Words
    sp: Words
    lr: Words
    npc: Words
    retval: Words
    saved: Words
    regs_retval: Words
    place: Words


class Entities(NamedTuple):
    """struct sched_entity: a task as the run queues see it. `on`: the CPU that runs it, if one does."""

    state: Words
    next: Words
    cpu: Words
    on: Words


class Stack(NamedTuple):
    """The stacks of all tasks; a task's sp indexes this column."""

    word: Words


class Functions(NamedTuple):
    """A function that tasks call: the newest probe on it, or NIL, and whether it may be probed."""

    kprobe: Words
    blacklisted: Words


class Probes(NamedTuple):
    """struct kretprobe, and struct kprobe; `used` only under the scheme `global`. `next` chains the probes of a function."""

    free: Words
    used: Words
    next: Words
    kind: Words
    entry_handler: Words
    handler: Words
    nmissed: Words
    maxactive: Words
    kp_nmissed: Words
    function: Words
    registered: Words


class Instances(NamedTuple):
    """struct kretprobe_instance; `next` chains the free list, the bucket and the slab, the used_ links `used`.

    `state` and `fp` are kept where a run is recoverable: see shmkret.intents. fp, as in later kernels, is the stack pointer at
    the entry, so that an audit sees which call is the newer.
    """

    next: Words
    rp: Words
    ret_addr: Words
    task: Words
    used_next: Words
    used_prev: Words
    state: Words
    fp: Words


class Buckets(NamedTuple):
    """kretprobe_inst_table."""

    first: Words


class Registry(NamedTuple):
    """What registration keeps, one record: the slab of free instances, and the counts of probes that are gone.

    alloc_fault: the allocation that fails, counted down from n; from -n, it and all after it. 0: none.
    """

    initialized: Words
    slab: Words
    alloc_fault: Words
    gone_nmissed: Words
    gone_kp_nmissed: Words


class Recovery(NamedTuple):
    """What others need when a CPU dies, one record a CPU and a recoverer: see shmkret.intents and shmkret.recovery."""

    intent: Words
    held: Words
    parked: Words
    life: Words
    pid: Words
    generation: Words
    since_ns: Words
    recovered_ns: Words
    open_calls: Words


class Misses(NamedTuple):
    """The misses of one CPU on one probe, which it alone counts: cpu * nr_probes + probe. Only where a run is recoverable."""

    nmissed: Words
    kp_nmissed: Words


class Script(NamedTuple):
    """What a worker program reads."""

    word: Words


class Data(NamedTuple):
    """The user's bytes of an instance, in words."""

    word: Words


class Latencies(NamedTuple):
    """The histograms of a run that is timed, one after the other: for each CPU one a class (shmkret.clock)."""

    word: Words


class Kernel(NamedTuple):
    """Everything that the text works on, as views of one arena. Only machines build one; see also shmkret.mode."""

    run: Run
    cpus: Cpus
    runqueues: Runqueues
    tasks: Tasks
    entities: Entities
    functions: Functions
    probes: Probes
    instances: Instances
    buckets: Buckets
    registry: Registry
    recovery: Recovery
    misses: Misses
    script: Script
    data: Data
    latencies: Latencies
    system_locks: Any
    arch: Any
    scheme: Any
    worker: Any
    mode: Any
    nr_cpus: int
    nr_slots: int
    nr_tasks: int
    nr_functions: int
    nr_probes: int
    nr_instances: int
    nr_locks: int
    script_words: int
    data_words: int
    hash_multiplier: int
    handler_ns: int


INTEGERS = Kernel._fields[Kernel._fields.index("nr_cpus") :]
"""The fields of a Kernel that are whole numbers, in order."""


class Section(NamedTuple):
    """A stretch of the arena: `nr` records of class `record`, `stride` bytes apart."""

    name: str
    record: type
    offset: int
    nr: int
    stride: int


class Boot(NamedTuple):
    """How a probe stands when the CPUs start. `maxactive` and a handler's number may be 0: the default, and none."""

    function: int
    kind: int
    entry_handler: int = 0
    handler: int = 0
    maxactive: int = 0
    registered: bool = True


KRETPROBE, KPROBE = 1, 2
RUNNING, WOKEN, QUEUED, BLOCKED, QUEUING = range(5)


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


KPROBE_MUTEX, SLAB_LOCK, RUNQUEUE_LOCKS = range(3)
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


CHECKED: dict[str, dict[str, str]] = {
    "cpus": {
        **dict.fromkeys(("calls", "hits", "returns", "flushed", "refused"), "always"),
        **dict.fromkeys(("preempt_count", "irqs_off", "current_kprobe"), "cpu"),
    },
    "probes": {"free": "always", "used": "global", "nmissed": "always", "kp_nmissed": "kretprobe"},
    "instances": {
        "next": "always",
        "rp": "listed",
        "state": "recoverable",
        "used_next": "global hung",
        "used_prev": "global hung",
    },
    "buckets": {"first": "always"},
    "registry": {"slab": "always", "gone_nmissed": "always", "gone_kp_nmissed": "always"},
    "recovery": {"intent": "recoverable", "held": "recoverable"},
    "misses": {"nmissed": "recoverable", "kp_nmissed": "missed"},
}
"""The words whose every bit the audit of a quiet arena checks, and when; all others are free: registers, stacks and data, which
belong to tasks and users, what is read once, and what is only ever shown. See shmkret.audit.checked_words().
"""


def records_with(lock: type) -> dict[str, type]:
    """The record class of each section, the lock's filled in."""
    return {name: record or lock for name, record in RECORDS.items()}


def record_bytes(record: type) -> int:
    """Bytes of one unpadded record: its fields, or SIZE where the record's module says so."""
    own = getattr(record, "_bytes", 0)
    return max(8 * len(fields_of(record)), own, getattr(sys.modules[record.__module__], "SIZE", 0))


def describe_record(record: type) -> str:
    """A record class in words, for who has not its file: NAME BYTES FIELD ..."""
    return " ".join([record.__name__, str(record_bytes(record)), *fields_of(record)])


def described_record(text: str) -> type:
    """A class of the layout that describe_record() has told. Raises ValueError for anything else."""
    name, size, *fields = text.split(" ")
    record = namedtuple(name, fields, module=__name__)  # type: ignore[misc]
    if not fields or not 8 * len(fields) <= int(size) <= PAGE:
        raise ValueError(f"{size} bytes do not hold {len(fields)} fields")
    record._bytes = int(size)  # type: ignore[attr-defined]
    return record


def fields_of(record: type) -> tuple[str, ...]:
    """The names of a record class's columns, in order."""
    fields: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
    return fields


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


LONGEST_REFERENCE = 800
"""Bytes of the name or path by which an arena says what it was made with; three of them leave room in the header's page."""
HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<i8"),
        ("size", "<i8"),
        ("creator_pid", "<i8"),
        ("layout", "S32"),
        ("scheme", f"S{LONGEST_REFERENCE}"),
        ("lock", f"S{LONGEST_REFERENCE}"),
        ("arch", f"S{LONGEST_REFERENCE}"),
        ("build", "S32"),
        ("lock_record", "S512"),
        ("padding", "S16"),
        ("table_padding", "S16"),
        ("hash", "S32"),
        ("task_address", "S32"),
        ("hash_multiplier", "<i8"),
        ("geometry", "<i8", (11,)),
        ("sections", "<i8", (len(RECORDS), 3)),
    ]
)
assert HEADER.itemsize <= PAGE
MAGIC = b"shmkret"
VERSION = 5
GEOMETRY_FIELDS = (
    "nr_cpus", "nr_tasks", "nr_probes", "maxactive", "nr_locks", "nr_functions", "data_size", "script_words", "latency_words",
    "nr_recoverers", "recoverable",
)  # fmt: skip


def layout_digest(lock: type) -> bytes:
    """32 hexadecimal digits that change with any record's fields, the lock's included: others must not attach."""
    records = [(record.__name__, fields_of(record), record_bytes(record)) for record in records_with(lock).values()]
    text = repr((records, HEADER.descr))
    return hashlib.sha256(text.encode()).hexdigest()[:32].encode()


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
