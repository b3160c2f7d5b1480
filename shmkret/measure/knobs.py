"""Every knob of a measurement, said once: its type, its default, its bounds, and the words that explain it.

    Axes      what is measured: the key of a cell
    Params    the sizes of a cell's arena (shmkret.machines.sizes), and how it is run
    Run       how the whole is measured, and where the results go

A field is a knob. From it come the key of a suite file, the option of `shmkret bench`, the keyword of shmkret.run(), the check
of a value, and the default. An axis and a param may have several values: a cell is measured for each combination.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, get_args, get_type_hints

from shmkret.host import topology
from shmkret.machines.sizes import Sizes

OURS = "shmkret"
NO_BUG = "none"
WHAT, SIZES, HOW = GROUPS = "what is measured", "sizes, each a value or several", "how"
MOST_CPUS = 4096


def _knob(default: Any, metavar: str, help: str, group: str, **more: Any) -> Any:
    return field(default=default, metadata={"metavar": metavar, "help": help, "group": group, **more})


def _switch(help: str, **more: Any) -> Any:
    return _knob(False, "", help, HOW, **more)


@dataclass(frozen=True)
class Axes:
    """The key of a cell. cpus: None for 1, 2, 4 ... and as many as there are."""

    worker: str = _knob("hot", "A,B", "worker programs, by name or by path", WHAT)
    scheme: str = _knob("hashed", "A,B", "locking schemes", WHAT)
    lock: str = _knob("sem", "A,B", "inter-process locks", WHAT)
    arch: str = _knob("x86-64", "A,B", "architectures", WHAT)
    padding: str = _knob("cacheline", "A,B", "cacheline (default), packed", WHAT)
    cpus: int | None = _knob(None, "1,2", "workers, each on its own core; default 1, 2, 4 ...", WHAT, least=1, most=MOST_CPUS)


@dataclass(frozen=True)
class Params(Sizes):
    """The knobs of a cell beside its key: the sizes of its arena, and how it is run."""

    bug: str = _knob(NO_BUG, "NAME", "switch on a historical bug, or A+B; see `shmkret.moves.bugs.CATALOGUE`", SIZES)
    pin_order: str = _knob("cores", "NAME", f"{', '.join(topology.PIN_ORDERS)}; default the first", WHAT, row=3)
    workers_per_core: int = _knob(1, "N", "workers that share a core; default 1", WHAT, row=2, least=1, most=MOST_CPUS)
    plain: bool = _switch("run the same functions uncompiled", row=1)
    lock_wait: bool = _switch("time every acquire, in a run apart", row=3)
    latency: bool = _switch("time entry and return of calls, in a run apart", row=3)
    recoverable: bool = _switch("compile in what lets others survive the death of a CPU", row=2)

    @property
    def timed(self) -> tuple[str, ...]:
        """The runs apart that are asked for (shmkret.moves.clock.CLOCKS)."""
        return ("locks",) * self.lock_wait + ("calls",) * self.latency

    @property
    def bugs(self) -> frozenset[str]:
        """The bugs that are switched on: `none`, or names with + between them."""
        return frozenset() if self.bug == NO_BUG else frozenset(self.bug.split("+"))


@dataclass(frozen=True)
class Run:
    """How the cells are measured, and where the results go. seed: None for one that is drawn."""

    seconds: float = _knob(0.3, "S", "the measured window of one repetition", HOW, least=0, most=3600)
    repeat: int = _knob(12, "N", "repetitions, each in fresh processes", HOW, least=1, most=10_000)
    peer: str = _knob(OURS, "NAME", "measure this peer, a C program, beside every cell", WHAT, row=1)
    seed: int | None = _knob(None, "N", "for what is drawn at random; default a new one, printed", HOW, least=0)
    named: bool = _switch(
        "give the arenas names, so that `shmkret.attach()` finds them; each lives for one repetition: take `seconds` 20", row=4
    )
    out: str | None = _knob(None, "DIR", "the result folder; default shmkret-results/SUITE-TIME-PID", HOW, row=4)
    json: str | None = _knob(None, "FILE|-", "the whole result as one JSON object; - is standard output", HOW, row=4)
    title: str = _knob("", "", "one line about the suite", "")


@dataclass(frozen=True)
class Knob:
    """One of them. type: of one value. group: under which the help shows it, in that row; a suite alone has one without.

    least, most: what a value is within. A time is more than its least.
    """

    name: str
    type: type
    default: Any
    several: bool
    metavar: str = ""
    help: str = ""
    group: str = SIZES
    row: int = 0
    least: int | None = None
    most: int | None = None

    def allows(self, value: Any) -> bool:
        """Whether a value is within the bounds; that nothing was asked for always is."""
        if value is None or self.least is None:
            return True
        above = value > self.least if self.type is float else value >= self.least
        return above and (self.most is None or value <= self.most)

    @property
    def bounds(self) -> str:
        """In words."""
        if self.type is float:
            return f"more than {self.least} and at most {self.most}"
        return "a number that is not negative" if self.most is None else f"a number from {self.least} to {self.most}"


def _table(kind: Any, several: bool) -> dict[str, Knob]:
    types = get_type_hints(kind)
    return {one.name: Knob(one.name, _bare(types[one.name]), one.default, several, **one.metadata) for one in fields(kind)}


def _bare(annotation: Any) -> Any:
    """int of `int | None`."""
    return next(iter(get_args(annotation)), annotation)


AXES, PARAMS, RUN = _table(Axes, True), _table(Params, True), _table(Run, False)
KNOBS = AXES | PARAMS | RUN
OPTIONS = tuple(name for name, knob in KNOBS.items() if knob.group)
"""What the command line has, and a suite may have, by the same names."""
DEFAULTS: dict[str, Any] = {name: [knob.default] if knob.several else knob.default for name, knob in KNOBS.items()}
