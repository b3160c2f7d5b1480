"""A CPU marked busy: every probe that is hit on it is missed.

A trap marks its CPU by itself. Whoever else walks lists that a probe's handler could walk marks it too, since the kernels that
learnt it the hard way.

Source    kprobe_busy_begin(), kernel/kprobes.c, Linux commit 9b38cc704e84
"""

from __future__ import annotations

from shmkret.arena.records import Kernel
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline

BUSY = -2
"""current_kprobe during a walk: the trampoline's own kprobe, or the dummy that later kernels mark a CPU busy with."""


@inline
def kprobe_busy_begin(k: Kernel, cpu: int) -> None:
    """Preemption off, and every probe that is hit is missed."""
    k.cpus.preempt_count[cpu] += 1
    k.cpus.current_kprobe[cpu] = BUSY


@inline
def kprobe_busy_end(k: Kernel, cpu: int) -> None:
    """The end of kprobe_busy_begin()."""
    k.cpus.current_kprobe[cpu] = NIL
    k.cpus.preempt_count[cpu] -= 1
