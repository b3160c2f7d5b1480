"""The steps of what greenlets have found, in lanes: the same schedule again, on a world of its own."""

from __future__ import annotations

from collections.abc import Sequence

from shmkret.explore.greenlets.run import Begin, Run
from shmkret.explore.greenlets.steps import NO_REASON, Place, cpu_of, way_of
from shmkret.explore.shown.followed import Places, line_of, word_of
from shmkret.explore.shown.lanes import Followed, Line, conflicts, drawn


def shown(begin: Begin, schedule: Sequence[int]) -> list[str]:
    """The lanes of a schedule that ends in a violation. What its last step raises is told elsewhere."""
    lines: list[Line] = []
    where: list[str] = []
    uses: dict[Place, list[tuple[int, bool]]] = {}
    with begin() as run:
        try:
            run.begin([])
            for choice in schedule:
                where.append(line_of(run.frame_of(cpu_of(choice))))
                _go(run, choice, lines, uses)
        except Exception:  # whatever a CPU's code raises: it is the last step
            return drawn(Followed(lines, {}, [], Places(where, {}, "")), len(run.pending))
        found = {cpu: step for cpu, step in enumerate(run.pending) if step}
        pending = {cpu: f"{step.kind} {word_of(step.place)}" for cpu, step in found.items()}
        standing = {cpu: line_of(run.frame_of(cpu)) for cpu in found}
        return drawn(Followed(lines, pending, [], Places(where, standing, "")), len(run.pending))


def _go(run: Run, choice: int, lines: list[Line], uses: dict[Place, list[tuple[int, bool]]]) -> None:
    """One step, of which a line is made whether it raises or not."""
    cpu = cpu_of(choice)
    if choice < 0:
        lines.append(Line(cpu, "stands still" if run.world.stops else "dies", "", 0, 0, False))
        run.go_on(choice)
        return
    step = run.next_step(choice)
    before = run.value_of(step.place)
    found = conflicts(uses.setdefault(step.place, []), cpu, writes=step.writes)
    kind = f"{step.kind}, for no reason," if way_of(choice) == NO_REASON else step.kind
    try:
        run.go_on(choice)
    finally:
        lines.append(Line(cpu, kind, word_of(step.place), before, run.value_of(step.place), found))
