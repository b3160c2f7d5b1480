"""The audit of a quiet arena: every instance in exactly one place, no cycles, the books balanced.

Always    calls = hits + nmissed + kp.nmissed + refused, over all kretprobes, those that are gone included; where the run is
          recoverable, of each CPU and of each probe by itself; elsewhere a CPU has no more hits and refused calls than calls
          a death leaves one call open, or none; and one count of a miss ahead of its call, or none
          hits = returns + flushed + in flight
          a task that stands outside every probed call has no instance in flight
          where the run is recoverable: a task's instances hang in the order of its calls, the newest first
          every instance is on the free list of its probe, in the bucket of its task, or on the slab: in one of these places
          where instances in flight are in buckets: a probe that is not registered has none; one that is has as many as its
          maxactive says, and a kprobe none. On lists of tasks nobody finds those of a probe, so that they outlive it
          no probe is on its way to be registered, or from there
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np

from shmkret.arena.chains import FREE, HUNG, OF_BUCKET, SLAB, Chain, Listed, Walked, Words, hung, instances_on, walk_all
from shmkret.arena.hashing import hash_ptr
from shmkret.arena.records import KPROBE, KRETPROBE, REGISTERED, UNREGISTERED
from shmkret.arena.segment import Arena
from shmkret.audit import findings as kinds
from shmkret.audit.checked import CHECKED
from shmkret.audit.findings import Finding
from shmkret.errors import PluginError
from shmkret.machines.world import NotFree
from shmkret.moves.intents import AT_REST, IN_FLIGHT
from shmkret.plugins.calls import blamed
from shmkret.plugins.registry import Plugin
from shmkret.text.atomics import NIL


def audit(arena: Arena, scheme: Plugin | None, *, at_rest: bool = True) -> list[Finding]:
    """What is wrong with the lists and the books of an arena that no CPU is using; empty when nothing is.

    Bounds-checked throughout: the arena may hold anything. scheme: its own audit is asked too. at_rest: only tasks whose
    program says so (tasks.place is not 0) are inside a probed call. Of an arena whose lists are not known, nothing is said that
    depends on where an instance is.
    """
    wrong: list[Finding] = []
    lists = list(walk_all(arena))
    is_known = bool(arena.lists)
    wrong += [what for one in _kinds_of(lists) for what in _wrong_of(arena, one)]
    places = np.bincount(instances_on(lists), minlength=arena.geometry.nr_instances)
    in_flight = [one for one in lists if one.listed.kind == HUNG]
    where = {"buckets" if _is_hashed(one.listed) else "the lists of tasks" for one in in_flight}
    for kind, what in ((kinds.LOST, places == 0), (kinds.DOUBLED, places > 1)):
        if is_known and what.any():
            wrong.append(Finding(kind, int(np.flatnonzero(what)[0]), int(what.sum()), 0))
    if is_known and all(_is_hashed(one.listed) for one in in_flight):
        wrong += _of_probes(arena, lists, instances_on(in_flight))
    if at_rest:
        wrong += _on_their_way(arena)
    if arena.geometry.recoverable:
        wrong += [*(_states(arena, in_flight) if is_known else ()), *_order(arena, in_flight), *_recovery_words(arena)]
    if at_rest:
        wrong += [Finding(kinds.INSIDE, f"cpu {cpu}") for cpu in inside(arena)]
        outside = _of_tasks_at_rest(arena, instances_on(in_flight))
        if outside:
            wrong.append(Finding(kinds.AT_REST, " and ".join(sorted(where)), outside, 0))
    asked = _ask_scheme(scheme, arena) if scheme is not None else []
    return wrong + _books(arena, len(instances_on(in_flight)) if is_known else None) + asked


def _kinds_of(lists: list[Walked]) -> list[list[Walked]]:
    """Those of one kind together."""
    return [list(of) for _, of in groupby(lists, key=lambda one: one.listed)]


def _numbers(lists: list[Walked]) -> Words:
    """For each of those instances, which list it is on."""
    return np.repeat([one.number for one in lists], [len(one.order) for one in lists]).astype(np.int64)


def _wrong_of(arena: Arena, lists: list[Walked]) -> Iterator[Finding]:
    """What is wrong with lists of one kind. They are looked at one by one only where all at once show something."""
    if not any(one.flaw for one in lists) and not _is_misplaced(arena, lists):
        return
    for one in lists:
        if one.flaw:
            yield Finding(kinds.BROKEN, one.name, one.flaw)
        yield from _misplaced(arena, one)


def _is_misplaced(arena: Arena, lists: list[Walked]) -> bool:
    """Whether _misplaced() finds anything in any of them."""
    kind, order, numbers = lists[0].listed.kind, instances_on(lists), _numbers(lists)
    instances = arena.records("instances")
    if kind == FREE:
        gone = arena.records("probes")["registered"][numbers] == UNREGISTERED
        return bool((gone | (instances["rp"][order] != numbers)).any())
    if kind == SLAB:
        return bool((instances["rp"][order] != NIL).any())
    return len(order) > 0 and any(True for one in lists for _ in _wrong_lists(arena, one))


def _misplaced(arena: Arena, walked: Walked) -> Iterator[Finding]:
    """Instances that are on the list of another, or of a probe that is gone."""
    instances = arena.records("instances")
    if walked.listed.kind == FREE:
        strange = walked.order[instances["rp"][walked.order] != walked.number].tolist()
        if strange:
            yield Finding(kinds.STRANGER, walked.name, (strange[0], int(instances["rp"][strange[0]])), walked.number)
        if len(walked.order) and arena.records("probes")["registered"][walked.number] == UNREGISTERED:
            yield Finding(kinds.KEPT, walked.name, len(walked.order), 0)
    elif walked.listed.kind == SLAB:
        strange = walked.order[instances["rp"][walked.order] != NIL].tolist()
        if strange:
            yield Finding(kinds.ON_SLAB, walked.name, strange[0])
    elif len(walked.order):
        yield from _wrong_lists(arena, walked)


def _wrong_lists(arena: Arena, walked: Walked) -> Iterator[Finding]:
    """Instances in flight that are where their task is not looked for."""
    tasks, home_of = arena.records("instances")["task"], homes(arena, walked.listed)
    for ri in walked.order.tolist():
        task = int(tasks[ri])
        home = home_of(task)
        if home is None:
            yield Finding(kinds.NO_TASK, ri, task)
        elif home != walked.number:
            place = f"bucket, {walked.number}" if _is_hashed(walked.listed) else f"list, of task {walked.number}"
            yield Finding(kinds.WRONG_PLACE, place, (ri, task), home)


def homes(arena: Arena, listed: Listed) -> Callable[[int], int | None]:
    """Which of the lists of instances in flight is a task's: its bucket, or its own. None: there is no such task."""
    addresses = arena.records("tasks")["address"]
    multiplier = int(arena.header["hash_multiplier"][0])

    def home(task: int) -> int | None:
        if not 0 <= task < len(addresses):
            return None
        return hash_ptr(int(addresses[task]), multiplier) if _is_hashed(listed) else task

    return home


