"""The probe path: what happens when a task calls a probed function, and when it returns.

    task                       kretprobe                                            lists
    call function        ->    kprobe_handler -> pre_handler_kretprobe   obtain, hang    free -> bucket
                               entry handler refuses                     refuse          free -> free
    ... the function runs, its return address is TRAMPOLINE ...
    return               ->    trampoline_handler      walk, handlers, recycle           bucket -> free
    back at the call site      the oracle looks
    exit instead         ->    kprobe_flush_task       walk, recycle                     bucket -> free
    its rp is gone       ->    either of these         walk                              bucket -> slab

Handlers  run with current_kprobe set; the entry handler with preemption off, the return handler under the
          bucket lock, interrupts masked
Always    calls = hits + nmissed + kp.nmissed + refused;  hits = returns + flushed + in flight
Source    kernel/kprobes.c and arch/*/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch import (
    TRAMPOLINE,
    call_insn,
    has_feature,
    prepare_kretprobe,
    resume_at,
    return_insn,
)
from shmkret.atomics import NIL, fetch_add, load_acquire, store_ordered
from shmkret.bugs import has_bug
from shmkret.busy import kprobe_busy_begin, kprobe_busy_end
from shmkret.clock import ENTRY, RETURN, began, ended
from shmkret.handlers import ask, has_handlers, tell
from shmkret.intents import FLUSHED, RETURNED, put, recovers
from shmkret.irqflags import Off, irqrestore, irqsave, poll
from shmkret.layout import KPROBE, KRETPROBE, STACK_WORDS, Kernel
from shmkret.lists import take_in_hand, take_out, unlink_bucket
from shmkret.locking import NR_PRIMITIVES
from shmkret.mode import Mode, primitive, with_mode
from shmkret.oracle import (
    KRETPROBE_BUG,
    NOT_BUSY,
    WRONG_ADDRESS,
    WRONG_REGISTER,
    WRONG_STACK,
    WRONG_VALUE,
    report_bug,
)
from shmkret.registration import free_orphans
from shmkret.schemes import hang, lock_bucket, obtain, recycle, refuse, unlock_bucket
from shmkret.text import generic, inline, outline

TEXT_BASE = 0x10_0000_0000
TASK_TEXT_BITS = 20
NR_REGISTERS = 5


@generic
def hit(context: object, k: Kernel, cpu: int, task: int, p: int) -> None:
    """`task` runs into the breakpoint of probe `p`, the newest of its function."""
    raise NotImplementedError


class Running(NamedTuple):
    """A task, or an interrupt."""

    unused: int

    def hit(self, k: Kernel, cpu: int, task: int, p: int) -> None:
        kprobe_handler(k, cpu, task, p)

    def came_back(self, k: Kernel, cpu: int, task: int) -> None:
        trampoline_handler(k, cpu, task)


class Busy(NamedTuple):
    """Inside a handler."""

    unused: int

    def hit(self, k: Kernel, cpu: int, task: int, p: int) -> None:
        if k.cpus.current_kprobe[cpu] == NIL:
            report_bug(k.cpus, cpu, NOT_BUSY, task, p, 0)
        kprobes_inc_nmissed_count(k, cpu, p)

    def came_back(self, k: Kernel, cpu: int, task: int) -> None:
        report_bug(k.cpus, cpu, WRONG_ADDRESS, task, TRAMPOLINE, 0)


@generic
def came_back(context: object, k: Kernel, cpu: int, task: int) -> None:
    """`task` returned to the trampoline."""
    raise NotImplementedError


class Probed(NamedTuple):
    """The path's own functions are functions of the task, with probes on them."""

    unused: int

    def enter_primitive(self, k: Kernel, cpu: int, which: int) -> None:
        call_primitive(k, cpu, which)

    def leave_primitive(self, k: Kernel, cpu: int) -> None:
        return_from_primitive(k, cpu)


@inline
def call(k: Kernel, cpu: int, task: int, function: int, ret_addr: int) -> None:
    """`task`, running on `cpu`, calls `function` and will come back to `ret_addr`, which it also keeps in a register."""
    k.tasks.saved[task] = ret_addr
    call_insn(k.arch, k, task, ret_addr)
    enter(k, cpu, task, function)


