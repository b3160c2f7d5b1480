"""Run queues: which task a CPU runs, how a task blocks with instances outstanding, wakes, and moves to another CPU.

    RUNNING  -- schedule() -->  QUEUED    at the end of its CPU's queue
    RUNNING  -- block(), schedule() -->  BLOCKED    on no queue, until somebody wakes it
    BLOCKED  -- wake()     -->  QUEUED    by way of QUEUING + the CPU that puts it on the queue
    RUNNING  -- wake()     -->  WOKEN     it was about to block: it will not

A task blocks or moves at the end of a round: the worker program says so, the CPU's loop calls schedule().

Always    a task is RUNNING on one CPU, QUEUED on one queue, or BLOCKED; never two of these
Order     under the run queue's lock; `state` changes hands by cmpxchg
Source    schedule(), try_to_wake_up(), kernel/sched.c, Linux 2.6.26
"""

from __future__ import annotations

from shmkret.arena.records import BLOCKED, QUEUED, QUEUING, RUNNING, RUNQUEUE_LOCKS, WOKEN, Kernel
from shmkret.moves.intents import DEQUEUE, ENQUEUE, NOTHING, commit, finish, intent_of, put
from shmkret.moves.locking import lock_system, unlock_system
from shmkret.text.atomics import NIL, cmpxchg, load_acquire, store_release
from shmkret.text.marks import inline, outline

YIELD, BLOCK, WORK = 1, 2, 4


@inline
def yield_cpu(k: Kernel, cpu: int) -> None:
    """After this round, let the next task run."""
    k.cpus.need_resched[cpu] |= YIELD


@inline
def block(k: Kernel, cpu: int) -> None:
    """After this round, let the current task sleep until it is woken."""
    k.cpus.need_resched[cpu] |= BLOCK


@inline
def migrate(k: Kernel, task: int, cpu: int, to: int) -> None:
    """After this round, let the current task go on on the CPU `to`."""
    store_release(k.entities.cpu, task, to)
    k.cpus.need_resched[cpu] |= YIELD


@outline
def wake(k: Kernel, cpu: int, task: int) -> None:
    """Let `task` run again if it sleeps, or not fall asleep if it is about to."""
    if is_to_be_queued(k, cpu, task):
        enqueue(k, cpu, task)


@outline
def wake_on(k: Kernel, cpu: int, task: int, to: int) -> None:
    """wake(), where a task that sleeps goes on on the CPU `to`."""
    if is_to_be_queued(k, cpu, task):
        store_release(k.entities.cpu, task, to)
        enqueue(k, cpu, task)


@inline
def is_to_be_queued(k: Kernel, cpu: int, task: int) -> bool:
    """Whether this CPU has woken a task that sleeps, and is to put it on a queue. One that is about to sleep will not."""
    state = load_acquire(k.entities.state, task)
    while state == BLOCKED or state == RUNNING:  # noqa: SIM109 (the text has no containers)
        seen = cmpxchg(k.entities.state, task, state, QUEUING + cpu if state == BLOCKED else WOKEN)
        if seen == state:
            return bool(state == BLOCKED)
        state = seen  # it fell asleep, or was woken, meanwhile
    return False


@outline
def pull(k: Kernel, cpu: int, other: int) -> None:
    """Take the first task of another CPU's queue, if there is one, onto the own. Not where CPUs may die: it says no intent."""
    lock_system(k, cpu, RUNQUEUE_LOCKS + other)
    task = load_acquire(k.runqueues.first, other)
    if task != NIL:
        following = k.entities.next[task]
        store_release(k.runqueues.first, other, following)
        if following == NIL:
            put(k, k.runqueues.last, other, NIL)
        store_release(k.entities.state, task, QUEUING + cpu)
        store_release(k.entities.cpu, task, cpu)
    unlock_system(k, cpu, RUNQUEUE_LOCKS + other)
    if task != NIL:
        enqueue(k, cpu, task)


@outline
def schedule(k: Kernel, cpu: int, task: int) -> int:
    """Put the current task away as need_resched says, and take the next; NIL when there is none."""
    blocks = k.cpus.need_resched[cpu] & BLOCK != 0
    k.cpus.need_resched[cpu] &= WORK
    if task != NIL and not (blocks and cmpxchg(k.entities.state, task, RUNNING, BLOCKED) == RUNNING):
        store_release(k.entities.state, task, QUEUING + cpu)
        enqueue(k, cpu, task)
    following = dequeue(k, cpu)
    if following != task:
        k.cpus.switches[cpu] += 1
    return following


@inline
def enqueue(k: Kernel, cpu: int, task: int) -> None:
    """`task`, in state QUEUING + cpu, goes to the end of the queue of its own CPU."""
    queues = k.runqueues
    to = load_acquire(k.entities.cpu, task)
    lock_system(k, cpu, RUNQUEUE_LOCKS + to)
    last = queues.last[to]
    k.entities.next[task] = NIL
    commit(k, cpu, intent_of(ENQUEUE, NOTHING, 0, task, last))
    link(k, task, last)
    finish(k, cpu)
    unlock_system(k, cpu, RUNQUEUE_LOCKS + to)


@inline
def link(k: Kernel, task: int, last: int) -> None:
    """`task` comes after `last` on its queue. Twice is harmless."""
    to = load_acquire(k.entities.cpu, task)
    if last == NIL:
        store_release(k.runqueues.first, to, task)
    else:
        put(k, k.entities.next, last, task)
    put(k, k.runqueues.last, to, task)
    store_release(k.entities.state, task, QUEUED)


@inline
def dequeue(k: Kernel, cpu: int) -> int:
    """The first of the queue is now this CPU's task; NIL when it is empty."""
    lock_system(k, cpu, RUNQUEUE_LOCKS + cpu)
    task = load_acquire(k.runqueues.first, cpu)
    if task == NIL:
        k.cpus.task[cpu] = NIL
    else:
        commit(k, cpu, intent_of(DEQUEUE, NOTHING, 0, task, NIL))
        unlink(k, cpu, task)
        finish(k, cpu)
    unlock_system(k, cpu, RUNQUEUE_LOCKS + cpu)
    return task


@inline
def unlink(k: Kernel, cpu: int, task: int) -> None:
    """`task`, the first of the queue of `cpu`, runs there. Twice is harmless."""
    following = k.entities.next[task]
    store_release(k.runqueues.first, cpu, following)
    if following == NIL:
        put(k, k.runqueues.last, cpu, NIL)
    put(k, k.entities.on, task, cpu)
    put(k, k.cpus.task, cpu, task)
    store_release(k.entities.state, task, RUNNING)


@inline
def has_next(k: Kernel, cpu: int) -> bool:
    """Whether another task waits for this CPU."""
    return load_acquire(k.runqueues.first, cpu) != NIL
