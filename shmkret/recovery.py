"""Recovery: what is done when a CPU has died, by a recoverer, which is a CPU with no program of its own.

    LIVE   -- its process is dead -->  DEAD      whoever learns of it says so (shmkret.stress.watch)
    DEAD   -- bury()   -->  BURIED    its locks and its move; what it had in hand; the task that it ran; its counts
    BURIED -- settle() -->  EMPTY     the probes that it was registering or taking away; the slot may be used again

Every step may be done again: a recoverer that dies is buried by the next, which then starts over.

Locks     "robust"   the next to acquire finishes the move; the recoverer sees to it that there is a next
          "owner"    the recoverer takes over what names the dead CPU, finishes its move, and wakes everybody
          "gate"     the gate closes; each live CPU parks, holding at most a bucket lock, which it has published. Then a lock is
                     held if a live CPU says so, and else free: nothing needs to be known of the dead one
Task      the dead CPU's own is in the middle of a call: its instances are flushed and its record becomes a new task. Tasks that
          wait on a queue, or sleep, go on with their instances
Counts    calls = hits + refused + misses of each CPU: the call that did not end is not counted
Always    after settle(): an instance is on one list, every lock is free or held by a live CPU, the books balance

Source    the protocol was searched: tests/test_recovery.py, every crash of one CPU beside another and a recoverer
"""

from __future__ import annotations

