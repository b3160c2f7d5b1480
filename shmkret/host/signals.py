"""How a command ends when it is interrupted: by SIGINT, SIGTERM and SIGHUP.

Normally the signal becomes a KeyboardInterrupt, which passes through every `with` block. Where an exception would be swallowed
would leave a library half done (while it is imported, or calls back from compiled code), nothing of ours needs cleaning up,
and the process ends on the spot.

Once      what comes within TIDY_S of an interrupt is dropped: another exception would break what tidies up. Later ones count
          again, for the first may have been caught by somebody else
Swallowed an exception that is raised where nobody can catch it (a destructor, a callback from C) is shown to
          sys.unraisablehook and dropped; an interrupt comes again then, RETRY_S later
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

EXIT_INTERRUPTED = 130
WORDS = "shmkret: interrupted; every worker is gone and nothing was written"
KEPT = "shmkret: interrupted; every worker is gone, and the results are in"
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
TIDY_S = 5.0
RETRY_S = 0.02

_on_the_spot = 0
_came_s: float | None = None


def install() -> None:
    """Take over the signals, except those that the process was told to ignore (nohup)."""
    for number in NUMBERS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    sys.unraisablehook = _swallowed


def ignore() -> None:
    """From now on the end is near anyway: ignore those that were taken over. Raises KeyboardInterrupt for one that waits."""
    for number in NUMBERS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, _nothing)  # SIG_IGN would complain of a signal that waits for its Python handler


def over() -> None:
    """The command is done, and no signal changes that any more. Raises KeyboardInterrupt for one that came just before.

    Blocked, for a handler of ours does not last: the interpreter, as it closes, leaves the signal to the kernel, which kills.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    for number in NUMBERS:  # other threads do not have our mask
        signal.signal(number, signal.SIG_IGN)


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


def _interrupt(number: int, frame: FrameType | None) -> None:
    global _came_s
    now = time.monotonic()
    if _came_s is not None and now - _came_s < TIDY_S:
        return
    _came_s = now
    if _on_the_spot:
        os.write(2, f"{WORDS}\n".encode())
        os._exit(EXIT_INTERRUPTED)
    raise KeyboardInterrupt


def _swallowed(dropped: sys.UnraisableHookArgs) -> None:
    """Send an interrupt that was dropped once more; what else was dropped is shown as ever."""
    global _came_s
    if not issubclass(dropped.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(dropped)
        return
    _came_s = None

    def again() -> None:
        time.sleep(RETRY_S)
        for number in NUMBERS:
            if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, _nothing):
                os.kill(os.getpid(), number)
                break

    with suppress(RuntimeError):  # the interpreter is closing
        threading.Thread(target=again, daemon=True).start()


@contextmanager
def on_the_spot() -> Iterator[None]:
    """While this block runs, an interrupt ends the process at once: it must own no process, name or unfinished file."""
    global _on_the_spot
    _on_the_spot += 1
    try:
        yield
    finally:
        _on_the_spot -= 1


@contextmanager
def held_back() -> Iterator[Callable[[], bool]]:
    """While this block runs, signals wait, and its end raises what they raise. Yields what says whether one waits.

    A mask is one thread's, and the kernel gives a signal to any that has it not blocked; Python then raises in the main thread
    all the same. So the handlers wait, too.
    """
    came: list[int] = []

    def put_off(number: int, frame: FrameType | None) -> None:
        came.append(number)

    handlers = {}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    try:
        if threading.current_thread() is threading.main_thread():
            found = {number: signal.getsignal(number) for number in NUMBERS}
            handlers = {number: handler for number, handler in found.items() if callable(handler)}
            for number in handlers:
                signal.signal(number, put_off)
        yield lambda: bool(came) or not signal.sigpending().isdisjoint(NUMBERS)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)  # it is blocked, and waits for the next line
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
