"""A bound for code that is not ours: who neither ends nor does a step is named, and left where it stands.

    watched()       while a search or a rehearsal runs, a thread looks some times a second whether steps are done
    guarded(act)    does what may call a user's function, so that it can be left; a CPU's code always can

Code that was left is not unwound: an `except` of its own could catch what ends it, and go on for ever. It stays suspended as
long as the process lives.

Always    a timer or a signal handler of others is left alone, and any thread will do: the thread that runs on is made to raise
          a class (PyThreadState_SetAsyncExc), and calls it for that. The call does not come back: it throws into the greenlet
          that waits for the code
          processor time counts, of that thread: a busy or a stopped machine accuses nobody
          what was to be raised, and was not, is raised at the end, and caught: where it is taken back (NULL), CPython 3.11
          goes on asking for it, and under a trace function never enters another function
Not seen  a call of C that does not come back, and a sleep
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import greenlet

from shmkret.explore.greenlets import places
from shmkret.plugins.calls import bounded_by_another
from shmkret.text import atomics

PATIENCE_S = 2.0
LOOK_S = 0.1

T = TypeVar("T")


class RunsOn(Exception):
    """Code neither ends nor does a step; where, in a sentence."""


class Bounded(greenlet.greenlet):  # type: ignore[misc]
    """Code that can be left where it stands. name: whose it is."""

    name = "a function that is asked for an answer"
    left = False

    def __init__(self, act: Callable[[], None]) -> None:
        def code() -> None:
            try:
                _bounded(act)  # what it returns would be taken for a step
            except BaseException:  # makes an error of the class that is raised, here
                raise

        super().__init__(code)


def _bounded(act: Callable[[], None]) -> None:
    act()


def leave(one: Bounded) -> None:
    """It is never gone on with, nor ended: whoever drops the last reference to a greenlet would raise in it."""
    one.left = True
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))


def guarded(act: Callable[[], T]) -> T:
    """Do it, so that it can be left, in a block that is watched(). Raises: what it raises, and RunsOn."""
    answers: list[T] = []
    machine, depth = atomics.machine(), atomics.depth()
    with bounded_by_another():
        try:
            Bounded(lambda: answers.append(act())).switch()
        except RunsOn:
            atomics.leave_to(machine, depth)
            raise
    return answers[0]


@contextmanager
def watched() -> Iterator[None]:
    """In this block, bounded code of this thread that runs on is left: who waits for it gets RunsOn."""
    watch = _Watch(threading.get_ident())
    watch.start()
    try:
        yield
    finally:
        watch.end()


class _Late(BaseException):
    """What is raised in code that is not left: its time had come as it ended."""


class _Watch(threading.Thread):
    """A thread that looks at another."""

    def __init__(self, thread: int) -> None:
        super().__init__(name="shmkret-watch", daemon=True)
        self._over = threading.Event()
        self._watched = thread
        self._clock = time.pthread_getcpuclockid(thread)
        self._asked = False

    def run(self) -> None:
        """Some times a second, until it is over."""
        seen, since = _progress(), time.clock_gettime(self._clock)
        while not self._over.wait(LOOK_S):
            now, used = _progress(), time.clock_gettime(self._clock)
            if now != seen:
                seen, since = now, used
            elif used - since >= PATIENCE_S and self._leave(used - since):
                since = used

    def _leave(self, after_s: float) -> bool:
        """Let the thread leave what it does, if that may be left; whether it will."""
        frame = sys._current_frames().get(self._watched)
        if not _is_bounded(frame):
            return False
        words = f"runs on: no step on a shared word in {after_s:.1f} s of processor time"
        self._asked = True
        self._raise(_leaving(places.of_frame(frame), words))
        return True

    def end(self) -> None:
        """It is over; called by who is watched. Nothing is raised any more, nor is anything still to be."""
        while True:
            try:
                self._over.set()
                self.join()
                if self._asked:
                    self._asked = False
                    self._raise(_Late)
                    while True:  # until it is raised
                        pass
                return
            except _Late:
                continue

    def _raise(self, what: type[BaseException]) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._watched), ctypes.py_object(what))


def _progress() -> tuple[object, int, int]:
    """Differs once a step was done, or all garbage was looked for: in a large process that alone takes seconds."""
    machine: Any = atomics.machine()
    accesses = machine.accesses if hasattr(type(machine), "accesses") else 0
    return machine, accesses, gc.get_stats()[-1]["collections"]


def _is_bounded(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is _bounded.__code__:
            return True
        frame = frame.f_back
    return False


def _leaving(place: str, words: str) -> type[BaseException]:
    """A class that is not made an error of: whoever makes one leaves what it does."""

    class Leaving(_Late):
        def __init__(self) -> None:
            one = greenlet.getcurrent()
            if isinstance(one, Bounded) and not one.left:
                leave(one)
                one.parent.throw(RunsOn(f"{place}: {one.name} {words}"))

    return Leaving
