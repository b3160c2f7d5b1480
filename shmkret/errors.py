"""What can go wrong, as one tree. Each leaf says which exit code the command line gives it.

A sentence names in backquotes what its reader can turn to, as the library names it: lower `maxactive`, or see
`shmkret.arena.named.listing()`. So do the doubts of a result. The command line puts its own option or command there.

ShmkretError
+-- UsageError              2  something that was asked for cannot be
|   +-- UnknownName            no lock, scheme, worker ... of that name
|   +-- PluginError            a file of the user's does not import or breaks its contract
|   |   +-- NotAWord               it has put into a word what is none
|   +-- GeometryError          sizes that are zero, negative or overflow
|   +-- ArenaError             an arena that does not fit, or that is not ours to attach to
|   +-- RecordingError         what should be a recording is none, or not a whole one
+-- UnfitMachine            3  this machine lacks what the command needs
+-- RunFailed               1  a worker died or hung, an oracle or an audit failed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ShmkretError(Exception):
    """Any error that shmkret reports in a sentence; everything else is a defect of shmkret."""

    exit_code = 1


class UsageError(ShmkretError):
    """Something that was asked for cannot be."""

    exit_code = 2


class UnknownName(UsageError):
    """No lock, scheme, worker, suite ... of that name; says which come near."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(names)}"
        super().__init__(f"no {kind} is called {name!r}: {hint}")


class PluginError(UsageError):
    """A file of the user's does not import, or breaks the contract of what it is given as."""


class NotAWord(PluginError):
    """Into a word, or a call of libc, goes what is no whole number of 64 bits, signed."""


class GeometryError(UsageError):
    """Sizes that are zero, negative, or overflow."""


class ArenaError(UsageError):
    """An arena that does not fit into memory, or that cannot be attached to."""


class RecordingError(UsageError):
    """What should be a recording is none, or not a whole one: it names the first event, or line, that does not fit."""


class UnfitMachine(ShmkretError):
    """This machine lacks what the command needs: a compiler, cores, a permission."""

    exit_code = 3


class RunFailed(ShmkretError):
    """A run ended without a result: a worker died or hung."""


SHORT_OF_MEMORY = (
    "failed to map segment",
    "Cannot allocate memory",
    "cannot allocate memory",
    "Can't allocate memory",
    "Unable to allocate",
)
NOT_WHOLE = "is memory enough (ulimit -v), and the installation whole (pip check)?"


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error, of whatever kind, is in truth that of a library which found no room to be loaded."""
    return any(words in str(error) for words in SHORT_OF_MEMORY)


def cannot_import(error: ImportError | MemoryError) -> str:
    """An import of one of our own libraries that failed, in a sentence: the last line is the one that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = getattr(error, "name", None) or "a library"
    return f"{name} cannot be loaded: {lines[-1] if lines else type(error).__name__}; {NOT_WHOLE}"
