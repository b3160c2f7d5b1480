"""`shmkret stress`: every combination that was asked for, a line for each, and a live display meanwhile."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from typing import Any, TextIO

from shmkret.arch import ARCH
from shmkret.errors import UsageError
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines.build import Build
from shmkret.machines.sizes import Sizes, geometry_of
from shmkret.plugins.registry import find
from shmkret.schemes import SCHEME
from shmkret.stress import spec
from shmkret.stress import unprotected as bare
from shmkret.stress.crash_points import crash_points
from shmkret.stress.nemesis import Plan
from shmkret.stress.record import Record
from shmkret.stress.session import run

MOST_CPUS = 64
MOST_KILLS = 100_000_000
KILLS = 2000
TRIALS = 20


@dataclass(frozen=True)
class Asked:
    """The options of the command, checked."""

    builds: tuple[Build, ...]
    sizes: Sizes
    plan: Plan
    nth: int | str | None = None

    @classmethod
    def of(cls, options: argparse.Namespace, seed: int) -> Asked:
        """Raises UsageError and its kinds for anything that cannot be."""
        kills = options.kills
        if kills is None:
            kills = KILLS if options.seconds is None else MOST_KILLS
        for name, value, most in (("cpus", options.cpus, MOST_CPUS), ("kills", kills, MOST_KILLS)):
            if not 1 <= value <= most:
                raise UsageError(f"--{name} is {value}: give a number from 1 to {most}")
        if options.round is not None and options.round < 1:
            raise UsageError(f"--round is {options.round}: give a number from 1")
        if options.seconds is not None and not options.seconds > 0:
            raise UsageError(f"--seconds is {options.seconds:g}: give more than 0")
        if seed < 0:
            raise UsageError(f"--seed is {seed}: give a number that is not negative")
        for what in ("worker", "scheme", "lock"):
            if not getattr(options, what):
                raise UsageError(f"--{what} names nothing: give one value or several, with commas between them")
        nth = spec.nth(options.fault)
        terms = [] if nth is not None else spec.parse(options.fault)
        if nth is not None and options.mutant == "no-gate":
            raise UsageError("--mutant no-gate needs CPUs that run meanwhile: take other faults than nth")
        if options.fence is not None and not options.fence > 0:
            raise UsageError(f"--fence is {options.fence:g}: give more than 0 seconds")
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
            for worker in options.worker
            for scheme in options.scheme
            for lock in options.lock
        )
        for build in builds:
            if not options.unprotected:
                _ = build.recovery_class
            _ = build.declared
        for what in ("probes", "maxactive"):
            value = getattr(options, what)
            if value is not None and value < 1:
                raise UsageError(f"--{what} is {value}: give a number from 1")
        sizes = Sizes(probes=options.probes, maxactive=options.maxactive)
        for build in builds:
            geometry_of(build, sizes, 1)
        round_kills = options.round or max(1, (KILLS if options.kills is None else kills) // 10)
        if not 0 <= options.guests <= MOST_CPUS or (options.guests and (nth is not None or options.unprotected)):
            raise UsageError(
                f"--guests is {options.guests}: give a number to {MOST_CPUS}, and no nth and no --unprotected beside it"
            )
        never = float("inf")
        plan = Plan(
            kills,
            round_kills,
            terms,
            seed,
            seconds=options.seconds or never,
            fence_s=options.fence or never,
            guests=options.guests,
        )
        return cls(builds, sizes, plan, nth)


def stress(asked: Asked, output: TextIO) -> list[dict[str, Any]]:
    """Run them; a line for each on `output`."""
    print(f"seed {asked.plan.seed}", file=output)
    print(HEAD, file=output)
    runs = []
    for build in asked.builds:
        name = f"{build.worker.name} {build.scheme.name} {build.lock.name}"
        with _display(name, asked.plan.kills) as watch:
            found = run(build, asked.sizes, asked.plan, watch, partial(_invite, build, output))
        runs.append(found)
        print(_line(found), file=output, flush=True)
        if len(found["faults"]) > 1 or any(count["elsewhere"] for count in found["faults"].values()):
            print(f"    {'; '.join(starmap(_struck, found['faults'].items()))}", file=output)
        for what in found["findings"]:
            print(f"    {what}", file=output, flush=True)
        if found["stopped_holders"]:
            stops = f"{found['stopped_holders']} stops of a CPU with a lock, {found['fenced']} of them fenced"
            print(f"    {stops}; the last: {found['note']}", file=output)
        if found["lost_guests"]:
            print(f"    {found['lost_guests']} processes that had joined died, and were recovered", file=output)
        if found["raised"]:
            print(f"    {found['raised']} CPUs died of an exception in the user's text: bench names its line", file=output)
    print("ms: from SIGKILL until every lock of the dead CPU was free again", file=output)
    return runs


def _struck(term: str, count: dict[str, int]) -> str:
    elsewhere = f", of these {count['elsewhere']} elsewhere" if count["elsewhere"] else ""
    return f"{term} {count['struck']:,} times{elsewhere}"


def _invite(build: Build, output: TextIO, name: str) -> None:
    print(f"join with: shmkret join {name} --worker {build.worker.reference}", file=output, flush=True)


HEAD = (
    f"{'worker':14}{'scheme':8}{'lock':16}{'kills':>9}{'audits':>7}{'calls':>15}{'lost':>6}{'doubled':>8}{'stuck':>6}{'miscounted':>11}"
    f"{'other':>6}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
)


def _line(found: dict[str, Any]) -> str:
    times = ["-" if value is None else f"{value:.3f}" for value in found["recovery_ms"].values()]
    return (
        f"{found['worker']:14}{found['scheme']:8}{found['lock']:16}{found['kills']:9,}{found['rounds']:7}{found['calls']:15,}"
        f"{found['lost']:6}{found['doubled']:8}{found['stuck']:6}{found['count_errors']:11}{found['other']:6}"
        f"{times[0]:>9}{times[1]:>9}{times[2]:>9}"
    )


ROUNDS = (0, 1)
"""Of the worker program, in which every store is a place to die."""


def every_store(asked: Asked, output: TextIO) -> list[dict[str, Any]]:
    """--fault nth=all, or nth=K: a line for each combination."""
    print(f"{'worker':14}{'scheme':8}{'lock':16}{'places':>8}{'bad':>6}", file=output)
    only = None if asked.nth == "all" else int(asked.nth or 0)
    runs = []
    for build in asked.builds:
        places, bad = crash_points(build, asked.sizes, ROUNDS, only)
        names = {"worker": build.worker.name, "scheme": build.scheme.name, "lock": build.lock.name, "mutant": build.mutant}
        findings = [f"store {kth}: {what}" for kth, wrong in bad.items() for what in wrong]
        runs.append({**names, "places": places, "bad": len(bad), "findings": findings[:20]})
        print(f"{build.worker.name:14}{build.scheme.name:8}{build.lock.name:16}{places:8}{len(bad):6}", file=output, flush=True)
        for what in findings[:3]:
            print(f"    {what}", file=output, flush=True)
    print("places: stores and lock operations of two rounds, each of which a process of its own died at", file=output)
    return runs


def unprotected(asked: Asked, output: TextIO) -> list[dict[str, Any]]:
    """The same kill where nothing is recoverable."""
    trials = min(asked.plan.kills, TRIALS)
    print(f"{'worker':14}{'scheme':8}{'lock':16}{'deaths':>7}" + "".join(f"{name:>10}" for name in bare.OUTCOMES), file=output)
    runs = []
    for build in asked.builds:
        found = bare.trials(build, asked.sizes, trials, asked.plan.seed)
        runs.append(found)
        counts = "".join(f"{found[name]:10}" for name in bare.OUTCOMES)
        print(f"{found['worker']:14}{found['scheme']:8}{found['lock']:16}{trials:7}{counts}", file=output, flush=True)
    return runs


class _display:
    """A bar with kills, recoveries and times on a terminal; nothing elsewhere."""

    def __init__(self, name: str, kills: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        console = Console(stderr=True)
        columns = (TextColumn(name, markup=False), BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=kills)

    def __enter__(self) -> Any:
        self._bar.start()
        return self._watch

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def _watch(self, record: Record, seconds: float) -> None:
        rate = record["kills"] / seconds if seconds else 0.0
        p50 = record.times_ms()["p50"]
        words = (
            f"kills  {rate:.0f}/s  recovered {record['recoveries']}  p50 {p50} ms  {record['calls']:,} calls"
            f"  audits {record['rounds']}"
        )
        self._bar.update(self._task, completed=record["kills"], description=words, refresh=True)
