"""Probes as a user declares them, and how the text calls their handlers.

    entry handler     f(k, cpu, task, ri) -> int    before the call; not 0 refuses it: no instance, no return handler
    return handler    f(k, cpu, task, ri)           after it; may read and set the return value of the function
    pre, post         f(k, cpu, task, p)            of a kprobe: before and after the probed instruction; pre returns an int

Handlers are plain functions of a worker file, part of the text. A probe names one by its number in the worker's tables; the
tables are compiled into the path, so that a handler is inlined where it is called. A probed function that a handler calls is
counted in nmissed and not run: `k` as a handler gets it knows no other path (shmkret.kernel.mode).

Source    struct kprobe, struct kretprobe, include/linux/kprobes.h, Linux 2.6.26
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shmkret.arena.records import KPROBE, KRETPROBE, Boot, Kernel
from shmkret.errors import PluginError
from shmkret.text.marks import constant, inline, table

Handler = Callable[..., Any]

NR_ARGUMENTS = 4


class Kretprobe(NamedTuple):
    """A kretprobe on `function`. maxactive 0: the default of the run; registered False: a CPU will register it."""

    function: int
    entry_handler: Handler | None = None
    handler: Handler | None = None
    maxactive: int = 0
    registered: bool = True


class Kprobe(NamedTuple):
    """A kprobe on `function`."""

    function: int
    pre_handler: Handler | None = None
    post_handler: Handler | None = None
    registered: bool = True


class Handlers(NamedTuple):
    """A worker's handlers: a class made by declared(), whose tables are its attributes `entries` and `exits`."""

    unused: int


class Declared(NamedTuple):
    """What a worker declares: its probes as they stand at boot, and the class that holds its handlers."""

    boot: tuple[Boot, ...]
    handlers: type


def declared(probes: Sequence[Any], nr_functions: int, place: Path, foreign: bool = False) -> Declared:
    """Number the handlers of these probes. foreign: the worker is a file of the user's.

    Raises: PluginError, with the file, for what is no probe, no function, or out of range.
    """
    entries: list[Handler] = []
    exits: list[Handler] = []
    boot = []
    for i, probe in enumerate(probes):
        if not isinstance(probe, Kretprobe | Kprobe):
            raise PluginError(f"{place}: probe {i} is {probe!r}: give a Kretprobe or a Kprobe, from shmkret.kernel")
        function, first, second = probe[:3]
        if not isinstance(probe.registered, bool):
            raise PluginError(f"{place}: probe {i} has registered = {probe.registered!r}: give True or False")
        if not isinstance(function, int) or not 0 <= function < nr_functions:
            raise PluginError(f"{place}: probe {i} is on function {function!r}: there are functions 0 to {nr_functions - 1}")
        maxactive = probe.maxactive if isinstance(probe, Kretprobe) else 0
        if not isinstance(maxactive, int) or maxactive < 0:
            raise PluginError(f"{place}: probe {i} has maxactive = {maxactive!r}: give a whole number, 0 for the default")
        kind = KRETPROBE if isinstance(probe, Kretprobe) else KPROBE
        entry_handler, handler = _number(entries, first, place), _number(exits, second, place)
        boot.append(Boot(function, kind, entry_handler, handler, maxactive, probe.registered))
    kprobes = any(probe.kind == KPROBE for probe in boot)
    attributes: dict[str, Any] = {"__slots__": (), "__module__": __name__, "entries": tuple(entries), "exits": tuple(exits)}
    attributes |= {"kprobes": kprobes, "foreign": foreign}
    functions = [f"{handler.__module__}.{handler.__qualname__}" for handler in (*entries, *exits)]
    digest = hashlib.sha256(repr((functions, len(entries), kprobes, foreign)).encode()).hexdigest()[:16]
    return Declared(tuple(boot), type(f"Handlers_{digest}", (Handlers,), attributes))


def _number(table: list[Handler], handler: Handler | None, place: Path) -> int:
    """The number of a handler in its table, from 1; 0 for none."""
    if handler is None:
        return 0
    if not inspect.isfunction(handler) or inspect.iscoroutinefunction(handler) or inspect.isgeneratorfunction(handler):
        raise PluginError(f"{place}: the handler {handler!r} must be a plain function of (k, cpu, task, ri)")
    found = len(inspect.signature(handler).parameters)
    if found != NR_ARGUMENTS:
        line = handler.__code__.co_firstlineno
        raise PluginError(f"{place}:{line}: a handler takes (k, cpu, task, ri); {handler.__name__}() takes {found} arguments")
    if handler.__closure__ or "<" in handler.__qualname__:
        raise PluginError(
            f"{place}: the handler {handler.__qualname__} is defined inside another function: define it at the top of a file"
        )
    if handler not in table:
        table.append(handler)
    return table.index(handler) + 1


NONE = declared((), 1, Path()).handlers


@table("entries", answers=True)
def ask(handlers: Any, number: int, k: Kernel, cpu: int, task: int, subject: int) -> int:
    """Call the entry or pre handler of that number; its answer."""
    return int(type(handlers).entries[number - 1](k, cpu, task, subject))


@table("exits", answers=False)
def tell(handlers: Any, number: int, k: Kernel, cpu: int, task: int, subject: int) -> None:
    """Call the return or post handler of that number."""
    type(handlers).exits[number - 1](k, cpu, task, subject)


@constant
def has_handlers(handlers_class: Any, table: str) -> bool:
    """Whether the table, `entries`, `exits` or `kprobes`, holds any; `foreign`: whether the worker is a file of the user's.
    Compiled code sees a constant.
    """
    return bool(getattr(handlers_class, table))


@inline
def data_at(k: Kernel, ri: int) -> int:
    """Where the private words of instance `ri` begin in k.data.word; there are k.data_words of them."""
    return ri * k.data_words


@inline
def regs_return_value(k: Kernel, task: int) -> int:
    """What the function that returns has returned. For return handlers."""
    return k.tasks.regs_retval[task]


@inline
def set_return_value(k: Kernel, task: int, value: int) -> None:
    """Let the function that returns have returned `value`. For return handlers."""
    k.tasks.regs_retval[task] = value
