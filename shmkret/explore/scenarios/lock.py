"""lock: each CPU takes and releases one lock, `rounds` times. Nothing of the probe path runs: the scheme does not matter."""

from shmkret.explore.rehearsal.trial_scenes import scene_of
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene


def scene(asked: Asked) -> Scene:
    """The trial `acquire`; who ends last takes the lock once more, as each CPU in turn."""
    return scene_of(asked.lock, "acquire", asked.cpus, asked.rounds)
