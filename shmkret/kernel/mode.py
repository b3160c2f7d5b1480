"""The mode of a Kernel: what a run is compiled with, and what a CPU is in the middle of, in types alone.

    masked(k)       what an interrupt gets: no interrupt comes on its path
    primitive(k)    what a probe gets that is on one of the path's own functions: those that it calls are not probed

Handlers call probed functions, which would call handlers; interrupts hit probed functions, on whose path interrupts come. The
kernel ends both at run time, by current_kprobe and by masked interrupts. Compiled code must see the end, too: whoever is called
gets a Kernel without the path that would lead back. What a handler gets, says shmkret.kernel.running.
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
