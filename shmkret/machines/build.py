"""One choice of everything that the text is run with: plug-ins, bugs, paddings, and what they make of a Kernel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from shmkret.arena.layout import frame, stride_of
from shmkret.arena.shape import Group, kernel_shape, marker
from shmkret.errors import PluginError, UsageError
from shmkret.kernel import handlers
from shmkret.kernel.handlers import Declared, Kretprobe
from shmkret.kernel.irq import Enabled
from shmkret.kernel.kprobes import Running
from shmkret.kernel.mode import Mode
from shmkret.kernel.primitives import Probed
from shmkret.locks import FAMILIES, GATE, family
from shmkret.moves import bugs as catalogue
from shmkret.moves.alone import Asks, Unasked
from shmkret.moves.clock import CLOCKS
from shmkret.moves.intents import Unprotected, protected
from shmkret.moves.irqflags import Off
from shmkret.moves.locking import HASH_LOCK, NR_PRIMITIVES, Unprobed
from shmkret.plugins import sources
from shmkret.plugins.calls import blamed
from shmkret.plugins.registry import Plugin
from shmkret.recovery.taking import Gated, Survived

MOST = 1 << 25
"""No sizing function may answer with more."""
_bugs_class = cache(catalogue.chosen)


@dataclass(frozen=True)
class Build:
    """Plug-ins, switches and sizes. nr_cpus: for what a worker declares. timed: what the run times
    (shmkret.moves.clock.CLOCKS). asks: whether CPUs ask at each lock who is inside (shmkret.moves.alone).
    """

    arch: Plugin
    scheme: Plugin
    lock: Plugin
    worker: Plugin
    padding: str
    nr_cpus: int
    extra_bugs: frozenset[str] = frozenset()
    timed: str = ""
    recoverable: bool = False
    mutant: str = ""
    asks: bool = False

    @property
    def bugs(self) -> frozenset[str]:
        """The bugs of the scheme, and those that were asked for."""
        return frozenset(self.scheme.constants.bugs) | self.extra_bugs

    @property
    def table_padding(self) -> str:
        """The padding of the bucket locks."""
        return "packed" if "packed-table-locks" in self.bugs else self.padding

    @property
    def has_primitives(self) -> bool:
        """Whether the worker probes the path's own functions."""
        return bool(self.worker.constants.primitives)

    @cached_property
    def nr_functions(self) -> int:
        """The functions that the worker calls, and the path's own behind them where they can be probed."""
        return self._nr_own_functions + (NR_PRIMITIVES if self.has_primitives else 0)

    @cached_property
    def _nr_own_functions(self) -> int:
        if self.worker.own("nr_functions") is not None:
            return ask_size(self.worker, "nr_functions", self.nr_cpus)
        return 1 + max((int(p[0]) for p in self._probes if isinstance(p, tuple) and isinstance(p[0], int)), default=0)

    @cached_property
    def _probes(self) -> list[Any]:
        declare = self.worker.own("probes")
        if declare is None:
            return [Kretprobe(function) for function in range(ask_size(self.worker, "nr_probes", self.nr_cpus))]
        with blamed([self.worker.path], f"probes({self.nr_cpus})"):
            return list(declare(self.nr_cpus))

    @cached_property
    def declared(self) -> Declared:
        """The worker's probes and handlers. Raises PluginError."""
        foreign = self.worker.path.parent != self.worker.kind.folder
        declared = handlers.declared(self._probes, self.nr_functions, self.worker.path, foreign)
        for probe in declared.boot:
            if probe.registered and probe.function in self.blacklist:
                raise PluginError(f"{self.worker.path}: function {probe.function} may not be probed")
        strange = [function for function in self.blacklist if not 0 <= function < self.nr_functions]
        if strange:
            raise PluginError(f"{self.worker.path}: BLACKLIST names {strange[0]}, functions are 0 to {self.nr_functions - 1}")
        return declared

    @property
    def blacklist(self) -> frozenset[int]:
        """Functions that must not be probed: the worker's BLACKLIST, and the lock helper where that was mended."""
        own = frozenset(self.worker.constants.blacklist)
        if self.has_primitives and "probeable-helpers" not in self.bugs:
            return own | {self.nr_functions - NR_PRIMITIVES + HASH_LOCK}
        return own

    @property
    def has_interrupts(self) -> bool:
        """Whether the worker has a source of interrupts."""
        return self.worker.own("interrupt") is not None

    @property
    def recovery_class(self) -> type:
        """The class of Mode.recovery. Raises UsageError for a lock or a scheme that cannot be recovered."""
        if not self.recoverable:
            return Unprotected
        own = family(self.lock.abilities)
        if not own:
            raise UsageError(
                f"the lock {self.lock.name} is not recoverable: its file has the functions of none of {', '.join(FAMILIES)}; "
                "see shmkret/locks/__init__.py"
            )
        if not self.scheme.can("recover"):
            raise UsageError(
                f"the scheme {self.scheme.name} is not recoverable: its file does not have what recovery asks of one"
            )
        return protected(Gated if own == GATE else Survived, own, self.mutant)

    @property
    def mode_classes(self) -> tuple[type, ...]:
        """The class of each field of Mode."""
        return (
            Running,
            Enabled if self.has_interrupts else Off,
            Probed if self.has_primitives else Unprobed,
            CLOCKS[self.timed],
            self.recovery_class,
            self.declared.handlers,
            _bugs_class(self.bugs),
            Asks if self.asks else Unasked,
        )

    @property
    def digest(self) -> str:
        """A name for what is compiled: whatever of the choice reaches the compiler. Sources are in the cache's own digest."""
        plugins = [(p.record.__module__, p.record.__name__) for p in (self.arch, self.scheme, self.lock, self.worker)]
        # Handlers come from wherever probes() took them: their files are in no plug-in's digest, nor what they refer to.
        tables = sources.digest_of(getattr(self.declared.handlers, table) for table in ("entries", "exits"))
        modes = [c.__name__ for c in self.mode_classes]
        choice = (plugins, self.padding, self.table_padding, modes, tables, self.declared.handlers.kprobes, sorted(self.bugs))  # type: ignore[attr-defined]
        return (
            f"{self.worker.name}-{self.scheme.name}-{self.lock.name}-{hashlib.sha256(repr(choice).encode()).hexdigest()[:16]}"
        )

    @property
    def identity(self) -> str:
        """32 hexadecimal digits that change with the choice and with any of its files, for programs that share an arena."""
        text = repr((self.digest, [plugin.digest for plugin in self.plugins]))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @cached_property
    def shape(self) -> Group:
        """What its Kernel is put together from."""
        mode = Group(Mode, tuple(map(marker, self.mode_classes)))
        return kernel_shape(self.lock.record, self.scheme.record, self.arch.record, self.worker.record, mode)

    @property
    def strides(self) -> dict[str, int]:
        """How far apart the records of each section lie, in bytes, in the order of the arena."""
        found = frame(self.lock.record, self.scheme.record)
        return {section.name: stride_of(section, self.padding, self.table_padding) for section in found}

    def cache(self) -> Path | None:
        """The folder of compiled code for these sources; None when there can be none."""
        from shmkret.machines import compiled as compiling  # Numba is imported only when something is compiled

        compiling.require_supported_machine()
        return compiling.cache_folder(tuple(plugin.digest for plugin in self.plugins if not plugin.built_in))

    def common_cache(self) -> Path | None:
        """The folder of what is compiled of our own sources alone, the same with whatever plug-ins; None as cache()."""
        from shmkret.machines import compiled as compiling

        compiling.require_supported_machine()
        return compiling.cache_folder(())

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """The four files that it is made of."""
        return (self.arch, self.scheme, self.lock, self.worker)


def ask_size(plugin: Plugin, question: str, argument: int) -> int:
    """Call a plug-in's sizing function. Raises PluginError unless it answers with a whole number."""
    with blamed([plugin.path], f"{question}({argument})"):
        answer = getattr(plugin.module, question)(argument)
    if not isinstance(answer, int) or isinstance(answer, bool):
        raise PluginError(f"{plugin.path}: {question}({argument}) returned {answer!r}, not a whole number")
    if not 0 <= answer <= MOST:
        raise PluginError(f"{plugin.path}: {question}({argument}) returned {answer}: give a number from 0 to {MOST}")
    return answer
