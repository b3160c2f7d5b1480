"""Who holds each lock: a search is told as the verbs of shmkret.locks are called, and no two may be inside.

    a holder     1 + the CPU that has the lock for itself, as it was called with; READER << CPU for each that shares it.
                 It stands as far behind HOLDERS as the lock's first word is behind the beginning of the arena

Takes     at the end of acquire() and its kind, where these have taken it, in the step that was their last
Gives     at the beginning of release(): who dies in it is not noted as a holder any more, though the word may still say so
Recovery  reset() and take_over() say who has it now. A robust lock is had after a dead holder by who is told
Order     who waits for a lock, and has others, has those before it: shmkret.machines.compiled.orders
State     is part of a state as a CPU's own words are: by past it follows from what each CPU has read, and makes no more of
          them. It is put back as all else is
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from shmkret.machines.compiled import steps
from shmkret.machines.compiled.orders import takes_after
from shmkret.machines.compiled.stacks import peek
from shmkret.machines.compiled.turns import comes, has_come_to_an_end
from shmkret.machines.compiled.types import I64, INLINE, RecordsType, WordsType, pointer_to
from shmkret.machines.compiled.watched import (
    ARENA,
    BOTH_INSIDE,
    CONTROL,
    HOLDERS,
    KIND,
    NOT_INSIDE,
    NR,
    NUMBER,
    ORDERS,
    SIZE,
    STACK,
    give_up,
    low,
    me,
    write,
)
from shmkret.text.libc import OWNER_DIED, REFUSED
from shmkret.text.marks import inline

TAKES, TAKES_TOLD, SHARES, GIVES, GIVES_SHARED, IS_SET, HAS, HAS_TOLD, COMES, GIVES_UP = range(10)
"""HAS, HAS_TOLD: it has tried, and has it, without waiting. COMES, GIVES_UP: of a lock that is FIFO, before it waits for it,
and when it waits no more, and has it not.
"""
READER = 1 << 32


@inline
def is_dead(r: int, cpu: int) -> bool:
    """Whether a CPU has died, as any CPU's record tells."""
    return cpu < peek(peek(r + CONTROL) + NR) and peek(r + (cpu - peek(r + NUMBER)) * STACK + KIND) == steps.DEAD


@inline
def holds(how: int, place: int, cpu: int) -> int:
    """CPU `cpu` takes, or gives back, the lock whose first word is at that address. IS_SET: it has it now; below 0: nobody."""
    r = me()
    c = peek(r + CONTROL)
    if how == COMES:
        comes(r, place)
        return 0
    if how == GIVES_UP:
        has_come_to_an_end(r, place, False)
        return 0
    offset = place - peek(c + ARENA)
    if peek(c + HOLDERS) == 0 or offset < 0 or offset >= peek(c + SIZE):
        return 0
    word = peek(c + HOLDERS) + offset
    before = peek(word)
    after = 1 + cpu if cpu >= 0 else 0
    if how in (TAKES, HAS):
        if before != 0:
            give_up(r, BOTH_INSIDE, place)
    elif how == SHARES:
        after = before | READER << cpu
        if low(before) != 0:
            give_up(r, BOTH_INSIDE, place)
    elif how in (TAKES_TOLD, HAS_TOLD):
        if low(before) != 0 and not is_dead(r, low(before) - 1):
            give_up(r, BOTH_INSIDE, place)
    elif how == GIVES:
        after = 0
        if before != 1 + cpu:
            give_up(r, NOT_INSIDE, place)
    elif how == GIVES_SHARED:
        after = before & ~(READER << cpu)
        if after == before:
            give_up(r, NOT_INSIDE, place)
    if how == TAKES:
        has_come_to_an_end(r, place, True)
    if how in (TAKES, TAKES_TOLD) and peek(c + ORDERS) != 0:
        takes_after(r, place, cpu)
    write(r, word, after, False)
    return 0


