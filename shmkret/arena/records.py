"""The records of an arena: what stands in each, a word a field.

A record is a NamedTuple class whose fields are columns of int64 words (`Words`), in the order of the class. The same class
is a structured dtype for numpy, a tuple of views for the plain and the explored machine, and a tuple of addresses in
compiled code. Positions are indices and offsets, never addresses.
"""

from __future__ import annotations

import sys
from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np

from shmkret.text.atomics import Words

PAGE = 4096

STACK_WORDS = 64


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

KPROBE_MUTEX, SLAB_LOCK, RUNQUEUE_LOCKS = range(3)


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
