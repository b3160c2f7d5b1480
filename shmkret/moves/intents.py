"""What a CPU says before it changes a list, so that others can finish what its death leaves half done.

A list move is six steps, in this order:

    choose     under the list's lock
    prepare    what nobody can reach yet, such as next[ri]
    commit     one 8-byte store: intent[cpu] = the move
    apply      the slot of the list, state[ri], the counter; each an absolute value, so that doing it again is harmless
    clear      intent[cpu] = 0
    unlock

    63      62 ... 38    37 ... 14   13 ... 6            5 4    3 ... 0
    0       other + 1    instance    low bits of count   why    op

State     state[ri]: IDLE on a free list or the slab, BUSY in a bucket, HAND + cpu in the hands of that CPU
Counts    are of one CPU; the intent holds the low bits of the new value, so that a count is never made twice
Order     every store is a release store: the machine keeps program order, and SIGKILL stops between two stores
Off       where a run is not recoverable, a move is its plain stores and nothing of this is compiled

Source    the redo log of libpmemobj's lists, in one word, since under a lock a move changes one slot
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any, NamedTuple

from shmkret.errors import UnknownName
from shmkret.locks import acquire, release
from shmkret.text.atomics import store_ordered
from shmkret.text.marks import inline
from shmkret.text.verbs import generic

POP, HANG, REM, PUSH, SLAB_POP, SLAB_PUSH, ENQUEUE, DEQUEUE, ORPHAN = range(1, 10)
OPS = ("none", "pop", "hang", "remove", "push", "slab pop", "slab push", "enqueue", "dequeue", "orphan")
NOTHING, RETURNED, FLUSHED, REFUSED = range(4)
"""What a push onto a free list counts as."""
IDLE, BUSY, HAND = range(3)
TABLE, PROBE, SYSTEM = range(3)
"""The three arrays of locks; the name of lock i of one of them is 3 * i + its number."""
COUNT_BITS, INDEX_BITS = 8, 24
COUNT_MASK, INDEX_MASK = (1 << COUNT_BITS) - 1, (1 << INDEX_BITS) - 1
COUNT_AT, INDEX_AT, OTHER_AT = 6, 14, 38
GATE, OWNER, ROBUST = "gate", "owner", "robust"
FAMILIES = (GATE, OWNER, ROBUST)
"""How a lock can be recovered; its file says which in RECOVERY (shmkret.locks)."""
MUTANTS = {
    "no-intent": "locks are recovered, lists are not",
    "late-intent": "the intent is written after the slot",
    "early-clear": "the intent is cleared before the state is written",
    "early-unlock": "the lock is released before the intent is cleared",
    "late-next": "next is written after the intent, which relies on it",
    "no-gate": "locks are repaired while the others run",
}
"""Wrong orders, each of which a checker must catch."""


class Unprotected(NamedTuple):
    """A run in which nobody survives a death: the default."""

    unused: int

    def take(self, k: Any, cpu: int, locks: Any, i: int, section: int, outer: int) -> None:
        acquire(locks, i, cpu)

    def give(self, k: Any, cpu: int, locks: Any, i: int, section: int) -> None:
        release(locks, i)

    def pass_gate(self, k: Any, cpu: int) -> None:
        pass

    def begin_wait(self, k: Any, cpu: int) -> None:
        pass

    def end_wait(self, k: Any, cpu: int) -> None:
        pass


@generic
def take(recovery: Any, k: Any, cpu: int, locks: Any, i: int, section: int, outer: int) -> None:
    """Acquire lock i of a section. outer: the bucket whose lock this CPU holds already, or NIL."""
    raise NotImplementedError


@generic
def give(recovery: Any, k: Any, cpu: int, locks: Any, i: int, section: int) -> None:
    """Release it."""
    raise NotImplementedError


@generic
def pass_gate(recovery: Any, k: Any, cpu: int) -> None:
    """Between two batches, no lock held: wait while locks are being repaired."""
    raise NotImplementedError


@generic
def begin_wait(recovery: Any, k: Any, cpu: int) -> None:
    """No lock is held, and none will be taken until end_wait()."""
    raise NotImplementedError


@generic
def end_wait(recovery: Any, k: Any, cpu: int) -> None:
    """The end of begin_wait()."""
    raise NotImplementedError


def recovers(recovery: Any, name: str) -> bool:
    """What a run is compiled for, a constant: "moves", one of FAMILIES, one of MUTANTS. Part of the text."""
    return name in type(recovery).names


Unprotected.names = frozenset()  # type: ignore[attr-defined]


@cache
def protected(base: type, family: str, mutant: str = "") -> type:
    """A class of the mode `base`, told apart by its attribute `names`. Raises UnknownName for the mutant."""
    if mutant and mutant not in MUTANTS:
        raise UnknownName("mutant", mutant, tuple(MUTANTS))
    names = frozenset({"moves", family, mutant} - {""})
    name = f"{base.__name__}_{family}_{mutant.replace('-', '')}"
    verbs = {verb: function for verb, function in vars(base).items() if inspect.isfunction(function)}
    return type(name, (base,), {**verbs, "__module__": base.__module__, "__slots__": (), "names": names})


@inline
def lock_name(i: int, section: int) -> int:
    """The number of a lock among all."""
    return 3 * i + section


@inline
def intent_of(op: int, why: int, count: int, ri: int, other: int) -> int:
    """A move in one word. count: the new value of the counter that `why` names; other: NIL, or an instance or a task."""
    return op | (why << 4) | ((count & COUNT_MASK) << COUNT_AT) | (ri << INDEX_AT) | ((other + 1) << OTHER_AT)


@inline
def op_of(intent: int) -> int:
    """What is done."""
    return intent & 15


@inline
def why_of(intent: int) -> int:
    """What it counts as."""
    return (intent >> 4) & 3


@inline
def count_of(intent: int) -> int:
    """The low bits of the new count."""
    return (intent >> COUNT_AT) & COUNT_MASK


@inline
def instance_of(intent: int) -> int:
    """To which instance, task or probe."""
    return (intent >> INDEX_AT) & INDEX_MASK


@inline
def other_of(intent: int) -> int:
    """What stood before it, or NIL."""
    return ((intent >> OTHER_AT) & INDEX_MASK) - 1


@inline
def commit(k: Any, cpu: int, intent: int) -> None:
    """From here on the move happens, whoever finishes it."""
    if recovers(k.mode.recovery, "moves") and not recovers(k.mode.recovery, "no-intent"):
        store_ordered(k.recovery.intent, cpu, intent)


@inline
def clear(k: Any, cpu: int) -> None:
    """The move is done."""
    if recovers(k.mode.recovery, "moves"):
        store_ordered(k.recovery.intent, cpu, 0)


@inline
def put(k: Any, words: Any, i: int, value: int) -> None:
    """A store that recovery relies on, where the run is recoverable."""
    if recovers(k.mode.recovery, "moves"):
        store_ordered(words, i, value)
    else:
        words[i] = value


@inline
def apply_to(k: Any, cpu: int, intent: int, slot: Any, j: int, value: int) -> None:
    """Commit, and change the slot of the list."""
    if not recovers(k.mode.recovery, "late-intent"):
        commit(k, cpu, intent)
    put(k, slot, j, value)
    if recovers(k.mode.recovery, "late-intent"):
        commit(k, cpu, intent)


@inline
def settle(k: Any, cpu: int, ri: int, state: int) -> None:
    """The instance is where it should be."""
    if recovers(k.mode.recovery, "moves"):
        if recovers(k.mode.recovery, "early-clear"):
            clear(k, cpu)
        store_ordered(k.instances.state, ri, state)


@inline
def finish(k: Any, cpu: int) -> None:
    """The end of a move."""
    if not recovers(k.mode.recovery, "early-clear") and not recovers(k.mode.recovery, "early-unlock"):
        clear(k, cpu)


@inline
def new_count(k: Any, cpu: int, why: int) -> Any:
    """What the counter that `why` names will be."""
    if why == RETURNED:
        return k.cpus.returns[cpu] + 1
    if why == FLUSHED:
        return k.cpus.flushed[cpu] + 1
    if why == REFUSED:
        return k.cpus.refused[cpu] + 1
    return 0


@inline
def set_count(k: Any, cpu: int, why: int, count: int) -> None:
    """Let it be that."""
    if why == RETURNED:
        store_ordered(k.cpus.returns, cpu, count)
    elif why == FLUSHED:
        store_ordered(k.cpus.flushed, cpu, count)
    elif why == REFUSED:
        store_ordered(k.cpus.refused, cpu, count)


@inline
def counted(low: int, seen: int) -> int:
    """The counter after the move: `seen`, or one more if its low bits do not say so yet."""
    return seen if seen & COUNT_MASK == low else seen + 1
