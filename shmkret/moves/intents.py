"""What a CPU says before it changes a list, so that others can finish what its death leaves half done.

A list move is six steps, in this order:

    choose     under the list's lock
    prepare    what nobody can reach yet, such as next[ri]
    commit     one 8-byte store: intent[cpu] = the move
    apply      the slot of the list, state[ri], the counter; each an absolute value, so that doing it again is harmless
    clear      intent[cpu] = 0
    unlock

    62 ... 38   37 ... 14   13 ... 6   5 ... 4   3 ... 0
    other       instance    count      why       op

    other: 1 + what stood before it, 0: nothing; count: its low bits

State     state[ri]: AT_REST on a free list or the slab, IN_FLIGHT in a bucket, HAND + cpu in the hands of that CPU
Counts    are of one CPU; calls, hits and refusals, of one probe, too. The intent holds the low bits of the new value, so that a
          count is never made twice
Order     every store is a release store: the machine keeps program order, and SIGKILL stops between two stores
Off       where a run is not recoverable, a move is its plain stores and nothing of this is compiled

Source    the redo log of libpmemobj's lists, in one word, since under a lock a move changes one slot
"""

from __future__ import annotations

import inspect
import itertools
from functools import cache
from typing import Any, NamedTuple

from shmkret.arena.fields import parts_of
from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.records import RUNQUEUE_LOCKS
from shmkret.errors import UnknownName
from shmkret.locks import acquire, release
from shmkret.text.atomics import store_ordered
from shmkret.text.marks import constant, inline, outline
from shmkret.text.verbs import generic

POP, HANG, REM, PUSH, SLAB_POP, SLAB_PUSH, ENQUEUE, DEQUEUE, ORPHAN = range(1, 10)
OPS = ("none", "pop", "hang", "remove", "push", "slab pop", "slab push", "enqueue", "dequeue", "orphan")
NOTHING, RETURNED, FLUSHED, REFUSAL = range(4)
"""What a push onto a free list counts as."""
HIT = 4
"""What a move into a bucket counts as; no intent says it, since the kind of the move does."""
AT_REST, IN_FLIGHT, HAND = range(3)
SYSTEM, TABLE, PROBE = range(3)
"""The three arrays of locks. All locks are numbered through, array by array: see number_of()."""


class Field(NamedTuple):
    """Some bits of an intent, from bit `at` on."""

    name: str
    bits: int
    at: int

    @property
    def mask(self) -> int:
        """Its largest value."""
        return (1 << self.bits) - 1


def _laid_out(**bits: int) -> dict[str, Field]:
    ends = itertools.accumulate(bits.values())
    return {name: Field(name, width, end - width) for (name, width), end in zip(bits.items(), ends, strict=True)}


FIELDS = _laid_out(op=4, why=2, count=8, instance=24, other=25)
"""The one table of what lies where; the masks below and the picture above follow from it.

`other` has a bit more than `instance`: nothing is 0, and the last instance 2**24.
"""
WHY_AT, COUNT_AT, INDEX_AT, OTHER_AT = (FIELDS[name].at for name in ("why", "count", "instance", "other"))
OP_MASK, WHY_MASK, COUNT_MASK, INDEX_MASK, OTHER_MASK = (field.mask for field in FIELDS.values())


def diagram() -> str:
    """The picture of an intent, from the table."""
    columns = [(f"{f.at + f.bits - 1} ... {f.at}", f.name) for f in reversed(FIELDS.values())]
    lines = (" ".join(row[line].ljust(len(row[0]) + 2) for row in columns).rstrip() for line in (0, 1))
    return "\n".join(lines)


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

    def take_lock(self, k: Any, cpu: int, locks: Any, i: int, array: int, outer: int) -> None:
        acquire(locks, i, cpu)

    def give_lock(self, k: Any, cpu: int, locks: Any, i: int, array: int) -> None:
        release(locks, i, cpu)

    def pass_gate(self, k: Any, cpu: int) -> None:
        pass

    def begin_wait(self, k: Any, cpu: int) -> None:
        pass

    def end_wait(self, k: Any, cpu: int) -> None:
        pass


@generic
def take_lock(recovery: Any, k: Any, cpu: int, locks: Any, i: int, array: int, outer: int) -> None:
    """Acquire lock i of an array. outer: the number of the lock that this CPU holds already, or NIL."""
    raise NotImplementedError


@generic
def give_lock(recovery: Any, k: Any, cpu: int, locks: Any, i: int, array: int) -> None:
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


