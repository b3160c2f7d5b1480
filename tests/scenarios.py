"""A worker program that runs the kernel's own test scenarios, one after the other in every round; see test_scenarios.py.

k.script.word[0] is a log: each event of a handler is appended as a hexadecimal digit.
"""

import numpy as np

from shmkret.arch import call_insn, epilogue, has_feature, prologue
from shmkret.kernel import (  # fmt: skip
    EINVAL,
    ENOMEM,
    WORKER_BUG,
    Kprobe,
    Kretprobe,
    call_and_return,
    call_site,
    check_return,
    check_return_value,
    data_at,
    fork_task,
    kprobes,
    kretprobes,
    register_kretprobe,
    register_probe,
    register_probes,
    regs_return_value,
    report_bug,
    set_return_value,
    unregister_probe,
    unregister_probes,
)
from shmkret.moves import has_bug
from shmkret.text import NIL, defaulted, inline, load_acquire, outline, store_release

DATA_SIZE = 16
TASKS_PER_CPU = 2
A, B, C, K, R, H, D, M, BLACK, OUTER, V, K2, MANY = range(13)
BLACKLIST = (BLACK,)
P_A, P_B, P_C1, P_C2, P_C3, P_K, P_K2, P_H, P_OUTER, P_R, P_D, P_BLACK, P_M, P_V, P_MANY = range(15)
NR_MANY = 256
MAXACTIVE = 4


# The path is compiled once for all scenarios, and called.


@outline
def call(k, cpu, task, function, ret_addr):
    k.tasks.saved[task] = ret_addr
    call_insn(k.arch, k, task, ret_addr)
    enter(k, cpu, task, function)


@outline
def enter(k, cpu, task, function):
    kprobes.enter(k, cpu, task, function)


@outline
def ret(k, cpu, task):
    kprobes.ret(k, cpu, task)


@outline
def calls(k, cpu, task, function, n):
    sp = k.tasks.sp[task]
    call(k, cpu, task, function, call_site(task, n))
    ret(k, cpu, task)
    check_return(k, cpu, task, call_site(task, n), sp)


@outline
def kprobe_flush_task(k, cpu, task):
    kretprobes.kprobe_flush_task(k, cpu, task)


@inline
def note(k, event):
    k.script.word[0] = k.script.word[0] * 16 + event


@inline
def expect(k, cpu, task, seen, wanted):
    if seen != wanted:
        report_bug(k.cpus, cpu, WORKER_BUG, task, seen, wanted)


@inline
def not_preemptible(k, cpu, task):
    expect(k, cpu, task, min(k.cpus.preempt_count[cpu], 1), 1)


def enter_a(k, cpu, task, ri):
    note(k, 1)
    k.data.word[data_at(k, ri) + 1] = k.tasks.saved[task]
    not_preemptible(k, cpu, task)
    return 0


def leave_a(k, cpu, task, ri):
    note(k, 2)
    expect(k, cpu, task, k.data.word[data_at(k, ri) + 1], k.tasks.saved[task])
    expect(k, cpu, task, regs_return_value(k, task), k.tasks.saved[task] + 1)
    if has_feature(k.arch, "two-pass"):  # cr_iip is set already, so that handlers can unwind
        expect(k, cpu, task, k.tasks.pc[task], k.tasks.saved[task])
    if has_feature(k.arch, "trap") or not has_bug(k.mode.bugs, "unmarked-walk"):
        not_preemptible(k, cpu, task)  # elsewhere only the lock keeps preemption off


def enter_b(k, cpu, task, ri):
    note(k, 3)
    return 0


def leave_b(k, cpu, task, ri):
    note(k, 4)


def enter_c1(k, cpu, task, ri):
    note(k, 5)
    return 0


def enter_c2(k, cpu, task, ri):
    note(k, 6)
    return 0


def enter_c3(k, cpu, task, ri):
    note(k, 7)
    return 0


def leave_c1(k, cpu, task, ri):
    note(k, 8)


def leave_c2(k, cpu, task, ri):
    note(k, 9)


def leave_c3(k, cpu, task, ri):
    note(k, 10)


