"""The records of an arena: what stands in each, a word a field.

A record is a NamedTuple class whose fields are columns of int64 words (`Words`), in the order of the class. The same class
is a structured dtype for numpy, a tuple of views for the plain and the explored machine, and a tuple of addresses in
compiled code. Positions are indices and offsets, never addresses.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from shmkret.text.atomics import Words
from shmkret.text.domains import ONE, PER_BUCKET, PER_CPU, PER_INSTANCE, PER_PROBE, PER_TASK, Domain

STACK_WORDS = 64
PER_STACK_WORD, PER_FUNCTION, PER_BOOK = Domain("stack word"), Domain("function"), Domain("cpu and probe")
PER_LOCK = Domain("lock")
PER_SCRIPT_WORD, PER_DATA_WORD, PER_LATENCY_WORD = Domain("script word"), Domain("data word"), Domain("latency word")
PADDED = -1


class Place(NamedTuple):
    """How the records of a section lie: one for each of `per`; each begins on a cache line of its own (apart=1), on a pair of
    lines (2), right behind the one before (0), or as the arena's padding says (PADDED).
    """

    per: Domain
    apart: int = 0


class Run(NamedTuple):
    """What every CPU polls; see shmkret.kernel.cpu. guests: the number of the last CPUs, which the run does not start."""

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
    """struct kretprobe, and struct kprobe. `next` chains the probes of a function."""

    free: Words
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
    """struct kretprobe_instance; `next` chains the free list, the bucket and the slab.

    `state` and `fp` are kept where a run is recoverable: see shmkret.moves.intents. fp, as in later kernels, is the stack
    pointer at the entry, so that an audit sees which call is the newer.
    """

    next: Words
    rp: Words
    ret_addr: Words
    task: Words
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
    """What others need when a CPU dies, one record a CPU and a recoverer: see shmkret.moves.intents and shmkret.recovery."""

    intent: Words
    held: Words
    parked: Words
    life: Words
    pid: Words
    generation: Words
    since_ns: Words
    recovered_ns: Words
    open_calls: Words
    open_misses: Words


class Books(NamedTuple):
    """What one CPU counts of one probe, which it alone does: cpu * nr_probes + probe. Only where a run is recoverable; there
    cpus.calls, cpus.hits and cpus.refused stay 0.
    """

    calls: Words
    hits: Words
    refused: Words
    nmissed: Words
    kp_nmissed: Words


Misses = Books
"""As it was called when it held misses alone."""


class Script(NamedTuple):
    """What a worker program reads."""

    word: Words


class Data(NamedTuple):
    """The user's bytes of an instance, in words."""

    word: Words


class Latencies(NamedTuple):
    """The histograms of a run that is timed, one after the other: for each CPU one a class (shmkret.moves.clock)."""

    word: Words


class Inside(NamedTuple):
    """Who has a lock, by the number of it among all: 1 + the CPU, or 0. Kept where a run asks for it."""

    holder: Words


class Kernel(NamedTuple):
    """Everything that the text works on, as views of one arena. Only machines build one; see also shmkret.kernel.mode.

    The fields that are annotated with a Place are the arena's sections, in their order: shmkret.arena.layout derives from
    them where everything lies. Those that are numbers come last.
    """

    run: Annotated[Run, Place(ONE, apart=1)]
    cpus: Annotated[Cpus, Place(PER_CPU, apart=2)]
    runqueues: Annotated[Runqueues, Place(PER_CPU, apart=2)]
    tasks: Annotated[Tasks, Place(PER_TASK, apart=1)]
    entities: Annotated[Entities, Place(PER_TASK, apart=1)]
    stack: Annotated[Stack, Place(PER_STACK_WORD)]
    functions: Annotated[Functions, Place(PER_FUNCTION)]
    probes: Annotated[Probes, Place(PER_PROBE, PADDED)]
    instances: Annotated[Instances, Place(PER_INSTANCE, apart=1)]
    buckets: Annotated[Buckets, Place(PER_BUCKET, PADDED)]
    registry: Annotated[Registry, Place(ONE)]
    recovery: Annotated[Recovery, Place(PER_CPU, apart=2)]
    books: Annotated[Books, Place(PER_BOOK, apart=1)]
    script: Annotated[Script, Place(PER_SCRIPT_WORD)]
    data: Annotated[Data, Place(PER_DATA_WORD)]
    latencies: Annotated[Latencies, Place(PER_LATENCY_WORD)]
    inside: Annotated[Inside, Place(PER_LOCK)]
    system_locks: Any
    table_locks: Any
    other_locks: Any
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


class Mode(NamedTuple):
    """What a run is compiled with, and what a CPU is in the middle of: classes without data; see shmkret.kernel.mode."""

    context: Any
    irq: Any
    primitives: Any
    clock: Any
    recovery: Any
    handlers: Any
    bugs: Any
    alone: Any


def with_mode(k: Kernel, context: Any = None, irq: Any = None, primitives: Any = None) -> Kernel:
    """The same kernel in another mode: what is given replaces what it had. In compiled code it is a Kernel of another type."""
    changes = {"context": context, "irq": irq, "primitives": primitives}
    return k._replace(mode=k.mode._replace(**{name: value for name, value in changes.items() if value is not None}))


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
REGISTERING, UNREGISTERED, REGISTERED, LEAVING = range(-1, 3)
"""States of `registered`. REGISTERING - cpu: only that CPU may touch the probe. LEAVING + cpu: only that CPU, after its own
grace period, may take it apart. When it is dead, whoever recovers it goes on in its place."""
RUNNING, WOKEN, QUEUED, BLOCKED, QUEUING = range(5)
KPROBE_MUTEX, SLAB_LOCK, RUNQUEUE_LOCKS = range(3)