@constant
def recovers(recovery_class: Any, name: str) -> bool:
    """What a run is compiled for, a constant: "moves", a family of locks, one of MUTANTS. Part of the text."""
    return name in recovery_class.names


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
def number_of(k: Any, array: int, i: int) -> int:
    """The number of lock `i` of an array among all locks: first the system's, then the bucket locks, then the scheme's
    others.
    """
    number = i
    if array != SYSTEM:
        number += RUNQUEUE_LOCKS + k.nr_cpus
    if array == PROBE and has_array(k.scheme, "table"):
        number += NR_BUCKETS
    return number


@constant
def has_array(scheme_class: Any, name: str) -> bool:
    """Whether a scheme has the array of locks `name`, a constant: "table" or "locks"."""
    return name in parts_of(scheme_class).locks


@inline
def intent_of(op: int, why: int, count: int, ri: int, other: int) -> int:
    """A move in one word. count: the new value of the counter that `why` names; other: NIL, or an instance or a task."""
    return op | (why << WHY_AT) | ((count & COUNT_MASK) << COUNT_AT) | (ri << INDEX_AT) | ((other + 1) << OTHER_AT)


@inline
def op_of(intent: int) -> int:
    """What is done."""
    return intent & OP_MASK


@inline
def why_of(intent: int) -> int:
    """What it counts as."""
    return (intent >> WHY_AT) & WHY_MASK


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
    return ((intent >> OTHER_AT) & OTHER_MASK) - 1


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
def book_of(k: Any, cpu: int, rp: int) -> int:
    """Where a CPU keeps its books of a probe."""
    book: int = cpu * k.nr_probes + rp
    return book


@inline
def new_count(k: Any, cpu: int, why: int, rp: int) -> Any:
    """What the counter that `why` names will be. rp: the probe, where a run is recoverable and a call of it was refused."""
    if why == RETURNED:
        return k.cpus.returns[cpu] + 1
    if why == FLUSHED:
        return k.cpus.flushed[cpu] + 1
    if why == REFUSAL and recovers(k.mode.recovery, "moves"):
        return k.books.refused[book_of(k, cpu, rp)] + 1
    return 0


@inline
def new_hits(k: Any, cpu: int, rp: int) -> Any:
    """As new_count(), of a move into a bucket."""
    if recovers(k.mode.recovery, "moves"):
        return k.books.hits[book_of(k, cpu, rp)] + 1
    return 0


@inline
def set_count(k: Any, cpu: int, why: int, count: int, rp: int) -> None:
    """Where a run is recoverable, the move itself counts: let the counter be that."""
    if recovers(k.mode.recovery, "moves"):
        if why == RETURNED:
            store_ordered(k.cpus.returns, cpu, count)
        elif why == FLUSHED:
            store_ordered(k.cpus.flushed, cpu, count)
        elif why == REFUSAL:
            store_ordered(k.books.refused, book_of(k, cpu, rp), count)


@inline
def set_hits(k: Any, cpu: int, hits: int, rp: int) -> None:
    """As set_count(), of a move into a bucket."""
    if recovers(k.mode.recovery, "moves"):
        store_ordered(k.books.hits, book_of(k, cpu, rp), hits)


@inline
def count_in_book(k: Any, words: Any, cpu: int, rp: int) -> None:
    """One more of what a CPU counts of a probe, in this column of its books."""
    book = book_of(k, cpu, rp)
    store_ordered(words, book, words[book] + 1)


@inline
def count_call(k: Any, cpu: int, rp: int) -> None:
    """A call of a kretprobe has begun."""
    if recovers(k.mode.recovery, "moves"):
        count_in_book(k, k.books.calls, cpu, rp)
    else:
        k.cpus.calls[cpu] += 1


@outline
def calls_of(k: Any, cpu: int) -> int:
    """The calls of kretprobes that a CPU has begun."""
    calls: int = k.cpus.calls[cpu]
    if recovers(k.mode.recovery, "moves"):
        for rp in range(k.nr_probes):
            calls += k.books.calls[book_of(k, cpu, rp)]
    return calls


@inline
def count(k: Any, cpu: int, why: int) -> None:
    """Where it is not, the path counts when a move is over and its locks are given back: a store before the unlock of a
    semaphore makes a call dearer by a tenth. This is the one place that knows the difference.
    """
    if not recovers(k.mode.recovery, "moves"):
        if why == HIT:
            k.cpus.hits[cpu] += 1
        elif why == RETURNED:
            k.cpus.returns[cpu] += 1
        elif why == FLUSHED:
            k.cpus.flushed[cpu] += 1
        elif why == REFUSAL:
            k.cpus.refused[cpu] += 1


@inline
def counted(low: int, seen: int) -> int:
    """The counter after the move: `seen`, or one more if its low bits do not say so yet."""
    return seen if seen & COUNT_MASK == low else seen + 1
