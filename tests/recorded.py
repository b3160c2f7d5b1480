"""Litmus programs as programs of tests.programs: what their CPUs do is written down as it is called, in order.

Not here   what depends on what was seen, words of a CPU's own, and mutexes, which are other words in the two executors
"""

from collections.abc import Callable
from typing import NamedTuple

from shmkret.errors import NotAWord
from shmkret.text import atomics

from .litmus import DEAD, Litmus
from .programs import NR_CPUS

CALLS = {"sem_wait": "down", "sem_post": "up", "sem_trywait": "try down", "sem_wait_unless": "down unless"}


class Unknown(Exception):
    """This cannot be written down."""


class Seen:
    """What an operation will have seen, by its number: nothing can be asked of it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def _ask(self, *_: object) -> bool:
        raise Unknown

    __bool__ = __eq__ = __lt__ = __add__ = __and__ = __mod__ = __index__ = _ask  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class Words:
    """The words that all share."""

    def __init__(self, recorder) -> None:
        self._recorder = recorder

    def __getitem__(self, i):
        return self._recorder.does("read", i)

    def __setitem__(self, i, value) -> None:
        self._recorder.does("write", i, value)


class Recorder:
    """A machine that does nothing, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.operations = []

    def does(self, name, *values):
        if not all(isinstance(value, int) for value in values):
            raise Unknown
        self.operations.append((name, *values))
        return Seen(len(self.operations) - 1)

    def __getattr__(self, name):
        names = {
            "load_acquire": "load", "store_release": "store", "load_relaxed": "load relaxed", "store_relaxed": "store relaxed",
            "exchange": "exchange", "fetch_add": "add", "cmpxchg": "cmpxchg", "futex_wait": "sleep", "futex_wake": "wake",
        }  # fmt: skip
        if name not in names:
            raise Unknown
        return lambda words, *values: self.does(names[name], *values)

    def fence(self) -> None:
        self.does("fence")

    def wait_until(self, words, i, relation, value) -> None:
        self.does("wait" if relation == atomics.EQ else "wait not", i, value)

    def wait_unless(self, words, i, relation, value, stop):
        return self.does("wait unless" if relation == atomics.EQ else "wait not unless", i, value)

    def address_of(self, words, i):
        return i

    def libc(self, name, address, *stop):
        if name not in CALLS:
            raise Unknown
        return self.does(CALLS[name], address)


class Recorded(NamedTuple):
    """The program; what CPUs announce; for each CPU the numbers of the operations whose answers it returns."""

    program: list
    announcements: list
    returned: list
    litmus: Litmus

    def outcome(self, seen, words):
        """As the program's table has it."""
        ends = [
            (DEAD,) if one is None else tuple(one[n] for n in numbers) for one, numbers in zip(seen, self.returned, strict=True)
        ]
        return (*(value for one in ends for value in one), *(words[i] for i in self.litmus.final))


def operations_of(code: Callable):
    """What a CPU's code does, and what it returns. Raises Unknown."""
    recorder = Recorder()
    with atomics.use(recorder):
        try:
            answer = code(Words(recorder))
        except (TypeError, NotAWord) as error:
            raise Unknown from error
    answers = answer if isinstance(answer, tuple) else () if answer is None else (answer,)
    if not all(isinstance(one, Seen) for one in answers):
        raise Unknown
    return recorder.operations, [one.number for one in answers]


def recorded(litmus: Litmus) -> Recorded:
    """A litmus program, written down. Raises Unknown."""
    found = [operations_of(lambda m, code=code: code(m, None)) for code in litmus.cpus]
    dies = [operations_of(lambda m, i=i: litmus.announce(m, i))[0] for i in range(NR_CPUS)] if litmus.mortal else []
    return Recorded([one for one, _ in found], dies if any(dies) else [], [numbers for _, numbers in found], litmus)
