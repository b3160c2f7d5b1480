"""lock-death: as `lock`, and CPU 0 may die before any of its steps; what it had is recovered as the lock has it."""

from shmkret.errors import UsageError
from shmkret.explore.rehearsal.trial_scenes import scene_of
from shmkret.explore.scenarios import Asked
from shmkret.explore.scene import Scene
from shmkret.locks import FAMILIES, GATE, OWNER, ROBUST, family

DEATHS = 1
TRIALS = {GATE: "repair", OWNER: "take over", ROBUST: "robust"}


def scene(asked: Asked) -> Scene:
    """The trial of the lock's family. Raises UsageError for a lock of none, and for other numbers of deaths than 1."""
    own = family(asked.lock.abilities)
    if not own:
        raise UsageError(
            f"the lock {asked.lock.name} is not recoverable: it has the functions of none of {', '.join(FAMILIES)}"
        )
    if asked.deaths != 1:
        raise UsageError(f"{asked.deaths} deaths were asked for: in this scenario it is 1")
    return scene_of(asked.lock, TRIALS[own], asked.cpus, asked.rounds)
