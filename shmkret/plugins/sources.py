"""What a plug-in is made of beside its own file: the modules that it imports, and the values that its functions refer to.

    lock.py --imports--> mid.py --imports--> deep.py       files, all the way; not Python's own, numpy's, Numba's or ours
    acquire() --refers to--> N = np.int64(3)               values, through the functions that it calls, closures and defaults

A file says what there will be in the next process. A value says what there is in this one, and what no file says: a constant
that was computed. Either may be part of machine code, so a cache is keyed by both.

Always    the same files and values give the same digest in every process
Reloading `refresh()` runs a module again whose file was edited, and every module of the user's that imports it
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

LEFT_OUT = frozenset({"shmkret", "numpy", "numba", "llvmlite", "__main__"})
"""Packages whose version or sources name the cache anyway; and the program that was started, which is no part of a loop."""
PLAIN = (bool, int, float, complex, str, bytes, np.generic, type(None), type(Ellipsis), range)
_PYTHON = {Path(path).resolve() for name in ("stdlib", "platstdlib") if (path := sysconfig.get_path(name))}
_INSTALLED = ("site-packages", "dist-packages")
_read: dict[str, str] = {}
"""By the name of a module, the digest of the file that was run."""


def imported(module: ModuleType) -> list[ModuleType]:
    """The modules that it imports, directly or not, and that may be part of its code; each behind those that it needs."""
    found: list[ModuleType] = []
    known = {module.__name__}
    path = [(module, _direct(module))]
    while path:
        other = next(path[-1][1], None)
        if other is None:
            found.append(path.pop()[0])
        elif other.__name__ not in known:
            known.add(other.__name__)
            path.append((other, _direct(other)))
    return found[:-1]


def _direct(module: ModuleType) -> Iterator[ModuleType]:
    for name in sorted(_needs(module)):
        if isinstance(other := sys.modules[name], ModuleType) and not _is_left_out(other):
            yield other


def digest(module: ModuleType) -> str:
    """A digest of all that it imports, of its constants, and of what its functions and classes refer to."""
    found = hashlib.sha256()
    for other in sorted(imported(module), key=lambda other: other.__name__):
        found.update(f"{other.__name__} {_file_digest(other)}\n".encode())
    own = [value for name, value in sorted(vars(module).items()) if not name.startswith("__") and _matters(value, module)]
    return hashlib.sha256(found.digest() + digest_of(own).encode()).hexdigest()


def digest_of(values: Iterable[Any]) -> str:
    """A digest of values as machine code would contain them: functions by what they do and refer to, constants by value."""
    walk = _Walk()
    for value in values:
        walk.visit(value)
    return walk.finish()


def stamps(module: ModuleType) -> dict[Path, str]:
    """The digest of each file that an edit could be noticed in: of the user's own modules that it imports."""
    return {Path(str(other.__file__)): _read.get(other.__name__, "") for other in imported(module) if _is_the_users(other)}


def file_digest(path: Path) -> str:
    """What a file holds now; empty when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def refresh(module: ModuleType) -> bool:
    """Run the user's modules again that it imports and whose file is not what was run, and those that import such a one.

    Returns: whether there was any: then `module` itself refers to what is outdated. Raises: what a module raises.
    """
    again: set[str] = set()
    for other in imported(module):
        if not _is_the_users(other):
            continue
        now = file_digest(Path(str(other.__file__)))
        if _read.setdefault(other.__name__, now) != now or again & _needs(other):
            _run(other)
            again.add(other.__name__)
    return bool(again)


def _run(module: ModuleType) -> None:
    """As importlib.reload(), but from the source: Python's own cache of it looks at whole seconds and sizes."""
    source = Path(str(module.__file__)).read_bytes()
    exec(compile(source, str(module.__file__), "exec"), module.__dict__)  # noqa: S102
    _read[module.__name__] = hashlib.sha256(source).hexdigest()


def _is_left_out(module: ModuleType) -> bool:
    if module.__name__.partition(".")[0] in LEFT_OUT:
        return True
    file = getattr(module, "__file__", None)
    if not file:
        return not hasattr(module, "__path__")  # built in; a package without a file of its own has modules that have one
    path = Path(file).resolve()
    return any(path.is_relative_to(place) for place in _PYTHON) and not _is_installed(path)


def _is_installed(path: Path) -> bool:
    return any(part in _INSTALLED for part in path.parts)


def _is_the_users(module: ModuleType) -> bool:
    """Whether it is text that the user may edit as we run."""
    file = getattr(module, "__file__", None)
    return bool(file) and str(file).endswith(".py") and not _is_installed(Path(str(file)))


def _file_digest(module: ModuleType) -> str:
    path = Path(getattr(module, "__file__", None) or "")
    if path.suffix == ".py":
        return file_digest(path)
    # Machine code may be large, and nobody edits it in place.
    return f"{path.stat().st_size} {path.stat().st_mtime_ns}" if path.is_file() else ""


def _needs(module: ModuleType) -> set[str]:
    """The names of the modules that it may have imported: those that its values come from, and those that its text names."""
    found = {_home(value) for value in list(vars(module).values())}
    if str(getattr(module, "__file__", None)).endswith(".py"):
        found |= _named(_text(module), module.__package__ or "")
    return {name for name in found if name in sys.modules and name != module.__name__}