def pre(k, cpu, task, p):
    note(k, 11)
    not_preemptible(k, cpu, task)
    return 0


def post(k, cpu, task, p):
    note(k, 12)
    not_preemptible(k, cpu, task)


def pre_calls(k, cpu, task, p):
    call_and_return(k, cpu, task, H, 77)
    return 0


def post_calls(k, cpu, task, p):
    call_and_return(k, cpu, task, H, 78)


def refuses(k, cpu, task, ri):
    note(k, 13)
    return 1


def never(k, cpu, task, ri):
    note(k, 14)


def make_42(k, cpu, task, ri):
    set_return_value(k, task, 42)


def leave_d(k, cpu, task, ri):
    note(k, 15)


def nr_functions(nr_cpus):
    return MANY + 1


def probes(nr_cpus):
    return [
        Kretprobe(A, enter_a, leave_a),
        Kretprobe(B, enter_b, leave_b),
        Kretprobe(C, enter_c1, leave_c1),
        Kretprobe(C, enter_c2, leave_c2),
        Kretprobe(C, enter_c3, leave_c3),
        Kprobe(K, pre, post),
        Kprobe(K2, pre, post),
        Kretprobe(H, enter_b, leave_b),
        Kprobe(OUTER, pre_calls, post_calls),
        Kretprobe(R, refuses, never, MAXACTIVE),
        Kretprobe(D, None, leave_d, MAXACTIVE, registered=False),
        Kretprobe(BLACK, None, never, registered=False),
        Kretprobe(M, None, None, 1),
        Kretprobe(V, None, make_42),
        *[Kprobe(MANY, pre, registered=False) for _ in range(NR_MANY)],
    ]


def script(nr_cpus, rng):
    return np.zeros(1, np.int64)


def step(worker, k, cpu, task, n):
    own_handlers_run_in_order(k, cpu, task, n)
    chains(k, cpu, task, n)
    several_probes_on_one_function(k, cpu, task, n)
    missed(k, cpu, task, n)
    refusals(k, cpu, task, n)
    registration(k, cpu, task, n)
    unregister_with_a_task_inside(k, cpu, task, n)
    if n < 1:
        unregister_and_die(k, cpu, task, n)
    forks(k, cpu, task, n)
    uninitialized(k, cpu, task)


@outline
def begin(k):
    k.script.word[0] = 0


@outline
def logged(k, cpu, task, wanted):
    expect(k, cpu, task, k.script.word[0], wanted)


@outline
def own_handlers_run_in_order(k, cpu, task, n):
    """test_kprobe, test_kprobes, test_kretprobe, test_kretprobes; a handler changes what the function returns."""
    begin(k)
    calls(k, cpu, task, A, n)
    logged(k, cpu, task, 0x12)
    calls(k, cpu, task, B, n)
    logged(k, cpu, task, 0x1234)
    begin(k)
    calls(k, cpu, task, K, n)
    logged(k, cpu, task, 0xBC)
    calls(k, cpu, task, K2, n)
    logged(k, cpu, task, 0xBCBC)
    sp = k.tasks.sp[task]
    call(k, cpu, task, V, call_site(task, n))
    ret(k, cpu, task)
    check_return_value(k, cpu, task, call_site(task, n), sp, 42)


@outline
def chains(k, cpu, task, n):
    """Nested, tail-called and recursive calls: the order of the return handlers, and where the task comes back."""
    outer = call_site(task, 2 * n)
    sp = k.tasks.sp[task]
    begin(k)
    call(k, cpu, task, A, outer)
    prologue(k.arch, k, task)
    calls(k, cpu, task, B, 2 * n + 1)
    epilogue(k.arch, k, task)
    ret(k, cpu, task)
    check_return(k, cpu, task, outer, sp)
    logged(k, cpu, task, 0x1342)
    begin(k)
    call(k, cpu, task, A, outer)
    enter(k, cpu, task, B)
    ret(k, cpu, task)
    check_return(k, cpu, task, outer, sp)
    logged(k, cpu, task, 0x1342)
    begin(k)
    call(k, cpu, task, A, outer)
    prologue(k.arch, k, task)
    calls(k, cpu, task, A, 2 * n + 1)
    epilogue(k.arch, k, task)
    ret(k, cpu, task)
    check_return(k, cpu, task, outer, sp)
    logged(k, cpu, task, 0x1122)