def _is_hashed(listed: Listed) -> bool:
    return isinstance(listed, Chain) and listed.of == OF_BUCKET


def _of_tasks_at_rest(arena: Arena, in_flight: Words) -> int:
    """Instances in flight of tasks that stand outside every probed call."""
    tasks, places = arena.records("instances")["task"][in_flight], arena.records("tasks")["place"]
    owners = tasks[(tasks >= 0) & (tasks < len(places))]
    return int((places[owners] == 0).sum())


def _of_probes(arena: Arena, lists: list[Walked], in_flight: Words) -> Iterator[Finding]:
    """In flight or free, the instances of a probe are as many as it was given, and none when it is gone."""
    probes, owners = arena.records("probes"), arena.records("instances")["rp"][in_flight]
    nr = len(probes)
    known = (owners >= 0) & (owners < nr)
    gone = ~known & (owners != NIL)
    gone[known] = probes["registered"][owners[known]] == UNREGISTERED
    for ri, rp in zip(in_flight[gone].tolist(), owners[gone].tolist(), strict=True):
        yield Finding(kinds.GONE, ri, rp)
    free, flying = np.zeros(nr, np.int64), np.bincount(owners[known], minlength=nr)
    for one in lists:
        if one.listed.kind == FREE:
            free[one.number] += len(one.order)
    wanted = np.where(probes["kind"] == KRETPROBE, probes["maxactive"], 0)
    for p in np.flatnonzero((probes["registered"] == REGISTERED) & (free + flying != wanted)).tolist():
        yield Finding(kinds.NUMBER, p, (int(free[p]), int(flying[p])), int(wanted[p]))