def _home(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    owner = value if inspect.isroutine(value) or inspect.isclass(value) else type(value)
    return str(getattr(owner, "__module__", ""))


def _text(module: ModuleType) -> bytes:
    try:
        return Path(str(module.__file__)).read_bytes()
    except OSError:
        return b""


@cache
def _named(source: bytes, package: str) -> frozenset[str]:
    """The modules that a text imports, in functions too, and what it takes from them, which may be modules."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return frozenset()
    return frozenset(name for node in nodes for name in _names_of(node, package))


def _names_of(node: ast.AST, package: str) -> Iterator[str]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            parts = alias.name.split(".")
            yield from (".".join(parts[: i + 1]) for i in range(len(parts)))
    elif isinstance(node, ast.ImportFrom):
        relative = "." * node.level + (node.module or "")
        try:
            base = importlib.util.resolve_name(relative, package)
        except ImportError:
            return
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names)


def _matters(value: Any, module: ModuleType) -> bool:
    """Whether a plug-in's own value can reach its code without a function that names it: constants, verbs, records."""
    if isinstance(value, FunctionType) or inspect.isclass(value):
        return value.__module__ == module.__name__
    return isinstance(value, (*PLAIN, tuple, list, set, frozenset, dict, np.ndarray))


class _Walk:
    """Digests values, and what they refer to, each once: a reference is a number, in the order in which they were met."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._met: dict[tuple[int, frozenset[str]], int] = {}
        self._values: list[tuple[Any, frozenset[str]]] = []

    def visit(self, value: Any, names: frozenset[str] = frozenset()) -> None:
        """names: what the function that refers to `value` names, which are attributes of it where it is a module."""
        if isinstance(value, PLAIN):
            self._write(_plain(value))
            return
        key = id(value), names if isinstance(value, ModuleType) else frozenset()
        if key not in self._met:
            self._met[key] = len(self._values)
            self._values.append((value, names))  # which also keeps it alive, lest another value get its identity
        self._write(f"value {self._met[key]}")

    def finish(self) -> str:
        """Follow every reference; returns the digest."""
        for value, names in self._values:  # grows meanwhile
            self._once(value, names)
        return self._digest.hexdigest()

    def _once(self, value: Any, names: frozenset[str]) -> None:
        inner = getattr(value, "py_func", None) if type(value).__module__.startswith("numba.") else None
        self._write(f"{type(value).__module__}.{type(value).__qualname__}")
        match inner or value:
            case FunctionType() as function:
                self._function(function)
            case CodeType():
                self._code(value)
            case ModuleType():
                self._module(value, names)
            case type():
                self._class(value)
            case staticmethod() | classmethod():
                self.visit(value.__func__)
            case property():
                self.visit(value.fget)
            case Enum():
                self._write(value.name)
                self.visit(value.value)
            case np.dtype():
                self._write(str(value))
            case np.ndarray() if not value.dtype.hasobject:
                self._write(f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}")
            case tuple() | list():
                for one in value:
                    self.visit(one)
            case set() | frozenset():
                self._write(repr(sorted(map(_plain, value))))
            case dict():
                for key in sorted(value, key=_plain):
                    self._write(_plain(key))
                    self.visit(value[key])

    def _write(self, words: str) -> None:
        self._digest.update(f"{words}\n".encode(errors="surrogatepass"))

    def _function(self, function: FunctionType) -> None:
        self._write(f"{function.__module__}.{function.__qualname__}")
        if _is_of(LEFT_OUT, function):
            return
        self.visit(function.__code__)
        self.visit(function.__defaults__)
        self.visit(function.__kwdefaults__)
        names = frozenset(_names_in(function.__code__))
        for cell in function.__closure__ or ():
            try:
                self.visit(cell.cell_contents, names)
            except ValueError:  # empty still
                self._write("empty")
        for name in sorted(names & function.__globals__.keys()):
            self._write(name)
            self.visit(function.__globals__[name], names)

    def _code(self, code: CodeType) -> None:
        self._write(repr((code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)))
        for constant in code.co_consts:
            self.visit(constant)

    def _module(self, module: ModuleType, names: frozenset[str]) -> None:
        self._write(module.__name__)
        for name in sorted(names & vars(module).keys()) if not _is_left_out(module) else ():
            self._write(name)
            self.visit(vars(module)[name], names)

    def _class(self, cls: type) -> None:
        self._write(f"{cls.__module__}.{cls.__qualname__}")
        home = sys.modules.get(cls.__module__)
        if _is_of(LEFT_OUT, cls) or home is None or _is_left_out(home):
            return
        for name, value in sorted(vars(cls).items()):
            if not name.startswith("__"):
                self._write(name)
                self.visit(value)
        for base in cls.__bases__:
            self.visit(base)
        # A verb is found by the class of its first argument, in the module that defines the class.
        for _, verb in sorted(vars(home).items()):
            if isinstance(verb, FunctionType) and verb.__module__ == home.__name__:
                self.visit(verb)


def _plain(value: Any) -> str:
    """The same in every process, as the order of a set and the identity of an object are not."""
    words = ""
    if isinstance(value, tuple):
        words = repr([_plain(one) for one in value])
    elif isinstance(value, frozenset):
        words = repr(sorted(map(_plain, value)))
    elif isinstance(value, PLAIN):
        words = repr(value)
    return f"{type(value).__qualname__} {words}"


def _is_of(packages: frozenset[str], value: Any) -> bool:
    return str(value.__module__).partition(".")[0] in packages


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
