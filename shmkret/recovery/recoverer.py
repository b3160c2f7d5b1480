"""Recovery: what is done when a CPU has died, by a recoverer, which is a CPU with no program of its own.

    EMPTY    -- start() -->              LIVE        it has a process
    LIVE     -- its process is dead -->  DEAD        whoever learns of it says so, with announce()
    DEAD     -- free_locks() -->         UNLOCKED    its locks and its move
    UNLOCKED -- reclaim() -->            BURIED      what it had in hand; the task that it ran; its counts
    BURIED   -- settle_probes() -->      EMPTY       the probes that it was registering or taking away

Every step may be done again: a recoverer that dies is buried by the next, which then starts over.

Locks     "robust"   the next to acquire finishes the move; the recoverer sees to it that there is a next
          "owner"    the recoverer takes over what names the dead CPU, finishes its move, and wakes everybody
          "gate"     the gate closes; each live CPU parks, holding at most a bucket lock, which it has published. Then a lock is
                     held if a live CPU says so, and else free: nothing needs to be known of the dead one
Task      the dead CPU's own is in the middle of a call: its instances are flushed and its record becomes a new task. Tasks that
          wait on a queue, or sleep, go on with their instances
Counts    calls = hits + refused + misses of each CPU and each probe: the call that did not end is not counted
Always    after settle_probes(): an instance is on one list, every lock is free or held by a live CPU, the books balance

Source    the protocol was searched: tests/test_recovery.py, every crash of one CPU beside another and a recoverer
"""

from __future__ import annotations

from shmkret.arena.records import (
    KRETPROBE,
    LEAVING,
    QUEUING,
    REGISTERED,
    REGISTERING,
    RUNNING,
    UNREGISTERED,
    WOKEN,
    Kernel,
)
from shmkret.kernel.cpu import run_cpu
from shmkret.kernel.kretprobes import flush_bucket
from shmkret.kernel.rcu import mutex_lock, mutex_unlock
from shmkret.kernel.registration import (
    free_rp_inst,
    slab_free,
    take_apart,
    unlink_probe,
)
from shmkret.kernel.sched import enqueue
from shmkret.kernel.task import fork_task
from shmkret.moves.chained import lock_free, unlock_free
from shmkret.moves.intents import HAND, NOTHING, book_of
from shmkret.moves.lists import push_free
from shmkret.recovery.taking import BURIED, DEAD, EMPTY, EVERYBODY, LIVE, free_locks, is_unlocked
from shmkret.text.atomics import (
    NE,
    NIL,
    cmpxchg,
    exchange,
    fetch_add,
    futex_wait,
    futex_wake,
    load_acquire,
    monotonic_ns,
    store_ordered,
    store_release,
    wait_unless,
)
from shmkret.text.libc import die_with_parent, exit_process, fork_process, kick, process_id
from shmkret.text.marks import inline, outline

RAISED = 3
"""The exit status of a CPU whose program has raised an exception."""


@inline
def start(k: Kernel, cpu: int) -> None:
    """Start the process of a CPU or a recoverer, a child of this one that does nothing else; its pid is in the arena.

    Until it is, nobody is signalled in its place: the pid of who had the slot before may be a stranger's by now. Here alone the
    text catches an exception, which only a user's function can raise, and only to end the process: otherwise the loop of the
    parent, of which the child is a copy, would go on in it.
    """
    store_release(k.recovery.pid, cpu, 0)
    store_release(k.recovery.life, cpu, LIVE)
    k.recovery.generation[cpu] += 1
    parent = process_id()
    pid = fork_process()
    if pid == 0:
        die_with_parent(parent)
        try:
            if cpu < k.nr_cpus:
                run_cpu(k, cpu)
            else:
                run_recoverer(k, cpu)
        except Exception:  # this CPU is as dead as a killed one
            exit_process(RAISED)
        exit_process(0)
    store_release(k.recovery.pid, cpu, pid)


@inline
def start_mortal(k: Kernel, cpu: int) -> None:
    """As start(), in a run that nobody recovers."""
    parent = process_id()
    pid = fork_process()
    if pid == 0:
        die_with_parent(parent)
        run_cpu(k, cpu)
        exit_process(0)
    store_release(k.recovery.pid, cpu, pid)


@outline
def announce(k: Kernel, dead: int) -> None:
    """CPU `dead` is dead: say so to the recoverer, wherever it waits. For whoever watches the processes."""
    store_release(k.recovery.life, dead, DEAD)
    exchange(k.recovery.parked, dead, 1)
    futex_wake(k.recovery.parked, dead, EVERYBODY)
    exchange(k.run.deaths, 0, 1)
    futex_wake(k.run.deaths, 0, EVERYBODY)
    for recoverer in range(k.nr_cpus, k.nr_slots):
        if load_acquire(k.recovery.life, recoverer) == LIVE:
            kick(load_acquire(k.recovery.pid, recoverer))


@inline
def run_recoverer(k: Kernel, me: int) -> None:
    """Recover whoever dies, while its own slot is LIVE."""
    while load_acquire(k.recovery.life, me) == LIVE:
        if exchange(k.run.deaths, 0, 0) != 0:
            recover(k, me)
        else:
            futex_wait(k.run.deaths, 0, 0)