@outline
def several_probes_on_one_function(k, cpu, task, n):
    """Entry newest first, return oldest first; without the one in the middle the other two go on."""
    begin(k)
    returns = k.cpus.returns[cpu]
    calls(k, cpu, task, C, n)
    logged(k, cpu, task, 0x76589A)
    expect(k, cpu, task, k.cpus.returns[cpu] - returns, 3)
    expect(k, cpu, task, unregister_probe(k, cpu, P_C2), 0)
    begin(k)
    calls(k, cpu, task, C, n)
    logged(k, cpu, task, 0x758A)
    expect(k, cpu, task, unregister_probes(k, cpu, P_C1, 3), 0)
    begin(k)
    calls(k, cpu, task, C, n)
    logged(k, cpu, task, 0)
    expect(k, cpu, task, register_probes(k, cpu, P_C1, 3), 0)


@outline
def missed(k, cpu, task, n):
    """test_kprobe_missed: both handlers call a probed function; then a pool of one, recursed into."""
    before = load_acquire(k.probes.kp_nmissed, P_H)
    begin(k)
    calls(k, cpu, task, OUTER, n)
    logged(k, cpu, task, 0)
    expect(k, cpu, task, load_acquire(k.probes.kp_nmissed, P_H) - before, 2)
    calls(k, cpu, task, H, n)
    logged(k, cpu, task, 0x34)
    nmissed = k.probes.nmissed[P_M]
    sp = k.tasks.sp[task]
    call(k, cpu, task, M, call_site(task, n))
    prologue(k.arch, k, task)
    calls(k, cpu, task, M, n + 1)
    calls(k, cpu, task, M, n + 2)
    epilogue(k.arch, k, task)
    ret(k, cpu, task)
    check_return(k, cpu, task, call_site(task, n), sp)
    expect(k, cpu, task, k.probes.nmissed[P_M] - nmissed, 2)


@outline
def refusals(k, cpu, task, n):
    """Twice maxactive refusals: the seed burns an instance each time, and then misses every call."""
    before = nr_free(k.scheme, k, P_R)
    nmissed = k.probes.nmissed[P_R]
    refused = k.cpus.refused[cpu]
    begin(k)
    for i in range(2 * MAXACTIVE):
        calls(k, cpu, task, R, n + i)
    if has_bug(k.mode.bugs, "leak-on-refusal"):
        expect(k, cpu, task, nr_free(k.scheme, k, P_R), 0)
        expect(k, cpu, task, k.cpus.refused[cpu] - refused, before)
        expect(k, cpu, task, k.probes.nmissed[P_R] - nmissed, 2 * MAXACTIVE - before)
    else:
        expect(k, cpu, task, nr_free(k.scheme, k, P_R), MAXACTIVE)
        expect(k, cpu, task, k.cpus.refused[cpu] - refused, 2 * MAXACTIVE)
        logged(k, cpu, task, 0xDDDDDDDD)


@outline
def registration(k, cpu, task, n):
    """Batches with rollback, defaults, and everything that is refused; 256 probes at once; add and remove again and again."""
    slab = chain_length(k, k.registry.slab[0])
    expect(k, cpu, task, register_kretprobe(k, cpu, P_BLACK), -EINVAL)
    expect(k, cpu, task, register_probes(k, cpu, P_D, 2), -EINVAL)
    expect(k, cpu, task, register_probes(k, cpu, P_D, 0), -EINVAL)
    expect(k, cpu, task, unregister_probe(k, cpu, P_D), -EINVAL)
    k.probes.maxactive[P_D] = k.nr_instances
    expect(k, cpu, task, register_kretprobe(k, cpu, P_D), -ENOMEM)
    expect(k, cpu, task, chain_length(k, k.registry.slab[0]), slab)
    k.probes.maxactive[P_D] = 0
    expect(k, cpu, task, register_kretprobe(k, cpu, P_D), 0)
    expect(k, cpu, task, k.probes.maxactive[P_D], 10)
    expect(k, cpu, task, register_kretprobe(k, cpu, P_D), -EINVAL)
    expect(k, cpu, task, unregister_probe(k, cpu, P_D), 0)
    k.probes.maxactive[P_D] = MAXACTIVE
    for _ in range(3):
        begin(k)
        expect(k, cpu, task, register_probe(k, cpu, P_D), 0)
        calls(k, cpu, task, D, n)
        expect(k, cpu, task, unregister_probe(k, cpu, P_D), 0)
        calls(k, cpu, task, D, n)
        logged(k, cpu, task, 0xF)
    expect(k, cpu, task, chain_length(k, k.registry.slab[0]), slab)
    expect(k, cpu, task, register_probes(k, cpu, P_MANY, NR_MANY), 0)
    expect(k, cpu, task, unregister_probes(k, cpu, P_MANY, NR_MANY), 0)
    expect(k, cpu, task, load_acquire(k.functions.kprobe, MANY), NIL)


