"""The breakpoint: what happens when a task runs into a probed function."""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch import TRAMPOLINE, call_insn, has_feature, return_insn
from shmkret.arena.records import KPROBE, Kernel
from shmkret.kernel.handlers import has_handlers
from shmkret.kernel.kretprobes import pre_handler_kretprobe, trampoline_handler
from shmkret.kernel.running import came_back, hit, kprobes_inc_nmissed_count, run_entry_handler, run_handler
from shmkret.moves.bugs import has_bug
from shmkret.moves.clock import ENTRY, began, ended
from shmkret.moves.irqflags import irqrestore, irqsave, poll
from shmkret.moves.oracle import NO_FUNCTION, report_bug
from shmkret.text.atomics import NIL, load_acquire
from shmkret.text.marks import inline


class Running(NamedTuple):
    """A task, or an interrupt."""

    unused: int

    def hit(self, k: Kernel, cpu: int, task: int, p: int) -> None:
        kprobe_handler(k, cpu, task, p)

    def came_back(self, k: Kernel, cpu: int, task: int) -> None:
        trampoline_handler(k, cpu, task)


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
    if has_handlers(k.mode.handlers, "foreign") and (function < 0 or function >= k.nr_functions):
        report_bug(k.cpus, cpu, NO_FUNCTION, task, function, k.nr_functions)
    else:
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
def ret(k: Kernel, cpu: int, task: int) -> None:
    """The function that `task` is in returns, through the trampoline if a kretprobe took the address."""
    k.tasks.retval[task] = k.tasks.saved[task] + 1
    poll(k.mode.irq, k, cpu)
    pc = return_insn(k.arch, k, task)
    if pc == TRAMPOLINE:
        came_back(k.mode.context, k, cpu, task)
    else:
        k.tasks.pc[task] = pc
