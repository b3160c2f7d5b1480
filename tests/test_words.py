"""What a word can hold: what is no whole number of 64 bits, signed, is refused by its line, whoever executes the text."""

import mmap
import re

import numba
import numpy as np
import pytest

from shmkret.arena import records
from shmkret.arena.fields import dtype_of
from shmkret.errors import NotAWord
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.rehearsal import trials
from shmkret.locks import LOCK
from shmkret.machines.compiled import loop
from shmkret.machines.plain import PlainMachine, PlainWords
from shmkret.plugins.registry import find
from shmkret.text import atomics, libc
from shmkret.text.atomics import EQ, NE
from shmkret.text.marks import inline

LEAST, MOST = -(1 << 63), (1 << 63) - 1
WORDS = [(value, int(value)) for value in (0, LEAST, MOST, True, False, np.int64(LEAST), np.uint32(7), np.bool_(True))]
NONE = [
    MOST + 1,
    LEAST - 1,
    1 << 20_000,
    np.uint64(MOST + 1),
    1.0,
    np.float64(1.0),
    float("nan"),
    None,
    "1",
    (1,),
    np.array([1, 2]),
]


def setitem(words, value):
    words[0] = value


INTO = {
    "plain": setitem,
    "store_release": lambda words, value: atomics.store_release(words, 0, value),
    "store_relaxed": lambda words, value: atomics.store_relaxed(words, 0, value),
    "store_ordered": lambda words, value: atomics.store_ordered(words, 0, value),
    "exchange": lambda words, value: atomics.exchange(words, 0, value),
    "fetch_add": lambda words, value: atomics.fetch_add(words, 0, value),
    "cmpxchg": lambda words, value: atomics.cmpxchg(words, 0, 0, value),
}
"""How a value comes into a word that is 0."""
BESIDE = {
    "cmpxchg": lambda words, value: atomics.cmpxchg(words, 0, value, 0),
    "wait_until": lambda words, value: atomics.wait_until(words, 0, NE, value),
    "wait_unless": lambda words, value: atomics.wait_unless(words, 0, EQ, value, words),
    "futex_wait": lambda words, value: atomics.futex_wait(words, 0, value),
    "futex_wake": lambda words, value: atomics.futex_wake(words, 0, value),
    "sem_reset": lambda words, value: libc.sem_reset(atomics.address_of(words, 0), value),
    "sem_post": lambda words, value: libc.sem_post(value),
}
"""Where a value is compared with a word, or goes to the kernel or to libc."""


def machines():
    """A machine and a column of three words, once explored and once on real memory."""
    explored = ExploredMachine()
    yield explored, explored.words("x", [0, 0, 0])
    memory = np.frombuffer(mmap.mmap(-1, 4096), dtype_of(records.Buckets, 64), 3)
    yield PlainMachine(), PlainWords(memory["first"])


@pytest.mark.parametrize("way", INTO)
def test_what_goes_into_a_word_is_what_it_then_holds(way):
    for machine, words in machines():
        with atomics.use(machine):
            for value, held in WORDS:
                words[0] = 0
                INTO[way](words, value)
                assert (words[0], type(words[0])) == (held, int), (machine, value)


@pytest.mark.parametrize("way", [*INTO, *(f"beside {way}" for way in BESIDE)])
def test_what_is_no_word_is_refused_by_its_line_and_nothing_is_written(way):
    goes = INTO.get(way) or BESIDE[way.removeprefix("beside ")]
    line = goes.__code__.co_firstlineno + (way == "plain")
    for machine, words in machines():
        with atomics.use(machine):
            for value in NONE:
                with pytest.raises(NotAWord, match=rf"^{re.escape(__file__)}:{line}: .* a word is a whole number of 64 bits"):
                    goes(words, value)
                assert words[0] == 0


def test_a_sum_wraps_and_a_word_is_compared_by_all_its_bits():
    for machine, words in machines():
        with atomics.use(machine):
            words[0] = MOST
            assert atomics.fetch_add(words, 0, 1) == MOST
            assert atomics.fetch_add(words, 0, -1) == LEAST
            assert atomics.fetch_add(words, 0, LEAST) == MOST
            assert atomics.cmpxchg(words, 0, -1, 5) == -1
            assert words[0] == 5


OWN = """
from typing import NamedTuple
from shmkret.text import EQ, Words, add64, cmpxchg, exchange, load_acquire, store_release, wait_until

class Own(NamedTuple):
    word: Words
    count: Words

def acquire(lock, i):
    while cmpxchg(lock.word, i, 0, 1) != 0:
        wait_until(lock.word, i, EQ, 0)
    COUNT

def release(lock, i):
    store_release(lock.word, i, 0)
"""
LINE = 1 + OWN[: OWN.index("COUNT")].count("\n")


