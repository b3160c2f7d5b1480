"""What any process that shares the memory of a search can see of it: the one that runs the stacks, and the one that watches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from shmkret.arena.fields import fields_of
from shmkret.explore.stacks import control, nodes
from shmkret.explore.stacks.executor import Stacks, words_at
from shmkret.machines.compiled import watched

CHANGING = (control.STATES, control.DONE_STEPS, control.DEPTH, control.CURRENT, watched.PRINT, watched.OWN_PRINT)


def mark(stacks: Stacks) -> tuple[int, ...]:
    """Words of which one changes as long as a search goes on."""
    return tuple(map(stacks.get, CHANGING))


def running(stacks: Stacks) -> tuple[int, list[int]]:
    """Where compiled code is, or has crashed: the CPU whose code it is, and the choices up to that step."""
    cpu = (stacks.get(control.CURRENT) - stacks._stacks) // watched.STACK
    if stacks.get(control.BUSY) == control.BEGINS:
        return cpu, []
    frame = stacks.get(control.FRAMES) + control.FRAME * stacks.get(control.DEPTH)
    return cpu, [*stacks.path(), value_at(frame + control.F_CHOICE)]


def word_of(stacks: Stacks, cpu: int) -> int:
    """The address of the word that a CPU is about to use; 0 where it uses none."""
    return value_at(stacks._record(cpu) + watched.PLACE)


def seen_by(stacks: Stacks, cpu: int, place: int) -> int:
    """What a CPU sees at an address: its own newest store there that is held back, else what is in memory."""
    return next((value for at, value in reversed(held_back(stacks, cpu)) if at == place), value_at(place) if place else 0)


def old_message(stacks: Stacks, choice: int) -> tuple[int, int, int | None]:
    """The word of which a CPU is about to read a message that a choice says; what that says; and what the newest says, if it is
    another. The word is 0 where a choice says nothing of that.
    """
    nr = stacks.scene.nr_cpus
    if choice < control.KINDS * nr:
        return 0, 0, None
    of_stop, back = divmod(control.back_of(choice, nr), control.MOST_MESSAGES)
    place = value_at(stacks._record(choice % nr) + (watched.STOP if of_stop else watched.PLACE))
    with contextlib.suppress(ValueError):  # the choice is not possible
        return (place, stacks._messages.old(place, back), value_at(place)) if back else (place, value_at(place), None)
    return 0, 0, None


def held_back(stacks: Stacks, cpu: int) -> list[tuple[int, int]]:
    """The stores in a CPU's buffer, the oldest first: addresses, and values."""
    record = stacks._record(cpu)
    numbers = range(value_at(record + watched.COMMITTED), value_at(record + watched.ISSUED))
    entries = [record + watched.BUFFER + 16 * (n % watched.MOST_BUFFERED) for n in numbers]
    return [(value_at(entry), value_at(entry + 8)) for entry in entries]


def value_at(address: int) -> int:
    """The word at an address."""
    return int(words_at(address, 1)[0])


def shared(stacks: Stacks) -> list[int]:
    """The places in the arena of words that have turned out to be shared, in whatever process that was."""
    users = words_at(stacks._users, stacks.arena.size // 8)
    return sorted(place for place in stacks._static or stacks._shared if users[place // 8] & watched.STEP)


def pending_together(stacks: Stacks) -> list[int] | None:
    """The choices that lead to where both accesses of a data race are about to be done, when a search by traces has found it in
    a run where they are not; None: it has not.

    These are, in order, all steps that happen before one of the two, and not the first of the two itself.
    """
    first, cpu, nr = stacks.get(nodes.RACE_AT), stacks.get(nodes.RACE_OF) % stacks.scene.nr_cpus, stacks.scene.nr_cpus
    if first < 0:
        return None

    def row(n: int, part: int) -> list[int]:
        return words_at(stacks.get(nodes.NODES) + (n + 2) * nodes.NODE + part, nr).tolist()  # type: ignore[no-any-return]

    last = row(stacks.get(control.DEPTH), nodes.N_LAST)[cpu]
    before = [max(pair) for pair in zip(row(first, nodes.N_CLOCK), row(last, nodes.N_CLOCK), strict=True)]
    return [choice for n, choice in enumerate(stacks.path()) if n != first and n <= before[choice % nr]]


def columns(stacks: Stacks) -> Iterator[tuple[str, frozenset[int]]]:
    """Each column of the arena, as `locks.locked`, and the indexes of its words that are no steps."""
    own = (stacks._static or set()) - stacks._shared
    for name, section in stacks.arena.sections.items():
        for j, field in enumerate(fields_of(section.record)):
            first = section.offset + 8 * j
            places = range(first, first + section.nr * section.stride, section.stride)
            yield f"{name}.{field}", frozenset(i for i, place in enumerate(places) if place in own)