@outline
def recover(k: Kernel, me: int) -> None:
    """Bury every dead CPU, and settle what they left of registration."""
    bury(k, me)
    more = True
    while more:
        more = False
        for dead in range(k.nr_slots):
            if load_acquire(k.recovery.life, dead) == BURIED:
                settle_probes(k, me, dead)
                store_release(k.recovery.recovered_ns, dead, monotonic_ns())
                store_release(k.recovery.life, dead, EMPTY)
                futex_wake(k.recovery.life, dead, EVERYBODY)
                reclaim_unlocked(k, me)
                more = True  # meanwhile others may have died and been buried, because we waited for one


@outline
def bury(k: Kernel, me: int) -> None:
    """Free the locks of every dead CPU, then take back what it had."""
    free_locks(k, me, NIL)
    reclaim_unlocked(k, me)


@outline
def reclaim_unlocked(k: Kernel, me: int) -> None:
    """Take back what those CPUs had whose locks are free."""
    more = True
    while more:
        more = False
        for dead in range(k.nr_slots):
            if is_unlocked(k, dead):
                reclaim(k, me, dead)
                store_release(k.recovery.life, dead, BURIED)
                more = True  # meanwhile others may have died, their locks freed because we waited for one


@outline
def reclaim(k: Kernel, me: int, dead: int) -> None:
    """Take back what a CPU had that holds no lock any more and has no move unfinished."""
    for ri in range(k.nr_instances):
        if load_acquire(k.instances.state, ri) == HAND + dead:
            take_back(k, me, ri)
    abandon_task(k, me, dead)
    for task in range(k.nr_tasks):
        if load_acquire(k.entities.state, task) == QUEUING + dead:
            store_release(k.entities.state, task, QUEUING + me)
            enqueue(k, me, task)
    settle_counts(k, dead)
    k.cpus.preempt_count[dead] = 0
    k.cpus.irqs_off[dead] = 0
    k.cpus.need_resched[dead] = 0
    k.cpus.waits_for[dead] = NIL
    k.cpus.current_kprobe[dead] = NIL
    k.cpus.ready[dead] = 0
    store_ordered(k.recovery.held, dead, 0)
    store_ordered(k.recovery.parked, dead, 0)
    # Last, since a grace period that waits for it may end now.
    seen = load_acquire(k.runqueues.quiescent, dead)
    if seen & 1 == 0:
        cmpxchg(k.runqueues.quiescent, dead, seen, seen + 1)


@inline
def take_back(k: Kernel, me: int, ri: int) -> None:
    """An instance in hand goes to its probe, which cannot go before the dead CPU is quiescent, or to the slab."""
    rp = k.instances.rp[ri]
    if rp == NIL:
        slab_free(k, me, ri)
    else:
        lock_free(k.scheme, k, me, rp)
        push_free(k, me, ri, rp, NOTHING)
        unlock_free(k.scheme, k, me, rp)


@inline
def abandon_task(k: Kernel, me: int, dead: int) -> None:
    """The task that the CPU ran, if it still did, is somewhere inside a call: flush it, and begin it anew."""
    task = k.cpus.task[dead]
    if task != NIL and load_acquire(k.entities.on, task) == dead:
        state = load_acquire(k.entities.state, task)
        if state == RUNNING or state == WOKEN:  # noqa: SIM109 (the text has no containers)
            flush_bucket(k, me, task)
            fork_task(k, task)
            store_release(k.entities.state, task, QUEUING + me)
            enqueue(k, me, task)
    k.cpus.task[dead] = NIL


@inline
def settle_counts(k: Kernel, dead: int) -> None:
    """A call that came to no end is no call. Who dies in here has counted none of these twice."""
    for p in range(k.nr_probes):
        book = book_of(k, dead, p)
        done = k.books.hits[book] + k.books.refused[book] + k.books.nmissed[book]
        if k.probes.kind[p] == KRETPROBE:
            done += k.books.kp_nmissed[book]
        calls = k.books.calls[book]
        if calls != done:
            k.books.calls[book] = done
            if calls > done:
                k.recovery.open_calls[dead] += calls - done
            else:
                k.recovery.open_misses[dead] += done - calls


@outline
def settle_probes(k: Kernel, me: int, dead: int) -> None:
    """The probes that a CPU was registering: done if it was on its chain, else undone. Those that it took away: gone."""
    for p in range(k.nr_probes):
        state = load_acquire(k.probes.registered, p)
        if state == REGISTERING - dead or state == LEAVING + dead:
            mutex_lock(k, me)
            chained = is_chained(k, p)
            if state == LEAVING + dead and chained:
                unlink_probe(k, p)
            if state == REGISTERING - dead and chained:
                store_release(k.probes.registered, p, REGISTERED)
            mutex_unlock(k, me)
            if state == LEAVING + dead:
                grace_period(k, me)
                take_apart(k, me, p)
                store_release(k.probes.registered, p, UNREGISTERED)
            elif not chained:
                if k.probes.kind[p] == KRETPROBE:
                    free_rp_inst(k, me, p)
                store_release(k.probes.registered, p, UNREGISTERED)


@inline
def is_chained(k: Kernel, p: int) -> bool:
    """Whether probe `p` is on the chain of its function. The caller holds kprobe_mutex."""
    q = load_acquire(k.functions.kprobe, k.probes.function[p])
    while q != NIL and q != p:
        q = load_acquire(k.probes.next, q)
    return q == p


@inline
def grace_period(k: Kernel, me: int) -> None:
    """synchronize_sched() of a recoverer: the CPU that it waits for may die, and only this recoverer can bury it."""
    for other in range(k.nr_cpus):
        seen = fetch_add(k.runqueues.quiescent, other, 0)
        while seen & 1 == 0 and not wait_unless(k.runqueues.quiescent, other, NE, seen, k.run.deaths):
            bury(k, me)