from shmkret.atomics import (
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
from shmkret.cpu import PHASE, STOP, run_cpu
from shmkret.hash import NR_BUCKETS
from shmkret.intents import HAND, NOTHING, PROBE, SYSTEM, TABLE, lock_name, op_of, recovers, take
from shmkret.layout import KRETPROBE, QUEUED, QUEUING, RUNNING, RUNQUEUE_LOCKS, WOKEN, Kernel
from shmkret.libc import OWNER_DIED, REFUSED, die_with_parent, exit_process, fork_process, kick
from shmkret.lists import push_free
from shmkret.locking import lock_system, unlock_system
from shmkret.locks import release, reset, take_over, try_acquire_robust, wake_all
from shmkret.probes import flush_bucket, fork_task
from shmkret.rcu import mutex_lock, mutex_unlock
from shmkret.redo import inherit, named_lock, redo
from shmkret.registration import IDLE, LEAVING, REGISTERED, REGISTERING, free_rp_inst, slab_free, take_apart, unlink_probe
from shmkret.sched import enqueue
from shmkret.schemes import lock_free, unlock_free
from shmkret.text import inline, outline

EMPTY, LIVE, DEAD, DYING, BURIED = range(5)
EVERYBODY = 1 << 30


@inline
def start(k: Kernel, cpu: int) -> None:
    """Start the process of a CPU or a recoverer, a child of this one that does nothing else; its pid is in the arena."""
    store_release(k.recovery.life, cpu, LIVE)
    k.recovery.generation[cpu] += 1
    pid = fork_process()
    if pid == 0:
        die_with_parent()
        if cpu < k.nr_cpus:
            run_cpu(k, cpu)
        else:
            run_recoverer(k, cpu)
        exit_process()
    store_release(k.recovery.pid, cpu, pid)


@outline
def announce(k: Kernel, dead: int) -> None:
    """CPU `dead` is dead: say so to the recoverer, wherever it waits. For whoever watches the processes."""
    store_release(k.recovery.life, dead, DEAD)
    exchange(k.recovery.parked, dead, 1)
    futex_wake(k.recovery.parked, dead, EVERYBODY)
    exchange(k.run.deaths, 0, 1)
    futex_wake(k.run.deaths, 0, EVERYBODY)


@inline
def run_recoverer(k: Kernel, me: int) -> None:
    """Recover whoever dies, until the run stops."""
    store_release(k.cpus.ready, me, 1)
    while load_acquire(k.run.phase, PHASE) != STOP:
        if exchange(k.run.deaths, 0, 0) != 0:
            recover(k, me)
        elif load_acquire(k.run.phase, PHASE) != STOP:
            futex_wait(k.run.deaths, 0, 0)
    store_release(k.cpus.ready, me, 2)


@outline
def recover(k: Kernel, me: int) -> None:
    """Bury every dead CPU, and settle what they left of registration."""
    bury(k, me)
    for dead in range(k.nr_slots):
        if load_acquire(k.recovery.life, dead) == BURIED:
            settle_probes(k, me, dead)
            store_release(k.recovery.recovered_ns, dead, monotonic_ns())
            store_release(k.recovery.life, dead, EMPTY)
            futex_wake(k.recovery.life, dead, EVERYBODY)


@outline
def bury(k: Kernel, me: int) -> None:
    """Free the locks of every dead CPU, then take back what it had."""
    if recovers(k.mode.recovery, "gate"):
        repair_locks(k, me)
    else:
        mark_dying(k)
        if recovers(k.mode.recovery, "owner"):
            take_over_locks(k, me)
        else:
            sweep(k, me)
    for dead in range(k.nr_slots):
        if is_dying(k, dead):
            store_release(k.recovery.since_ns, dead, monotonic_ns())
    for dead in range(k.nr_slots):
        if is_dying(k, dead):
            reclaim(k, me, dead)
            store_release(k.recovery.life, dead, BURIED)


@inline
def mark_dying(k: Kernel) -> None:
    """Those whose death has been announced by now; for who dies later there is another round."""
    for cpu in range(k.nr_slots):
        if load_acquire(k.recovery.life, cpu) == DEAD:
            store_release(k.recovery.life, cpu, DYING)


@inline
def is_dying(k: Kernel, cpu: int) -> bool:
    return load_acquire(k.recovery.life, cpu) == DYING


@inline
def repair_locks(k: Kernel, me: int) -> None:
    """RECOVERY = "gate"."""
    if not recovers(k.mode.recovery, "no-gate"):
        close_gate(k, me)
    mark_dying(k)
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if is_dying(k, dead) and intent != 0:
            redo(k, me, dead, intent)
    for i in range(NR_BUCKETS):
        reset(k.scheme.table, i, is_held(k, i))
    for i in range(k.nr_locks):
        reset(k.scheme.locks, i, False)
    for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
        reset(k.system_locks, i, False)
    if not recovers(k.mode.recovery, "no-gate"):
        exchange(k.run.gate, 0, 0)
        futex_wake(k.run.gate, 0, EVERYBODY)


@inline
def close_gate(k: Kernel, me: int) -> None:
    """And wait until every live CPU is parked; one that dies meanwhile is not waited for."""
    exchange(k.run.gate, 0, 1)
    for cpu in range(k.nr_slots):
        if cpu != me and load_acquire(k.recovery.life, cpu) == LIVE:
            kick(load_acquire(k.recovery.pid, cpu))
    for cpu in range(k.nr_slots):
        while cpu != me and load_acquire(k.recovery.life, cpu) == LIVE and load_acquire(k.recovery.parked, cpu) == 0:
            futex_wait(k.recovery.parked, cpu, 0)


@inline
def is_held(k: Kernel, bucket: int) -> bool:
    """Whether a live CPU, parked, has that bucket lock."""
    for cpu in range(k.nr_slots):
        if load_acquire(k.recovery.life, cpu) == LIVE and load_acquire(k.recovery.held, cpu) == bucket + 1:
            return True
    return False


@inline
def take_over_locks(k: Kernel, me: int) -> None:
    """RECOVERY = "owner". First every lock, so that a move is finished with all of its locks in one hand."""
    for dead in range(k.nr_slots):
        if is_dying(k, dead):
            for i in range(NR_BUCKETS):
                take_over(k.scheme.table, i, dead, me)
            for i in range(k.nr_locks):
                take_over(k.scheme.locks, i, dead, me)
            for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
                take_over(k.system_locks, i, dead, me)
    for dead in range(k.nr_slots):
        intent = load_acquire(k.recovery.intent, dead)
        if is_dying(k, dead) and intent != 0:
            redo(k, me, dead, intent)
    for i in range(NR_BUCKETS):
        let_go(k.scheme.table, i, me)
    for i in range(k.nr_locks):
        let_go(k.scheme.locks, i, me)
    for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
        let_go(k.system_locks, i, me)


@inline
def let_go(locks: object, i: int, me: int) -> None:
    """Release what was taken over; and one may have died between releasing a lock and waking who waits for it."""
    if take_over(locks, i, me, me):
        release(locks, i)
    wake_all(locks, i)


@inline
def sweep(k: Kernel, me: int) -> None:
    """RECOVERY = "robust": take each lock that a dead CPU held, which finishes its move."""
    for i in range(NR_BUCKETS):
        sweep_lock(k, me, k.scheme.table, i, TABLE)
    for i in range(k.nr_locks):
        sweep_lock(k, me, k.scheme.locks, i, PROBE)
    for i in range(RUNQUEUE_LOCKS + k.nr_cpus):
        sweep_lock(k, me, k.system_locks, i, SYSTEM)
    for dead in range(k.nr_slots):
        if is_dying(k, dead):
            # Whoever has that lock now is finishing the move.
            intent = load_acquire(k.recovery.intent, dead)
            while intent != 0:
                name = named_lock(k, intent)
                take_named(k, me, name)
                release_named(k, name)
                intent = load_acquire(k.recovery.intent, dead)


@inline
def sweep_lock(k: Kernel, me: int, locks: object, i: int, section: int) -> None:
    status = try_acquire_robust(locks, i, me)
    if status == OWNER_DIED:
        inherit(k, me, lock_name(i, section))
    if status != REFUSED:
        release(locks, i)


@inline
def take_named(k: Kernel, me: int, name: int) -> None:
    i = name // 3
    if name % 3 == TABLE:
        take(k.mode.recovery, k, me, k.scheme.table, i, TABLE)
    elif name % 3 == PROBE:
        take(k.mode.recovery, k, me, k.scheme.locks, i, PROBE)
    else:
        take(k.mode.recovery, k, me, k.system_locks, i, SYSTEM)


@inline
def release_named(k: Kernel, name: int) -> None:
    i = name // 3
    if name % 3 == TABLE:
        release(k.scheme.table, i)
    elif name % 3 == PROBE:
        release(k.scheme.locks, i)
    else:
        release(k.system_locks, i)


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
    """An instance that was in hand: to the probe it was taken from, which waits for a grace period before it goes; or the slab."""
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
        if state == RUNNING or state == WOKEN:  # noqa: SIM109, PLR1714 (the text has no containers)
            flush_bucket(k, me, task)
            fork_task(k, task)
            store_release(k.entities.state, task, QUEUING + me)
            enqueue(k, me, task)
    k.cpus.task[dead] = NIL


@inline
def settle_counts(k: Kernel, dead: int) -> None:
    """A call that came to no end is no call."""
    done = k.cpus.hits[dead] + k.cpus.refused[dead]
    for p in range(k.nr_probes):
        done += k.misses.nmissed[dead * k.nr_probes + p]
        if k.probes.kind[p] == KRETPROBE:
            done += k.misses.kp_nmissed[dead * k.nr_probes + p]
    k.recovery.open_calls[dead] += k.cpus.calls[dead] - done
    k.cpus.calls[dead] = done


@outline
def settle_probes(k: Kernel, me: int, dead: int) -> None:
    """The probes that a CPU was registering: done if it was on its chain, else undone. Those that it took away: gone."""
    for p in range(k.nr_probes):
        state = load_acquire(k.probes.registered, p)
        if state == REGISTERING - dead or state == LEAVING + dead:  # noqa: PLR1714
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
                store_release(k.probes.registered, p, IDLE)
            elif not chained:
                if k.probes.kind[p] == KRETPROBE:
                    free_rp_inst(k, me, p)
                store_release(k.probes.registered, p, IDLE)


@inline
def is_chained(k: Kernel, p: int) -> bool:
    """Whether probe `p` is on the chain of its function. The caller holds kprobe_mutex."""
    q = load_acquire(k.functions.kprobe, k.probes.function[p])
    while q != NIL and q != p:
        q = load_acquire(k.probes.next, q)
    return q == p


@inline
def grace_period(k: Kernel, me: int) -> None:
    """synchronize_sched() of a recoverer: whom it waits for may die, and nobody but itself buries him."""
    for other in range(k.nr_cpus):
        seen = fetch_add(k.runqueues.quiescent, other, 0)
        while seen & 1 == 0 and not wait_unless(k.runqueues.quiescent, other, NE, seen, k.run.deaths):
            exchange(k.run.deaths, 0, 0)
            bury(k, me)
