"""A search of one scenario: how it is asked for, and what it has found, with each violation ready to be shown and run again.

    found = search(asked, How(seconds=60))
    found.complete, found.bound, found.violations[0].replay

The command line and shmkret.explore() search with this, and with nothing else.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

from shmkret.errors import UsageError
from shmkret.explore import engines
from shmkret.explore.scenario import Outcome, Violation
from shmkret.explore.scenarios import Asked, require_symmetric, scene_of
from shmkret.explore.scene import MODELS
from shmkret.explore.shown import lanes
from shmkret.explore.shown.strings import AGAIN, WITH_MONITORS, spelt
from shmkret.explore.stacks import apart, sight, walks, watching
from shmkret.explore.stacks.executor import Stacks
from shmkret.host import signals
from shmkret.plugins import registry

UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
LEAST_BYTES = 1 << 15
"""Of a table of states."""
SIZE = f"a size such as 512M or 4G, of {LEAST_BYTES >> 10}K at least"
MOST_SEED = (1 << 63) - 1
MOST_PREEMPTIONS = 100


def size_of(text: str) -> int:
    """Bytes of a size such as 512M. Raises UsageError."""
    found = re.fullmatch(r"(\d+)([KMG]?)(?:i?B)?", text)
    if not found or int(found[1]) << UNITS[found[2]] < LEAST_BYTES:
        raise UsageError(f"{text!r} is no memory for a search: give {SIZE}")
    return int(found[1]) << UNITS[found[2]]


@dataclass(frozen=True)
class How:
    """How a search is done. seconds: after which it is given up. memory: bytes that its table may take; None: half of the free.

    seed, runs, depth: of an engine that draws at random: from what, how many runs, None: as many as there is time for; and d of
    shmkret.explore.engines.pct. monitors: what watches beside, of shmkret.explore.stacks.watching. preemptions: the
    most that a schedule may have, None: any number; of `states`. symmetric: CPUs that are alike are explored once, where the
    scenario, the scheme and the lock say that they are; of `states`.
    """

    engine: str = "states"
    model: str = "sc"
    seconds: float = math.inf
    memory: int | None = None
    seed: int = 0
    runs: int | None = None
    depth: int = 3
    monitors: tuple[str, ...] = watching.USUAL
    preemptions: int | None = None
    symmetric: bool = False

    def require_right(self) -> None:
        """Raises UsageError."""
        for option, value, known in (("engine", self.engine, engines.of_stacks()), ("model", self.model, MODELS)):
            if value not in known:
                raise UsageError(f"`{option}` is {value!r}: there is {', '.join(known)}")
        if self.model not in self.module_constants.models:
            raise UsageError(f"the engine {self.engine} searches under {', '.join(self.module_constants.models)} alone")
        if not self.seconds > 0:
            raise UsageError(f"`seconds` is {self.seconds:g}: give more than 0")
        if self.memory is not None and self.memory < LEAST_BYTES:
            raise UsageError(f"{self.memory} bytes are no memory for a search: give {SIZE}")
        if not 0 <= self.seed <= MOST_SEED:
            raise UsageError(f"`seed` is {self.seed}: give a number from 0 to {MOST_SEED}")
        if not 1 <= self.depth <= walks.MOST_POINTS + 1:
            raise UsageError(f"`depth` is {self.depth}: give a number from 1 to {walks.MOST_POINTS + 1}")
        watching.require_monitors(self.monitors)
        if self.preemptions is not None and not 0 <= self.preemptions <= MOST_PREEMPTIONS:
            raise UsageError(f"`preemptions` is {self.preemptions}: give a number from 0 to {MOST_PREEMPTIONS}")
        if self.preemptions is not None and not self.tabled:
            raise UsageError(f"`preemptions` bound a search by states: {self.engine} knows no such bound")
        if self.symmetric and not self.tabled:
            raise UsageError(f"`symmetric` is of a search by states: {self.engine} takes no CPUs for alike")
        if self.runs is not None and self.runs < 1:
            raise UsageError(f"`runs` is {self.runs}: give 1 or more")
        if self.runs is not None and not self.draws:
            raise UsageError(f"`runs` are of an engine that draws at random: {self.engine} does not")
        if self.draws and self.runs is None and math.isinf(self.seconds):
            raise UsageError(f"the engine {self.engine} never ends by itself: give `seconds` or `runs`")

    @property
    def watched_by(self) -> tuple[str, ...]:
        """Those monitors that watch under this model, and with this engine: traces take for one what `fifo` tells apart."""
        watch = watching.under(self.model, self.monitors)
        return tuple(name for name in watch if not (name == "fifo" and self.by_traces))

    @property
    def module(self) -> ModuleType:
        """The engine."""
        return registry.find(engines.ENGINE, self.engine).module

    @property
    def module_constants(self) -> Any:
        """What the engine says of itself."""
        return registry.find(engines.ENGINE, self.engine).constants

    @property
    def draws(self) -> bool:
        """Whether the engine draws at random, and so is never complete."""
        return bool(self.module_constants.draws)

    @property
    def by_traces(self) -> bool:
        """Whether the engine tries every interleaving without a table of states."""
        return not self.draws and not self.module_constants.table

    @property
    def tabled(self) -> bool:
        """Whether the engine tries every interleaving with a table of states."""
        return not self.draws and not self.by_traces


class Wrong(NamedTuple):
    """A violation. what: in a sentence. schedule: its choices. preemptions: how many there are at least; None: that is not
    known. replay: what `shmkret replay` runs again. lanes: its steps as text, a line a step, a column a CPU; behind them where
    each CPU stands, who holds what, and after which step all was lost. holds, inflection: the last two. As a string it is all
    of that.
    """

    what: str
    schedule: list[int]
    preemptions: int | None
    replay: str
    lanes: tuple[str, ...]
    holds: Mapping[str, list[int]] = MappingProxyType({})
    inflection: dict[str, Any] | None = None

    def __str__(self) -> str:
        return "\n".join([self.what, *self.lanes, f"{self.length}; again:", f"{AGAIN} {self.replay}"])

    @property
    def length(self) -> str:
        """`30 steps, 2 preemptions`."""
        preemptions = "" if self.preemptions is None else f", {counted(self.preemptions, 'preemption')}"
        return f"{counted(len(self.schedule), 'step')}{preemptions}"

    def statistics(self) -> dict[str, Any]:
        """As plain numbers, strings and lists."""
        again = {"replay": f"{AGAIN} {self.replay}", "lanes": list(self.lanes), "length": self.length}
        beside = {"holds": dict(self.holds), "inflection": self.inflection}
        return {"what": self.what, "schedule": self.schedule, "preemptions": self.preemptions, **again, **beside}


def counted(n: int, what: str) -> str:
    """`1 round`, `2 rounds`."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


