"""What a file must define to be a lock, a scheme, an architecture or a worker program: one object says it, and checks it.

    signatures    the functions that every file of the kind has
    abilities     functions that belong together: a file has all of an ability, or none of it
    optional      functions of the text that it may have, each by itself; they are compiled
    outside       functions that it may have, each by itself; they are asked in plain Python, and never compiled
    constants     values that it may set, each with a default and a check

What is checked here is also what `shmkret list` and the documents show. No default claims success: what a file does not define,
it cannot do, and Plugin.can() says so. A function whose name comes near one that a file may have, and has not, is refused:
nobody would call it. So is a constant: nobody would read it.
"""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from shmkret.errors import PluginError
from shmkret.text.verbs import is_verb


class Signature(NamedTuple):
    """A function of a file: its parameters, of which the last `may_drop` may be left out."""

    name: str
    parameters: tuple[str, ...]
    may_drop: int = 0

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.parameters)})"


class Ability(NamedTuple):
    """Functions that are of use together only."""

    name: str
    signatures: tuple[Signature, ...]


class Constant(NamedTuple):
    """A value that a file may set, by a name in capitals. `check` returns what to give instead; empty: it is right."""

    name: str
    default: Any
    check: Callable[[Any], str]


class Source(NamedTuple):
    """What the text of a file defines: functions with the names of their parameters; the names that it sets, with their lines;
    and the names that it imports.
    """

    functions: dict[str, tuple[str, ...]]
    sets: dict[str, int]
    imports: frozenset[str]

    @classmethod
    def of(cls, tree: ast.Module) -> Source:
        """Of the statements of a file."""
        functions, sets, imports = {}, {}, set()
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                functions[node.name] = tuple(argument.arg for argument in node.args.args)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                imports |= {alias.asname or alias.name for alias in node.names}
            elif not isinstance(node, ast.ClassDef | ast.AsyncFunctionDef):
                stored = (one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
                sets.update({one.id: one.lineno for one in stored})
        return cls(functions, sets, frozenset(imports))

    @property
    def names(self) -> frozenset[str]:
        """Whatever is no function of its own."""
        return self.imports.union(self.sets)


def of_verb(verb: Any) -> Signature:
    """The signature of a verb."""
    return Signature(verb.__name__, verb.parameters, verb.may_drop)


def whole(least: int, most: int) -> Callable[[Any], str]:
    """The check of a whole number."""

    def check(value: Any) -> str:
        is_whole = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return "" if is_whole else f"give a whole number from {least} to {most}"

    return check


def truth(value: Any) -> str:
    """The check of a switch."""
    return "" if isinstance(value, bool) else "give True or False"


def names(value: Any) -> str:
    """The check of a set of names."""
    is_set = isinstance(value, frozenset | set) and all(isinstance(name, str) for name in value)
    return "" if is_set else "give a frozenset of names"


def sentences(value: Any) -> str:
    """The check of sentences, each with room for what it is about: `{}`."""
    is_tuple = isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    return "" if is_tuple else "give a tuple of sentences"


NEAR = 0.8
"""From here on two names are one, misspelt: 1 is the same name."""


def _nothing_more(contract: Contract, path: Path, module: ModuleType) -> None:
    pass


@dataclass(frozen=True, eq=False)
class Contract:
    """A kind of file. name: for sentences; folder: where those lie that come with shmkret; package: of which they are modules.

    record: makes the class that the text dispatches on from a module; raises PluginError.
    """

    name: str
    folder: Path
    package: str
    record: Callable[[Contract, Path, ModuleType], type]
    signatures: tuple[Signature, ...]
    abilities: tuple[Ability, ...] = ()
    optional: tuple[Signature, ...] = ()
    outside: tuple[Signature, ...] = ()
    constants: tuple[Constant, ...] = ()
    refused: tuple[Callable[[Source], str], ...] = ()
    """What files had once, and must not have any more: each says what there is of it; empty: nothing."""
    more: Callable[[Contract, Path, ModuleType], None] = _nothing_more
    """Whatever else must hold; raises PluginError."""

    @property
    def article(self) -> str:
        """For its name in a sentence."""
        return "an" if self.name[0] in "aeiou" else "a"

    @property
    def functions(self) -> dict[str, Signature]:
        """All functions that a file may have, by name."""
        of_abilities = (one for ability in self.abilities for one in ability.signatures)
        return {one.name: one for one in (*self.signatures, *of_abilities, *self.optional, *self.outside)}

    def check(self, path: Path, module: ModuleType) -> frozenset[str]:
        """The abilities of a file that keeps the contract. Raises PluginError, with the file and the line, for any other."""
        for signature in self.signatures:
            self.require(path, module, signature)
        has = self._abilities(path, module)
        for signature in (*self.optional, *self.outside):
            if signature.name in vars(module):
                self.require(path, module, signature)
        self._refuse_misspelt(path, module)
        self.values(path, module)
        self.more(self, path, module)
        return has

    def refuse(self, path: Path, tree: ast.Module) -> None:
        """Before a file is run: raises PluginError for one that is written for an earlier contract, and for one that sets a
        constant whose name comes near one that it may set, and does not.
        """
        source = Source.of(tree)
        for refused in self.refused:
            words = refused(source)
            if words:
                raise PluginError(f"{path}: {words}")
        self._refuse_misspelt_constants(path, source)

    def _refuse_misspelt_constants(self, path: Path, source: Source) -> None:
        known = [constant.name for constant in self.constants]
        missing = [name for name in known if name not in source.names]
        for name, line in source.sets.items():
            is_own = name.isupper() and not name.startswith("_") and name not in known
            near = difflib.get_close_matches(name, missing, n=1, cutoff=NEAR) if is_own else []
            if near:
                raise PluginError(
                    f"{path}:{line}: {self.article} {self.name} has no constant {name}: "
                    f"did you mean {near[0]}? Begin the name with _ if it is one of your own"
                )

    def require(self, path: Path, module: ModuleType, signature: Signature) -> None:
        """Raises PluginError unless the file defines that function with these parameters."""
        function = vars(module).get(signature.name)
        if not inspect.isfunction(function) or is_verb(function):
            nr = len(signature.parameters)
            defines = f"{self.article} {self.name} defines {signature.name}() with {nr} arguments"
            raise PluginError(f"{path}: {defines}; this file does not: {signature}")
        require_arguments(path, function, signature, f"of {self.article} {self.name} ")

    def _refuse_misspelt(self, path: Path, module: ModuleType) -> None:
        """A misspelt function of an ability of several is missed where the others are there."""
        alone = [ability.signatures[0] for ability in self.abilities if len(ability.signatures) == 1]
        missing = [one.name for one in (*self.optional, *self.outside, *alone) if one.name not in vars(module)]
        for name, function in vars(module).items():
            is_own = inspect.isfunction(function) and function.__module__ == module.__name__ and not name.startswith("_")
            near = difflib.get_close_matches(name, missing, n=1, cutoff=NEAR) if is_own and name not in self.functions else []
            if near:
                line = inspect.unwrap(function).__code__.co_firstlineno
                raise PluginError(
                    f"{path}:{line}: {self.article} {self.name} has no {name}(): "
                    f"did you mean {near[0]}()? Begin the name with _ if it is a function of your own"
                )

    def _abilities(self, path: Path, module: ModuleType) -> frozenset[str]:
        """What it can do: abilities of which all functions are there. One that belongs to none of these is refused."""
        defined = {name for name, value in vars(module).items() if inspect.isfunction(value) and not is_verb(value)}
        whole = [ability for ability in self.abilities if {one.name for one in ability.signatures} <= defined]
        covered = {one.name for ability in whole for one in ability.signatures}
        for ability in self.abilities:
            own = {one.name for one in ability.signatures}
            stray = sorted(own & defined - covered)
            if stray:
                near = [other for other in self.abilities if stray[0] in {one.name for one in other.signatures}]
                wanted = ", or ".join(f"{other.name} ({', '.join(map(str, other.signatures))})" for other in near)
                missing = sorted(own - defined)
                raise PluginError(
                    f"{path}: {stray[0]}() alone is of no use: {self.article} {self.name} has all functions of an ability, "
                    f"or none, here of {wanted}; this file has no {missing[0]}()"
                )
        for ability in whole:
            for signature in ability.signatures:
                self.require(path, module, signature)
        return frozenset(ability.name for ability in whole)

    def values(self, path: Path, module: ModuleType) -> SimpleNamespace:
        """The constants of a file, in small letters, defaults filled in. Raises PluginError for a value that cannot be."""
        found = {}
        for constant in self.constants:
            value = vars(module).get(constant.name, constant.default)
            words = constant.check(value)
            if words:
                raise PluginError(f"{path}: {constant.name} is {value!r}: {words}")
            found[constant.name.lower()] = value
        return SimpleNamespace(**found)


def require_arguments(path: Path, function: Any, signature: Signature, whose: str = "") -> None:
    """Raises PluginError unless it is a plain function with these parameters."""
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise PluginError(f"{path}: {signature.name}() must be a plain function, neither async nor a generator")
    parameters = inspect.signature(function).parameters.values()
    found = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    most, line = len(signature.parameters), function.__code__.co_firstlineno
    named = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD)]
    if named:
        raise PluginError(
            f"{path}:{line}: {signature.name}() {whose}gets its arguments by their place, and nobody gives this one "
            f"{named[0]} by its name: {signature}"
        )
    if not most - signature.may_drop <= found <= most:
        least = most - signature.may_drop
        takes = f"{most} arguments" if least == most else f"{least} or {most} arguments"
        raise PluginError(f"{path}:{line}: {signature.name}() {whose}takes {takes}, this one takes {found}: {signature}")