@inline
def enter(k: Kernel, cpu: int, task: int, function: int) -> None:
    """`task` is at the first instruction of `function`, called or jumped to (a tail call): its probes, if any, are hit."""
    poll(k.mode.irq, k, cpu)
    p = load_acquire(k.functions.kprobe, function)
    if p != NIL:
        hit(k.mode.context, k, cpu, task, p)


@inline
def kprobe_handler(k: Kernel, cpu: int, task: int, p: int) -> None:
    """The breakpoint: run the probes of this function, the newest first, unless this CPU is inside a probe already."""
    at = began(k.mode.clock, k, cpu, ENTRY)
    k.cpus.preempt_count[cpu] += 1
    if k.cpus.current_kprobe[cpu] != NIL and not has_bug(k.mode.bugs, "no-reentrancy-check"):
        kprobes_inc_nmissed_count(k, cpu, p)
    else:
        flags = irqsave(k.mode.irq, k, cpu) if has_feature(k.arch, "irqs-off") else 0
        q = p
        while q != NIL:
            k.cpus.current_kprobe[cpu] = q
            pre_handler(k, cpu, task, q)
            q = load_acquire(k.probes.next, q)
        if has_handlers(k.mode.handlers, "kprobes"):
            post_handlers(k, cpu, task, p)
        k.cpus.current_kprobe[cpu] = NIL
        if has_feature(k.arch, "irqs-off"):
            irqrestore(k.mode.irq, k, cpu, flags)
    k.cpus.preempt_count[cpu] -= 1
    ended(k.mode.clock, k, cpu, ENTRY, at)


@inline
def pre_handler(k: Kernel, cpu: int, task: int, p: int) -> None:
    """What kind of probe it is decides what runs at the first instruction."""
    if has_handlers(k.mode.handlers, "kprobes") and k.probes.kind[p] == KPROBE:
        run_entry_handler(k, cpu, task, p, p)
    else:
        pre_handler_kretprobe(k, cpu, task, p)


@inline
def post_handlers(k: Kernel, cpu: int, task: int, p: int) -> None:
    """The probed instruction has been stepped: kprobes have a handler for that, kretprobes do not."""
    q = p
    while q != NIL:
        if k.probes.kind[q] == KPROBE:
            k.cpus.current_kprobe[cpu] = q
            run_handler(k, cpu, task, q, q)
        q = load_acquire(k.probes.next, q)


@inline
def kprobes_inc_nmissed_count(k: Kernel, cpu: int, p: int) -> None:
    """Every probe of the function misses this hit."""
    q = p
    while q != NIL:
        if recovers(k.mode.recovery, "moves"):
            place = cpu * k.nr_probes + q
            store_ordered(k.misses.kp_nmissed, place, k.misses.kp_nmissed[place] + 1)
        elif has_bug(k.mode.bugs, "racy-nmissed"):
            k.probes.kp_nmissed[q] += 1
        else:
            fetch_add(k.probes.kp_nmissed, q, 1)
        if k.probes.kind[q] == KRETPROBE:
            k.cpus.calls[cpu] += 1
        q = load_acquire(k.probes.next, q)


@inline
def pre_handler_kretprobe(k: Kernel, cpu: int, task: int, rp: int) -> None:
    """Take an instance, ask the entry handler, save the return address, hang the instance into the task's bucket."""
    k.cpus.calls[cpu] += 1
    ri = obtain(k.scheme, k, cpu, rp)
    if ri != NIL:
        put(k, k.instances.rp, ri, rp)
        put(k, k.instances.task, ri, task)
        if run_entry_handler(k, cpu, task, rp, ri):
            refuse(k.scheme, k, cpu, rp, ri)
            if not recovers(k.mode.recovery, "moves"):
                k.cpus.refused[cpu] += 1
        else:
            if recovers(k.mode.recovery, "moves"):
                k.instances.fp[ri] = k.tasks.sp[task]
            prepare_kretprobe(k.arch, k, ri, task)
            hang(k.scheme, k, cpu, ri, task)
            if not recovers(k.mode.recovery, "moves"):
                k.cpus.hits[cpu] += 1


@inline
def busy(k: Kernel) -> Kernel:
    """The kernel as a handler sees it."""
    m = k.mode
    return with_mode(k, Mode(Busy(0), Off(0), m.primitives, m.clock, m.recovery, m.handlers, m.bugs))


