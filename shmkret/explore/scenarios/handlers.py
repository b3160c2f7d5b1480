"""handlers: as `calls`; an entry handler leaves a word in the instance, and the return handler finds it there."""

from dataclasses import replace

from shmkret.explore.scenarios import Asked, calls
from shmkret.explore.scene import Scene


def scene(asked: Asked) -> Scene:
    """As `calls`, of the worker program `handlers`."""
    return replace(calls.scene(asked), world=asked.world("handlers"))
