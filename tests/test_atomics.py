"""The words: three executors, one meaning."""

import mmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shmkret.arena import records
from shmkret.arena.fields import dtype_of
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.machines.plain import PlainMachine, PlainWords
from shmkret.text import arithmetic, atomics
from shmkret.text.atomics import EQ, NE

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
WRAPPING = {
    "add64": lambda a, b: a + b,
    "sub64": lambda a, b: a - b,
    "mul64": lambda a, b: a * b,
}


@pytest.fixture(scope="module")
def compiled():
    """Each function of the words, compiled alone, on a word at an address."""
    import numba

    from shmkret.machines import compiled as compiling

    compiling.teach()
    from shmkret.machines.compiled.types import bind

    column = records.Script
    functions = {
        "add64": lambda a, b: arithmetic.add64(a, b),
        "sub64": lambda a, b: arithmetic.sub64(a, b),
        "mul64": lambda a, b: arithmetic.mul64(a, b),
        "shr64": lambda a, b: arithmetic.shr64(a, b),
        "add32": lambda a, b: arithmetic.add32(a, b),
        "sub32": lambda a, b: arithmetic.sub32(a, b),
        "load_relaxed": lambda at: atomics.load_relaxed(bind(column, 8, at).word, 0),
        "store_relaxed": lambda at, value: atomics.store_relaxed(bind(column, 8, at).word, 0, value),
        "fence": lambda: atomics.fence(),
        "store_ordered": lambda at, value: atomics.store_ordered(bind(column, 8, at).word, 0, value),
        "wait_equal": lambda at, value: atomics.wait_until(bind(column, 8, at).word, 0, EQ, value),
        "wait_not_equal": lambda at, value: atomics.wait_until(bind(column, 8, at).word, 0, NE, value),
    }
    return {name: numba.njit(function) for name, function in functions.items()}


@given(a=INT64, b=INT64)
def test_wrapping_arithmetic_is_the_same_plain_and_compiled(compiled, a, b):
    for name, exact in WRAPPING.items():
        plain = getattr(arithmetic, name)(a, b)

        assert plain == (exact(a, b) + (1 << 63)) % (1 << 64) - (1 << 63)
        assert compiled[name](a, b) == plain


@given(a=INT64, bits=st.integers(1, 63))
def test_shr64_shifts_zeros_in_plain_and_compiled(compiled, a, bits):
    assert arithmetic.shr64(a, bits) == (a % (1 << 64)) >> bits == compiled["shr64"](a, bits)


@given(a=st.integers(0, (1 << 32) - 1), b=st.integers(0, (1 << 32) - 1))
def test_32_bit_arithmetic_wraps_plain_and_compiled(compiled, a, b):
    assert arithmetic.add32(a, b) == (a + b) % (1 << 32) == compiled["add32"](a, b)
    assert arithmetic.sub32(a, b) == (a - b) % (1 << 32) == compiled["sub32"](a, b)


def worlds():
    """A machine and a column of three words, once explored and once on real memory, 64 bytes apart."""
    explored = ExploredMachine()
    yield explored, explored.words("x", [0, 0, 0])
    memory = np.frombuffer(mmap.mmap(-1, 4096), dtype_of(records.Buckets, 64), 3)
    yield PlainMachine(), PlainWords(memory["first"])


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["exchange", "fetch_add", "cmpxchg", "store", "relaxed"]), INT64, INT64), max_size=12
    )
)
def test_atomics_mean_the_same_explored_and_on_real_memory(steps):
    histories = []
    for machine, words in worlds():
        history = []
        with atomics.use(machine):
            for name, a, b in steps:
                if name == "store":
                    atomics.store_release(words, 1, a)
                elif name == "relaxed":
                    atomics.store_relaxed(words, 1, a)
                    atomics.fence()
                    history.append(atomics.load_relaxed(words, 1))
                elif name == "cmpxchg":
                    history.append(atomics.cmpxchg(words, 1, words[1] if b % 2 else b, a))
                else:
                    history.append(getattr(atomics, name)(words, 1, a))
                history.append(atomics.load_acquire(words, 1))
        histories.append([*history, words[0], words[2]])

    assert histories[0] == histories[1]
    assert histories[0][-2:] == [0, 0]


def test_wait_until_returns_when_the_relation_holds_compiled_and_plain(compiled):
    machine, words = list(worlds())[1]
    words[0] = 5
    with atomics.use(machine):
        address = atomics.address_of(words, 0)
        atomics.wait_until(words, 0, EQ, 5)
        atomics.wait_until(words, 0, NE, 6)
    compiled["wait_equal"](address, 5)
    compiled["wait_not_equal"](address, 6)
    compiled["store_ordered"](address, -7)

    assert words[0] == -7


@given(value=INT64)
def test_relaxed_accesses_are_of_the_word_compiled_and_plain(compiled, value):
    machine, words = list(worlds())[1]
    with atomics.use(machine):
        address = atomics.address_of(words, 0)
        compiled["store_relaxed"](address, value)
        compiled["fence"]()
        assert atomics.load_relaxed(words, 0) == value == compiled["load_relaxed"](address)
        atomics.store_relaxed(words, 0, ~value)
        assert compiled["load_relaxed"](address) == ~value


def test_the_text_outside_a_machine_says_so():
    with pytest.raises(RuntimeError, match=r"load_acquire\(\) was called outside a machine"):
        atomics.load_acquire([0], 0)
