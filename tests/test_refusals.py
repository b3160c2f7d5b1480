"""That a handler refuses is a choice of the search: any of the calls, in any pattern."""

import math
from dataclasses import replace

from shmkret.explore.engines import states
from shmkret.explore.scenarios import asked_of, scene_of
from shmkret.explore.stacks.executor import Stacks
from shmkret.locks import LOCK
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME


def test_any_of_the_calls_may_be_refused():
    """Two calls of one CPU: none, one or both. What the scene expects is what was chosen."""
    seen = set()
    scene = scene_of(asked_of("refuse", find(SCHEME, "hashed"), find(LOCK, "ttas"), 1, 2, None, None))

    def check(world, arena):
        seen.add((int(arena.records("cpus")["refused"][0]), int(arena.records("script")["word"][1])))
        return scene.check(world, arena)

    with Stacks(replace(scene, check=check), 1 << 20) as stacks:
        assert states.search(stacks, 1 << 40, math.inf).complete
    assert seen == {(0, 0), (1, 1), (2, 2)}
