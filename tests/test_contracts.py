"""What a file must be to be a lock, a scheme or a worker program: each that is not is refused at load, in one sentence."""

import pytest

from shmkret import moves
from shmkret.errors import PluginError
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.plugins.registry import find, names
from shmkret.schemes import SCHEME

LOCK_FILE = """
from typing import Annotated, NamedTuple
from shmkret.text import *


class Node(NamedTuple):
    word: Words


class Mine(NamedTuple):
    locked: Words
    own: Annotated[Node, PER_LOCK_PER_CPU]
    field: FIELD


def acquire(lock, i):
    pass


def release(lock, i):
    pass
"""
OWNER = """
def acquire_unless(lock, i, stop):
    return True


def take_over(lock, i, dead, cpu):
    return True


def wake_all(lock, i):
    pass
"""
SCHEME_FILE = """
from typing import Annotated, NamedTuple
from shmkret.moves import *
from shmkret.schemes.hashed import begin_walk, end_walk, obtain, orphan, push, refuse, take
from shmkret.text import *


class List(NamedTuple):
    first: Words


class Ends(NamedTuple):
    head: Words
    tail: Words
    last: Words


class Slot(NamedTuple):
    word: Words


class Mine(NamedTuple):
    list: Annotated[List, PER_TASK]
    free: Annotated[List, PER_PROBE]
    ring: Annotated[Ends, PER_PROBE_PER_CPU]
    slot: Annotated[Slot, PER_RING_WORD]
    FIELD
"""
WORKER_FILE = """
from shmkret.kernel import call_and_return


def nr_probes(nr_cpus):
    return 1


def step(worker, k, cpu, task, n):
    call_and_return(k, cpu, task, 0, n)
"""


def refusal(kind, text, tmp_path):
    """What is said of a file, without its path."""
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(PluginError) as caught:
        find(kind, str(path))
    said = str(caught.value)
    assert said.startswith(f"{path}:")
    assert "\n" not in said
    return said.removeprefix(f"{path}:").lstrip("0123456789: ")


def is_taken(kind, text, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    return find(kind, str(path)).path == path


# Functions that a file need not have.

MISSPELT = {
    "is_iddle": (LOCK, "def is_iddle(lock, cpu):\n    return True\n", "is_idle()"),
    "reset_cpus": (LOCK, "def reset_cpus(lock, cpu):\n    pass\n", "reset_cpu()"),
    "try_aquire": (LOCK, "def try_aquire(lock, i, cpu):\n    return False\n", "try_acquire()"),
    "rebuilt": (SCHEME, "def rebuilt(arena):\n    return []\n", "rebuild()"),
    "interupt": (WORKER, "def interupt(worker, k, cpu, task):\n    pass\n", "interrupt()"),
    "nr_function": (WORKER, "def nr_function(nr_cpus):\n    return 2\n", "nr_functions()"),
}
FILES = {
    LOCK: LOCK_FILE.replace("FIELD", "Annotated[Node, PER_CPU]"),
    SCHEME: SCHEME_FILE.replace("FIELD", ""),
    WORKER: WORKER_FILE,
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_function_that_a_file_need_not_have_is_refused(name, tmp_path):
    kind, text, meant = MISSPELT[name]
    said = refusal(kind, FILES[kind] + "\n\n" + text, tmp_path)

    assert f"{name}()" in said
    assert f"did you mean {meant}?" in said


@pytest.mark.parametrize("name", MISSPELT)
def test_a_function_beside_the_one_that_its_name_comes_near_is_the_files_own(name, tmp_path):
    kind, text, meant = MISSPELT[name]
    both = text + "\n\n" + text.replace(name, meant.removesuffix("()"))

    assert is_taken(kind, FILES[kind] + "\n\n" + both, tmp_path)
    assert is_taken(kind, FILES[kind] + "\n\n" + text.replace(name, f"_{name}"), tmp_path)


@pytest.mark.parametrize("kind", [LOCK, SCHEME, WORKER], ids=lambda kind: kind.name)
def test_what_comes_with_shmkret_keeps_its_contract(kind):
    assert [find(kind, name).name for name in names(kind)] == names(kind)


# The face of a scheme's author.


def test_a_scheme_of_ours_imports_its_face_alone():
    """So that a user's can be written from it, the ability `recover` included."""
    for name in names(SCHEME):
        scheme = find(SCHEME, name)
        imported = [line for line in scheme.path.read_text().splitlines() if line.startswith("from shmkret")]
        assert {line.split()[1] for line in imported} <= {"shmkret.moves", "shmkret.schemes.hashed"}, name


def test_the_arrays_of_locks_are_numbers_and_the_owners_of_lists_are_words():
    assert isinstance(moves.PROBE, int)
    assert isinstance(moves.TABLE, int)
    assert isinstance(moves.OF_PROBE, str)
