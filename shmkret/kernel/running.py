"""Handlers, and the CPU inside one: a probe that is hit there is counted and not run.

    busy(k)    what a handler gets: a probe that is hit is counted in nmissed, as current_kprobe demands

Always    Busy = current_kprobe of the CPU is set
Source    kprobe_running(), kprobes_inc_nmissed_count(), kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arch import TRAMPOLINE
from shmkret.arena.records import KRETPROBE, Kernel
from shmkret.kernel.handlers import ask, has_handlers, tell
from shmkret.kernel.mode import with_mode
from shmkret.moves.bugs import has_bug
from shmkret.moves.intents import count_call, count_in_book, recovers
from shmkret.moves.irqflags import Off
from shmkret.moves.oracle import NOT_BUSY, WRONG_ADDRESS, report_bug
from shmkret.text.atomics import NIL, fetch_add, load_acquire
from shmkret.text.marks import inline
from shmkret.text.verbs import generic


@generic
def hit(context: object, k: Kernel, cpu: int, task: int, p: int) -> None:
    """`task` runs into the breakpoint of probe `p`, the newest of its function."""
    raise NotImplementedError


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


@inline
def kprobes_inc_nmissed_count(k: Kernel, cpu: int, p: int) -> None:
    """Every probe of the function misses this hit."""
    q = p
    while q != NIL:
        if recovers(k.mode.recovery, "moves"):
            count_in_book(k, k.books.kp_nmissed, cpu, q)
        elif has_bug(k.mode.bugs, "racy-nmissed"):
            k.probes.kp_nmissed[q] += 1
        else:
            fetch_add(k.probes.kp_nmissed, q, 1)
        if k.probes.kind[q] == KRETPROBE:
            count_call(k, cpu, q)
        q = load_acquire(k.probes.next, q)


@inline
def busy(k: Kernel) -> Kernel:
    """The kernel as a handler sees it."""
    return with_mode(k, context=Busy(0), irq=Off(0))


@inline
def run_entry_handler(k: Kernel, cpu: int, task: int, p: int, subject: int) -> bool:
    """Run the entry handler of a kretprobe, or the pre handler of a kprobe, if there is one. True: it refuses the call."""
    refused = False
    if has_handlers(k.mode.handlers, "entries"):
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
    if has_handlers(k.mode.handlers, "exits"):
        handler = k.probes.handler[p]
        if handler != 0:
            pc, lr, npc = k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task]
            saved = k.tasks.saved[task]
            k.tasks.regs_retval[task] = k.tasks.retval[task]
            tell(k.mode.handlers, handler, busy(k), cpu, task, subject)
            k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task] = pc, lr, npc
            k.tasks.retval[task], k.tasks.saved[task] = k.tasks.regs_retval[task], saved
