"""Where a user's code stands: file and line, for whatever goes wrong in it.

The innermost line of neither the package nor a library: his may call those, and the collector of garbage runs their code
anywhere. Where there is none, the innermost outside `explore` and `text`, which only execute.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

PACKAGE = Path(__file__).parents[2]
EXECUTES = tuple(f"{PACKAGE / room}/" for room in ("explore", "text"))
STANDARD = f"{sysconfig.get_path('stdlib')}/"
LIBRARIES = re.compile(r"/(site|dist)-packages/(numba|llvmlite|numpy|greenlet)/")
"""Ours, among what is installed; a plug-in may be, too."""


def of_error(error: BaseException) -> str:
    """The line that it went through; empty where it is none of a user's, nor of the text."""
    return _innermost((frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__))


def of_frame(frame: FrameType | None) -> str:
    """The line at which code stands that was left, or is about to do a step."""
    return _innermost(reversed(list(_outwards(frame))))


def _outwards(frame: FrameType | None) -> Iterator[tuple[str, int]]:
    while frame is not None:
        yield frame.f_code.co_filename, frame.f_lineno or 0
        frame = frame.f_back


def _innermost(lines: Iterable[tuple[str, int]]) -> str:
    """Lines from the outermost frame inwards."""
    own = text = ""
    for path, line in lines:
        if not path.startswith((f"{PACKAGE}/", "<")) and not _is_a_library(path):
            own = f"{path}:{line}"
        elif path.startswith(f"{PACKAGE}/") and not path.startswith(EXECUTES):
            text = f"{path}:{line}"
    return own or text


def _is_a_library(path: str) -> bool:
    return bool(LIBRARIES.search(path)) or (path.startswith(STANDARD) and "-packages/" not in path)
