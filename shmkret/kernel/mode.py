"""What a CPU is in the middle of, and what a run is compiled with: the part of a Kernel that is types alone.

    Running    a task, or an interrupt: a probe that is hit runs its handlers
    Busy       inside a handler: a probe that is hit is counted in nmissed, as current_kprobe demands

Handlers call probed functions, which would call handlers; interrupts hit probed functions, on whose path interrupts come. The
kernel ends both at run time, by current_kprobe and by masked interrupts. Compiled code must see the end too: a handler gets
busy(k), an interrupt gets masked(k), and neither has the path that would lead back.

Always    Busy = current_kprobe of the CPU is set
Source    kprobe_running(), kprobes_inc_nmissed_count(), kernel/kprobes.c, Linux 2.6.26
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.arena.records import Kernel
from shmkret.moves.irqflags import Off
from shmkret.moves.locking import Unprobed
from shmkret.text.marks import inline


class Mode(NamedTuple):
    """context: Running or Busy. irq: Off or Enabled. primitives, clock: see shmkret.locking. recovery: see shmkret.survive.

    handlers, bugs: of the run.
    """

    context: Any
    irq: Any
    primitives: Any
    clock: Any
    recovery: Any
    handlers: Any
    bugs: Any


def with_mode(k: Kernel, mode: Mode) -> Kernel:
    """The same kernel in another mode. Part of the text; in compiled code it is a Kernel of another type."""
    return k._replace(mode=mode)


@inline
def masked(k: Kernel) -> Kernel:
    """The kernel as an interrupt sees it."""
    m = k.mode
    return with_mode(k, Mode(m.context, Off(0), m.primitives, m.clock, m.recovery, m.handlers, m.bugs))


@inline
def primitive(k: Kernel) -> Kernel:
    """The kernel as a probe sees it that was hit on one of the path's own functions; those it calls itself are not probed."""
    m = k.mode
    return with_mode(k, Mode(m.context, m.irq, Unprobed(0), m.clock, m.recovery, m.handlers, m.bugs))
