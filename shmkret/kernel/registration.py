"""Registering and unregistering probes, and the slab that instances come from.

    register     instances from the slab -> free list; then the probe goes to the head of its function's chain, and is armed
    unregister   top      off the function's chain, under kprobe_mutex
                 wait     a grace period: no CPU is between finding the probe and hanging an instance of it
                 bottom   instances in flight lose their rp, under the bucket locks; free ones go back to the slab
    an orphan    is freed by the return, or the flush, of the call that holds it

A caller fills in a probe's record (function, kind, handlers, maxactive) and registers it by its number. The chain of a function
changes only under kprobe_mutex; CPUs follow it without a lock.

Always    an instance is on one free list, in one bucket, on the slab, or in the hands of one CPU
Order     kprobe_mutex
            +-- nothing: the slab's lock, the probe's and the buckets' are taken one at a time, after it
Source    __register_kretprobe(), unregister_kretprobes(), cleanup_rp_inst(), kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

import errno

from shmkret.arena.records import KRETPROBE, LEAVING, REGISTERED, REGISTERING, SLAB_LOCK, UNREGISTERED, Kernel
from shmkret.kernel.busy import kprobe_busy_begin, kprobe_busy_end
from shmkret.kernel.rcu import mutex_lock, mutex_unlock, synchronize_sched
from shmkret.moves.bugs import has_bug
from shmkret.moves.intents import (
    AT_REST,
    HAND,
    NOTHING,
    SLAB_POP,
    SLAB_PUSH,
    apply_to,
    finish,
    intent_of,
    put,
    recovers,
    settle,
)
from shmkret.moves.lists import push
from shmkret.moves.locking import KFREE, enter_primitive, leave_primitive, lock_system, unlock_system
from shmkret.schemes import drain, give, orphan, retire
from shmkret.text.atomics import NIL, cmpxchg, fetch_add, load_acquire, store_release
from shmkret.text.marks import inline, outline

EINVAL, ENOMEM = errno.EINVAL, errno.ENOMEM


@outline
def register_kprobe(k: Kernel, cpu: int, p: int) -> int:
    """Put probe `p` at the head of its function's chain. Returns 0, or -EINVAL: no such function, blacklisted, registered."""
    if not may_be_probed(k, p) or cmpxchg(k.probes.registered, p, UNREGISTERED, REGISTERING - cpu) != UNREGISTERED:
        return -EINVAL
    arm(k, cpu, p)
    return 0


@outline
def register_kretprobe(k: Kernel, cpu: int, rp: int) -> int:
    """Give kretprobe `rp` its instances and register it. maxactive <= 0: max(10, 2 * nr_cpus), with preemption.

    Returns: 0; -EINVAL as register_kprobe(); -ENOMEM when the slab has too few instances or the scheme no room for them: then
             nothing has changed but a maxactive that was not above 0.
    """
    if not may_be_probed(k, rp) or cmpxchg(k.probes.registered, rp, UNREGISTERED, REGISTERING - cpu) != UNREGISTERED:
        return -EINVAL
    if k.probes.maxactive[rp] <= 0:
        k.probes.maxactive[rp] = max(10, 2 * k.nr_cpus)
    for _ in range(k.probes.maxactive[rp]):
        if not add_rp_inst(k, cpu, rp):
            free_rp_inst(k, cpu, rp)
            store_release(k.probes.registered, rp, UNREGISTERED)
            return -ENOMEM
    if not recovers(k.mode.recovery, "moves"):
        fetch_add(k.registry.gone_nmissed, 0, k.probes.nmissed[rp])
        fetch_add(k.registry.gone_kp_nmissed, 0, load_acquire(k.probes.kp_nmissed, rp))
        k.probes.nmissed[rp] = 0
        store_release(k.probes.kp_nmissed, rp, 0)
    arm(k, cpu, rp)
    return 0


@inline
def may_be_probed(k: Kernel, p: int) -> bool:
    """Whether probes work yet, and the function of probe `p` is one and is not blacklisted."""
    function = k.probes.function[p]
    if load_acquire(k.registry.initialized, 0) == 0 or not 0 <= function < k.nr_functions:
        return False
    return k.functions.blacklisted[function] == 0


@inline
def arm(k: Kernel, cpu: int, p: int) -> None:
    """Probe `p`, which is ours alone until now, goes to the head of its function's chain."""
    function = k.probes.function[p]
    mutex_lock(k, cpu)
    store_release(k.probes.next, p, load_acquire(k.functions.kprobe, function))
    store_release(k.functions.kprobe, function, p)
    store_release(k.probes.registered, p, REGISTERED)
    mutex_unlock(k, cpu)


@inline
def register_probe(k: Kernel, cpu: int, p: int) -> int:
    """Register a probe of either kind."""
    if k.probes.kind[p] == KRETPROBE:
        return register_kretprobe(k, cpu, p)
    return register_kprobe(k, cpu, p)


@outline
def register_probes(k: Kernel, cpu: int, first: int, count: int) -> int:
    """register_kprobes(), register_kretprobes(): probes first ... first + count - 1, all or none.

    Returns: 0; -EINVAL for count <= 0; or the first error, those before it unregistered again.
    """
    if count <= 0:
        return -EINVAL
    for i in range(count):
        error = register_probe(k, cpu, first + i)
        if error != 0:
            if i > 0:
                unregister_probes(k, cpu, first, i)
            return error
    return 0


