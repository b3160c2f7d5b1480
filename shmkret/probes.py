"""The probe path: what happens when a task calls a probed function, and when it returns.

    task                       kretprobe                                   lists
    call function        ->    pre_handler_kretprobe   obtain, hang        free -> bucket
    ... the function runs, its return address is TRAMPOLINE ...
    return               ->    trampoline_handler      walk, recycle       bucket -> free
    back at the call site      the oracle looks
    exit instead         ->    kprobe_flush_task       walk, recycle       bucket -> free

Always    calls = hits + nmissed;  hits = returns + flushed + in flight
Source    kernel/kprobes.c and arch/x86/kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from shmkret.arch import TRAMPOLINE, call_insn, is_two_pass, prepare_kretprobe, resume_at, return_insn
from shmkret.atomics import NIL, load_acquire, store_release
from shmkret.layout import STACK_WORDS, Cpus, Kernel
from shmkret.schemes import hang, lock_bucket, obtain, recycle, unlock_bucket
from shmkret.text import inline

BUGS = (
    "none",
    "kretprobe BUG: the walk of the bucket ended without a real return address",
    "the task came back to another address",
    "the task came back with another stack pointer",
)
KRETPROBE_BUG, WRONG_ADDRESS, WRONG_STACK = range(1, 4)

TEXT_BASE = 0x10_0000_0000
TASK_TEXT_BITS = 20


@inline
def call(k: Kernel, cpu: int, task: int, function: int, ret_addr: int) -> None:
    """`task`, running on `cpu`, calls `function` and will come back to `ret_addr`."""
    call_insn(k.arch, k, task, ret_addr)
    enter(k, cpu, task, function)


@inline
def enter(k: Kernel, cpu: int, task: int, function: int) -> None:
    """`task` is at the first instruction of `function`, called or jumped to (a tail call): its kretprobe, if any, is hit."""
    rp = k.functions.rp[function]
    if rp != NIL:
        pre_handler_kretprobe(k, cpu, task, rp)


@inline
def pre_handler_kretprobe(k: Kernel, cpu: int, task: int, rp: int) -> None:
    """Take an instance, save the return address in it, hang it into the task's bucket; or count the miss."""
    ri = obtain(k.scheme, k, rp)
    if ri != NIL:
        k.instances.rp[ri] = rp
        k.instances.task[ri] = task
        prepare_kretprobe(k.arch, k, ri, task)
        hang(k.scheme, k, ri, task)
        k.cpus.hits[cpu] += 1


@inline
def ret(k: Kernel, cpu: int, task: int) -> None:
    """The function that `task` is in returns, through the trampoline if a kretprobe took the address."""
    pc = return_insn(k.arch, k, task)
    if pc == TRAMPOLINE:
        trampoline_handler(k, cpu, task)
    else:
        k.tasks.pc[task] = pc


@inline
def trampoline_handler(k: Kernel, cpu: int, task: int) -> None:
    """Recycle the task's newest instances up to the first with a real return address; the task goes on there."""
    bucket = lock_bucket(k.scheme, k, task)
    if is_two_pass(k.arch):
        resume_at(k.arch, k, task, real_return_address(k, bucket, task))
    orig_ret_address = TRAMPOLINE
    prev = NIL
    ri = k.buckets.first[bucket]
    walked = 0
    # The bound on the walk is for broken locks only: they tie chains into circles.
    while ri != NIL and orig_ret_address == TRAMPOLINE and walked < k.nr_instances:
        walked += 1
        following = k.instances.next[ri]
        if k.instances.task[ri] == task:
            orig_ret_address = k.instances.ret_addr[ri]
            recycle(k.scheme, k, bucket, prev, ri)
            k.cpus.returns[cpu] += 1
        else:
            prev = ri
        ri = following
    unlock_bucket(k.scheme, k, bucket)
    k.cpus.walked[cpu] += walked
    if orig_ret_address == TRAMPOLINE:
        report_bug(k.cpus, cpu, KRETPROBE_BUG, task, orig_ret_address, 0)
    resume_at(k.arch, k, task, orig_ret_address)


@inline
def kprobe_flush_task(k: Kernel, cpu: int, task: int) -> None:
    """`task` is dead and `cpu` runs another one: free the instances of the calls that it will never return from."""
    bucket = lock_bucket(k.scheme, k, task)
    prev = NIL
    ri = k.buckets.first[bucket]
    walked = 0
    while ri != NIL and walked < k.nr_instances:
        walked += 1
        following = k.instances.next[ri]
        if k.instances.task[ri] == task:
            recycle(k.scheme, k, bucket, prev, ri)
            k.cpus.flushed[cpu] += 1
        else:
            prev = ri
        ri = following
    unlock_bucket(k.scheme, k, bucket)


@inline
def fork_task(k: Kernel, task: int) -> None:
    """The record of a dead task becomes a new one, with an empty stack; slabs hand out the same address again, too."""
    k.tasks.sp[task] = (task + 1) * STACK_WORDS
    k.tasks.lr[task] = 0
    k.tasks.pc[task] = 0


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
    """The oracle: `task` must be back at `ret_addr`, with the stack pointer `sp` that it had before the call."""
    if k.tasks.pc[task] != ret_addr:
        report_bug(k.cpus, cpu, WRONG_ADDRESS, task, k.tasks.pc[task], ret_addr)
    elif k.tasks.sp[task] != sp:
        report_bug(k.cpus, cpu, WRONG_STACK, task, k.tasks.sp[task], sp)


@inline
def report_bug(cpus: Cpus, cpu: int, bug: int, task: int, seen: int, expected: int) -> None:
    """Keep the first bug that `cpu` sees; its loop ends at the next batch."""
    if load_acquire(cpus.bug, cpu) == 0:
        cpus.bug_task[cpu] = task
        cpus.bug_seen[cpu] = seen
        cpus.bug_expected[cpu] = expected
        store_release(cpus.bug, cpu, bug)
