"""Slips that the tests must see: what is checked by no test is not checked.

    python -m tests.mutants [NAME|AREA ...] [--out FILE] [--part N --seed N]

A mutant is data, in a file of this folder for its area:

    name, breaks    what it is called; what it breaks, in a sentence
    module          where it is
    before, after   the text that is replaced, which stands there once, and what replaces it
    tests           what is run, as pytest's arguments; all of it passes as the text stands
    by              killed: what a failed assertion says, as a pattern
    harmless        or: why no test can see it
    commit          the commit of the kernel, where somebody has made the slip

One at a time is made in a copy of the repository. Those that a search must see are the explorer's: `shmkret explore --mutants`.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from shmkret.explore.mutants.patched import source_of

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
LONGEST_S = 300
COPIED = ("shmkret", "workers", "tests", "docs", "bench/suites", "bench/peers", "bench/records")
FILES = ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "mkdocs.yml")
CRASHES = re.compile(
    r"^E +(TypeError|NameError|AttributeError|ImportError|ModuleNotFoundError|SyntaxError|Failed: Timeout)"
    r"|Segmentation fault|Fatal Python error|crashed while running",
    re.MULTILINE,
)
"""What no kill is, whatever a mutant's data say: it names nothing that a slip has broken."""


@dataclass(frozen=True)
class Mutant:
    """area: the file that it is in. Else as the docstring above has it; empty where there is none."""

    area: str
    name: str
    breaks: str
    module: str
    before: str
    after: str
    tests: str
    by: str = ""
    harmless: str = ""
    commit: str = ""

    @property
    def path(self) -> Path:
        """Of its module, in the repository."""
        return Path(*self.module.split(".")).with_suffix(".py")

    @property
    def digest(self) -> str:
        """Of what is tried."""
        return hashlib.sha256("\0".join((self.module, self.before, self.after, self.tests, self.by)).encode()).hexdigest()[:16]


class Verdict(NamedTuple):
    """by: what the test that killed it said, or why it is not killed. cpu_s: processor time of that run."""

    killed: bool
    by: str
    cpu_s: float


def areas() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.toml"))


@cache
def every() -> dict[str, Mutant]:
    """All mutants by their names, area by area."""
    rows = ((area, row) for area in areas() for row in tomllib.loads((HERE / f"{area}.toml").read_text())["mutant"])
    return {row["name"]: Mutant(area=area, **row) for area, row in rows}


def chosen(names: Iterable[str]) -> list[Mutant]:
    """Those of these names, or areas; of none, all. Raises KeyError."""
    wanted = list(names)
    for name in wanted:
        if name not in every() and name not in areas():
            raise KeyError(f"no mutant and no area is called {name}; areas: {', '.join(areas())}")
    return [mutant for mutant in every().values() if not wanted or mutant.name in wanted or mutant.area in wanted]


def copy_to(folder: Path) -> None:
    """What tests need of the repository, but for recorded results."""
    for name in COPIED:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "results"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, folder / name)


def tried(mutant: Mutant, folder: Path) -> Verdict:
    """Run its tests in the copy in that folder, with the slip; the copy is as before afterwards."""
    place = folder / mutant.path
    text = place.read_text()
    place.write_text(source_of(mutant, text))
    try:
        code, said, cpu_s = run(mutant.tests, folder)
    finally:
        place.write_text(text)
    return judged(mutant, code, said, cpu_s)


def run(tests: str, folder: Path) -> tuple[int, str, float]:
    """Exit code, output and processor time of pytest in that folder."""
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", "--no-header"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    for name in [name for name in environment if name.startswith("PYTEST_")]:
        del environment[name]
    before = _children_s()
    try:
        done = subprocess.run(
            [*command, "-m", "full or not full", *shlex.split(tests)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return -1, "it ran into the time-out", _children_s() - before
    return done.returncode, done.stdout, _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def judged(mutant: Mutant, code: int, said: str, cpu_s: float) -> Verdict:
    """Whether the tests have failed by what the slip broke."""
    failed = "\n".join(line for line in said.splitlines() if re.match(r"E  +", line))
    if code == 0:
        return Verdict(False, mutant.harmless or "not killed: all tests pass", cpu_s)
    if code != 1 or CRASHES.search(said):
        return Verdict(False, f"not killed by what it breaks: exit code {code}: {said.strip().splitlines()[-1][:200]}", cpu_s)
    found = re.search(mutant.by, failed) if mutant.by else None
    if not found:
        return Verdict(False, f"not killed by what it breaks: {failed[:300]}", cpu_s)
    line = next(line for line in failed.splitlines() if found[0].splitlines()[0] in line)
    return Verdict(True, line[1:].strip()[:200], cpu_s)
