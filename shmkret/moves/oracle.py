"""What a run may find wrong with itself. The first of each CPU is kept in its record, and ends its loop."""

from __future__ import annotations

from shmkret.arena.records import Cpus
from shmkret.text.atomics import load_acquire, store_release
from shmkret.text.marks import inline

BUGS = (
    "none",
    "kretprobe BUG: the walk of the bucket ended without a real return address",
    "the task came back to another address",
    "the task came back with another stack pointer",
    "the function's return value is another",
    "a register that the caller keeps has changed",
    "between two rounds preemption or interrupts are off, or a probe is running",
    "a handler runs on a CPU without current_kprobe",
    "the worker program found something else than it expected",
    "a mutex or a grace period is waited for inside a probe or with interrupts off",
    "a function is called that there is not",
    "a lock has let two in",
)
KRETPROBE_BUG, WRONG_ADDRESS, WRONG_STACK, WRONG_VALUE, WRONG_REGISTER, PREEMPTED, NOT_BUSY, WORKER_BUG, MAY_NOT_SLEEP = range(
    1, 10
)
NO_FUNCTION, TWO_INSIDE = 10, 11


@inline
def report_bug(cpus: Cpus, cpu: int, bug: int, task: int, seen: int, expected: int) -> None:
    """Keep the first bug that `cpu` sees; its loop ends at the next batch."""
    if load_acquire(cpus.bug, cpu) == 0:
        cpus.bug_task[cpu] = task
        cpus.bug_seen[cpu] = seen
        cpus.bug_expected[cpu] = expected
        store_release(cpus.bug, cpu, bug)
