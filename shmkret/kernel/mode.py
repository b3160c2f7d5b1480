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

from shmkret.arena.records import Kernel, Mode, with_mode
from shmkret.moves.irqflags import Off
from shmkret.moves.locking import Unprobed
from shmkret.text.marks import inline

__all__ = ["Mode", "masked", "primitive", "with_mode"]


@inline
def masked(k: Kernel) -> Kernel:
    """The kernel as an interrupt sees it."""
    return with_mode(k, irq=Off(0))


@inline
def primitive(k: Kernel) -> Kernel:
    """The kernel as a probe sees it that was hit on one of the path's own functions; those it calls itself are not probed."""
    return with_mode(k, primitives=Unprobed(0))