@outline
def unregister_probes(k: Kernel, cpu: int, first: int, count: int) -> int:
    """unregister_kprobes(), unregister_kretprobes(): one grace period for all. Returns 0; -EINVAL when none was registered."""
    leaving = 0
    mutex_lock(k, cpu)
    for p in range(first, first + count):
        if load_acquire(k.probes.registered, p) == REGISTERED:
            store_release(k.probes.registered, p, LEAVING + cpu)
            unlink_probe(k, p)
            if k.probes.kind[p] == KRETPROBE:
                retire(k.scheme, k, cpu, p)
            leaving += 1
    mutex_unlock(k, cpu)
    if leaving == 0:
        return -EINVAL
    if not has_bug(k.mode.bugs, "no-grace-period"):
        synchronize_sched(k, cpu)
    for p in range(first, first + count):
        if load_acquire(k.probes.registered, p) == LEAVING + cpu:
            take_apart(k, cpu, p)
            store_release(k.probes.registered, p, UNREGISTERED)
    return 0


@inline
def take_apart(k: Kernel, cpu: int, p: int) -> None:
    """No CPU can find probe `p` any more: its instances in flight lose it, and its free ones go back to the slab."""
    if k.probes.kind[p] == KRETPROBE:
        cleanup_rp_inst(k, cpu, p)
        free_rp_inst(k, cpu, p)


@inline
def cleanup_rp_inst(k: Kernel, cpu: int, rp: int) -> None:
    """The instances of `rp` in flight lose it."""
    if not has_bug(k.mode.bugs, "unmarked-cleanup"):
        kprobe_busy_begin(k, cpu)
    orphan(k.scheme, k, cpu, rp)
    if not has_bug(k.mode.bugs, "unmarked-cleanup"):
        kprobe_busy_end(k, cpu)


@inline
def unregister_probe(k: Kernel, cpu: int, p: int) -> int:
    """unregister_kprobe(), unregister_kretprobe()."""
    return unregister_probes(k, cpu, p, 1)


@inline
def unlink_probe(k: Kernel, p: int) -> None:
    """Off its function's chain. Its own `next` stays: a CPU may be standing on it. The caller holds kprobe_mutex."""
    function = k.probes.function[p]
    after = load_acquire(k.probes.next, p)
    before = load_acquire(k.functions.kprobe, function)
    if before == p:
        store_release(k.functions.kprobe, function, after)
    else:
        while load_acquire(k.probes.next, before) != p:
            before = load_acquire(k.probes.next, before)
        store_release(k.probes.next, before, after)


@inline
def slab_alloc(k: Kernel, cpu: int) -> int:
    """kmalloc(): an instance, or NIL."""
    lock_system(k, cpu, SLAB_LOCK)
    ri = k.registry.slab[0]
    if recovers(k.mode.recovery, "moves") and should_fail(k):
        ri = NIL
    if ri != NIL:
        apply_to(k, cpu, intent_of(SLAB_POP, NOTHING, 0, ri, NIL), k.registry.slab, 0, k.instances.next[ri])
        settle(k, cpu, ri, HAND + cpu)
        finish(k, cpu)
    unlock_system(k, cpu, SLAB_LOCK)
    return ri


@inline
def should_fail(k: Kernel) -> bool:
    """failslab: whether this is the allocation that a fault was asked for. The caller holds the slab's lock."""
    left = k.registry.alloc_fault[0]
    if left > 0:
        k.registry.alloc_fault[0] = left - 1
    elif left < -1:
        k.registry.alloc_fault[0] = left + 1
    return left == 1 or left == -1


@inline
def slab_free(k: Kernel, cpu: int, ri: int) -> None:
    """kfree(). Never under a lock of the path: kfree may be probed itself."""
    enter_primitive(k.mode.primitives, k, cpu, KFREE)
    put(k, k.instances.rp, ri, NIL)
    put(k, k.instances.task, ri, NIL)
    lock_system(k, cpu, SLAB_LOCK)
    push(k, cpu, intent_of(SLAB_PUSH, NOTHING, 0, ri, NIL), ri, k.registry.slab, 0)
    settle(k, cpu, ri, AT_REST)
    finish(k, cpu)
    unlock_system(k, cpu, SLAB_LOCK)
    leave_primitive(k.mode.primitives, k, cpu)


@inline
def add_rp_inst(k: Kernel, cpu: int, rp: int) -> bool:
    """An instance from the slab is one more free one of probe `rp`, which no CPU can find. False: there is none, or no room."""
    ri = slab_alloc(k, cpu)
    if ri == NIL:
        return False
    put(k, k.instances.rp, ri, rp)
    if not give(k.scheme, k, cpu, ri, rp):
        slab_free(k, cpu, ri)
        return False
    return True


@inline
def free_rp_inst(k: Kernel, cpu: int, rp: int) -> None:
    """The free instances of a probe that no CPU can find go back to the slab."""
    ri = drain(k.scheme, k, cpu, rp)
    while ri != NIL:
        slab_free(k, cpu, ri)
        ri = drain(k.scheme, k, cpu, rp)


@inline
def allocations_may_fail(k: Kernel) -> bool:
    """Whether this run has faults that let the slab be empty, or take a registering CPU away."""
    return recovers(k.mode.recovery, "moves")


@outline
def free_orphans(k: Kernel, cpu: int, empty_rp: int) -> None:
    """The orphans that a walk has collected, chained by `next`, go back to the slab; no lock is held."""
    ri = empty_rp
    while ri != NIL:
        following = k.instances.next[ri]
        slab_free(k, cpu, ri)
        ri = following
