"""What is wrong in a state in which a search of compiled code has stopped, in a sentence; and what its words are called."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from shmkret.arena.fields import fields_of
from shmkret.explore.stacks import control, watching
from shmkret.machines.compiled import watched

STOPPED = ("stopped", "stopped, asleep")
NO_STEP = ("done", "dead", *STOPPED, "broken")
WHY = {
    watched.NOT_PRIVATE: "another uses what was its own:",
    watched.OUTSIDE: "it leaves the arena at",
    watched.TOO_LONG: "it has not ended after {longest} steps, and is at",
    watched.TOO_MUCH: "it writes too much without a step, last",
    watched.NOT_HELD: "it gives back what it does not hold:",
    watched.WAITS: "it waits, and may not, as it does all in one step:",
    watched.NO_STACK: "its stack is used up, at",
    watched.NO_MODEL: "it calls what a search has no model of, on",
    watched.BOTH_INSIDE: "it has taken",
    watched.NOT_INSIDE: "it gives back",
    watched.OUT_OF_ORDER: "it has taken",
    watched.OVERTAKES: "it has taken",
    watched.RAISED: "its code raises an exception, after a step on",
}


def what(stacks: Any, status: int) -> str:
    """What is wrong. status: a number of shmkret.explore.stacks.control."""
    steps_of = {cpu: stacks.pending(cpu) for cpu in range(stacks.scene.nr_cpus)}
    if status == control.RACE:
        a, b = next((a, b) for b, a in combinations(steps_of, 2) if stacks.races(a, b))
        written = steps_of[a if steps_of[a].writes else b].place
        return f"data race on {written}: cpu {b} is at {steps_of[b].kind}, cpu {a} at {steps_of[a].kind}"
    if status == control.DEADLOCK:
        stuck = [
            f"cpu {cpu} waits in {step.kind} of {step.place}" for cpu, step in steps_of.items() if step.kind not in NO_STEP
        ]
        stopped = [(cpu, step.place) for cpu, step in steps_of.items() if step.kind in STOPPED]
        still = [f"cpu {cpu} stands still before a step on {place}" for cpu, place in stopped]
        return f"deadlock: {'; '.join([*stuck, *still])}"
    if status == control.CYCLE:
        return cycle(stacks)
    if status in watching.STATUSES:
        return watching.described(stacks, status)
    cpu, why, place = stacks.culprit() or (0, 0, 0)
    who = f"cpu {cpu}" if cpu < stacks.scene.nr_cpus else "who announces deaths"
    whose = watching.whose(stacks, place) if why in (watched.BOTH_INSIDE, watched.NOT_INSIDE) else ""
    if why == watched.OUT_OF_ORDER:
        whose = watching.circle(stacks, place)
    if why == watched.OVERTAKES:
        whose = watching.overtaken(stacks, cpu)
    return f"{who}: {WHY.get(why, '').format(longest=stacks.get(watched.LONGEST))} {name_of(stacks, place)}{whose}"


def cycle(stacks: Any) -> str:
    """Who goes round, and where."""
    path, states = stacks.path(), stacks.states()
    since = max(n for n, state in enumerate(states[:-1]) if state == states[-1])
    who = sorted({choice % stacks.scene.nr_cpus for choice in path[since:]})
    at = "; ".join(f"cpu {cpu} is at {step.kind} of {step.place}" for cpu in who if (step := stacks.pending(cpu)))
    return f"livelock: after {len(path) - since} steps all is as it was, and can go on so for ever: {at}"


def name_of(stacks: Any, offset: int) -> str:
    """The word at a place of the arena, as `table_locks[0].locked`."""
    for name, section in stacks.arena.sections.items():
        i, rest = divmod(offset - section.offset, section.stride)
        fields = fields_of(section.record)
        if 0 <= i < section.nr and rest // 8 < len(fields):
            return f"{name}[{i}].{fields[rest // 8]}"
    named = stacks.number_of_named(offset + stacks.arena.address)
    return f"byte {offset} of the arena" if named is None else f"named_semaphores[{named}]"