def one_record(contract: Contract, path: Path, module: ModuleType) -> type:
    """The one NamedTuple class that the file defines. Raises PluginError."""
    records = [
        value
        for value in vars(module).values()
        if inspect.isclass(value)
        and issubclass(value, tuple)
        and value.__module__ == module.__name__
        and not _is_part(value, module)
    ]
    if len(records) != 1:
        raise PluginError(
            f"{path}: {contract.article} {contract.name} defines one NamedTuple class, this file defines {len(records)}"
        )
    if not getattr(records[0], "_fields", ()):
        raise PluginError(f"{path}: {records[0].__name__} has no fields: {contract.article} {contract.name} needs one at least")
    return records[0]


def _is_part(record: type, module: ModuleType) -> bool:
    """Whether it is the record of a table of another class of the file: that one's annotations name it."""
    others: Sequence[type] = [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value is not record and value.__module__ == module.__name__
    ]
    notes = [note for other in others for note in getattr(other, "__annotations__", {}).values()]
    return any(record.__name__ in _words(note) for note in notes)


def _words(note: Any) -> set[str]:
    text = note if isinstance(note, str) else getattr(note, "__forward_arg__", "")
    if text:
        return set("".join(c if c.isidentifier() or c.isdigit() else " " for c in text).split())
    origin = getattr(note, "__origin__", None)
    return {getattr(origin, "__name__", "")}