@inline
def run_entry_handler(k: Kernel, cpu: int, task: int, p: int, subject: int) -> bool:
    """Run the entry handler of a kretprobe, or the pre handler of a kprobe, if there is one. True: it refuses the call."""
    refused = False
    if has_handlers(k.mode.handlers, "asked"):
        handler = k.probes.entry_handler[p]
        if handler != 0:
            pc, lr, npc = k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task]
            retval, saved = k.tasks.retval[task], k.tasks.saved[task]
            refused = ask(k.mode.handlers, handler, busy(k), cpu, task, subject) != 0
            k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task] = pc, lr, npc
            k.tasks.retval[task], k.tasks.saved[task] = retval, saved
    return refused


@inline
def run_handler(k: Kernel, cpu: int, task: int, p: int, subject: int) -> None:
    """Run the return handler of a kretprobe, or the post handler of a kprobe, if there is one, on saved registers."""
    if has_handlers(k.mode.handlers, "told"):
        handler = k.probes.handler[p]
        if handler != 0:
            pc, lr, npc = k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task]
            saved = k.tasks.saved[task]
            k.tasks.regs_retval[task] = k.tasks.retval[task]
            tell(k.mode.handlers, handler, busy(k), cpu, task, subject)
            k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task] = pc, lr, npc
            k.tasks.retval[task], k.tasks.saved[task] = k.tasks.regs_retval[task], saved


@inline
def ret(k: Kernel, cpu: int, task: int) -> None:
    """The function that `task` is in returns, through the trampoline if a kretprobe took the address."""
    k.tasks.retval[task] = k.tasks.saved[task] + 1
    poll(k.mode.irq, k, cpu)
    pc = return_insn(k.arch, k, task)
    if pc == TRAMPOLINE:
        came_back(k.mode.context, k, cpu, task)
    else:
        k.tasks.pc[task] = pc


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
    bucket = lock_bucket(k.scheme, k, cpu, task)
    if has_feature(k.arch, "two-pass") and not has_bug(k.mode.bugs, "single-pass"):
        resume_at(k.arch, k, task, real_return_address(k, bucket, task))
    orig_ret_address = TRAMPOLINE
    empty_rp = NIL
    prev = NIL
    ri = k.buckets.first[bucket]
    walked = 0
    # The bound on the walk is for broken locks only: they tie chains into circles.
    while ri != NIL and orig_ret_address == TRAMPOLINE and walked < k.nr_instances:
        walked += 1
        following = k.instances.next[ri]
        if k.instances.task[ri] == task:
            run_return_handler(k, cpu, task, ri)
            orig_ret_address = k.instances.ret_addr[ri]
            empty_rp = recycle_rp_inst(k, cpu, bucket, prev, ri, empty_rp, RETURNED)
            if not recovers(k.mode.recovery, "moves"):
                k.cpus.returns[cpu] += 1
        else:
            prev = ri
        ri = following
    kretprobe_assert(k, cpu, task, orig_ret_address)
    if has_feature(k.arch, "trap"):
        resume_at(k.arch, k, task, orig_ret_address)
        if has_bug(k.mode.bugs, "early-reset"):
            k.cpus.current_kprobe[cpu] = NIL
    unlock_bucket(k.scheme, k, cpu, bucket, task)
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
    if has_handlers(k.mode.handlers, "told"):
        rp = k.instances.rp[ri]
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
def recycle_rp_inst(k: Kernel, cpu: int, bucket: int, prev: int, ri: int, empty_rp: int, why: int) -> int:
    """Give `ri`, which follows `prev`, back to its probe; or onto the list of orphans, whose new head is returned."""
    if k.instances.rp[ri] == NIL:  # unregistered meanwhile
        if recovers(k.mode.recovery, "moves"):
            take_out(k, cpu, ri, prev, bucket, why)
            take_in_hand(k, cpu, ri, why)
        else:
            unlink_bucket(k, ri, prev, bucket)
        k.instances.next[ri] = empty_rp
        return ri
    recycle(k.scheme, k, cpu, bucket, prev, ri, why)
    return empty_rp


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
    bucket = lock_bucket(k.scheme, k, cpu, task)
    empty_rp = NIL
    prev = NIL
    ri = k.buckets.first[bucket]
    walked = 0
    while ri != NIL and walked < k.nr_instances:
        walked += 1
        following = k.instances.next[ri]
        if k.instances.task[ri] == task:
            empty_rp = recycle_rp_inst(k, cpu, bucket, prev, ri, empty_rp, FLUSHED)
            if not recovers(k.mode.recovery, "moves"):
                k.cpus.flushed[cpu] += 1
        else:
            prev = ri
        ri = following
    unlock_bucket(k.scheme, k, cpu, bucket, task)
    if not has_bug(k.mode.bugs, "unmarked-flush"):
        kprobe_busy_end(k, cpu)
    if has_bug(k.mode.bugs, "late-list-init"):
        empty_rp = NIL
    if empty_rp != NIL:
        free_orphans(k, cpu, empty_rp)


