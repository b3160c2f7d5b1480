"""A module that is imported with a mutant's text in the place of what stands in its file. Nothing is written.

    install(mutant)      before anything else of ours is imported

Cache     what the slip changes is compiled anew, and kept apart; all else is used as it is kept for everybody (ANEW)
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

from shmkret.errors import RunFailed
from shmkret.explore.mutants import Mutant

ANEW = {
    "shmkret.text.": "*",
    "shmkret.machines.compiled.": "search*",
    "shmkret.explore.stacks.": "search-*",
    "shmkret.explore.always": "*-always-watched",
    "shmkret.explore.scenarios.": "*-watched",
    "shmkret.explore.rehearsal.": "*-watched",
    "shmkret.explore.": "",
    "shmkret.": "*-watched",
}
"""By how a module's name begins, the first that does: which entries of the folder of compiled code hold any of it."""


def anew_of(module: str) -> str:
    """The pattern for a slip in that module."""
    return next(pattern for prefix, pattern in ANEW.items() if module.startswith(prefix))


class Stale(RunFailed):
    """What a mutant replaces does not stand once in its module."""


def source_of(mutant: Mutant, text: str) -> str:
    """The module's text with the slip. Raises Stale."""
    found = text.count(mutant.before)
    if found != 1:
        raise Stale(f"the mutant {mutant.name} is stale: what it replaces stands {found} times in {mutant.module}")
    return text.replace(mutant.before, mutant.after)


class _Loader(SourceFileLoader):
    """Compiles the text with the slip, and keeps no bytecode of it."""

    mutant: Mutant

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 (importlib calls it)
        text = source_of(self.mutant, Path(self.path).read_text())
        return compile(text, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds the one module; `found` says whether anybody has asked for it."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant
        self.found = False

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """The module's own spec, with our loader."""
        if fullname != self.mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path)  # type: ignore[arg-type]
        if spec is None or spec.origin is None:
            return None
        self.found = True
        spec.loader = _Loader(fullname, spec.origin)
        spec.loader.mutant = self.mutant
        return spec


def install(mutant: Mutant) -> Finder:
    """From here on the mutant is what is imported. Raises RunFailed where its module has been imported already."""
    if mutant.module in sys.modules:
        raise RunFailed(f"{mutant.module} is imported before it can be mutated")
    finder = Finder(mutant)
    sys.meta_path.insert(0, finder)
    kept = importlib.import_module("shmkret.machines.compiled.cache")
    kept.keep_apart(f"{mutant.module}\n{mutant.before}\n{mutant.after}", anew_of(mutant.module))
    return finder