def _on_their_way(arena: Arena) -> Iterator[Finding]:
    """Probes of no kind that there is, or in a state that one has only while a CPU registers it or takes it away."""
    probes = arena.records("probes")
    kinds_known = (probes["kind"] == KRETPROBE) | (probes["kind"] == KPROBE) | (probes["registered"] == UNREGISTERED)
    at_rest = (probes["registered"] == REGISTERED) | (probes["registered"] == UNREGISTERED)
    for p in np.flatnonzero(~(kinds_known & at_rest)).tolist():
        yield Finding(kinds.PROBE, p, (int(probes["kind"][p]), int(probes["registered"][p])))


def _states(arena: Arena, in_flight: list[Walked]) -> Iterator[Finding]:
    """Where a run is recoverable, every instance says itself where it is, and nobody has one in hand."""
    states = arena.records("instances")["state"]
    flying = np.zeros(len(states), bool)
    flying[instances_on(in_flight)] = True
    wrong = np.flatnonzero(states != np.where(flying, IN_FLIGHT, AT_REST))
    if len(wrong):
        example = int(wrong[0])
        is_at = "in a bucket" if flying[example] else "in none"
        yield Finding(kinds.STATE, example, (len(wrong), int(states[example])), is_at)


def _order(arena: Arena, in_flight: list[Walked]) -> Iterator[Finding]:
    """Last in, first out: stacks grow downwards, so that no instance of a task was entered above one that hangs behind it."""
    instances = arena.records("instances")
    for walked in in_flight:
        newest: dict[int, int] = {}
        order = walked.order.tolist()
        tasks, frames = (instances[field][order].tolist() for field in ("task", "fp"))
        above: dict[int, int] = {}
        for ri, task, frame in zip(order, tasks, frames, strict=True):
            if task in above and above[task] > frame:
                yield Finding(kinds.ORDER, walked.name, (task, newest[task]), ri)
            newest[task], above[task] = ri, frame


def _recovery_words(arena: Arena) -> Iterator[Finding]:
    for field in ("intent", "held"):
        for slot in np.flatnonzero(arena.records("recovery")[field]):
            yield Finding(kinds.NOT_CLEARED, f"recovery.{field} of slot {slot}")


def _ask_scheme(scheme: Plugin, arena: Arena) -> list[Finding]:
    own = scheme.own("audit")
    if own is None:
        return []
    with blamed([scheme.path], "audit()"):
        found = own(arena)
    if not isinstance(found, list) or not all(isinstance(what, str) for what in found):
        raise PluginError(f"{scheme.path}: audit() returned {found!r}, not a list of sentences")
    return [Finding(kinds.SCHEME, scheme.name, what) for what in found]


def not_given_back(held: NotFree, nobody: str = "no CPU is inside") -> list[Finding]:
    """What locks say when no CPU runs. nobody: why they should be free."""
    if held.locks:
        return [Finding(kinds.HELD, held.locks[0], len(held.locks), nobody)]
    return [Finding(kinds.QUEUED, array, cpu, nobody) for cpu, array in held.queued[:1]]


def inside(arena: Arena) -> list[int]:
    """The CPUs that are inside the probe path, by their own words: only these can hold a bucket's or a probe's lock."""
    cpus = arena.records("cpus")[: arena.geometry.nr_cpus]
    busy = (cpus["preempt_count"] != 0) | (cpus["irqs_off"] != 0) | (cpus["current_kprobe"] != NIL)
    return [int(cpu) for cpu in np.flatnonzero(busy)]


def own_words(scheme: Plugin | None) -> dict[str, dict[str, str]]:
    """As CHECKED, of the tables that only this scheme has."""
    words: dict[str, dict[str, str]] = {}
    for table, field, when in scheme.constants.checked if scheme is not None else ():
        words.setdefault(f"scheme.{table}", {})[field] = when
    return words


def checked_words(arena: Arena, scheme: Plugin | None) -> list[tuple[str, str, int]]:
    """The words of a quiet arena whose every bit the audit checks: section, field and record, as CHECKED and the scheme's own
    have them.
    """
    flying = {ri for order in hung(arena) for ri in order}
    g = arena.geometry
    holds: dict[str, Callable[[int], bool]] = {
        "always": lambda _: True,
        "recoverable": lambda _: bool(g.recoverable),
        "cpu": lambda i: i < g.nr_cpus,
        "listed": lambda ri: ri not in flying,
        "kretprobe": lambda p: arena.records("probes")["kind"][p] == KRETPROBE,
        "missed": lambda i: bool(g.recoverable) and arena.records("probes")["kind"][i % g.nr_probes] == KRETPROBE,
        "flying": lambda ri: ri in flying and arena.records("instances")["rp"][ri] != NIL,
    }
    return [
        (section, field, i)
        for section, fields in (CHECKED | own_words(scheme)).items()
        if section in arena.sections
        for field, condition in fields.items()
        for i in range(arena.sections[section].nr)
        if holds[condition](i)
    ]


