"""The runs of `shmkret stress`: each kind runs every combination, prints a line for each, and returns what was found."""

from __future__ import annotations

from functools import partial
from itertools import starmap
from typing import Any, TextIO

from shmkret.cli import progress
from shmkret.cli.combinations import Asked
from shmkret.cli.options import in_commands
from shmkret.machines.build import Build
from shmkret.stress import unprotected as bare
from shmkret.stress.crash_points import crash_points
from shmkret.stress.session import run

TRIALS = 20
ROUNDS = (0, 1)
"""Of the worker program, in which every store is a place to die."""
NAMES = f"{'worker':14}{'scheme':8}{'lock':16}"
HEAD = (
    f"{NAMES}{'kills':>9}{'audits':>7}{'calls':>15}{'lost':>6}{'doubled':>8}{'stuck':>6}{'miscounted':>11}"
    f"{'other':>6}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
)


def at_random(asked: Asked, output: TextIO) -> list[dict[str, Any]]:
    """Faults at random."""
    print(f"seed {asked.plan.seed}", file=output)
    print(HEAD, file=output)
    runs = []
    for build in asked.builds:
        name = f"{build.worker.name} {build.scheme.name} {build.lock.name}"
        with progress.of_kills(name, asked.plan.kills) as watch:
            found = run(build, asked.sizes, asked.plan, watch, partial(_invite, build, output))
        found["findings"] = list(map(in_commands, found["findings"]))
        runs.append(found)
        print(_line(found), file=output, flush=True)
        for words in _remarks(found):
            print(f"    {words}", file=output, flush=True)
    print("ms: from SIGKILL until every lock of the dead CPU was free again", file=output)
    return runs


def every_store(asked: Asked, output: TextIO) -> list[dict[str, Any]]:
    """A death at every store, or at one: --fault nth=all, or nth=K."""
    print(f"{NAMES}{'places':>8}{'bad':>6}", file=output)
    only = None if asked.nth == "all" else int(asked.nth or 0)
    runs = []
    for build in asked.builds:
        places, bad = crash_points(build, asked.sizes, ROUNDS, only)
        names = {"worker": build.worker.name, "scheme": build.scheme.name, "lock": build.lock.name, "mutant": build.mutant}
        findings = [f"store {kth}: {what}" for kth, wrong in bad.items() for what in wrong]
        runs.append({**names, "places": places, "bad": len(bad), "findings": findings[:20]})
        print(f"{_names(names)}{places:8}{len(bad):6}", file=output, flush=True)
        for what in findings[:3]:
            print(f"    {what}", file=output, flush=True)
    print("places: stores and lock operations of two rounds, each of which a process of its own died at", file=output)
    return runs


def unprotected(asked: Asked, output: TextIO) -> list[dict[str, Any]]:
    """The same kill where nothing is recoverable."""
    trials = min(asked.plan.kills, TRIALS)
    print(f"{NAMES}{'deaths':>7}" + "".join(f"{name:>10}" for name in bare.OUTCOMES), file=output)
    runs = []
    for build in asked.builds:
        found = bare.trials(build, asked.sizes, trials, asked.plan.seed)
        runs.append(found)
        counts = "".join(f"{found[name]:10}" for name in bare.OUTCOMES)
        print(f"{_names(found)}{trials:7}{counts}", file=output, flush=True)
    return runs


def _invite(build: Build, output: TextIO, name: str) -> None:
    print(f"join with: shmkret join {name} --worker {build.worker.reference}", file=output, flush=True)


def _names(found: dict[str, Any]) -> str:
    return f"{found['worker']:14}{found['scheme']:8}{found['lock']:16}"


def _line(found: dict[str, Any]) -> str:
    times = ["-" if value is None else f"{value:.3f}" for value in found["recovery_ms"].values()]
    return (
        f"{_names(found)}{found['kills']:9,}{found['rounds']:7}{found['calls']:15,}"
        f"{found['lost']:6}{found['doubled']:8}{found['stuck']:6}{found['count_errors']:11}{found['other']:6}"
        f"{times[0]:>9}{times[1]:>9}{times[2]:>9}"
    )


def _remarks(found: dict[str, Any]) -> list[str]:
    """What a run has to say beside its line."""
    words = []
    if len(found["faults"]) > 1 or any(count["elsewhere"] for count in found["faults"].values()):
        words.append("; ".join(starmap(_struck, found["faults"].items())))
    words += found["findings"]
    if found["stopped_holders"]:
        stops = f"{found['stopped_holders']} stops of a CPU with a lock, {found['fenced']} of them fenced"
        words.append(f"{stops}; the last: {found['note']}")
    if found["lost_guests"]:
        words.append(f"{found['lost_guests']} processes that had joined died, and were recovered")
    if found["raised"]:
        words.append(f"{found['raised']} CPUs died of an exception in the user's text: bench names its line")
    return words


def _struck(term: str, count: dict[str, int]) -> str:
    elsewhere = f", of these {count['elsewhere']} elsewhere" if count["elsewhere"] else ""
    return f"{term} {count['struck']:,} times{elsewhere}"
