"""The verbs of a worker program, what a CPU does, and their contract. workers/README.md describes it for who writes one."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from shmkret.plugins.contract import Constant, Contract, Signature, of_verb, truth, whole
from shmkret.plugins.registry import data_folder
from shmkret.text.verbs import generic


class Worker(NamedTuple):
    """What a worker program's step() gets first; each program has a class of its own, made from this one."""

    unused: int


@generic
def step(worker: Any, k: Any, cpu: int, task: int, n: int) -> None:
    """One round of a worker program by `task` on `cpu`; n counts the CPU's rounds."""
    raise NotImplementedError


@generic
def interrupt(worker: Any, k: Any, cpu: int, task: int) -> None:
    """The interrupt handler of a worker program: `task` on `cpu` was interrupted, and interrupts are masked."""
    raise NotImplementedError


@generic
def idles(worker: Any, k: Any, cpu: int) -> None:
    """What a worker program does, again and again, on a CPU that has no task."""
    raise NotImplementedError


def _own_class(contract: Contract, path: Path, module: ModuleType) -> type:
    return type(f"Worker_{module.__name__}", (Worker,), {"__module__": module.__name__, "__slots__": ()})


def _functions(value: Any) -> str:
    is_right = isinstance(value, tuple | list | set | frozenset) and all(isinstance(one, int) for one in value)
    return "" if is_right else "give the numbers of functions, such as (0, 1)"


def _check(contract: Contract, path: Path, module: ModuleType) -> None:
    """Its probes are a list, or a number."""
    contract.require(path, module, Signature("probes" if "probes" in vars(module) else "nr_probes", ("nr_cpus",)))


WORKER = Contract(
    name="worker",
    folder=data_folder("workers"),
    package="shmkret_workers",
    record=_own_class,
    signatures=(of_verb(step),),
    optional=(of_verb(interrupt), of_verb(idles)),
    outside=(Signature("nr_functions", ("nr_cpus",)), Signature("script", ("nr_cpus", "rng"))),
    constants=(
        Constant("DATA_SIZE", 0, whole(0, 1 << 20)),
        Constant("TASKS_PER_CPU", 1, whole(1, 1 << 24)),
        Constant("HANDLER_NS", 0, whole(0, 1_000_000_000)),
        Constant("BLACKLIST", (), _functions),
        Constant("PRIMITIVES", False, truth),
    ),
    more=_check,
)
