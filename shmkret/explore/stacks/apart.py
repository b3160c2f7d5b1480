"""A search in a process of its own, watched from here: it may run for ever, crash or be interrupted, and nothing is left of it.

    search(stacks, seconds) -> Outcome      every interleaving
    run(stacks, job)                        anything else that runs a scene's compiled code

Watch     how far the child is stands in memory that both share; what it finds comes through a pipe
Ends      the child dies with this process, and is killed and reaped however the block is left
Patience  in seconds of the child's own time: compiled code that does nothing to any word for so long is taken to run for ever
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import math
import os
import pickle
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

from shmkret.errors import RunFailed, ShmkretError, UnfitMachine
from shmkret.explore.engines import states
from shmkret.explore.scenario import Outcome, Violation
from shmkret.explore.stacks import control, sight
from shmkret.explore.stacks.executor import Stacks
from shmkret.host import posix, signals

T = TypeVar("T")
PATIENCE_S = 3.0
GRACE_S = 20.0
"""After its time is over, a search ends by itself; later than that it is ended."""
LOOK_S = 0.1
EVERY_STATE = 1 << 62


class Progress(NamedTuple):
    """Where a search is: states, ends, the length of its path, the share of its table that is full, bytes of that, seconds."""

    states: int
    ends: int
    depth: int
    share: float
    table: int
    seconds: float


class Stopped(Exception):
    """The child has ended, or was ended, without a result. by: whether its code is to blame."""

    def __init__(self, words: str, *, blamed: bool) -> None:
        super().__init__(words)
        self.blamed = blamed


def progress(stacks: Stacks, seconds: float) -> Progress:
    """Where a search is, which any process that shares the memory may ask."""
    places = stacks.get(control.PLACES)
    found = stacks.get(control.STATES)
    return Progress(
        found, stacks.get(control.ENDS), stacks.get(control.DEPTH), found / control.room_in(places), 8 * places, seconds
    )


def search(
    stacks: Stacks,
    seconds: float = math.inf,
    seen: Callable[[Progress], None] = lambda _: None,
    limit: int = EVERY_STATE,
    engine: Callable[[Stacks, int, float], Outcome] = states.search,
) -> Outcome:
    """The interleavings of a scene that an engine tries, in a child. What ends or hangs it is a violation with its schedule.

    Args:    seconds: after which the search is given up. limit: states, or runs, likewise. seen: called a few times a second.
             engine: search() of a module of shmkret.explore.engines.
    Raises:  ShmkretError that the child has raised; RunFailed for any other error there.
             KeyboardInterrupt never: `gave_up` is INTERRUPTED then.
    """
    try:
        return run(stacks, lambda: engine(stacks, limit, seconds), seen, seconds + GRACE_S)
    except Stopped as error:
        outcome = _so_far(stacks)
        if error.blamed:
            outcome.violations.append(Violation(str(error), sight.running(stacks)[1]))
        outcome.gave_up = str(error)
        return outcome
    except KeyboardInterrupt:
        outcome = _so_far(stacks)
        outcome.gave_up = INTERRUPTED
        return outcome
    finally:
        stacks.share(sight.shared(stacks))  # what the child has learned decides what is a step


INTERRUPTED = "interrupted"


def _so_far(stacks: Stacks) -> Outcome:
    return states.so_far(stacks, Outcome())


def run(
    stacks: Stacks,
    job: Callable[[], T],
    seen: Callable[[Progress], None] = lambda _: None,
    seconds: float = math.inf,
) -> T:
    """What job() returns in a child, which may run the stacks. Raises: what it raises, if that is ours; RunFailed, Stopped."""
    _look_new(stacks)
    parent = os.getpid()
    answers, answer = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    gc.freeze()
    pid = pidfd = -1
    try:
        # A signal between fork() and the next line would lose the child; the end of this block raises it.
        with signals.held_back():
            pid = os.fork()
            if pid == 0:
                child(parent, answer, job)
        os.close(answer)
        answer = -1
        pidfd = os.pidfd_open(pid)
        words = _Watch(stacks, pid, pidfd, time.monotonic() + seconds).read(answers, seen)
    except OSError as error:
        raise UnfitMachine(f"cannot start or watch a search: {error.strerror}; raise ulimit -u or -n") from error
    finally:
        with signals.held_back():
            gc.unfreeze()
            end(pid)
            for opened in (answers, answer, pidfd):
                if opened >= 0:
                    os.close(opened)
    return result(words)  # type: ignore[no-any-return]


def result(words: bytes) -> Any:
    """What a child's job has returned. Raises: what it has raised."""
    held, value = pickle.loads(words)  # noqa: S301 (our own child wrote it)
    if not held:
        raise value
    return value


