"""What `shmkret stress` was asked for, checked: the combinations, their sizes, and what is to happen to each."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import product

from shmkret.arch import ARCH
from shmkret.errors import RunFailed, UsageError
from shmkret.explore.rehearsal.rehearse import rehearse_lock
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes, geometry_of
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME
from shmkret.stress import spec
from shmkret.stress.nemesis import Plan

MOST_CPUS = 64
MOST_KILLS = 100_000_000
KILLS = 2000
NEVER = float("inf")


@dataclass(frozen=True)
class Asked:
    """nth: the store to die at, or `all`, where that is the fault; None for faults at random."""

    builds: tuple[Build, ...]
    sizes: Sizes
    plan: Plan
    nth: int | str | None = None


def asked(options: argparse.Namespace, seed: int) -> Asked:
    """The options of the command, checked. Raises UsageError and its kinds for anything that cannot be."""
    kills = _kills(options)
    _require_numbers(options, kills, seed)
    _require_names(options)
    nth = spec.nth(options.fault)
    terms = [] if nth is not None else spec.parse(options.fault)
    if nth is not None and options.mutant == "no-gate":
        raise UsageError("--mutant no-gate needs CPUs that run meanwhile: take other faults than nth")
    if options.fence is not None and not options.fence > 0:
        raise UsageError(f"--fence is {options.fence:g}: give more than 0 seconds")
    builds = _builds(options)
    sizes = _sizes(options, builds)
    if not 0 <= options.guests <= MOST_CPUS or (options.guests and (nth is not None or options.unprotected)):
        raise UsageError(
            f"--guests is {options.guests}: give a number to {MOST_CPUS}, and no nth and no --unprotected beside it"
        )
    round_kills = options.round or max(1, (KILLS if options.kills is None else kills) // 10)
    seconds, fence_s = options.seconds or NEVER, options.fence or NEVER
    plan = Plan(kills, round_kills, terms, seed, seconds=seconds, fence_s=fence_s, guests=options.guests)
    return Asked(builds, sizes, plan, nth)


def rehearsed(what: Asked) -> list[str]:
    """What the rehearsal of the user's own locks has shown, and how far. Raises: RunFailed for a wrong one; PluginError."""
    found = [rehearse_lock(build) for build in what.builds if not build.lock.constants.control]
    flaws = dict.fromkeys(flaw for one in found for flaw in one.flaws)
    if flaws:
        raise RunFailed("; ".join(flaws))
    return list(dict.fromkeys(words for one in found for words in (*one.doubts, *one.proved)))


def _kills(options: argparse.Namespace) -> int:
    """How many deaths: where only a time is given, as many as it allows."""
    if options.kills is None:
        return KILLS if options.seconds is None else MOST_KILLS
    return int(options.kills)


def _require_numbers(options: argparse.Namespace, kills: int, seed: int) -> None:
    for name, value, most in (("cpus", options.cpus, MOST_CPUS), ("kills", kills, MOST_KILLS)):
        if not 1 <= value <= most:
            raise UsageError(f"--{name} is {value}: give a number from 1 to {most}")
    _require_one(options, "round")
    if options.seconds is not None and not options.seconds > 0:
        raise UsageError(f"--seconds is {options.seconds:g}: give more than 0")
    if seed < 0:
        raise UsageError(f"--seed is {seed}: give a number that is not negative")


def _require_one(options: argparse.Namespace, name: str) -> None:
    value = getattr(options, name)
    if value is not None and value < 1:
        raise UsageError(f"--{name} is {value}: give a number from 1")


def _require_names(options: argparse.Namespace) -> None:
    for what in ("worker", "scheme", "lock"):
        if not getattr(options, what):
            raise UsageError(f"--{what} names nothing: give one value or several, with commas between them")


def _builds(options: argparse.Namespace) -> tuple[Build, ...]:
    """Every combination, with what each promises looked at."""
    builds = tuple(
        Build(
            arch=find(ARCH, "x86-64"),
            scheme=find(SCHEME, scheme),
            lock=find(LOCK, lock),
            worker=find(WORKER, worker),
            padding="cacheline",
            nr_cpus=options.cpus + options.guests,
            recoverable=True,
            mutant=options.mutant,
        )
        for worker, scheme, lock in product(options.worker, options.scheme, options.lock)
    )
    for build in builds:
        if not options.unprotected:
            _ = build.recovery_class
        _ = build.declared
    return builds


def _sizes(options: argparse.Namespace, builds: tuple[Build, ...]) -> Sizes:
    for what in ("probes", "maxactive"):
        _require_one(options, what)
    sizes = Sizes(probes=options.probes, maxactive=options.maxactive)
    for build in builds:
        geometry_of(build, sizes, 1)
    return sizes
