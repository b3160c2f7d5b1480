"""The probe path: what happens when a task calls a probed function, and when it returns.

    task                       kretprobe                                            instances
    call function        ->    kprobe_handler -> pre_handler_kretprobe   obtain, push    free -> in flight
                               entry handler refuses                     refuse          free -> free
    ... the function runs, its return address is TRAMPOLINE ...
    return               ->    trampoline_handler      walk, handlers, take              in flight -> free
    back at the call site      the oracle looks
    exit instead         ->    kprobe_flush_task       walk, take                        in flight -> free
    its rp is gone       ->    either of these         walk                              in flight -> slab

Handlers  run with current_kprobe set; the entry handler with preemption off, the return handler under the
          bucket lock, interrupts masked
Always    calls = hits + nmissed + kp.nmissed + refused;  hits = returns + flushed + in flight
Source    kernel/kprobes.c and arch/*/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from shmkret.arch import TRAMPOLINE, has_feature, prepare_kretprobe, resume_at
from shmkret.arena.records import Kernel
from shmkret.kernel.busy import kprobe_busy_begin, kprobe_busy_end
from shmkret.kernel.handlers import has_handlers
from shmkret.kernel.registration import free_orphans
from shmkret.kernel.running import run_entry_handler, run_handler
from shmkret.moves.bugs import has_bug
from shmkret.moves.clock import RETURN, began, ended
from shmkret.moves.intents import FLUSHED, HIT, REFUSAL, RETURNED, count, count_call, put, recovers
from shmkret.moves.oracle import KRETPROBE_BUG, report_bug
from shmkret.schemes import begin_walk, end_walk, first, next, obtain, push, refuse, ri_of, rp_of, take
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline


@inline
def pre_handler_kretprobe(k: Kernel, cpu: int, task: int, rp: int) -> None:
    """Take an instance, ask the entry handler, save the return address, hang the instance into the task's bucket."""
    count_call(k, cpu, rp)
    ri = obtain(k.scheme, k, cpu, rp)
    if ri != NIL:
        put(k, k.instances.rp, ri, rp)
        put(k, k.instances.task, ri, task)
        if run_entry_handler(k, cpu, task, rp, ri):
            refuse(k.scheme, k, cpu, rp, ri)
            count(k, cpu, REFUSAL)
        else:
            if recovers(k.mode.recovery, "moves"):
                k.instances.fp[ri] = k.tasks.sp[task]
            prepare_kretprobe(k.arch, k, ri, task)
            push(k.scheme, k, cpu, ri, task)
            count(k, cpu, HIT)


@inline
def is_marked(k: Kernel) -> bool:
    """Whether this CPU counts as busy for the whole walk: a trap does that, or the dummy kprobe of later kernels."""
    return has_feature(k.arch, "trap") or not has_bug(k.mode.bugs, "unmarked-walk")


@inline
def trampoline_handler(k: Kernel, cpu: int, task: int) -> None:
    """Recycle the task's newest instances up to the first with a real return address; the task goes on there."""
    at = began(k.mode.clock, k, cpu, RETURN)
    if is_marked(k):
        kprobe_busy_begin(k, cpu)
    where = begin_walk(k.scheme, k, cpu, task)
    if has_feature(k.arch, "two-pass") and not has_bug(k.mode.bugs, "single-pass"):
        resume_at(k.arch, k, task, real_return_address(k, where, task))
    orig_ret_address = TRAMPOLINE
    empty_rp = NIL
    prev = NIL
    cursor = first(k.scheme, k, where)
    walked = 0
    # The bound on the walk is for broken locks only: they tie chains into circles.
    while cursor != NIL and orig_ret_address == TRAMPOLINE and walked < k.nr_instances:
        walked += 1
        ri = ri_of(k.scheme, k, cursor)
        cursor = next(k.scheme, k, cursor)
        if k.instances.task[ri] == task:
            run_return_handler(k, cpu, task, ri)
            orig_ret_address = k.instances.ret_addr[ri]
            if take(k.scheme, k, cpu, where, prev, ri, RETURNED):
                k.instances.next[ri] = empty_rp
                empty_rp = ri
            count(k, cpu, RETURNED)
        else:
            prev = ri
    kretprobe_assert(k, cpu, task, orig_ret_address)
    if has_feature(k.arch, "trap"):
        resume_at(k.arch, k, task, orig_ret_address)
        if has_bug(k.mode.bugs, "early-reset"):
            k.cpus.current_kprobe[cpu] = NIL
    end_walk(k.scheme, k, cpu, where, task)
    if is_marked(k):
        kprobe_busy_end(k, cpu)
    k.cpus.walked[cpu] += walked
    if empty_rp != NIL:
        free_orphans(k, cpu, empty_rp)
    if not has_feature(k.arch, "trap"):
        resume_at(k.arch, k, task, orig_ret_address)
    ended(k.mode.clock, k, cpu, RETURN, at)


