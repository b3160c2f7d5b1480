"""Schemes: how each generation of the kernel keeps free and used instances, and under which locks. One a file.

A file defines one NamedTuple class: the arrays of locks that it wants, and the records that only it has. Each is optional.

    table: Annotated[Locks, PER_BUCKET]     a lock a bucket            locks: Annotated[Locks, PER_PROBE]    or ONE: its others
    list: Annotated[List, PER_TASK]         scheme.list.first[task], of a NamedTuple class List of words; or ONE, PER_CPU,
                                            PER_PROBE, PER_INSTANCE, PER_BUCKET, PER_PROBE_PER_CPU, PER_RING_WORD
    size: Annotated[int, RING_WORDS]        a number

The probe path (shmkret.kernel) calls these functions, per probed call in this order:

    entry     obtain(scheme, k, cpu, rp) -> ri       an instance of probe rp, or NIL and rp's nmissed counted
              refuse(scheme, k, cpu, rp, ri)         the entry handler said no: ri is free again
              push(scheme, k, cpu, ri, task)         or else ri, filled in, is task's newest
    return    begin_walk(scheme, k, cpu, task) -> where     the instances of task are ours
              first(scheme, k, where) -> at          a cursor on the newest of the list, or NIL
              next(scheme, k, at) -> at              on the one behind it
              ri_of(scheme, k, at) -> ri             the instance that it is on
              rp_of(scheme, k, ri) -> rp             its probe; NIL when that is gone
              take(scheme, k, cpu, where, prev, ri, why) -> bool
                                                     ri, which follows prev (or NIL), leaves the list, and is free again;
                                                     or True: its probe is gone, and this CPU has it in hand
              end_walk(scheme, k, cpu, where, task)
    register  give(scheme, k, cpu, ri, rp) -> bool   one more free instance of a probe that nobody can find yet; or
                                                     False: there is no room for it
    unregister, the probe is off its function:
              retire(scheme, k, cpu, rp)             before the grace period
              orphan(scheme, k, cpu, rp)             after it: the instances of rp in flight have no rp any more
              drain(scheme, k, cpu, rp) -> ri        a free instance of rp, taken; NIL: there is none left

A walk's functions, give() and drain() of a scheme whose lists are chained are in shmkret.moves. A scheme counts nothing: in
a recoverable run the moves of shmkret.moves count hits, returned, flushed and refused, and else the path does.

    recover   lock_free(scheme, k, cpu, rp), unlock_free    the lock of rp's free list
              lock_of(scheme, k, op, ri) -> number   the lock that a move of ri is made under: number_of() of shmkret.moves
              finish_push(scheme, k, ri)             do again what push(), take() and orphan() do to lists that only it keeps
              finish_take(scheme, k, ri)
              finish_orphan(scheme, k, rp)
              An ability: all six or none. The moves are those of shmkret.moves, in their order, and LISTS is left out.

    asked     always(scheme, k) -> int               of every state of a search, others in the middle of their moves: 0, or what
                                                     is wrong, as told() of shmkret.moves; optional
    outside the text, each optional
              populate(arena)                 how lists that only it keeps stand at first; those of LISTS are made by themselves
              audit(arena) -> list of str     what is wrong with lists that only it keeps, in sentences
              rebuild(arena) -> list of str   make them anew

Constants LISTS, where instances are, for audit, repair and statistics: one FREE, a Chain OF_PROBE or a Ring; and HUNG, a
          Chain OF_TASK or OF_BUCKET. BUGS, the historical bugs that it has by nature (shmkret.moves.bugs). CHECKED, the
          words of its tables whose every bit audit() checks: (table, word, when); these are damaged on purpose
          (shmkret.stress.damage), and made anew by rebuild(). ALWAYS, the sentences of what always() answers.
          SYMMETRIC = True where CPUs that change their numbers do the same: none is preferred, or looked at before another
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

from shmkret.arena.chains import IN_BUCKETS, Chain, Ring, wrong_lists
from shmkret.arena.fields import Legal, parts_of, wrong_field
from shmkret.errors import PluginError
from shmkret.moves.chained import lock_free, unlock_free
from shmkret.plugins.contract import (
    Ability,
    Constant,
    Contract,
    Signature,
    Source,
    names,
    of_verb,
    one_record,
    sentences,
    truth,
)
from shmkret.text.domains import (
    NR_NODES,
    NR_SLOTS,
    ONE,
    PER_BUCKET,
    PER_CPU,
    PER_INSTANCE,
    PER_PROBE,
    PER_PROBE_PER_CPU,
    PER_RING_WORD,
    PER_TASK,
    RING_WORDS,
)
from shmkret.text.verbs import defaulted, generic, is_verb

DOMAINS = Legal(
    tables=(ONE, PER_CPU, PER_TASK, PER_PROBE, PER_INSTANCE, PER_BUCKET, PER_PROBE_PER_CPU, PER_RING_WORD),
    numbers=(NR_SLOTS, NR_NODES, RING_WORDS),
    locks={"table": (PER_BUCKET,), "locks": (PER_PROBE, ONE)},
)


@generic
def obtain(scheme: Any, k: Any, cpu: int, rp: int) -> int:
    """Take an instance of probe `rp` for a call; NIL when there is none, which is counted in nmissed."""
    raise NotImplementedError


@generic
def refuse(scheme: Any, k: Any, cpu: int, rp: int, ri: int) -> None:
    """The entry handler refuses the call for which `ri` was obtained: give it back."""
    raise NotImplementedError


@generic
def push(scheme: Any, k: Any, cpu: int, ri: int, task: int) -> None:
    """Put `ri` in front of the instances of `task`."""
    raise NotImplementedError


@generic
def begin_walk(scheme: Any, k: Any, cpu: int, task: int) -> int:
    """Make the list that has the instances of `task` ours; returns which it is."""
    raise NotImplementedError


@generic
def first(scheme: Any, k: Any, where: int) -> int:
    """A cursor on the newest instance of a list; NIL when it is empty."""
    raise NotImplementedError


@generic
def next(scheme: Any, k: Any, at: int) -> int:
    """A cursor on the one behind it; NIL at the end."""
    raise NotImplementedError


@generic
def ri_of(scheme: Any, k: Any, at: int) -> int:
    """The instance that a cursor is on."""
    raise NotImplementedError


@generic
def rp_of(scheme: Any, k: Any, ri: int) -> int:
    """The probe of an instance in flight; NIL when it was unregistered meanwhile."""
    raise NotImplementedError


@generic
def take(scheme: Any, k: Any, cpu: int, where: int, prev: int, ri: int, why: int) -> bool:
    """recycle_rp_inst(): `ri`, which follows `prev` (NIL: is the first), leaves the list.

    Returns: False, and it is free again; True where its probe is gone: the caller has it in hand.
    why: what it counts as; RETURNED or FLUSHED, of shmkret.moves.intents.
    """
    raise NotImplementedError


@generic
def end_walk(scheme: Any, k: Any, cpu: int, where: int, task: int) -> None:
    """Give the list of `task` back."""
    raise NotImplementedError


@generic
def give(scheme: Any, k: Any, cpu: int, ri: int, rp: int) -> bool:
    """Let `ri`, in hand, be a free instance of probe `rp`, which nobody can find. False: no room, and `ri` is still in hand."""
    raise NotImplementedError


@generic
def retire(scheme: Any, k: Any, cpu: int, rp: int) -> None:
    """Probe `rp` has left its function's chain; a grace period comes now."""
    raise NotImplementedError