def _look_new(stacks: Stacks) -> None:
    """Nothing of an earlier search is taken for one of this."""
    for word in (control.BUSY, control.STATES, control.DEPTH, control.ENDS, control.DISTINCT, control.DONE_STEPS):
        stacks.put(word, 0)


def child(parent: int, answer: int, job: Callable[[], Any]) -> NoReturn:
    """In a child: do the job, and write what came of it: result() reads it."""
    status = 1
    try:
        posix.die_with_parent(parent)
        faulthandler.disable()  # a crash is told in a sentence
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.NUMBERS)
        try:
            words = pickle.dumps((True, job()))
        except ShmkretError as error:
            words = pickle.dumps((False, RunFailed(str(error)) if type(error).__init__ is not Exception.__init__ else error))
        except BaseException as error:
            words = pickle.dumps((False, RunFailed(f"the search has failed: {type(error).__name__}: {error}")))
        with os.fdopen(answer, "wb", closefd=False) as pipe:
            pipe.write(words)
        status = 0
    finally:
        os._exit(status)


def end(pid: int) -> None:
    """Nothing is left of a child that is not yet reaped."""
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)  # it is not yet reaped: the number is still its own
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


class _Watch:
    """A look at a child, again and again."""

    def __init__(self, stacks: Stacks, pid: int, pidfd: int, end: float) -> None:
        self._stacks, self._pid, self._pidfd, self._end = stacks, pid, pidfd, end
        self._began = time.monotonic()
        self._last: tuple[int, ...] = ()
        self._since = 0.0

    def read(self, answers: int, seen: Callable[[Progress], None]) -> bytes:
        """All that it writes. Raises Stopped."""
        poll = select.poll()
        poll.register(answers, select.POLLIN)
        words = b""
        while True:
            if poll.poll(LOOK_S * 1000):
                more = os.read(answers, 1 << 16)
                if not more:
                    break
                words += more
                continue
            seen(progress(self._stacks, time.monotonic() - self._began))
            self._require_progress()
        status = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOWAIT)
        if status and status.si_code != os.CLD_EXITED:
            self._crashed(status.si_status)
        if not words:
            raise RunFailed(f"the search ended with exit status {status.si_status if status else '?'}")
        return words

    def _require_progress(self) -> None:
        """Raises Stopped for compiled code that goes on and does nothing."""
        if time.monotonic() > self._end:
            raise Stopped("time", blamed=False)
        own_s = _own_seconds(self._pid)
        now = sight.mark(self._stacks)
        if now != self._last or not self._stacks.get(control.BUSY):
            self._last, self._since = now, own_s
        elif own_s - self._since > PATIENCE_S:
            raise Stopped(f"{self._who()} runs on for {PATIENCE_S:g} s without an access to any word", blamed=True)

    def _who(self) -> str:
        cpu, _ = sight.running(self._stacks)
        step = self._stacks.pending(cpu)
        name = f"cpu {cpu}" if cpu < self._stacks.scene.nr_cpus else "who announces a death"
        return f"{name}, after its step {step.kind} of {step.place}," if step.place else f"{name}, before its first step,"

    def _crashed(self, number: int) -> NoReturn:
        name = signal_name(number)
        if self._stacks.get(control.BUSY) and number in CRASHES:
            raise Stopped(f"{self._who()} crashes: {name}", blamed=True)
        raise Stopped(f"the search was killed by {name}: is memory short? give the table less", blamed=False)


def signal_name(number: int) -> str:
    """`SIGKILL`."""
    return {one.value: one.name for one in signal.Signals}.get(number, f"signal {number}")


CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP)


def _own_seconds(pid: int) -> float:
    """What a process has had of the CPU."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
