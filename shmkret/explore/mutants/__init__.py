"""Mutants: slips of the text and of the explorer, each with the search that must see it. What is not seen is not checked.

A mutant is data, in a file of `data/` for its area:

    name, breaks    what it is called; what it breaks, in a sentence
    module          where it is
    before, after   the text that is replaced, which stands there once, and what replaces it
    search          the words of `shmkret explore` by which it is looked for; {programs} is the folder of that name here
    by              killed: what the violation must say, as a pattern; the search of what stands there is complete and clean
    misses          of the explorer: what a right search finds, as a pattern; killed: this one says complete, and finds nothing
    harmless        or: why nothing sees it; its search is complete and clean
    commit          the commit of the kernel, or the paper, where somebody has made the slip

Nothing is written: a process of its own patches the module as it is imported (`patched`). `verdict` says whether one is killed.
This module and `patched` import nothing of ours but what cannot be mutated.
"""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shmkret.errors import UnknownName

HERE = Path(__file__).parent
FOLDER, PROGRAMS = HERE / "data", HERE / "programs"


@dataclass(frozen=True)
class Mutant:
    """area: the file that it is in. Else as the docstring above has it; empty where there is none."""

    area: str
    name: str
    breaks: str
    module: str
    before: str
    after: str
    search: str
    by: str = ""
    misses: str = ""
    harmless: str = ""
    commit: str = ""

    @property
    def words(self) -> list[str]:
        """Of the search, as a command line has them."""
        return [word.replace("{programs}", str(PROGRAMS)) for word in shlex.split(self.search)]


def areas() -> list[str]:
    """What the files are called."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


@cache
def every() -> dict[str, Mutant]:
    """All mutants by their names, area by area."""
    found = (
        Mutant(area=area, **row) for area in areas() for row in tomllib.loads((FOLDER / f"{area}.toml").read_text())["mutant"]
    )
    return {mutant.name: mutant for mutant in found}


def chosen(names: Iterable[str]) -> list[Mutant]:
    """Those of these names, or areas; of none, all. Raises UnknownName."""
    known, wanted = every(), list(names)
    for name in wanted:
        if name not in known and name not in areas():
            raise UnknownName("mutant", name, [*known, *areas()])
    return [mutant for mutant in known.values() if not wanted or mutant.name in wanted or mutant.area in wanted]
