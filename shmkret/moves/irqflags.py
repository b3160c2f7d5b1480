"""Interrupt flags as the schemes and the path use them, whether or not a run has interrupts.

    poll(irq, k, cpu)                          an interrupt may come here
    irqsave(irq, k, cpu) -> flags              none from here on
    irqrestore(irq, k, cpu, flags)             as it was before; what is pending comes now
    irqsave_held, irqrestore_held              the same where two functions share one locked stretch; the CPU keeps the flags

Interrupts are software interrupts, polled, never signals. A run without a source of interrupts has the class Off, whose verbs
compile to nothing; so has the inside of an interrupt, where the hardware masks them. shmkret.kernel.irq has the other class.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shmkret.text.verbs import generic


class Off(NamedTuple):
    """No interrupts, or masked by the hardware."""

    unused: int

    def poll(self, k: Any, cpu: int) -> None:
        pass

    def irqsave(self, k: Any, cpu: int) -> int:
        return 0

    def irqrestore(self, k: Any, cpu: int, flags: int) -> None:
        pass

    def irqsave_held(self, k: Any, cpu: int) -> None:
        pass

    def irqrestore_held(self, k: Any, cpu: int) -> None:
        pass


@generic
def poll(irq: Any, k: Any, cpu: int) -> None:
    """A place where an interrupt may come, if they are on."""
    raise NotImplementedError


@generic
def irqsave(irq: Any, k: Any, cpu: int) -> int:
    """local_irq_save(): mask interrupts; returns the flags to restore."""
    raise NotImplementedError


@generic
def irqrestore(irq: Any, k: Any, cpu: int, flags: int) -> None:
    """local_irq_restore()."""
    raise NotImplementedError


@generic
def irqsave_held(irq: Any, k: Any, cpu: int) -> None:
    """As irqsave(); the CPU keeps the flags until irqrestore_held()."""
    raise NotImplementedError


@generic
def irqrestore_held(irq: Any, k: Any, cpu: int) -> None:
    """As irqrestore(), of the flags that irqsave_held() kept."""
    raise NotImplementedError
