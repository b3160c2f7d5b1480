"""Scenarios: what is searched, by name. One a file, found by its name, or a user's own by its path.

    scene(asked) -> Scene       what CPUs do, for the scheme, the lock, and how many CPUs and rounds were asked for

`body(k, cpu)` of the scene is a function of the text: mark it @inline. Numba compiles it, so that a number of `asked` that it
uses is first put into a name of its own; the name of the scene says it, for compiled code is kept by that. A scenario in which
CPUs may die sets DEATHS: how many, where nobody asks otherwise; and STOPS, where they stand still instead. One of a worker
program sets WORKER: which, likewise. One in which each CPU does the same, but for its number, sets SYMMETRIC.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from pathlib import Path

from shmkret.arch import ARCH
from shmkret.errors import PluginError, UsageError
from shmkret.explore.scene import MODELS, RA, SC, Scene
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes
from shmkret.machines.world import World
from shmkret.plugins.calls import blamed
from shmkret.plugins.contract import Constant, Contract, Signature, whole
from shmkret.plugins.registry import Plugin, find
from shmkret.text.verbs import is_verb

MOST_CPUS, MOST_ROUNDS, MOST_DEATHS, MOST_INSTANCES = 8, 100, 4, 64


def _yes_or_no(value: object) -> str:
    return "" if isinstance(value, bool) else "give True or False"


def _name(value: object) -> str:
    return "" if isinstance(value, str) else "give the name of a worker program"


SCENARIO = Contract(
    name="scenario",
    folder=Path(__file__).parent,
    package="shmkret.explore.scenarios",
    record=lambda _contract, _path, _module: object,
    signatures=(Signature("scene", ("asked",)),),
    constants=(
        Constant("DEATHS", 0, whole(0, MOST_DEATHS)),
        Constant("STOPS", False, _yes_or_no),
        Constant("WORKER", "", _name),
        Constant("SYMMETRIC", False, _yes_or_no),
    ),
)


@dataclass(frozen=True)
class Asked:
    """What a scene is made for. maxactive: instances a probe; None: as the scenario has it. deaths: how many in one run, or how
    many stop. worker: the program that is searched, where the scenario is of one. model: how memory behaves as it is searched.
    """

    scenario: Plugin
    scheme: Plugin
    lock: Plugin
    cpus: int
    rounds: int
    deaths: int
    maxactive: int | None = None
    worker: Plugin | None = None
    model: str = SC

    def world(self, worker: str = "hot", *, one_bucket: bool = False, recoverable: bool = False, maxactive: int = 2) -> World:
        """With the probes of a worker program. one_bucket: the tasks of all CPUs are in one; else each is in its own."""
        build = Build(
            arch=find(ARCH, "x86-64"),
            scheme=self.scheme,
            lock=self.lock,
            worker=self.worker or find(WORKER, worker),
            padding="cacheline",
            nr_cpus=self.cpus,
            recoverable=recoverable,
        )
        if recoverable:
            _ = build.recovery_class  # raises for a lock or a scheme that cannot be recovered
        addresses = "ia64-stack" if one_bucket else "slab"
        return World.of(build, Sizes(maxactive=self.maxactive or maxactive, task_address=addresses), seed=1)


def asked_of(
    name: str,
    scheme: Plugin,
    lock: Plugin,
    cpus: int,
    rounds: int,
    deaths: int | None,
    maxactive: int | None,
    worker: str | None = None,
    model: str = SC,
) -> Asked:
    """What was asked for, checked; deaths, worker: None: as the scenario has it. Raises UsageError and its kinds."""
    scenario = find(SCENARIO, name)
    own = scenario.constants.deaths
    if deaths and not own:
        raise UsageError(f"nobody dies in the scenario {scenario.name}: ask for no deaths, or take another scenario")
    numbers = (("cpus", cpus, MOST_CPUS), ("rounds", rounds, MOST_ROUNDS), ("maxactive", maxactive, MOST_INSTANCES))
    for option, value, most in numbers:
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{value} {option} were asked for: give a number from 1 to {most}")
    if deaths is not None and not 0 <= deaths <= MOST_DEATHS:
        raise UsageError(f"{deaths} deaths were asked for: give a number from 0 to {MOST_DEATHS}")
    if worker and not scenario.constants.worker:
        raise UsageError(f"the scenario {scenario.name} is of no worker program: leave out `worker`, or take rounds")
    if model not in MODELS:
        raise UsageError(f"the model {model!r} was asked for: there is {', '.join(MODELS)}")
    if model == RA and (own if deaths is None else deaths):
        raise UsageError(f"under {model} nobody dies: ask for no deaths, or for another model than {MODELS[model]}")
    program = find(WORKER, worker or scenario.constants.worker) if scenario.constants.worker else None
    deaths = own if deaths is None else deaths
    return Asked(scenario, scheme, lock, cpus, rounds, deaths, maxactive, worker=program, model=model)


def require_symmetric(asked: Asked) -> None:
    """That runs in which CPUs change their numbers are the same runs. Raises UsageError.

    A lock whose verbs are not told which CPU calls cannot tell them apart; one that is told may say SYMMETRIC.
    """
    said = {"scenario": asked.scenario, "scheme": asked.scheme}
    verbs = [vars(asked.lock.module).get(name) for name in LOCK.functions]
    if any("cpu" in inspect.signature(verb).parameters for verb in verbs if inspect.isfunction(verb) and not is_verb(verb)):
        said["lock"] = asked.lock
    for kind, plugin in said.items():
        if not plugin.constants.symmetric:
            raise UsageError(f"the {kind} {plugin.name} does not say SYMMETRIC: leave out `symmetric`")
    if asked.deaths:
        raise UsageError("where CPUs may die they are not alike: recovery takes them in the order of their numbers")


def scene_of(asked: Asked) -> Scene:
    """The scene of a scenario. Raises PluginError, UsageError."""
    scenario = asked.scenario
    if scenario.built_in:
        return scenario.module.scene(asked)  # type: ignore[no-any-return]
    with blamed([scenario.path], "scene()"):
        scene = scenario.module.scene(asked)
    if not isinstance(scene, Scene):
        raise PluginError(f"{scenario.path}: scene() returned {type(scene).__name__}, not a Scene")
    return replace(scene, name=f"{scene.name}-{scenario.digest[:16]}")