@generic
def orphan(scheme: Any, k: Any, cpu: int, rp: int) -> None:
    """cleanup_rp_inst(): let every instance of `rp` in flight have no rp; who finds it on its way out frees it."""
    raise NotImplementedError


@generic
def drain(scheme: Any, k: Any, cpu: int, rp: int) -> int:
    """Take a free instance of probe `rp`, which nobody can find any more; NIL: there is none."""
    raise NotImplementedError


@generic
def lock_of(scheme: Any, k: Any, op: int, ri: int) -> int:
    """The number of the lock that a move of instance `ri` is made under: POP, PUSH, HANG or REM; ORPHAN: of probe `ri`."""
    raise NotImplementedError


@generic
def finish_push(scheme: Any, k: Any, ri: int) -> None:
    """Do again what push() does to lists that only this scheme keeps, from what it prepared."""
    raise NotImplementedError


@generic
def finish_take(scheme: Any, k: Any, ri: int) -> None:
    """Do again what take() does to them."""
    raise NotImplementedError


@generic
def finish_orphan(scheme: Any, k: Any, rp: int) -> None:
    """Do again what orphan() does under one lock."""
    raise NotImplementedError


@defaulted
def always(scheme: Any, k: Any) -> int:
    """What is wrong at this moment with lists that hold at every moment: 0, or told() of a sentence of ALWAYS."""
    return 0


