"""What stands for an access to a word in code that is searched: it says what it is about to do, lets others go first, does it.

By their names, with `shmkret_` before them, LLVM finds these and the models of libc's functions.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm

from shmkret.machines.compiled import models, steps
from shmkret.machines.compiled.holders import holds
from shmkret.machines.compiled.loop import INT, address_of, compile_function
from shmkret.machines.compiled.stacks import peek, poke, prepare, switch
from shmkret.machines.compiled.watched import (
    CONTROL,
    FENCED,
    KIND,
    MAIN,
    PLACE,
    RAISED,
    SP,
    give_up,
    has_buffer,
    has_fences,
    is_told,
    me,
    put,
    saw,
    step,
    uses,
    view,
    was_possible,
    write,
)
from shmkret.text.arithmetic import add64
from shmkret.text.marks import inline


@inline
def load(kind: int, place: int) -> int:
    """Any load."""
    r = me()
    if not uses(r, place, 0):
        return peek(place)
    step(r, kind, place, 0, 0)
    value = view(r, place)
    saw(r, value)
    return value


@inline
def store(kind: int, place: int, value: int) -> int:
    """Any store."""
    r = me()
    shared = uses(r, place, 1)
    if shared:
        step(r, kind, place, value, 0)
    put(r, place, value, shared)
    if shared:
        saw(r, 0)
    return 0


@inline
def exchange(kind: int, place: int, value: int) -> int:
    """What was there before."""
    r = me()
    shared = uses(r, place, 1)
    is_step = shared or has_buffer(r)
    if is_step:
        step(r, kind, place, value, 0)
    before = peek(place)
    write(r, place, value, shared)
    if is_step:
        saw(r, before)
    return before


@inline
def fetch_add(kind: int, place: int, value: int) -> int:
    """What was there before; it wraps."""
    r = me()
    shared = uses(r, place, 1)
    is_step = shared or has_buffer(r)
    if is_step:
        step(r, kind, place, value, 0)
    before = peek(place)
    write(r, place, add64(before, value), shared)
    if is_step:
        saw(r, before)
    return before


@inline
def cmpxchg(kind: int, place: int, old: int, new: int) -> int:
    """What was there before: it was written if that is `old`."""
    r = me()
    shared = uses(r, place, 1)
    is_step = shared or has_buffer(r)
    if is_step:
        step(r, kind, place, old, 0)
    before = view(r, place)
    if before == old:
        write(r, place, new, shared)
    if is_step:
        saw(r, before)
    return before


@inline
def wait(kind: int, place: int, value: int) -> int:
    """A wait for a word: the step is possible when it has come."""
    r = me()
    shared = uses(r, place, 0)
    if shared or (peek(place) == value) != (kind == steps.WAIT_EQUAL):
        step(r, kind, place, value, 0)
        seen = view(r, place)
        was_possible(r, place, (seen == value) == (kind == steps.WAIT_EQUAL))
        saw(r, seen)
    return 0


@inline
def wait_unless(kind: int, place: int, value: int, stop: int) -> int:
    """A wait that a word that is not 0 ends, too: 1 if what was waited for has come, else 0."""
    r = me()
    uses(r, place, 0)
    uses(r, stop, 0)
    step(r, kind, place, value, stop)
    seen = view(r, place)
    saw(r, seen)
    come = (seen == value) == (kind == steps.WAIT_EQUAL_UNLESS)
    was_possible(r, place, come or is_told(r))
    return 1 if come else 0


@inline
def fence(kind: int) -> int:
    """Every store before it is in memory. Where memory is sequentially consistent, it is no step: every access is in order
    already. Who follows what happens before what is told.
    """
    r = me()
    if has_fences(r):
        step(r, kind, 0, 0, 0)
        saw(r, 0)
    poke(r + FENCED, 1)
    return 0


@inline
def finished(kind: int) -> None:
    """The CPU's code has ended: nothing comes after."""
    r = me()
    poke(r + KIND, kind)
    while True:
        switch(r + SP, peek(r + CONTROL) + MAIN)


@inline
def left() -> None:
    """The CPU's code has been left before its end."""
    r = me()
    give_up(r, RAISED, peek(r + PLACE))


HOOKS: tuple[Callable[..., object], ...] = (
    load, store, exchange, fetch_add, cmpxchg, wait, wait_unless, fence, finished, left, holds, *models.MODELS,
)  # fmt: skip


@cache
def hooks(folder: Path | None) -> dict[str, int]:
    """Compile every hook, or read it from a folder, and tell LLVM where it is; returns their addresses.

    Code that calls hooks is compiled, or loaded, after.
    """
    prepare()
    addresses = {}
    for hook in HOOKS:
        name = hook.__name__
        compiled = compile_function(hook, [INT] * hook.__code__.co_argcount, folder and folder / f"hook-{name}")
        _KEPT.append(compiled)
        addresses[name] = address_of(compiled)
        llvm.add_symbol(f"shmkret_{name}", addresses[name])
    return addresses


_KEPT: list[Any] = []
"""What keeps the code of hooks where it is."""