@intrinsic
def _say(typing: Any, how: Any, lock: Any, i: Any, cpu: Any) -> Any:
    """Call holds() of lock i of an array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        of = signature.args[1]
        words, first = of, args[1]
        if not isinstance(of, RecordsType):
            j = next(j for j, part in enumerate(of.types) if isinstance(part, WordsType))
            words, first = of.types[j], builder.extract_value(args[1], j)
        place = builder.ptrtoint(pointer_to(context, builder, words, first, args[2], signature.args[2]), I64)
        values = [context.cast(builder, args[j], signature.args[j], types.int64) for j in (0, 3)]
        hook = cgutils.get_or_insert_function(builder.module, ir.FunctionType(I64, [I64] * 3), "shmkret_holds")
        builder.call(hook, [values[0], place, values[1]])
        return context.get_dummy_value()

    return types.none(how, lock, i, cpu), generate


say: Callable[..., None] = _say


def is_watched(lock: Any) -> bool:
    """Whether a type, of an array of locks, is one of watched words."""
    return any(getattr(part, "watched", False) for part in (lock, *getattr(lock, "types", ())))


def noting(verb: str, do: Callable[..., Any], *, in_turn: bool) -> Callable[..., Any]:
    """What does the same as a function of a lock that is that verb, and says who holds it; and who comes, where it is FIFO."""
    register_jitable(**INLINE)(do)
    noted = IN_TURN if in_turn and verb in IN_TURN else NOTED
    return noted[verb](do) if verb in noted else do


def _acquire(do: Any) -> Any:
    def acquire(lock, i, cpu):  # type: ignore[no-untyped-def]
        do(lock, i, cpu)
        say(TAKES, lock, i, cpu)

    return acquire


def _release(do: Any) -> Any:
    def release(lock, i, cpu):  # type: ignore[no-untyped-def]
        say(GIVES, lock, i, cpu)
        do(lock, i, cpu)

    return release


def _try_acquire(do: Any) -> Any:
    def try_acquire(lock, i, cpu):  # type: ignore[no-untyped-def]
        has = do(lock, i, cpu)
        if has:
            say(HAS, lock, i, cpu)
        return has

    return try_acquire


def _acquire_unless(do: Any) -> Any:
    def acquire_unless(lock, i, stop, cpu):  # type: ignore[no-untyped-def]
        has = do(lock, i, stop, cpu)
        if has:
            say(TAKES, lock, i, cpu)
        return has

    return acquire_unless


def _acquire_in_turn(do: Any) -> Any:
    def acquire(lock, i, cpu):  # type: ignore[no-untyped-def]
        say(COMES, lock, i, cpu)
        do(lock, i, cpu)
        say(TAKES, lock, i, cpu)

    return acquire


def _acquire_unless_in_turn(do: Any) -> Any:
    def acquire_unless(lock, i, stop, cpu):  # type: ignore[no-untyped-def]
        say(COMES, lock, i, cpu)
        has = do(lock, i, stop, cpu)
        say(TAKES if has else GIVES_UP, lock, i, cpu)
        return has

    return acquire_unless


def _robust(has: int, has_told: int) -> Callable[[Any], Any]:
    """Of a robust lock: who has it, and who was told that another died in it."""

    def noted(do: Any) -> Any:
        def acquire_robust(lock, i, cpu):  # type: ignore[no-untyped-def]
            status = do(lock, i, cpu)
            if status != REFUSED:
                say(has_told if status == OWNER_DIED else has, lock, i, cpu)
            return status

        return acquire_robust

    return noted


def _acquire_shared(do: Any) -> Any:
    def acquire_shared(lock, i, cpu):  # type: ignore[no-untyped-def]
        do(lock, i, cpu)
        say(SHARES, lock, i, cpu)

    return acquire_shared


def _release_shared(do: Any) -> Any:
    def release_shared(lock, i, cpu):  # type: ignore[no-untyped-def]
        say(GIVES_SHARED, lock, i, cpu)
        do(lock, i, cpu)

    return release_shared


def _take_over(do: Any) -> Any:
    def take_over(lock, i, dead, cpu):  # type: ignore[no-untyped-def]
        has = do(lock, i, dead, cpu)
        if has:
            say(IS_SET, lock, i, cpu)
        return has

    return take_over


def _reset(do: Any) -> Any:
    def reset(lock, i, owner):  # type: ignore[no-untyped-def]
        do(lock, i, owner)
        say(IS_SET, lock, i, owner)

    return reset


NOTED: dict[str, Callable[[Any], Any]] = {
    "acquire": _acquire,
    "release": _release,
    "try_acquire": _try_acquire,
    "acquire_unless": _acquire_unless,
    "acquire_robust": _robust(TAKES, TAKES_TOLD),
    "try_acquire_robust": _robust(HAS, HAS_TOLD),
    "acquire_shared": _acquire_shared,
    "release_shared": _release_shared,
    "take_over": _take_over,
    "reset": _reset,
}
"""By the name of a verb."""
IN_TURN = {"acquire": _acquire_in_turn, "acquire_unless": _acquire_unless_in_turn}
"""Of a lock that is FIFO."""
