"""Software interrupts: they come where the path polls and interrupts are on.

    irq[cpu]     0: none pending;  n: one comes at the n-th poll from now that finds interrupts on
    irqs_off     the CPU's flag, set between irqsave and irqrestore and inside an interrupt

Any CPU may raise one on any other: at the next poll (an inter-processor interrupt), or on itself after n polls, which puts it
at every place of the path in turn. One that is raised while another is pending replaces it.

Always    no interrupt inside an interrupt, none under a lock of the path
Source    do_IRQ(), arch/x86/kernel/irq_64.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.arena.records import Kernel
from shmkret.kernel.mode import masked
from shmkret.kernel.program import interrupt
from shmkret.text.atomics import cmpxchg, load_acquire, store_release
from shmkret.text.marks import inline, outline


class Enabled(NamedTuple):
    """A run with interrupts."""

    unused: int

    def poll(self, k: Kernel, cpu: int) -> None:
        if comes(k, cpu):
            do_irq(k, cpu)

    def irqsave(self, k: Kernel, cpu: int) -> int:
        if comes(k, cpu):
            do_irq(k, cpu)
        flags = k.cpus.irqs_off[cpu]
        k.cpus.irqs_off[cpu] = 1
        return flags

    def irqrestore(self, k: Kernel, cpu: int, flags: int) -> None:
        k.cpus.irqs_off[cpu] = flags
        if comes(k, cpu):
            do_irq(k, cpu)

    def irqsave_held(self, k: Kernel, cpu: int) -> None:
        if comes(k, cpu):
            do_irq(k, cpu)
        k.cpus.irq_flags[cpu] = k.cpus.irqs_off[cpu]
        k.cpus.irqs_off[cpu] = 1

    def irqrestore_held(self, k: Kernel, cpu: int) -> None:
        k.cpus.irqs_off[cpu] = k.cpus.irq_flags[cpu]
        if comes(k, cpu):
            do_irq(k, cpu)


@inline
def raise_irq(k: Kernel, cpu: int, polls: int) -> None:
    """Let an interrupt come on `cpu` at the polls-th poll from now, polls >= 1."""
    store_release(k.runqueues.irq, cpu, polls)


@inline
def comes(k: Kernel, cpu: int) -> bool:
    """Whether an interrupt comes at this poll; if one is pending and interrupts are on, the poll is counted."""
    left = load_acquire(k.runqueues.irq, cpu)
    return left != 0 and k.cpus.irqs_off[cpu] == 0 and cmpxchg(k.runqueues.irq, cpu, left, left - 1) == left and left == 1


@outline
def do_irq(k: Kernel, cpu: int) -> None:
    """Save the registers of the task that is interrupted, run the handler with interrupts masked, restore them."""
    task = k.cpus.task[cpu]
    pc, lr, npc = k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task]
    retval, saved, regs_retval = k.tasks.retval[task], k.tasks.saved[task], k.tasks.regs_retval[task]
    k.cpus.irqs_off[cpu] = 1
    k.cpus.irqs[cpu] += 1
    interrupt(k.worker, masked(k), cpu, task)
    k.cpus.irqs_off[cpu] = 0
    k.tasks.pc[task], k.tasks.lr[task], k.tasks.npc[task] = pc, lr, npc
    k.tasks.retval[task], k.tasks.saved[task], k.tasks.regs_retval[task] = retval, saved, regs_retval