@inline
def fork_task(k: Kernel, task: int) -> None:
    """The record of a dead task becomes a new one, with an empty stack; slabs hand out the same address again, too."""
    k.tasks.sp[task] = stack_top(task)
    k.tasks.lr[task] = 0
    k.tasks.pc[task] = 0
    k.tasks.place[task] = 0


@inline
def stack_top(task: int) -> int:
    """The stack pointer of a task whose stack is empty."""
    return (task + 1) * STACK_WORDS


@inline
def real_return_address(k: Kernel, bucket: int, task: int) -> int:
    """The first pass of a two-pass walk: the newest real return address of `task`; TRAMPOLINE when there is none."""
    ri = k.buckets.first[bucket]
    walked = 0
    while ri != NIL and walked < k.nr_instances:
        walked += 1
        if k.instances.task[ri] == task and k.instances.ret_addr[ri] != TRAMPOLINE:
            return k.instances.ret_addr[ri]
        ri = k.instances.next[ri]
    return TRAMPOLINE


@outline
def call_primitive(k: Kernel, cpu: int, which: int) -> None:
    """The current task calls one of the path's own functions; its registers wait on its stack."""
    task = k.cpus.task[cpu]
    sp = k.tasks.sp[task] - NR_REGISTERS
    stack = k.arch.stack.word
    stack[sp], stack[sp + 1], stack[sp + 2] = k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task]
    stack[sp + 3], stack[sp + 4] = k.tasks.retval[task], k.tasks.saved[task]
    k.tasks.sp[task] = sp
    call(primitive(k), cpu, task, k.nr_functions - NR_PRIMITIVES + which, call_site(task, which))


@outline
def return_from_primitive(k: Kernel, cpu: int) -> None:
    """The end of call_primitive()."""
    task = k.cpus.task[cpu]
    ret(primitive(k), cpu, task)
    sp = k.tasks.sp[task]
    stack = k.arch.stack.word
    k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task] = stack[sp], stack[sp + 1], stack[sp + 2]
    k.tasks.retval[task], k.tasks.saved[task] = stack[sp + 3], stack[sp + 4]
    k.tasks.sp[task] = sp + NR_REGISTERS


@inline
def call_site(task: int, n: int) -> int:
    """The address that the n-th call of `task` comes back to: different for each task and each recent call."""
    return TEXT_BASE + (((task + 1) << TASK_TEXT_BITS) | (n & ((1 << TASK_TEXT_BITS) - 1)))


@inline
def call_and_return(k: Kernel, cpu: int, task: int, function: int, n: int) -> None:
    """One call of an empty function and its return; the oracle looks where the task is afterwards."""
    ret_addr = call_site(task, n)
    sp = k.tasks.sp[task]
    call(k, cpu, task, function, ret_addr)
    ret(k, cpu, task)
    check_return(k, cpu, task, ret_addr, sp)


@inline
def check_return(k: Kernel, cpu: int, task: int, ret_addr: int, sp: int) -> None:
    """The oracle: `task` is back at `ret_addr`, with the stack pointer `sp` and the registers that it had before the call."""
    check_return_value(k, cpu, task, ret_addr, sp, ret_addr + 1)


@inline
def check_return_value(k: Kernel, cpu: int, task: int, ret_addr: int, sp: int, value: int) -> None:
    """The oracle where a handler has made the function return `value`."""
    if k.tasks.pc[task] != ret_addr:
        report_bug(k.cpus, cpu, WRONG_ADDRESS, task, k.tasks.pc[task], ret_addr)
    elif k.tasks.sp[task] != sp:
        report_bug(k.cpus, cpu, WRONG_STACK, task, k.tasks.sp[task], sp)
    elif k.tasks.retval[task] != value:
        report_bug(k.cpus, cpu, WRONG_VALUE, task, k.tasks.retval[task], value)
    elif k.tasks.saved[task] != ret_addr:
        report_bug(k.cpus, cpu, WRONG_REGISTER, task, k.tasks.saved[task], ret_addr)
