"""Folders are registries: finds locks, schemes, architectures and workers by name or by path.

    global_.py -> global      sem_named.py -> sem-named      x86_64.py -> x86-64

A name with a slash, or that ends in .py, is a path to a file of the user's, which is run as it stands. What another package
offers by entry point is imported as a module of that package, relative imports and all.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import dis
import hashlib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from shmkret.errors import PluginError, UnknownName
from shmkret.plugins import sources
from shmkret.plugins.calls import TakesTooLong, blamed
from shmkret.plugins.contract import Contract
from shmkret.text.verbs import is_verb, with_all

IMPORT_PATIENCE_S = 60.0
PACKAGE = Path(__file__).parents[1]


def data_folder(name: str) -> Path:
    """`workers` or `bench`: beside the package in a checkout, inside it once installed."""
    installed = PACKAGE / "_data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


@dataclass(frozen=True)
class Plugin:
    """One lock, scheme, architecture or worker: its name, its module, the class that the text dispatches on.

    reference: what find() finds it by again, in any process and folder: its name, or the absolute path of its file.
    """

    kind: Contract
    name: str
    path: Path
    module: ModuleType
    record: type
    digest: str
    reference: str
    abilities: frozenset[str] = field(default=frozenset(), compare=False)
    constants: SimpleNamespace = field(default_factory=SimpleNamespace, compare=False)

    @property
    def summary(self) -> str:
        """The first line of the file's docstring."""
        return (self.module.__doc__ or "").strip().partition("\n")[0]

    def can(self, ability: str) -> bool:
        """Whether it has all functions of that ability."""
        return ability in self.abilities

    def own(self, name: str) -> Callable[..., Any] | None:
        """Its function of that name, such as is_free(), with all parameters of the contract; None where it has none."""
        function = vars(self.module).get(name)
        if not inspect.isfunction(function) or is_verb(function):
            return None
        signature = self.kind.functions.get(name)
        return function if signature is None else with_all(function, signature.parameters, signature.may_drop)

    def sets(self, constant: str) -> bool:
        """Whether its file sets that constant itself."""
        return constant in vars(self.module)

    @property
    def built_in(self) -> bool:
        """Whether its source is part of the digest of ours."""
        return self.path.parent == self.kind.folder and self.kind.folder.is_relative_to(PACKAGE)


def names(kind: Contract) -> list[str]:
    """The names of everything in the kind's folder, and of what is installed for it, in order."""
    own = (_name(path) for path in kind.folder.glob("*.py") if not path.stem.startswith("_"))
    return sorted({*own, *_installed(kind)})


@cache
def _installed(kind: Contract) -> dict[str, metadata.EntryPoint]:
    """Plug-ins of other packages by name. A package whose list of entry points cannot be read hides no other's."""
    found: dict[str, metadata.EntryPoint] = {}
    for package in metadata.distributions():
        with contextlib.suppress(Exception):
            for point in package.entry_points.select(group=f"shmkret.{kind.name}s"):
                found.setdefault(point.name, point)
    return found


def is_path(name: str) -> bool:
    """Whether find() takes that for the path of a file."""
    return "/" in name or name.endswith(".py")


def find(kind: Contract, name: str) -> Plugin:
    """The plug-in called `name`, or the one in that file.

    Raises: UnknownName, with near misses; PluginError when the file does not import or breaks the kind's contract.
    """
    if is_path(name):
        try:
            return _load(kind, Path(name).resolve())
        except (OSError, ValueError, RuntimeError) as error:
            raise PluginError(f"{name!r} cannot be read as a {kind.name} file: {error}") from error
    for path in kind.folder.glob("*.py"):
        if _name(path) == name.replace("_", "-") and not path.stem.startswith("_"):
            return _load(kind, path)
    if name in _installed(kind):
        return _load_installed(kind, name)
    raise UnknownName(kind.name, name, names(kind))


def _name(path: Path) -> str:
    return path.stem.rstrip("_").replace("_", "-")


_loaded: dict[tuple[Contract, Path], tuple[Plugin, dict[Path, str]]] = {}
"""What has been loaded, and the digests of the files that it was loaded from."""
_editions: dict[str, int] = {}