@outline
def unregister_with_a_task_inside(k, cpu, task, n):
    """The call that is in flight returns as if nothing had been; its instance goes to the slab, its handler does not run."""
    expect(k, cpu, task, register_probe(k, cpu, P_D), 0)
    slab = chain_length(k, k.registry.slab[0])
    sp = k.tasks.sp[task]
    begin(k)
    call(k, cpu, task, D, call_site(task, n))
    expect(k, cpu, task, unregister_probe(k, cpu, P_D), 0)
    expect(k, cpu, task, chain_length(k, k.registry.slab[0]), slab + MAXACTIVE - 1)
    ret(k, cpu, task)
    check_return(k, cpu, task, call_site(task, n), sp)
    expect(k, cpu, task, chain_length(k, k.registry.slab[0]), slab + MAXACTIVE)
    logged(k, cpu, task, 0)


@outline
def unregister_and_die(k, cpu, task, n):
    """The task dies inside instead: the flush frees the orphan; the seed forgets it."""
    expect(k, cpu, task, register_probe(k, cpu, P_D), 0)
    slab = chain_length(k, k.registry.slab[0])
    call(k, cpu, task, D, call_site(task, n))
    expect(k, cpu, task, unregister_probe(k, cpu, P_D), 0)
    kprobe_flush_task(k, cpu, task)
    fork_task(k, task)
    lost = 1 if has_bug(k.mode.bugs, "late-list-init") else 0
    expect(k, cpu, task, chain_length(k, k.registry.slab[0]), slab + MAXACTIVE - lost)


@outline
def forks(k, cpu, task, n):
    """A child made inside a probed call has no instances of its parent's; the reaper flushes the child alone."""
    child = task ^ 1
    flushed = k.cpus.flushed[cpu]
    sp = k.tasks.sp[task]
    call(k, cpu, task, A, call_site(task, n))
    fork_task(k, child)
    kprobe_flush_task(k, cpu, child)
    expect(k, cpu, task, k.cpus.flushed[cpu] - flushed, 0)
    calls(k, cpu, child, A, n)
    call(k, cpu, child, A, call_site(child, n))
    prologue(k.arch, k, child)
    call(k, cpu, child, B, call_site(child, n + 1))
    kprobe_flush_task(k, cpu, child)
    fork_task(k, child)
    expect(k, cpu, task, k.cpus.flushed[cpu] - flushed, 2)
    ret(k, cpu, task)
    check_return(k, cpu, task, call_site(task, n), sp)


@outline
def uninitialized(k, cpu, task):
    """Before init_kprobes() has run: nothing can be registered, and a flush touches no lock."""
    store_release(k.registry.initialized, 0, 0)
    kprobe_flush_task(k, cpu, task)
    expect(k, cpu, task, register_kretprobe(k, cpu, P_D), -EINVAL)
    store_release(k.registry.initialized, 0, 1)


@defaulted
def nr_free(scheme, k, rp):
    """How many free instances a probe has: on its chain, where the scheme's file does not say it otherwise."""
    return chain_length(k, k.probes.free[rp])


@outline
def chain_length(k, first):
    length = 0
    ri = first
    while ri != NIL:
        length += 1
        ri = k.instances.next[ri]
    return length
