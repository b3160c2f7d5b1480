"""`shmkret replay`: a schedule again, step by step, as `shmkret explore` has printed it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from shmkret.cli import output
from shmkret.cli.monitors import add_monitors, chosen_monitors
from shmkret.cli.options import add_command, add_json
from shmkret.host import signals


def add(commands: Any) -> None:
    """The command and its options."""
    replay = add_command(commands, "replay", run, help="a schedule that went wrong, again, step by step")
    replay.add_argument("schedule", metavar="STRING", help="as `shmkret explore` has printed it")
    add_monitors(replay)
    add_json(replay)


def run(options: argparse.Namespace, argv: list[str]) -> int:
    """Follow it; 1 when it goes wrong."""
    from shmkret.cli.explored import title
    from shmkret.explore.scenarios import scene_of
    from shmkret.explore.scene import MODELS
    from shmkret.explore.shown import lanes, strings
    from shmkret.explore.stacks.executor import Stacks

    output.require_writable(options.json)
    monitors = chosen_monitors(options)
    place = sys.stderr if options.json == "-" else sys.stdout
    asked = (spelt := strings.parsed(options.schedule)).asked
    print(f"{title(asked)}; {MODELS[asked.model]}", file=place, flush=True)
    scene = scene_of(asked)
    schedule = spelt.schedule(scene.nr_cpus)
    with signals.on_the_spot():  # a callback of LLVM's would swallow an interrupt
        stacks = Stacks(scene, 1 << 12, model=asked.model, monitors=monitors)
    with stacks:
        stacks.share(spelt.shared)
        followed = lanes.follow_apart(stacks, schedule)
    print("\n".join(f"  {line}" for line in lanes.drawn(followed, scene.nr_cpus)), file=place)
    print("\n".join(f"  {words}" for words in followed.wrong or ["nothing is wrong there"]), file=place)
    where = dict(enumerate(followed.places.steps))
    held = dict(enumerate(followed.held))
    steps = [{**line._asdict(), "where": where.get(n, ""), "holds": held.get(n, {})} for n, line in enumerate(followed.lines)]
    result = {**output.headed("replay", argv), "schedule": schedule, "wrong": followed.wrong, "steps": steps}
    result |= {"holds": lanes.last_held(followed), "inflection": lanes.inflection_of(followed)}
    output.write_json(options.json, result)
    return output.EXIT_FAILED if followed.wrong else output.EXIT_HELD
