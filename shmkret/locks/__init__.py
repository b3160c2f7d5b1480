"""Inter-process locks, one a file.

A file defines one NamedTuple class. Its fields are the words of a lock, and the tables beside them:

    locked: Words                                a word of the lock
    node: Annotated[Node, PER_CPU]               a table: lock.node.next[cpu], of a NamedTuple class Node of words
    slots: Annotated[int, NR_SLOTS]              a number

Functions get the array of all locks of a kind, `lock`, and the index of the one that is meant, `i`. A last parameter `cpu`
may be left out by a lock that does not ask who comes.

    every lock    acquire(lock, i, cpu)                    take it, waiting
                  release(lock, i, cpu)                    give it back; only its holder calls this

    try           try_acquire(lock, i, cpu) -> bool        take it if that needs no waiting, and else leave it
    shared        acquire_shared(lock, i, cpu)             take it beside other readers
                  release_shared(lock, i, cpu)
    sequence      read_begin(lock, i) -> int               readers do not write: a number to begin with,
                  read_retry(lock, i, seq) -> bool         and whether what was read since must be read again
    combine       apply(lock, i, cpu, section, k, arg)     what enter(section, k, arg) answers, under the lock, on any CPU
    gate          acquire_unless(lock, i, stop, cpu)       as acquire(), True; or let go, and False, once stop[0] is not 0
                  reset(lock, i, owner)                    everybody has let go: let the CPU `owner` hold it, or nobody (NIL)
    owner         acquire_unless
                  take_over(lock, i, dead, cpu) -> bool    if CPU `dead` has it: now `cpu` has it
                  wake_all(lock, i)                        let everybody who sleeps look again
    robust        acquire_robust(lock, i, cpu) -> int      as acquire(), 0; or OWNER_DIED: its holder died, it is ours
                  try_acquire_robust(lock, i, cpu) -> int  the same without waiting; REFUSED when a live CPU has it

A file has all functions of an ability, or none. `gate`, `owner` and `robust` are the three ways to survive the death of a
holder: a recoverable run uses the one that the lock has (family()). Without `combine`, apply() acquires, enters and releases.

    each optional
    text          always(lock, i, nr) -> int    asked of every state of a search, with nr CPUs: 0, or the number, from 1, of a
                                         sentence of ALWAYS that is true of lock i and must not be
                  reset_cpu(lock, cpu)   before reset() of every lock: the CPU's records are as if it had never come
    outside       init(lock, i)          make it free, where all zeros is not free
                  init_cpu(lock, cpu)    make the CPU's records ready
                  start(lock, i, n)      after init(): make it as after n turns, taken and given back, 0 <= n < 2^63; a
                                         rehearsal begins there, with n just below 2^31, 2^32 and 2^63
                  is_free(lock, i)       whether nobody holds it; asked when every CPU has stopped
                  is_idle(lock, cpu)     whether the CPU's records are as if it had never come; asked likewise
                  holder(lock, i)        the CPU that holds it, or -1 where its words do not say

Always    a CPU holds or awaits at most one lock of an array, but for a recoverer of the family `owner`. So a lock with a
          table PER_CPU or PER_LOCK_AND_CPU, which its holder needs, cannot have take_over(); `home` is no such table
Constants SIZE, the bytes of a lock whose words libc owns. CONTROL = True for a lock that must fail. ATTACHABLE = False
          where the words mean something to the process that made them and its children alone. ALWAYS, the sentences of what
          always() answers. FIFO = True for a lock that serves who comes first: searches watch that, with `--monitors fifo`.
          SYMMETRIC = True for one that is told who calls and yet prefers nobody: see `shmkret explore --symmetric`
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

from shmkret.arena.fields import MOST_BYTES, Legal, parts_of, wrong_field
from shmkret.arena.layout import OF_LOCKS
from shmkret.errors import PluginError
from shmkret.plugins.contract import (
    Ability,
    Constant,
    Contract,
    Signature,
    Source,
    of_verb,
    one_record,
    sentences,
    truth,
    whole,
)
from shmkret.text.domains import NR_LOCKS, NR_NODES, NR_SLOTS, PER_CPU, PER_LOCK_AND_CPU, Home, name_of
from shmkret.text.verbs import defaulted, droppable, generic

GATE, OWNER, ROBUST = "gate", "owner", "robust"
FAMILIES = (OWNER, ROBUST, GATE)
"""The abilities by which a lock survives its holder; of several that it has, the first."""
DOMAINS = Legal(tables=tuple(OF_LOCKS), numbers=(NR_LOCKS, NR_SLOTS, NR_NODES), locks={})
ONE_A_HOLDER = (PER_CPU, PER_LOCK_AND_CPU)
"""Of a table of these domains a CPU has one record in an array, whichever lock it holds."""


@droppable
def acquire(lock: Any, i: int, cpu: int) -> None:
    """Take lock `i`, waiting until it is free; `cpu` asks for it."""
    raise NotImplementedError


@droppable
def release(lock: Any, i: int, cpu: int) -> None:
    """Give lock `i` back; only its holder, `cpu`, calls this."""
    raise NotImplementedError


@droppable
def try_acquire(lock: Any, i: int, cpu: int) -> bool:
    """Take lock `i` if that needs no waiting."""
    raise NotImplementedError


@droppable
def acquire_shared(lock: Any, i: int, cpu: int) -> None:
    """Take lock `i` beside others that do the same."""
    raise NotImplementedError


@droppable
def release_shared(lock: Any, i: int, cpu: int) -> None:
    """Give it back."""
    raise NotImplementedError


@generic
def read_begin(lock: Any, i: int) -> int:
    """A number to give to read_retry()."""
    raise NotImplementedError


@generic
def read_retry(lock: Any, i: int, seq: int) -> bool:
    """Whether a writer may have changed what was read since read_begin()."""
    raise NotImplementedError


@generic
def enter(section: Any, k: Any, arg: int) -> int:
    """A critical section, for apply(): what its class has as enter()."""
    raise NotImplementedError


@defaulted
def apply(lock: Any, i: int, cpu: int, section: Any, k: Any, arg: int) -> int:
    """Run enter(section, k, arg) while nobody else runs a section under lock `i`; its answer."""
    acquire(lock, i, cpu)
    answer: int = enter(section, k, arg)
    release(lock, i, cpu)
    return answer


@droppable
def acquire_unless(lock: Any, i: int, stop: Any, cpu: int) -> bool:
    """Take lock `i`, or let go of it and return False once `stop[0]` is not 0."""
    raise NotImplementedError


@generic
def reset(lock: Any, i: int, owner: int) -> None:
    """No CPU is inside acquire_unless() or release(), and whoever waited has let go: let `owner` hold lock `i`, or nobody
    (NIL).
    """
    raise NotImplementedError


@generic
def reset_cpu(lock: Any, cpu: int) -> None:
    """Before reset() of every lock: the records of `cpu` as if it had never come."""
    raise NotImplementedError


@droppable
def take_over(lock: Any, i: int, dead: int, cpu: int) -> bool:
    """If CPU `dead` has lock `i`, then `cpu` has it now, and the answer is True."""
    raise NotImplementedError


@generic
def wake_all(lock: Any, i: int) -> None:
    """Let everybody who sleeps on lock `i` look again."""
    raise NotImplementedError


@droppable
def acquire_robust(lock: Any, i: int, cpu: int) -> int:
    """Take lock `i`. Returns 0, or OWNER_DIED: its holder died in it."""
    raise NotImplementedError


@droppable
def try_acquire_robust(lock: Any, i: int, cpu: int) -> int:
    """As acquire_robust(), without waiting: REFUSED when a live CPU has it."""
    raise NotImplementedError


@defaulted
def always(lock: Any, i: int, nr: int) -> int:
    """What is wrong with lock `i` at this moment, whoever is in the middle of what: 0, or the number of a sentence of ALWAYS.
    nr: CPUs and recoverers.
    """
    return 0


def family(abilities: frozenset[str]) -> str:
    """How a lock with these abilities survives its holder: one of FAMILIES; empty where it does not."""
    return next((one for one in FAMILIES if one in abilities), "")


def _recovery_constant(source: Source) -> str:
    if "RECOVERY" not in source.names:
        return ""
    return (
        f"RECOVERY is no more: what a lock can do follows from its functions. The third parameter of reset() has changed, too: "
        f"it was reset(lock, i, held), it is {of_verb(reset)}, where NIL means free; see shmkret/locks/__init__.py"
    )


def _held_parameter(source: Source) -> str:
    names = source.functions.get("reset", ())
    if len(names) != 3 or names[2] == "owner":
        return ""
    return (
        f"reset(lock, i, {names[2]}) is not {of_verb(reset)}: the old reset(lock, i, held) got True for a lock that is held; "
        "`owner` is the CPU that holds it, or NIL, which is not 0; call the parameter owner"
    )


def _check(contract: Contract, path: Path, module: ModuleType) -> None:
    """Its fields are legal; and a table that its holder needs does not go with take_over()."""
    lock = one_record(contract, path, module)
    wrong = wrong_field(lock, DOMAINS)
    if wrong:
        raise PluginError(f"{path}: {wrong}")
    parts = parts_of(lock)
    if not parts.words:
        raise PluginError(f"{path}: {lock.__name__} has no word: a lock needs one at least, annotated Words")
    needed = [per for record, per in parts.tables.values() if per in ONE_A_HOLDER and record is not Home]
    if "take_over" in vars(module) and needed:
        raise PluginError(
            f"{path}: a lock with a {name_of(needed[0])} table cannot have take_over(): a recoverer holds many locks at once, "
            "and has one record; recover it by gate, or by functions of your own"
        )


def _here(name: str, verbs: tuple[Any, ...]) -> Ability:
    return Ability(name, tuple(map(of_verb, verbs)))


LOCK = Contract(
    name="lock",
    folder=Path(__file__).parent,
    package="shmkret.locks",
    record=one_record,
    signatures=(of_verb(acquire), of_verb(release)),
    abilities=(
        _here("try", (try_acquire,)),
        _here("shared", (acquire_shared, release_shared)),
        _here("sequence", (read_begin, read_retry)),
        _here("combine", (apply,)),
        _here(GATE, (acquire_unless, reset)),
        _here(OWNER, (acquire_unless, take_over, wake_all)),
        _here(ROBUST, (acquire_robust, try_acquire_robust)),
    ),
    optional=(of_verb(reset_cpu), of_verb(always)),
    outside=(
        Signature("init", ("lock", "i")),
        Signature("init_cpu", ("lock", "cpu")),
        Signature("start", ("lock", "i", "n")),
        Signature("is_free", ("lock", "i")),
        Signature("is_idle", ("lock", "cpu")),
        Signature("holder", ("lock", "i")),
    ),
    constants=(
        Constant("SIZE", 0, whole(0, MOST_BYTES)),
        Constant("CONTROL", False, truth),
        Constant("ATTACHABLE", True, truth),
        Constant("ALWAYS", (), sentences),
        Constant("FIFO", False, truth),
        Constant("SYMMETRIC", False, truth),
    ),
    refused=(_recovery_constant, _held_parameter),
    more=_check,
)