@dataclass(frozen=True)
class Found:
    """What a search has found.

    complete: every interleaving was looked at, and none was wrong. bound: why it is not; None: it is, or has a violation.
    states: how many were looked at, each once; None for an engine without a table of them. schedules: how many ends were come
    to, which are runs then. distinct_ends, steps: of such an engine, how many ends differ in a word, and how many steps it did.
    seconds, compile_seconds: how long it took. table_bytes, table_share: the table of states. retried, blocked, pruned: of
    `traces`, how many complete runs had a step done again, and how many more runs were blocked, or pruned.
    """

    asked: Asked
    how: How
    complete: bool
    bound: str | None
    states: int | None
    schedules: int
    distinct_ends: int | None
    steps: int | None
    seconds: float
    compile_seconds: float
    table_bytes: int
    table_share: float
    interrupted: bool = False
    violations: list[Wrong] = field(default_factory=list)
    retried: int | None = None
    blocked: int | None = None
    pruned: int | None = None

    def statistics(self) -> dict[str, Any]:
        """All of it as plain numbers, strings, lists and dicts, named as in the JSON of `shmkret explore`."""
        asked, how = self.asked, self.how
        row = {
            "name": asked.scenario.name, "scheme": asked.scheme.name, "lock": asked.lock.name,
            "worker": asked.worker.name if asked.worker else None, "cpus": asked.cpus, "rounds": asked.rounds,
            "deaths": asked.deaths, "maxactive": asked.maxactive, "engine": how.engine, "model": how.model,
            "monitors": list(how.watched_by), "preemptions": how.preemptions,
            "symmetric": how.symmetric,
            "bound": self.bound, "complete": self.complete, "schedules": self.schedules, "states": self.states,
            "seconds": self.seconds, "compile_seconds": self.compile_seconds, "table_bytes": self.table_bytes,
            "table_share": self.table_share,
        }  # fmt: skip
        if how.by_traces:
            row |= {"steps": self.steps, "distinct_ends": self.distinct_ends}
            row |= {"retried": self.retried, "blocked": self.blocked, "pruned": self.pruned}
        elif how.draws:
            row |= {"seed": how.seed, "depth": how.depth, "runs": self.schedules}
            row |= {"distinct_ends": self.distinct_ends, "steps": self.steps}
        elif self.states is not None:
            row["odds_of_a_missed_state"] = self.states**2 / 2**65
        return {**row, "violations": [one.statistics() for one in self.violations]}