@inline
def run_return_handler(k: Kernel, cpu: int, task: int, ri: int) -> None:
    """The handler of the instance's probe, if that is still registered."""
    if has_handlers(k.mode.handlers, "exits"):
        rp = rp_of(k.scheme, k, ri)
        if rp != NIL:
            before = k.cpus.current_kprobe[cpu]
            k.cpus.current_kprobe[cpu] = rp
            run_handler(k, cpu, task, rp, ri)
            k.cpus.current_kprobe[cpu] = before


@inline
def kretprobe_assert(k: Kernel, cpu: int, task: int, orig_ret_address: int) -> None:
    """No instance of this task was found, or the walk ended inside a chain."""
    if orig_ret_address == TRAMPOLINE or orig_ret_address == 0:
        report_bug(k.cpus, cpu, KRETPROBE_BUG, task, orig_ret_address, 0)


@inline
def kprobe_flush_task(k: Kernel, cpu: int, task: int) -> None:
    """`task` is dead and `cpu` runs another one: free the instances of the calls that it will never return from."""
    if k.registry.initialized[0] != 0:
        flush_bucket(k, cpu, k.cpus.task[cpu] if has_bug(k.mode.bugs, "flush-current") else task)


@inline
def flush_bucket(k: Kernel, cpu: int, task: int) -> None:
    """The walk of kprobe_flush_task()."""
    if not has_bug(k.mode.bugs, "unmarked-flush"):
        kprobe_busy_begin(k, cpu)
    where = begin_walk(k.scheme, k, cpu, task)
    empty_rp = NIL
    prev = NIL
    cursor = first(k.scheme, k, where)
    walked = 0
    while cursor != NIL and walked < k.nr_instances:
        walked += 1
        ri = ri_of(k.scheme, k, cursor)
        cursor = next(k.scheme, k, cursor)
        if k.instances.task[ri] == task:
            if take(k.scheme, k, cpu, where, prev, ri, FLUSHED):
                k.instances.next[ri] = empty_rp
                empty_rp = ri
            count(k, cpu, FLUSHED)
        else:
            prev = ri
    end_walk(k.scheme, k, cpu, where, task)
    if not has_bug(k.mode.bugs, "unmarked-flush"):
        kprobe_busy_end(k, cpu)
    if has_bug(k.mode.bugs, "late-list-init"):
        empty_rp = NIL
    if empty_rp != NIL:
        free_orphans(k, cpu, empty_rp)


@inline
def real_return_address(k: Kernel, where: int, task: int) -> int:
    """The first pass of a two-pass walk: the newest real return address of `task`; TRAMPOLINE when there is none."""
    cursor = first(k.scheme, k, where)
    walked = 0
    while cursor != NIL and walked < k.nr_instances:
        walked += 1
        ri = ri_of(k.scheme, k, cursor)
        if k.instances.task[ri] == task and k.instances.ret_addr[ri] != TRAMPOLINE:
            return k.instances.ret_addr[ri]
        cursor = next(k.scheme, k, cursor)
    return TRAMPOLINE