def _load(kind: Contract, path: Path) -> Plugin:
    """The plug-in in that file: the same as long as neither the file nor what it imports is edited."""
    if (kind, path) in _loaded:
        plugin, files = _loaded[kind, path]
        if all(sources.file_digest(file) == digest for file, digest in files.items()):
            return plugin
    module = _import(kind, path)
    if not _is_ours(kind, path):
        with blamed([path], "importing it again", IMPORT_PATIENCE_S), contextlib.redirect_stdout(sys.stderr):
            outdated = sources.refresh(module)
        module = _import(kind, path) if outdated else module
    name = _name(path)
    plugin = _checked(kind, name, path, module, name if path.parent == kind.folder else str(path))
    own = {} if _is_ours(kind, path) else {path: str(getattr(module, "__source_digest__", "")), **sources.stamps(module)}
    _loaded[kind, path] = plugin, own
    return plugin


@cache
def _load_installed(kind: Contract, name: str) -> Plugin:
    module = _import_installed(_installed(kind)[name])
    kind.refuse(Path(str(module.__file__)), ast.parse(Path(str(module.__file__)).read_bytes()))
    return _checked(kind, name, Path(str(module.__file__)), module, name)


def _checked(kind: Contract, name: str, path: Path, module: ModuleType, reference: str) -> Plugin:
    """What a module that has been imported offers, once it is seen to keep the contract of its kind."""
    abilities = kind.check(path, module)
    _require_defined_names(path, module)
    record = kind.record(kind, path, module)
    digest = hashlib.sha256(f"{getattr(module, '__source_digest__', '')} {sources.digest(module)}".encode()).hexdigest()
    return Plugin(kind, name, path, module, record, digest, reference, abilities, kind.values(path, module))


def _is_ours(kind: Contract, path: Path) -> bool:
    """Whether it is a module of the package, which is imported once as all of it is."""
    return path.parent == kind.folder and kind.package.startswith("shmkret.")


def _import(kind: Contract, path: Path) -> ModuleType:
    if _is_ours(kind, path):
        return importlib.import_module(f"{kind.package}.{path.stem}")
    if not path.is_file():
        raise PluginError(f"{path}: there is no such {kind.name} file")
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    name = f"{kind.package}_{digest}_{path.stem}".replace(".", "_").replace("-", "_")
    # One that was edited gets a name of its own: verbs are found by the module of a record's class, and the old may be in use.
    _editions[name] = _editions.get(name, 0) + 1
    name += f"_{_editions[name]}" if _editions[name] > 1 else ""
    module = ModuleType(name)
    module.__file__ = str(path)
    source = path.read_bytes()
    # The bytes that are run are the bytes that the compile cache is keyed by, whoever edits the file meanwhile.
    module.__dict__["__source_digest__"] = hashlib.sha256(source).hexdigest()
    try:
        tree = ast.parse(source, str(path))
        kind.refuse(path, tree)
        code = compile(tree, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 0
        raise PluginError(f"{path}:{line}: {type(error).__name__}: {error}") from error
    sys.modules[name] = module
    try:
        with blamed([path], "importing it", IMPORT_PATIENCE_S), contextlib.redirect_stdout(sys.stderr):
            exec(code, module.__dict__)  # noqa: S102
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_installed(point: metadata.EntryPoint) -> ModuleType:
    with blamed([Path(point.value)], "importing it", IMPORT_PATIENCE_S), contextlib.redirect_stdout(sys.stderr):
        try:
            found = importlib.import_module(point.module)
        except (KeyboardInterrupt, TakesTooLong):
            raise
        except BaseException as error:
            words = f"{_place(error)}{type(error).__name__}: {error}"
            raise PluginError(f"the entry point {point.name!r} names the module {point.value}: {words}") from error
    if not str(getattr(found, "__file__", None)).endswith(".py"):
        raise PluginError(f"the entry point {point.name!r} names the module {point.value}, which is no Python file")
    found.__dict__["__source_digest__"] = hashlib.sha256(Path(str(found.__file__)).read_bytes()).hexdigest()
    return found


def _place(error: BaseException) -> str:
    """FILE:LINE of the last statement that an import went through, with a colon behind it; empty when it found no file."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: "
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if not frame.filename.startswith("<frozen")]
    frames = [frame for frame in frames if frame.filename != importlib.__file__]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""


def _require_defined_names(path: Path, module: ModuleType) -> None:
    """Numba says only that such a name is not defined, not where."""
    for value in vars(module).values():
        function = inspect.unwrap(value) if inspect.isfunction(value) else None  # a verb of the file's own is its contract
        if function is not None and function.__module__ == module.__name__:
            line = function.__code__.co_firstlineno
            for instruction in dis.get_instructions(function):
                line = (instruction.positions and instruction.positions.lineno) or line
                name = instruction.argval
                if instruction.opname == "LOAD_GLOBAL" and not (name in vars(module) or hasattr(builtins, name)):
                    raise PluginError(f"{path}:{line}: NameError: name {name!r} is not defined")