class Watch:
    """Who looks on: nobody."""

    def compiling(self) -> None:
        """Before what is to be searched is compiled."""

    def searching(self, now: apart.Progress) -> None:
        """A few times a second."""

    def ended(self) -> None:
        """Compiling has, or the search."""


def search(asked: Asked, how: How, watch: Watch | None = None) -> Found:
    """One search, in a process of its own.

    Raises:  UsageError, PluginError, RunFailed, UnfitMachine. KeyboardInterrupt never: `interrupted` then.
    """
    how.require_right()
    if how.model != asked.model:  # what is told is how.model
        raise UsageError(f"`model` is {how.model!r}, and the scenario was asked for under {asked.model!r}")
    if how.symmetric:
        require_symmetric(asked)
    watch = watch or Watch()
    watch.compiling()
    scene, began = scene_of(asked), time.monotonic()
    try:
        with signals.on_the_spot():  # a callback of LLVM's would swallow an interrupt
            stacks = Stacks(scene, (how.memory or half_of_free()) // 8, model=asked.model, monitors=how.watched_by)
            vars(how.module).get("prepare", lambda _: None)(stacks)
    finally:
        watch.ended()
    with stacks:
        compiled = time.monotonic()
        stacks.preemptions = how.preemptions
        stacks.symmetric = how.symmetric
        stacks.put(walks.SEED, how.seed)
        stacks.put(walks.POINTS, how.depth - 1)
        try:
            outcome = apart.search(stacks, how.seconds, watch.searching, how.runs or apart.EVERY_STATE, how.module.search)
        finally:
            watch.ended()
        took = time.monotonic() - compiled
        last = apart.progress(stacks, took)
        found = [_wrong(asked, how, stacks, violation) for violation in outcome.violations]
    states = outcome.states if how.tabled else None
    ends, steps = (None, None) if how.tabled else (outcome.ends, outcome.steps)
    runs = (outcome.retried, outcome.blocked, outcome.pruned) if how.by_traces else ()
    return Found(
        asked, how, outcome.complete, _bound(outcome), states, outcome.schedules, ends, steps, took, compiled - began,
         0 if how.by_traces else last.table, 0.0 if how.by_traces else last.share,
        outcome.gave_up == apart.INTERRUPTED, found, *runs,
    )  # fmt: skip


def half_of_free() -> int:
    """Half of the memory that is free, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available) // 2


def _bound(outcome: Outcome) -> str | None:
    return None if outcome.complete or outcome.violations else outcome.gave_up or "it has not ended"


def _wrong(asked: Asked, how: How, stacks: Stacks, violation: Violation) -> Wrong:
    """A violation, its schedule followed once more."""
    nr, schedule = stacks.scene.nr_cpus, violation.schedule
    followed = lanes.follow_apart(stacks, schedule)
    what = "; ".join(followed.wrong) or f"{violation.what} (but not when its schedule is followed again)"
    string = spelt(asked, sight.shared(stacks), schedule, nr)
    if how.watched_by != watching.under(how.model, watching.USUAL):
        string += f" {WITH_MONITORS} {','.join(how.watched_by) or 'none'}"
    drawn, holds = tuple(lanes.drawn(followed, nr)), lanes.last_held(followed)
    return Wrong(what, schedule, violation.preemptions, string, drawn, holds, lanes.inflection_of(followed))


Searching = Callable[[Asked, How], Found]
"""What searches: here, or in another process."""
