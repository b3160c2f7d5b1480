"""one-bucket: each CPU calls one probed function and returns; all tasks are in one bucket, where each meets the others'."""

from dataclasses import replace

from shmkret.explore.scenarios import Asked, calls
from shmkret.explore.scene import Scene

SYMMETRIC = True


def scene(asked: Asked) -> Scene:
    """As `calls`, at addresses of stacks on ia64."""
    return replace(calls.scene(asked), world=asked.world(one_bucket=True))
