"""Rebuild the lists of a quiet arena from what its instances say of themselves, and say what was done.

    lists whole      each instance in one place: they are the truth, and states are written after them
    lists broken     the states are: IN_FLIGHT hangs on the list of its task, which may be a bucket,
                     all else lies on the free list of its probe, or on the slab where it has none
    not known        where the lists of the scheme are: they stay as they are, and so do the counts

Order     what is left of a chain stays in its order, pieces that have lost their head come last: one broken link is mended
          exactly, so that return probes still find a task's newest instance first
Moves     an instance that was being taken from its list, and is on none, has been taken
Counts    after the lists: an intent that is left says whether its count was made, where its instance is whether it should be;
          a call that no CPU will end is no call
Never     a count that does not add up is changed: there is nothing that says which of them is wrong
Source    tdb_rescue; the redo of shmkret.recovery.redo, as far as lists that cannot be trusted allow
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from shmkret.arena.chains import FREE, HUNG, THE_SLAB, Chain, Listed, Walked, instances_on, list_name, walk_all
from shmkret.arena.records import KRETPROBE
from shmkret.arena.segment import Arena
from shmkret.audit.checks import homes, outcomes_of_books
from shmkret.errors import ArenaError
from shmkret.machines.plain import PlainMachine, lock_arrays
from shmkret.moves.intents import (
    AT_REST,
    FLUSHED,
    HAND,
    HANG,
    IN_FLIGHT,
    PUSH,
    REFUSAL,
    REM,
    RETURNED,
    count_of,
    counted,
    instance_of,
    op_of,
    why_of,
)
from shmkret.plugins.calls import blamed
from shmkret.plugins.registry import Plugin
from shmkret.text import atomics
from shmkret.text.atomics import NIL

Place = tuple[Chain, int]
"""A list: one of a chain, by its number."""


def repair(arena: Arena, scheme: Plugin | None, lock: Plugin | None) -> list[str]:
    """Rebuild what can be, in an arena that no process uses. Returns what was done, in sentences; empty: nothing had to be.

    Args:    scheme: its own rebuild(arena), if it has one, makes the lists that only it keeps.
             lock: every lock is made free. None: they stay as they are.
    Raises:  ArenaError for the arena of a run that was not recoverable: its instances do not say where they are; and for one
             with lists that are not chained. Nothing is changed then.
    """
    if not arena.geometry.recoverable:
        raise ArenaError("the run was not recoverable, so that its instances do not say where they are: it cannot be repaired")
    if not all(isinstance(listed, Chain) for listed in arena.lists):
        raise ArenaError("the arena has rings, which cannot be rebuilt")
    done = [*_rebuild(arena), *_settle_intents(arena), *_close_calls(arena)] if arena.lists else []
    rebuild = scheme.own("rebuild") if scheme is not None else None
    if scheme is not None and rebuild is not None:
        with blamed([scheme.path], "rebuild()"):
            done += rebuild(arena)
    return done + (_free_locks(arena, lock) if lock is not None else [])


def _settle_intents(arena: Arena) -> list[str]:
    """The move of a CPU is done if its instance now is where it leads to, and else not: its count follows."""
    recovery, cpus, kept, states = (arena.records(name) for name in ("recovery", "cpus", "books", "instances"))
    nr_probes = arena.geometry.nr_probes
    recovery["held"] = 0
    done = []
    for slot in np.flatnonzero(recovery["intent"]).tolist():
        intent = int(recovery["intent"][slot])
        op, why, ri = op_of(intent), why_of(intent), instance_of(intent)
        if ri < len(states):
            state = int(states["state"][ri])
            field = {RETURNED: "returns", FLUSHED: "flushed", REFUSAL: "refused"}.get(why) if op in (PUSH, REM) else None
            field = "hits" if op == HANG else field
            if field and state == (IN_FLIGHT if op == HANG else AT_REST):
                counter, i = cpus[field], slot
                if field in ("hits", "refused"):
                    counter, i = kept[field], slot * nr_probes + int(states["rp"][ri]) % nr_probes
                count = counted(count_of(intent), int(counter[i]))
                counter[i] = (count + (1 << 63)) % (1 << 64) - (1 << 63)  # it wraps, as the text's does
        recovery["intent"][slot] = 0
        done.append(f"slot {slot} was in the middle of a move of {ri}")
    return done


def _chains(arena: Arena) -> list[Chain]:
    """Where instances are: on the lists of the scheme, and on the slab."""
    return [listed for listed in (*arena.lists, THE_SLAB) if isinstance(listed, Chain)]


def _lists(arena: Arena) -> dict[Place, int]:
    """Every list, and its first instance."""
    return {
        (listed, number): first
        for listed in _chains(arena)
        for number, first in enumerate(arena.records(listed.section)[listed.field].tolist())
    }


def _rebuild(arena: Arena) -> list[str]:
    instances = arena.records("instances")
    lists = list(walk_all(arena))
    times = np.bincount(instances_on(lists), minlength=len(instances))
    if not any(one.flaw for one in lists) and (times == 1).all():
        return _write_owners(arena, lists) + _write_states(arena, lists)
    found: dict[int, list[Listed]] = {ri: [] for ri in range(len(instances))}
    for one in lists:
        for ri in one.order.tolist():
            found[ri].append(one.listed)
    places = {}
    place, taken = _places(arena), _being_taken(arena)
    for ri in found:
        state = int(instances["state"][ri])
        says = state if state in (IN_FLIGHT, AT_REST) or HAND <= state < HAND + arena.geometry.nr_slots else None
        hung = says == IN_FLIGHT if says is not None else any(listed.kind == HUNG for listed in found[ri])
        places[ri] = place(ri, hung and (bool(found[ri]) or ri not in taken))
    return _hang(arena, places) + _write_states(arena, list(walk_all(arena)))


def _being_taken(arena: Arena) -> set[int]:
    """Instances that a CPU had begun to take from the list of their task."""
    intents = arena.records("recovery")["intent"].tolist()
    return {instance_of(intent) for intent in intents if op_of(intent) == REM}


def _places(arena: Arena) -> Callable[[int, bool], Place]:
    """Where an instance belongs: place(ri, is it in flight)."""
    instances, probes = arena.records("instances"), arena.records("probes")
    task_of, rp_of = instances["task"].tolist(), instances["rp"].tolist()
    is_registered = ((probes["kind"] == KRETPROBE) & (probes["registered"] > 0)).tolist()
    of_kind = {listed.kind: listed for listed in _chains(arena)}
    home_of = homes(arena, of_kind[HUNG]) if HUNG in of_kind else None

    def place(ri: int, hung: bool) -> Place:
        rp = rp_of[ri]
        home = home_of(task_of[ri]) if home_of is not None and hung else None
        if home is not None:
            return of_kind[HUNG], home
        if FREE in of_kind and 0 <= rp < len(is_registered) and is_registered[rp]:
            return of_kind[FREE], rp
        return THE_SLAB, 0

    return place


def _hang(arena: Arena, places: dict[int, Place]) -> list[str]:
    """Every list anew."""
    instances = arena.records("instances")
    before = instances["next"].tolist()
    members: dict[Place, set[int]] = {}
    for ri, where in places.items():
        members.setdefault(where, set()).add(ri)
    done = []
    for where, first in _lists(arena).items():
        listed, number = where
        of_list = members.get(where, set())
        order, guessed = _order(first, of_list, before)
        for ri, after in zip(order, [*order[1:], NIL], strict=False):
            instances["next"][ri] = after
        changed = [ri for ri in order if instances["next"][ri] != before[ri]]
        if changed or first != (order[0] if order else NIL):
            order_is = "; the order is a guess" if guessed and listed.kind == HUNG else ""
            done.append(f"{list_name(listed, number)}: rebuilt, {len(order)} instances{order_is}")
        arena.records(listed.section)[listed.field][number] = order[0] if order else NIL
    slab = members.get((THE_SLAB, 0), set())
    instances["rp"][list(slab)] = instances["task"][list(slab)] = NIL
    return done


def _order(first: int, members: set[int], following: list[int]) -> tuple[list[int], bool]:
    """The members of a list in the order of what is left of its chain; whether that is a guess.

    The walk from `first` as far as it goes, then every piece that it has not reached: in front of what it leads to, since
    then the link that passes it by is the wrong one, and else at the end. With one piece this is exact.
    """
    order = _walk(first, members, following)
    rest = members.difference(order)
    led_to = {following[ri] for ri in rest}
    heads = sorted(ri for ri in rest if ri not in led_to)
    pieces = 0
    for head in [*heads, *sorted(rest)]:  # the second half: circles, which have no head
        piece = _walk(head, rest, following)
        rest = rest.difference(piece)
        if piece:
            pieces += 1
            leads_to = following[piece[-1]]
            at = order.index(leads_to) if leads_to in order else len(order)
            order[at:at] = piece
    return order, pieces > 1 or len(heads) < pieces


def _walk(first: int, members: set[int], following: list[int]) -> list[int]:
    """The members that a chain leads through, until it leaves them or comes back."""
    order: dict[int, None] = {}
    ri = first
    while ri in members and ri not in order:
        order[ri] = None
        ri = following[ri]
    return list(order)


def _write_owners(arena: Arena, lists: list[Walked]) -> list[str]:
    """Whose every free instance is."""
    owners = arena.records("instances")["rp"]
    wanted = owners.copy()
    for one in lists:
        if one.listed.kind != HUNG and len(one.order):
            wanted[one.order] = one.number if one.listed.kind == FREE else NIL
    wrong = np.flatnonzero(owners != wanted).tolist()
    done = [f"instance {ri} said that its probe was {owners[ri]}, and it is {wanted[ri]}" for ri in wrong]
    owners[wrong] = wanted[wrong]
    return done


def _write_states(arena: Arena, lists: list[Walked]) -> list[str]:
    """What every instance says of itself."""
    states = arena.records("instances")["state"]
    wanted = np.full(len(states), AT_REST)
    wanted[instances_on([one for one in lists if one.listed.kind == HUNG])] = IN_FLIGHT
    wrong = np.flatnonzero(states != wanted).tolist()
    words = {IN_FLIGHT: "in a bucket", AT_REST: "free"}
    done = [f"instance {ri} said {int(states[ri])}, and is {words[int(wanted[ri])]}" for ri in wrong]
    states[wrong] = wanted[wrong]
    return done


def _close_calls(arena: Arena) -> list[str]:
    """A CPU that was in one call more than it has ended has died in it; in one fewer, as it missed it. Two are no death."""
    done = outcomes_of_books(arena).sum(0)
    kept = arena.records("books")["calls"].reshape(done.shape)
    opened = np.where(abs(kept - done) == 1, kept - done, 0)
    for sign in (opened > 0, opened < 0):
        opened[sign & (sign.sum(1) > 1)[:, None]] = 0
    kept -= opened
    in_a_call, missed = (np.flatnonzero(which.any(1)) for which in (opened > 0, opened < 0))
    return [f"cpu {cpu} died in a call, which does not count" for cpu in in_a_call.tolist()] + [
        f"cpu {cpu} died in a call that it had counted as missed, and which counts" for cpu in missed.tolist()
    ]


def _free_locks(arena: Arena, lock: Plugin) -> list[str]:
    """Nobody is alive: nobody holds one, and no CPU has anything in its tables. A lock that cannot say so is made free, too."""
    freed: list[str] = []
    emptied: list[str] = []
    with atomics.use(PlainMachine(None)), blamed([lock.path], "init()"):
        for name, locks in lock_arrays(arena, lock.record):
            is_free, held = lock.own("is_free"), _held(arena, lock, name, locks)
            if is_free is not None and not held and _all_idle(arena, lock, locks):
                continue
            before, tables = _contents(arena, name)
            _make_free(arena, lock, name, locks)
            after, tables_after = _contents(arena, name)
            changed = [i for i in held if is_free is not None or before[i] != after[i]]
            freed += [f"{name}[{i}]" for i in changed]
            emptied += [name] if tables != tables_after and not changed else []
    done = [f"freed {len(freed)} locks, such as {freed[0]}"] if freed else []
    return done + [f"no CPU is in a queue of {name} any more" for name in emptied]


def _held(arena: Arena, lock: Plugin, name: str, locks: Any) -> list[int]:
    """The locks of an array that are not free; all, where the lock cannot say."""
    is_free = lock.own("is_free")
    nr = range(arena.sections[name].nr)
    return [i for i in nr if is_free is None or not says(is_free, locks, i)]


def _all_idle(arena: Arena, lock: Plugin, locks: Any) -> bool:
    is_idle = lock.own("is_idle")
    return is_idle is None or all(says(is_idle, locks, cpu) for cpu in range(arena.geometry.nr_slots))


def says(verb: Callable[[Any, int], bool], locks: Any, i: int) -> bool:
    """What a function of the lock's says; its words may be anything, and lead to where nothing is: that is no yes."""
    try:
        return bool(verb(locks, i))
    except IndexError:
        return False


def _make_free(arena: Arena, lock: Plugin, name: str, locks: Any) -> None:
    """An array of locks, and its tables, as in a new arena."""
    init, init_cpu = lock.own("init"), lock.own("init_cpu")
    for section in (name, *_tables(arena, name)):
        arena.records(section).view(np.uint8)[:] = 0
    for i in range(arena.sections[name].nr if init is not None else 0):
        init(locks, i)  # type: ignore[misc]
    for cpu in range(arena.geometry.nr_slots if init_cpu is not None else 0):
        init_cpu(locks, cpu)  # type: ignore[misc]


def _contents(arena: Arena, name: str) -> tuple[list[bytes], list[bytes]]:
    """The bytes of each lock of an array, and those of each of its tables."""
    return [lock.tobytes() for lock in arena.records(name)], [arena.records(of).tobytes() for of in _tables(arena, name)]


def _tables(arena: Arena, name: str) -> list[str]:
    """The sections of the tables of an array of locks."""
    return [section for section in arena.sections if section.startswith(f"{name}.")]
