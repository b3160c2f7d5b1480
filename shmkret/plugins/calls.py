"""How the user's own functions are called outside the text: their errors named by file and line, and never for ever.

Source    setitimer(2)
"""

from __future__ import annotations

import dis
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from shmkret.errors import PluginError, ShmkretError

PATIENCE_S = 10.0


class TakesTooLong(BaseException):
    """The user's function is still running; not an Exception, so that the user's own `except` does not hold it up."""


@contextmanager
def blamed(paths: Sequence[Path], what: str, seconds: float = PATIENCE_S) -> Iterator[None]:
    """What this block raises is a PluginError about the last line of `paths` that the error went through.

    A block that takes longer than `seconds` is ended there, in the main thread; errors of ours pass as they are, and so does an
    interrupt.
    """
    try:
        with _within(seconds):
            yield
    except ShmkretError:
        raise
    except TakesTooLong as error:
        raise PluginError(f"{place(error, paths)}: {what} takes longer than {seconds:g} s") from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and not _is_raised_by(error, paths):
            raise
        name = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise PluginError(f"{place(error, paths)}: {name}, in {what}") from error


def _is_raised_by(error: BaseException, paths: Sequence[Path]) -> bool:
    """Whether a statement of these files has raised it, and no signal: that comes to a file between two statements."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    if trace is None or Path(trace.tb_frame.f_code.co_filename) not in paths:
        return False
    at = [one.opname for one in dis.get_instructions(trace.tb_frame.f_code) if one.offset == trace.tb_lasti]
    return at == ["RAISE_VARARGS"]


def place(error: BaseException, paths: Sequence[Path]) -> str:
    """The last line of these files that an error went through; the first file where it went through none."""
    own = {str(path) for path in paths}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in own]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else str(paths[0])


_this_thread = threading.local()


@contextmanager
def bounded_by_another() -> Iterator[None]:
    """In this block, blamed() bounds nothing: somebody else does, and may never come back to where a timer is put away."""
    before = getattr(_this_thread, "is_bounded", False)
    _this_thread.is_bounded = True
    try:
        yield
    finally:
        _this_thread.is_bounded = before


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    is_bounded = getattr(_this_thread, "is_bounded", False) or signal.getitimer(signal.ITIMER_REAL)[0]
    if is_bounded or threading.current_thread() is not threading.main_thread():
        yield  # no signal would come here, or somebody else is counting
        return
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TakesTooLong