@pytest.fixture
def own(tmp_path):
    """A lock of the user's own whose acquire() ends in a statement."""

    def written(statement):
        path = tmp_path / "own.py"
        path.write_text(OWN.replace("COUNT", statement))
        return find(LOCK, str(path))

    return written


def test_a_lock_by_itself_is_told_the_line_at_which_a_value_leaves_its_word(own):
    lock = own("lock.count[i] = lock.count[i] + (3 << 61)")
    (violation,) = trials.tried(lock, "acquire").violations

    assert violation.what.startswith(f"{lock.path}:{LINE}: {6 << 61} does not fit")
    assert trials.tried(own("lock.count[i] = add64(lock.count[i], 3 << 61)"), "acquire").violations == []


@pytest.mark.parametrize(
    ("modules", "named"),
    [
        (("shmkret.explore.rehearsal.rehearse", "mine", "shmkret.text.verbs", "shmkret.kernel.handlers"), "mine.py:1: "),
        (("shmkret.explore.rehearsal.rehearse", "shmkret.kernel.cpu", "shmkret.text.verbs", "yours", "mine"), "mine.py:1: "),
        (
            ("shmkret.explore.rehearsal.rehearse", "shmkret.kernel.cpu", "shmkret.text.verbs", "shmkret.locks.a"),
            "shmkret.locks.a.py:1: ",
        ),
    ],
)
def test_the_users_innermost_line_is_named_and_ours_where_none_of_his_runs(modules, named):
    machine, words = next(machines())
    statement, call = "atomics.store_release(words, 0, 0.5)", None
    for name in reversed(modules):
        scope = {"__name__": name, "atomics": atomics, "callee": call}
        exec(compile(f"call = lambda words: {statement}", f"{name}.py", "exec"), scope)
        statement, call = "callee(words)", scope["call"]
    with atomics.use(machine), pytest.raises(NotAWord) as caught:
        call(words)

    assert str(caught.value).startswith(named)


# Compiled.


BIG = (1 << 64) - 1
TEXT = {
    "atomics.store_release(words, i, 0.5)": "float64 is no word",
    "words[i] = a / 2": "float64 is no word",
    "words[i] = None": "none is no word",
    "atomics.cmpxchg(words, i, a, 1.5)": "float64 is no word",
    "atomics.wait_until(words, i, 0, 0.5)": "float64 is no word",
    "atomics.futex_wait(words, i, 0.5)": "float64 is no word",
    "atomics.wait_unless(words, i, 0, 0.5, words)": "float64 is no word",
    "atomics.futex_wake(words, i, 0.5)": "float64 is no word",
    "libc.sem_reset(a, 0.5)": "float64 is no word",
    "words[i] = UNSIGNED": "uint64 is no word",
    "words[i] = 1 << 63": f"{1 << 63} does not fit",
    "a = a & BIG": f"{(1 << 64) - 1} does not fit",
    "a = atomics.load_acquire(words, i) == -1 << 64": f"{-1 << 64} does not fit",
}


def compiled(statement, tmp_path):
    """A function of (words, i, a) that does that and answers with words[i], compiled by itself."""
    path = tmp_path / "text.py"
    path.write_text(f"def own(words, i, a) -> int:\n    {statement}\n    return words[i]\n")
    scope = {"atomics": atomics, "libc": libc, "BIG": BIG, "UNSIGNED": np.uint64(5), "__name__": "text"}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    return loop.compile_function(inline(scope["own"]), ("word", "int"), None)


@pytest.mark.parametrize("statement", TEXT)
def test_compiled_what_is_no_word_by_its_type_is_refused_by_its_line(statement, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match="is a whole number") as caught:
        compiled(statement, tmp_path)

    said = loop._innermost(str(caught.value))
    assert said.startswith("text.py:2: ")
    assert said.endswith(f"{TEXT[statement]}: a word is a whole number of 64 bits, signed")
    assert numba.typeof(BIG) is numba.uint64  # as always, for who compiles something of his own


def test_compiled_a_truth_is_1_and_the_least_word_is_one_and_a_sum_wraps(tmp_path):
    _, words = list(machines())[1]
    assert compiled("words[i] = a == 3", tmp_path)(words.at(0), 3) == 1
    assert compiled("words[i] = -(1 << 63); atomics.fetch_add(words, i, a)", tmp_path)(words.at(0), -1) == MOST
