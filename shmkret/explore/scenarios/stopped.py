"""stopped: as `calls`, and any CPU may stand still for good before any of its steps: does anybody wait for it?

Who is stopped for a while needs no scenario: to any search that is another order of the steps. Where a lock is on the path,
its holder may stop, and the search finds who waits for it. Of a path that is complete here nobody waits for another.
"""

from dataclasses import replace

from shmkret.explore.scenarios import Asked, calls
from shmkret.explore.scene import Scene

DEATHS = 1
STOPS = True


def scene(asked: Asked) -> Scene:
    """The same code, and no death: who would die stops."""
    return replace(calls.scene(asked), mortal=tuple(range(asked.cpus)), deaths=asked.deaths, stops=True)
