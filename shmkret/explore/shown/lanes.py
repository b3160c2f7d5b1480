"""A schedule, step by step: a lane a CPU, a line a step, with what was there before and after.

      1  exchange table_locks[3].locked 0 -> 1
      2                                            * exchange table_locks[3].locked 1

RA       `(1 is newer)`: an old message was read, and that is what the newest says. `told by`: it ended a wait for another word
x86-TSO  a store's line says what its CPU sees from then on, a line `commit` when all others do
*    another CPU has used that word since this one did; one of the two may change it
!    what a CPU is about to do as the schedule ends

Behind it: where each CPU stands, who holds which locks, and the step after which every continuation goes wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple

from shmkret.errors import UsageError
from shmkret.explore.shown.followed import IS_WOKEN, NOWHERE, Places, places_of
from shmkret.explore.shown.inflection import Inflection, inflection_apart
from shmkret.explore.stacks import apart, sight, watching
from shmkret.explore.stacks.control import COMMITS, DIES, KINDS, MOST_MESSAGES, PICKS, STEPS
from shmkret.explore.stacks.described import NO_STEP
from shmkret.explore.stacks.executor import Pending, Stacks
from shmkret.explore.stacks.watching import A_DEADLOCK_MAY_BE


class Line(NamedTuple):
    """A step: the CPU, what it did on which word, the word's value before and after. conflicts: as * says. newest: what the
    newest message says, where it has read an old one.
    """

    cpu: int
    kind: str
    place: str
    before: int
    after: int
    conflicts: bool
    newest: int | None = None


class Followed(NamedTuple):
    """A schedule that was followed: its steps; what each CPU is about to do then; what is wrong (empty: nothing); where all of
    that stands; for each step the locks that are held after it, and by whom; after which step all was lost; a line a CPU, the
    stores that are in buffers then; for each step the words that it sees otherwise than they are in memory; and after which
    step, from 0, a CPU that held a lock took another, where that is watched.
    """

    lines: list[Line]
    pending: dict[int, str]
    wrong: list[str]
    places: Places = NOWHERE
    held: Sequence[dict[str, list[int]]] = ()
    inflection: Inflection | None = None
    held_back: tuple[str, ...] = ()
    seen: Sequence[dict[str, int]] = ()
    orders: Sequence[tuple[int, str, str]] = ()


def follow(stacks: Stacks, schedule: Sequence[int], *, judged: bool = True) -> Followed:
    """Follow a schedule from its beginning. Raises UsageError where it is none of this scene."""
    nr = stacks.scene.nr_cpus
    lines: list[Line] = []
    uses: dict[int, list[tuple[int, bool]]] = {}
    orders: list[tuple[int, str, str]] = []
    held: list[dict[str, list[int]]] = []
    seen: list[dict[str, int]] = []
    watching.learn(stacks, schedule)
    stacks.begin()
    for n, choice in enumerate(schedule):
        what, cpu = divmod(choice, nr)
        step = stacks.pending(cpu)
        old, value, newest = sight.old_message(stacks, choice)
        late = sight.held_back(stacks, cpu)
        address = late[0][0] if what == COMMITS and late else sight.word_of(stacks, cpu)
        before = sight.value_at(address) if what == COMMITS and address else sight.seen_by(stacks, cpu, address)
        is_woken = stacks.get(PICKS) != 0
        if not stacks.follow(choice):
            raise UsageError(f"step {n + 1} of the schedule cannot be done: the scenario has changed, or the code that it runs")
        held.append(_locks(stacks))
        new = watching.in_order(stacks) - {one[1:] for one in orders}
        orders += [(n, *one) for one in sorted(new)]
        seen.append({})
        if what == COMMITS:
            conflict = conflicts(uses.setdefault(address, []), cpu, writes=True)
            place = stacks.name_of(address - stacks.arena.address)
            lines.append(Line(cpu, "commit", place, before, sight.value_at(address), conflict))
            continue
        if old:
            place = stacks.name_of(old - stacks.arena.address)
            kind = step.kind if what < KINDS - 1 + MOST_MESSAGES else f"{step.kind} {step.place} told by"
            lines.append(Line(cpu, kind, place, value, value, False, newest))
            seen[-1] = {**({} if kind == step.kind else {step.place: _in_vain(step)}), place: value}
            uses.setdefault(old, []).append((cpu, False))
            continue
        if what != STEPS:
            dies = "stands still" if stacks.scene.stops else "dies"
            said = dies if what == DIES else IS_WOKEN if is_woken else "wakes for no reason"
            lines.append(Line(cpu, said, "", 0, 0, False))
            continue
        after = sight.seen_by(stacks, cpu, address)
        is_held_back = len(sight.held_back(stacks, cpu)) > len(late)  # then nobody else can tell yet
        conflict = bool(address) and not is_held_back and conflicts(uses.setdefault(address, []), cpu, writes=step.writes)
        lines.append(Line(cpu, step.kind, step.place, before, after, conflict))
    found = {cpu: stacks.pending(cpu) for cpu in range(nr)}
    pending = {cpu: f"{step.kind} {step.place}".strip() for cpu, step in found.items() if step.kind not in NO_STEP}
    held_back = tuple(_held_back(stacks, cpu) for cpu in range(nr) if sight.held_back(stacks, cpu))
    return Followed(lines, pending, stacks.judge() if judged else [], held=held, held_back=held_back, seen=seen, orders=orders)


def _in_vain(step: Pending) -> int:
    """What a word says that does not end a wait for it."""
    return step.value if "!=" in step.kind else step.value + 1 if "==" in step.kind else int("mutex" in step.kind)


def _held_back(stacks: Stacks, cpu: int) -> str:
    stores = [(stacks.name_of(place - stacks.arena.address), value) for place, value in sight.held_back(stacks, cpu)]
    return f"cpu {cpu} has in its store buffer: {', '.join(f'{name} {_value(value)}' for name, value in stores)}"


def _locks(stacks: Stacks) -> dict[str, list[int]]:
    """Who holds each lock now, by its name."""
    return {word.rpartition(".")[0]: who for word, who in watching.held(stacks).items()}


def conflicts(uses: list[tuple[int, bool]], cpu: int, *, writes: bool) -> bool:
    """Whether a CPU's use of a word is in conflict with another's since its last; it is noted."""
    others = takewhile(lambda use: use[0] != cpu, reversed(uses))
    found = any(wrote or writes for _, wrote in others)
    uses.append((cpu, writes))
    return found


def follow_apart(stacks: Stacks, schedule: Sequence[int]) -> Followed:
    """The same in a process of its own: where the last step never ends, or crashes, that is what is wrong."""
    try:
        followed = apart.run(stacks, lambda: follow(stacks, schedule))
        places = places_of(stacks, schedule, [line[1:3] for line in followed.lines], followed.seen)
    except apart.Stopped as error:
        followed = Followed([], {}, [])
        if schedule:
            followed = apart.run(stacks, lambda: follow(stacks, schedule[:-1], judged=False))
        places = places_of(stacks, schedule, [line[1:3] for line in followed.lines], followed.seen)
        followed = followed._replace(wrong=[f"{error}, at {places.runs_on}" if places.runs_on else str(error)])
    followed = followed._replace(places=places)
    return followed._replace(inflection=inflection_apart(stacks, schedule)) if followed.wrong and schedule else followed


def drawn(followed: Followed, nr_cpus: int) -> list[str]:
    """The lanes as text."""
    texts = [_text(line) for line in followed.lines]
    ends = {cpu: f"! {words}" for cpu, words in followed.pending.items()}
    widths = [
        max(
            [len(f"cpu {cpu}"), len(ends.get(cpu, ""))]
            + [len(t) for t, line in zip(texts, followed.lines, strict=True) if line.cpu == cpu]
        )
        for cpu in range(nr_cpus)
    ]
    rows = [("step", [f"cpu {cpu}" for cpu in range(nr_cpus)])]
    for n, (text, line) in enumerate(zip(texts, followed.lines, strict=True)):
        rows.append((str(n + 1), ["" if cpu != line.cpu else text for cpu in range(nr_cpus)]))
    rows.append(("", [ends.get(cpu, "") for cpu in range(nr_cpus)]))
    ends_at = ["", *followed.places.steps[: len(texts)], *[""] * (len(rows) - 1 - len(followed.places.steps[: len(texts)]))]
    drawn = [
        "  ".join([f"{number:>5}", *(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)), place]).rstrip()
        for (number, cells), place in zip(rows, ends_at, strict=True)
    ]
    return [
        *drawn,
        *followed.held_back,
        *(f"cpu {cpu} is at {place}" for cpu, place in followed.places.pending.items() if place),
        *_holders(last_held(followed)),
        *(_in_order(followed) if any(A_DEADLOCK_MAY_BE in one for one in followed.wrong) else []),
        *([str(followed.inflection)] if followed.inflection else []),
    ]


def last_held(followed: Followed) -> dict[str, list[int]]:
    """Who holds each lock as the schedule ends."""
    return followed.held[-1] if followed.held else {}


def inflection_of(followed: Followed) -> dict[str, Any] | None:
    """After which step all was lost, for an object; None where nothing is wrong, or a continuation never ends."""
    found = followed.inflection
    return {"step": found.step, "not_before": found.not_before, "exact": found.is_exact} if found else None


def _holders(held: dict[str, list[int]]) -> list[str]:
    """Who holds what, a line each."""
    by_cpu: dict[int, list[str]] = {}
    for lock, who in held.items():
        for cpu in who:
            by_cpu.setdefault(cpu, []).append(lock)
    return [f"cpu {cpu} holds {', '.join(locks)}" for cpu, locks in sorted(by_cpu.items())]


def _in_order(followed: Followed) -> list[str]:
    """Each step with which a CPU took a lock after another, for the first time, and where that is."""
    places = [*followed.places.steps, *[""] * len(followed.lines)]
    return [
        f"step {n + 1}: cpu {followed.lines[n].cpu} takes {taken}, and holds {held}  {places[n]}".rstrip()
        for n, held, taken in followed.orders
    ]


def _text(line: Line) -> str:
    mark = "* " if line.conflicts else "  "
    if not line.place:
        return f"{mark}{line.kind}"
    value = _value(line.before) if line.before == line.after else f"{_value(line.before)} -> {_value(line.after)}"
    newest = "" if line.newest is None else f" ({_value(line.newest)} is newer)"
    return f"{mark}{line.kind} {line.place} {value}{newest}"


def _value(value: int) -> str:
    return str(value) if abs(value) < 1 << 20 else f"{value:#x}"