VERBS = (obtain, refuse, push, begin_walk, first, next, ri_of, rp_of, take, end_walk, give, retire, orphan, drain)
BEFORE = {"hang": "push", "lock_bucket": "begin_walk", "unlock_bucket": "end_walk", "recycle": "take"}
"""What the functions of the earlier contract are called now."""


def _earlier_contract(source: Source) -> str:
    old = [name for name in BEFORE if name in source.functions or name in source.names]
    if not old or "begin_walk" in source.functions:
        return ""
    renamed = ", ".join(f"{BEFORE[name]}() for {name}()" for name in old)
    new = ", ".join(verb.__name__ for verb in VERBS if verb.__name__ not in (*BEFORE.values(), "obtain", "refuse", "orphan"))
    return (
        f"this scheme is written for the contract before: new are {renamed}, and {new}, which "
        "shmkret.moves has for lists in buckets; the class says which locks it has; see shmkret/schemes/__init__.py"
    )


GONE = {
    "nr_locks": "nr_locks has gone: the annotations of the class say which locks there are",
    "RECOVERABLE": "RECOVERABLE has gone: a scheme that has the six functions of the ability recover is recoverable",
}
"""What files of the earlier contract had beside its functions."""


def _gone(source: Source) -> str:
    found = (words for name, words in GONE.items() if name in source.functions or name in source.names)
    return "; ".join(found)


WHEN = ("always", "flying")
"""When a word of a scheme's table is checked: always; or that of an instance in flight which has a probe."""


def _are_lists(value: Any) -> str:
    is_right = isinstance(value, tuple) and all(isinstance(one, Chain | Ring) for one in value)
    return "" if is_right else "give a tuple of Chain and Ring, of shmkret.moves"


def _check(contract: Contract, path: Path, module: ModuleType) -> None:
    scheme = one_record(contract, path, module)
    wrong = wrong_field(scheme, DOMAINS) or wrong_lists(contract.values(path, module).lists, scheme)
    if wrong:
        raise PluginError(f"{path}: {wrong}")
    _check_words(path, module, scheme)
    _check_recovery(path, module)


def _are_checked(value: Any) -> str:
    is_tuple = isinstance(value, tuple) and all(isinstance(one, tuple) and len(one) == 3 for one in value)
    is_right = is_tuple and all(isinstance(word, str) for one in value for word in one)
    return "" if is_right and all(one[2] in WHEN for one in value) else f"give a tuple of (table, word, {' or '.join(WHEN)})"


def _check_words(path: Path, module: ModuleType, scheme: type) -> None:
    tables = parts_of(scheme).tables
    for table, word, _ in vars(module).get("CHECKED", ()):
        if table not in tables or word not in tables[table].record._fields:  # type: ignore[attr-defined]
            raise PluginError(f"{path}: CHECKED names {table}.{word}, and no table of {scheme.__name__} has such a word")


def _check_recovery(path: Path, module: ModuleType) -> None:
    """Who finishes a move of the dead knows free lists and buckets alone (shmkret.recovery.redo)."""
    finish = vars(module).get(finish_take.__name__)
    recovers = inspect.isfunction(finish) and not is_verb(finish)
    if recovers and set(vars(module).get("LISTS", IN_BUCKETS)) != set(IN_BUCKETS):
        raise PluginError(
            f"{path}: a scheme with the ability recover keeps its instances in free lists and buckets: leave out LISTS, "
            f"or {finish_take.__name__}() and the other functions of recover"
        )


SCHEME = Contract(
    name="scheme",
    folder=Path(__file__).parent,
    package="shmkret.schemes",
    record=one_record,
    signatures=tuple(map(of_verb, VERBS)),
    abilities=(
        Ability("recover", tuple(map(of_verb, (lock_free, unlock_free, lock_of, finish_push, finish_take, finish_orphan)))),
    ),
    optional=(of_verb(always),),
    outside=(Signature("populate", ("arena",)), Signature("audit", ("arena",)), Signature("rebuild", ("arena",))),
    constants=(
        Constant("BUGS", frozenset(), names),
        Constant("LISTS", IN_BUCKETS, _are_lists),
        Constant("CHECKED", (), _are_checked),
        Constant("ALWAYS", (), sentences),
        Constant("SYMMETRIC", False, truth),
    ),
    refused=(_earlier_contract, _gone),
    more=_check,
)