def books(arena: Arena) -> dict[str, int]:
    """The counts of an arena: calls of kretprobes and what became of them."""
    cpus, probes, registry = (arena.records(name) for name in ("cpus", "probes", "registry"))
    of_kretprobes = probes["kind"] == KRETPROBE
    counts = {field: _sum(cpus[field]) for field in ("calls", "hits", "returns", "flushed", "refused", "walked")}
    counts["nmissed"] = _sum(probes["nmissed"]) + _sum(registry["gone_nmissed"])
    counts["kp_nmissed"] = _sum(probes["kp_nmissed"][of_kretprobes]) + _sum(registry["gone_kp_nmissed"])
    if arena.geometry.recoverable:  # then each CPU keeps them apart, probe by probe
        kept = arena.records("books")
        for field in ("calls", "hits", "refused", "nmissed"):
            counts[field] += _sum(kept[field])
        counts["kp_nmissed"] += _sum(kept["kp_nmissed"].reshape(arena.geometry.nr_slots, -1)[:, of_kretprobes])
    return counts


def _sum(words: Words) -> int:
    """Exact: a damaged count may be anything."""
    return sum(words.ravel().tolist())


def _books(arena: Arena, in_flight: int | None) -> list[Finding]:
    """in_flight: None where that is not known."""
    c = books(arena)
    outcomes = (c["hits"], c["nmissed"], c["kp_nmissed"], c["refused"])
    ends = (c["returns"], c["flushed"], in_flight)
    wrong = []
    if c["calls"] != sum(outcomes):
        wrong.append(Finding(kinds.CALLS, "books", c["calls"], outcomes))
    elif arena.geometry.recoverable:
        wrong += _rows(arena)
    else:
        wrong += _more_than_calls(arena)
    if in_flight is not None and c["hits"] != c["returns"] + c["flushed"] + in_flight:
        wrong.append(Finding(kinds.HITS, "books", c["hits"], ends))
    return wrong


def outcomes_of_books(arena: Arena) -> Words:
    """Of each slot of a recoverable arena and each probe: its hits, nmissed, kp.nmissed and refused calls; int64[4, slots,
    probes].
    """
    kept = arena.records("books")
    shape = arena.geometry.nr_slots, arena.geometry.nr_probes
    found = np.array([kept[field].reshape(shape) for field in ("hits", "nmissed", "kp_nmissed", "refused")])
    found[2, :, arena.records("probes")["kind"] != KRETPROBE] = 0
    return found


def _rows(arena: Arena) -> Iterator[Finding]:
    """The sum of all hides what one CPU, or probe, counts too little and another too much. Sums wrap, as the counters do."""
    kept = outcomes_of_books(arena)
    calls = arena.records("books")["calls"].reshape(kept.shape[1:])
    for cpu, p in np.argwhere(calls != kept.sum(0)).tolist():
        yield Finding(kinds.ROW, f"cpu {cpu}, probe {p}", int(calls[cpu, p]), tuple(kept[:, cpu, p].tolist()))


def _more_than_calls(arena: Arena) -> Iterator[Finding]:
    """There misses are counted by all CPUs together."""
    cpus = arena.records("cpus")
    rows = zip(*(cpus[field].tolist() for field in ("calls", "hits", "refused")), strict=True)
    for cpu, (calls, hits, refused) in enumerate(rows):
        if hits + refused > calls:
            yield Finding(kinds.MORE, cpu, calls, (hits, refused))


def left_open(arena: Arena, deaths: Sequence[int]) -> list[Finding]:
    """CPUs that recovery has found in more calls than they can have died in. deaths: of each CPU, since the arena was made.

    Recovery sets the calls of a CPU and a probe to what came of them, so that nothing else tells what was never counted.
    """
    return [
        Finding(kind, cpu, found, died)
        for kind, field in ((kinds.OPEN, "open_calls"), (kinds.UNCALLED, "open_misses"))
        for cpu, (found, died) in enumerate(zip(arena.records("recovery")[field].tolist(), deaths, strict=False))
        if not 0 <= found <= died
    ]
