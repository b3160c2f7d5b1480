"""A cell of a measurement: the key of a result, the knobs beside it, and what one repetition brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shmkret.host import topology
from shmkret.host.books import Conditions as Conditions
from shmkret.measure.knobs import OURS, Params

UNKNOWN = Conditions()
BOOKS = ("calls", "hits", "nmissed", "kp_nmissed", "refused", "returns", "flushed", "walked")
CPU_COUNTS = (
    "irqs", "switches", "grace_periods", "grace_ns",
)  # fmt: skip
COUNTS = BOOKS + CPU_COUNTS


@dataclass(frozen=True)
class Cell:
    """What is measured: the key of a result."""

    worker: str
    scheme: str
    lock: str
    arch: str
    padding: str
    cpus: int
    peer: str = OURS
    params: Params = field(default_factory=Params)

    def over(self, **changes: Any) -> Cell:
        """The same cell with some of its key, or of its params, changed."""
        own = {name: value for name, value in changes.items() if name in Cell.__dataclass_fields__}
        params = {name: value for name, value in changes.items() if name not in own}
        return replace(self, **own, params=replace(self.params, **params)) if params else replace(self, **own)

    def value(self, name: str) -> Any:
        """A part of the key, or a param, by name."""
        return getattr(self, name) if name in Cell.__dataclass_fields__ else getattr(self.params, name)

    def key(self) -> dict[str, Any]:
        """As the JSON objects name it."""
        return asdict(self)

    def __str__(self) -> str:
        peer = "" if self.peer == OURS else f" ({self.peer})"
        return f"{self.worker} {self.scheme} {self.lock} cpus {self.cpus}{peer}"


@dataclass(frozen=True)
class Sample:
    """One repetition. rate: calls per second in the window, None when it was not measured; counts: of the whole run.

    concurrency: the part of the time from the first CPU's window to the last one's in which all were measured.
    conditions: what the machine did meanwhile.
    flaws: why it must not be used; empty when nothing is known against it.
    """

    rate: float | None = None
    counts: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))
    concurrency: float = 0.0
    conditions: Conditions = UNKNOWN
    flaws: tuple[str, ...] = ()


def most_cpus() -> int:
    """How many CPUs a cell can have on this machine, if each has a core of its own."""
    return topology.usable()
