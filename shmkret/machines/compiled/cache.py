"""Where compiled code is kept, and under which name.

Cache     Numba's own freshness check misses edited callees and mixes up plug-ins, so the folder is named by a digest of all
          sources that a loop can contain, of the versions of Python, numpy and Numba, of Numba's settings and of the CPU.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.registry import cpu_target

from shmkret.errors import UnfitMachine
from shmkret.machines.compiled.trust import why_not_ours

CACHE_DAYS = 14
PACKAGE = Path(__file__).parents[2]


class _Folder:
    """Tells Numba where compiled code lies. Its own locators ask settings that are everybody's, and may choose other places."""

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._folder = folder
        self._py_file = function.__code__.co_filename

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return ""


class _FolderImpl(CompileResultCacheImpl):  # type: ignore[misc]
    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._lineno = function.__code__.co_firstlineno
        self._locator = _Folder(folder, function)
        self._filename_base = function.__name__


class FolderCache(FunctionCache):  # type: ignore[misc]
    """A cache whose folder says what was compiled, so that the key need not.

    Numba's key pickles the closure: it differs from run to run for classes made at run time. One folder a loop also keeps
    two processes that compile at once from numbering their files alike.
    """

    def __init__(self, folder: Path, function: Callable[..., Any]) -> None:
        self._impl_class = partial(_FolderImpl, folder)
        super().__init__(function)

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        return signature, codegen.magic_tuple()

    def load_overload(self, signature: Any, target: Any) -> Any:
        """What was compiled before; None, and an empty folder, when it cannot be read."""
        try:
            return super().load_overload(signature, target)
        except Exception:  # a torn file may raise anything
            self._empty()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        """Keep what was compiled; a cache that cannot be written is done without."""
        with contextlib.suppress(OSError):
            super().save_overload(signature, data)

    def _empty(self) -> None:
        folder = Path(self.cache_path)
        for entry in folder.iterdir() if folder.is_dir() else ():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)


PATIENCE_S = 120.0
"""For how long another process may compile the same."""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Compile for this folder while no other process does: who waited finds what was compiled.

    Who is stopped as it compiles is waited for PATIENCE_S, and no longer: then both compile.
    """
    try:
        lock = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # a cache that cannot be written is done without
        yield
        return
    ours = False
    try:
        until = time.monotonic() + PATIENCE_S
        while not ours and time.monotonic() < until:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = True
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        if ours:  # whoever waits for it has it open; who comes later makes another, and finds the code
            with contextlib.suppress(OSError):
                Path(f"{folder}.lock").unlink()
        os.close(lock)


def _package_digest() -> bytes:
    """A digest of our own sources and of the versions; taken once, when they are imported, and not when they are compiled."""
    digest = hashlib.sha256()
    for source in sorted(PACKAGE.rglob("*.py")):
        digest.update(os.fsencode(source) + b"\0" + source.read_bytes() + b"\0")
    digest.update(repr((sys.version, np.__version__, numba.__version__, llvmlite.__version__)).encode())
    return digest.digest()


_PACKAGE_DIGEST = _package_digest()

DEFAULTS = {
    "OPT": 3, "BOUNDSCHECK": None, "DEBUGINFO_DEFAULT": 0, "LOOP_VECTORIZE": 1, "SLP_VECTORIZE": 0, "CPU_NAME": None,
    "CPU_FEATURES": None, "ENABLE_PROFILING": 0,
}  # fmt: skip
"""Settings of Numba that make another machine code, and what they are when nobody sets them."""


def _settings_digest() -> bytes:
    """All of Numba's settings, and the CPU: one too many costs a compilation, one that is left out a wrong number."""
    settings = {
        name: str(value)
        for name, value in vars(numba.config).items()
        # Threads are as many as there are cores to use, and no loop is parallel; where caches lie is not in them.
        if name.isupper() and "THREAD" not in name and not name.startswith("CACHE_")
    }
    return repr((sorted(settings.items()), cpu_target.target_context.codegen().magic_tuple())).encode()


def unusual_settings() -> list[str]:
    """The settings of Numba by which this process compiles other machine code than others do, as `NUMBA_OPT=0`."""
    found = {name: getattr(numba.config, name, default) for name, default in DEFAULTS.items()}
    found["OPT"] = getattr(found["OPT"], "_raw_value", found["OPT"])  # "max" is 3, and more
    return [f"NUMBA_{name.removesuffix('_DEFAULT')}={value}" for name, value in found.items() if value != DEFAULTS[name]]


def cache_folder(plugins: tuple[str, ...]) -> Path | None:
    """The folder of compiled code for our sources and plug-ins of these digests; None when the place is not writable, or when
    others may have put code there, which is said once.
    """
    whole = _PACKAGE_DIGEST + _settings_digest() + "\0".join(plugins).encode()
    try:
        root = Path(os.environ.get("SHMKRET_CACHE_DIR") or _user_cache() / "shmkret").resolve()  # a link may be turned later
        folder = usual = _folder_of(root, whole)
        if _apart:
            folder = _folder_of(root, whole + _apart[0])
        why = why_not_ours(usual) or why_not_ours(folder)
        if why:
            _say(f"the cache {root} is not used, and all is compiled anew: {why}")
            return None
        if _apart:
            _use_of(usual, folder, _apart[1])
        _prune(root)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    return folder if os.access(folder, os.W_OK) else None


@cache
def _say(words: str) -> None:
    print(f"shmkret: {words}", file=sys.stderr)


def _folder_of(root: Path, whole: bytes) -> Path:
    folder = root / hashlib.sha256(whole).hexdigest()[:24]
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    return folder


_apart: tuple[bytes, str] | None = None


def keep_apart(mark: str, anew: str) -> None:
    """Sources are not run as they stand in their files, and `mark` says how they differ: code is kept in folders of its own.

    anew: a pattern; what others have compiled under names that it does not match is used from where they keep it.
    """
    global _apart
    _apart = mark.encode(), anew


def _use_of(usual: Path, own: Path, anew: str) -> None:
    for entry in usual.iterdir():
        if not fnmatch.fnmatch(entry.name, anew):
            with contextlib.suppress(OSError):
                (own / entry.name).symlink_to(entry)


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _prune(root: Path) -> None:
    oldest = time.time() - CACHE_DAYS * 86400
    for folder in root.iterdir():
        with contextlib.suppress(OSError):
            # Only what is named as we name folders: the place may be anybody's.
            if re.fullmatch("[0-9a-f]{24}", folder.name) and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder)


def require_supported_machine() -> None:
    """Raises UnfitMachine on machines that the compiled atomics are not written for."""
    if numba.config.DISABLE_JIT:
        raise UnfitMachine("NUMBA_DISABLE_JIT is set: unset it; `plain` leaves the text uncompiled")
    if platform.machine() not in ("x86_64", "aarch64") or sys.platform != "linux":
        raise UnfitMachine(f"shmkret runs on Linux, x86-64 and 64-bit Arm; this is {sys.platform} {platform.machine()}")
