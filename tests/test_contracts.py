"""What a file must be to be a lock, a scheme or a worker program: each that is not is refused at load, in one sentence."""

import signal

import pytest

from shmkret import moves
from shmkret.arch import ARCH
from shmkret.errors import PluginError
from shmkret.host import signals
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


# The domains of fields.

OF_A_LOCK = ["PER_CPU", "PER_LOCK_AND_CPU", "PER_LOCK_PER_CPU", "PER_NODE"]
OF_A_SCHEME = [*("PER_CPU", "PER_TASK", "PER_PROBE", "PER_INSTANCE", "PER_BUCKET", "PER_PROBE_PER_CPU", "PER_RING_WORD")]
LOCK_FIELDS = {
    "Annotated[Node, PER_TASK]": OF_A_LOCK,
    "Annotated[Node, PER_BUCKET]": OF_A_LOCK,
    "Annotated[Words, PER_CPU]": OF_A_LOCK,
    "Annotated[Home, PER_NODE]": ["PER_CPU"],
    "Annotated[int, RING_WORDS]": ["NR_LOCKS", "NR_SLOTS", "NR_NODES"],
    "Annotated[Node, 'cpu']": OF_A_LOCK,
    "Annotated[int, PER_CPU]": ["an int with PER_CPU", "Annotated[int, NR_LOCKS, NR_SLOTS or NR_NODES]", *OF_A_LOCK],
    "Annotated[Node, NR_SLOTS]": ["no int", "NR_SLOTS", *OF_A_LOCK],
    "Annotated[Words, NR_SLOTS]": ["no int", "NR_SLOTS", *OF_A_LOCK],
    "Node": OF_A_LOCK,
}


@pytest.mark.parametrize("field", LOCK_FIELDS)
def test_a_field_of_a_lock_that_cannot_be_is_refused_and_told_what_can(field, tmp_path):
    said = refusal(LOCK, LOCK_FILE.replace("FIELD", field), tmp_path)

    assert "Mine.field" in said
    assert all(name in said for name in LOCK_FIELDS[field]), said


@pytest.mark.parametrize("domain", ["ONE", *OF_A_LOCK])
def test_a_lock_has_a_table_of_every_domain_that_is_named(domain, tmp_path):
    assert is_taken(LOCK, LOCK_FILE.replace("FIELD", f"Annotated[Node, {domain}]"), tmp_path)


def test_a_lock_has_no_array_of_locks(tmp_path):
    text = LOCK_FILE.replace("FIELD", "Annotated[Locks, PER_BUCKET]").replace("text import *", "text import *\nLocks = object")

    assert all(name in refusal(LOCK, text, tmp_path) for name in OF_A_LOCK)


def test_a_table_has_no_table(tmp_path):
    text = LOCK_FILE.replace("    word: Words", "    word: Words\n    of: Annotated[Home, PER_CPU]")

    assert "of words" in refusal(LOCK, text.replace("FIELD", "Annotated[Node, PER_CPU]"), tmp_path)


@pytest.mark.parametrize("domain", ["PER_CPU", "PER_LOCK_AND_CPU"])
def test_a_record_that_a_holder_of_many_locks_would_need_twice_does_not_go_with_take_over(domain, tmp_path):
    said = refusal(LOCK, LOCK_FILE.replace("FIELD", f"Annotated[Node, {domain}]") + OWNER, tmp_path)

    assert domain in said
    assert "take_over()" in said


@pytest.mark.parametrize(
    "field", ["Annotated[Home, PER_CPU]", "Annotated[Node, PER_LOCK_PER_CPU]", "Annotated[Node, PER_NODE]"]
)
def test_a_table_that_no_holder_needs_goes_with_take_over(field, tmp_path):
    assert is_taken(LOCK, LOCK_FILE.replace("FIELD", field) + OWNER, tmp_path)


SCHEME_FIELDS = {
    "own: Annotated[List, PER_NODE]": OF_A_SCHEME,
    "own: Annotated[List, PER_LOCK_PER_CPU]": OF_A_SCHEME,
    "own: List": OF_A_SCHEME,
    "size: Annotated[int, NR_LOCKS]": ["RING_WORDS"],
    "locks: Annotated[Locks, PER_CPU]": ["PER_PROBE", "ONE"],
    "locks: Annotated[Locks, PER_BUCKET]": ["PER_PROBE", "ONE"],
    "table: Annotated[Locks, PER_PROBE]": ["PER_BUCKET"],
    "table: Annotated[Locks, ONE]": ["PER_BUCKET"],
    "mutex: Annotated[Locks, ONE]": ["table", "locks"],
    "locks: Annotated[int, PER_PROBE]": ["an int with PER_PROBE", "Annotated[int, NR_SLOTS, NR_NODES or RING_WORDS]"],
    "locks: Annotated[Words, PER_PROBE]": OF_A_SCHEME,
    "size: Annotated[List, RING_WORDS]": ["no int", *OF_A_SCHEME],
}


@pytest.mark.parametrize("field", SCHEME_FIELDS)
def test_a_field_of_a_scheme_that_cannot_be_is_refused_and_told_what_can(field, tmp_path):
    said = refusal(SCHEME, SCHEME_FILE.replace("FIELD", field), tmp_path)

    assert f"Mine.{field.partition(':')[0]}" in said
    assert all(name in said for name in SCHEME_FIELDS[field]), said


@pytest.mark.parametrize(
    "field",
    [
        *(f"own: Annotated[List, {domain}]" for domain in ("ONE", *OF_A_SCHEME)),
        *("locks: Annotated[Locks, PER_PROBE]", "locks: Annotated[Locks, ONE]", "table: Annotated[Locks, PER_BUCKET]"),
        *("size: Annotated[int, RING_WORDS]", "unused: int"),
    ],
)
def test_a_scheme_has_every_field_that_is_named(field, tmp_path):
    assert is_taken(SCHEME, SCHEME_FILE.replace("FIELD", field), tmp_path)


# Where a scheme says that its instances are.

RING = 'Ring(FREE, "scheme.ring", "scheme.slot")'
HANGING = 'Chain(HUNG, "scheme.list", "first", OF_TASK)'
LISTS = {
    f"({RING},)": ["HUNG"],
    f"({HANGING},)": ["FREE"],
    f"({RING}, FREE_LISTS, {HANGING})": ["one", "FREE"],
    f"({RING}, {HANGING}, {HANGING})": ["one", "OF_TASK"],
    f'({RING}, Chain("flying", "scheme.list", "first", OF_TASK))': ["flying", "FREE", "HUNG"],
    f'({RING}, Chain(HUNG, "scheme.lists", "first", OF_TASK))': ["scheme.lists", "scheme.list"],
    f'({RING}, Chain(HUNG, "list", "first", OF_TASK))': ["scheme.list"],
    f'({RING}, Chain(HUNG, "scheme.list", "head", OF_TASK))': ["head", "first"],
    f'({RING}, Chain(HUNG, "scheme.list", "first", OF_BUCKET))': ["OF_BUCKET", "PER_BUCKET"],
    f'({RING}, Chain(HUNG, "scheme.free", "first", OF_PROBE))': ["OF_TASK", "OF_BUCKET"],
    f'({RING}, Chain(HUNG, "scheme.list", "first", PROBE))': ["OF_TASK", "OF_BUCKET"],
    f'(Chain(FREE, "scheme.list", "first", OF_TASK), {HANGING})': ["OF_PROBE"],
    f'(Ring(HUNG, "scheme.ring", "scheme.slot"), FREE_LISTS, {HANGING})': ["FREE"],
    f'(Ring(FREE, "scheme.list", "scheme.slot"), {HANGING})': ["PER_PROBE_PER_CPU"],
    f'(Ring(FREE, "scheme.own", "scheme.slot"), {HANGING})': ["head"],
    f'(Ring(FREE, "scheme.ring", "scheme.ring"), {HANGING})': ["PER_RING_WORD"],
}


@pytest.mark.parametrize("lists", LISTS)
def test_lists_that_cannot_be_walked_are_refused(lists, tmp_path):
    text = SCHEME_FILE.replace("FIELD", "own: Annotated[List, PER_PROBE_PER_CPU]") + f"\n\nLISTS = {lists}\n"

    said = refusal(SCHEME, text, tmp_path)
    assert "LISTS" in said
    assert all(name in said for name in LISTS[lists]), said


@pytest.mark.parametrize(
    "lists", ["IN_BUCKETS", f"({RING}, {HANGING})", f'(Chain(FREE, "scheme.free", "first", OF_PROBE), BUCKETS, {HANGING})']
)
def test_lists_that_can_be_walked_are_taken(lists, tmp_path):
    assert is_taken(SCHEME, SCHEME_FILE.replace("FIELD", "") + f"\n\nLISTS = {lists}\n", tmp_path)


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
    ARCH: (ARCH.folder / "x86_64.py").read_text().replace("FEATURES: frozenset[str] = frozenset()", ""),
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


CONSTANTS = {
    "ATACHABLE = False": (LOCK, "ATTACHABLE"),
    "SIZES: int = 8": (LOCK, "SIZE"),
    "CONTROLL, OTHER = True, 2": (LOCK, "CONTROL"),
    "if True:\n    CONTROLS = True": (LOCK, "CONTROL"),
    "LIST = ()": (SCHEME, "LISTS"),
    "CHECKD = ()": (SCHEME, "CHECKED"),
    "BUG = frozenset()": (SCHEME, "BUGS"),
    "TASKS_PERCPU = 2": (WORKER, "TASKS_PER_CPU"),
    "HANDLERS_NS = 5": (WORKER, "HANDLER_NS"),
    "FEATURE = frozenset()": (ARCH, "FEATURES"),
}


@pytest.mark.parametrize("line", CONSTANTS)
def test_a_misspelt_constant_is_refused_and_told_its_name(line, tmp_path):
    kind, meant = CONSTANTS[line]
    path = tmp_path / "mine.py"
    path.write_text(f"{FILES[kind]}\n\n{line}\n")
    with pytest.raises(PluginError) as caught:
        find(kind, str(path))

    at = path.read_text().splitlines().index(line.splitlines()[-1]) + 1
    assert str(caught.value).startswith(f"{path}:{at}: ")
    assert f"did you mean {meant}?" in str(caught.value)


@pytest.mark.parametrize(
    "line", ["SPINS = 100", "_ATACHABLE = 1", "ATTACHABLe = 1", "ATACHABLE = ATTACHABLE = True", "SLOT_SIZE = 8"]
)
def test_another_constant_is_the_authors_own(line, tmp_path):
    assert is_taken(LOCK, f"{FILES[LOCK]}\n\n{line}\n", tmp_path)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [("lock, i, *, spins=3", "spins"), ("lock, i, cpu, *, spins", "spins"), ("lock, i, **more", "more")],
)
def test_an_argument_that_nobody_gives_is_refused(parameters, named, tmp_path):
    for kind, old in ((LOCK, "def acquire(lock, i)"), (LOCK, "def is_free(lock, i)"), (LOCK, "def holder(lock, i)")):
        name = old[4:].partition("(")[0]
        optional = "" if old in FILES[kind] else f"\n\n{old}:\n    return 0\n"
        said = refusal(kind, (FILES[kind] + optional).replace(old, f"def {name}({parameters})"), tmp_path)
        assert f"{name}() of a lock gets its arguments by their place, and nobody gives this one {named} by its name" in said


OLD = {"RECOVERABLE = True": "RECOVERABLE has gone", "def nr_locks(nr_probes):\n    return 2": "nr_locks has gone"}


@pytest.mark.parametrize("line", OLD)
def test_what_a_scheme_had_once_is_refused_in_a_new_one_too(line, tmp_path):
    assert OLD[line] in refusal(SCHEME, f"{FILES[SCHEME]}\n\n{line}\n", tmp_path)


@pytest.mark.parametrize("kind", [LOCK, SCHEME, ARCH, WORKER], ids=lambda kind: kind.name)
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


@pytest.mark.parametrize("note", ["int", '"Wurds"', "None", "list[Words]", "Words | None", "Annotated[Words, 3]"])
def test_a_field_that_is_no_word_and_no_table_is_refused(note, tmp_path):
    """An array is what an `int` without its domain would become."""
    source = find(LOCK, "ttas").path.read_text()
    assert "    locked: Words\n" in source
    path = tmp_path / "odd.py"
    path.write_text(
        source.replace("    locked: Words\n", f"    locked: Words\n    x: {note}\n") + "\nfrom typing import Annotated\n"
    )
    with pytest.raises(PluginError, match=r"\.x is neither a word nor a table: annotate it Words"):
        find(LOCK, str(path))


THROUGH = (
    "finally:\n    pass",
    "except KeyboardInterrupt:\n    raise",
    "except KeyboardInterrupt as it:\n    raise it",
)


@pytest.mark.parametrize("handler", [signal.default_int_handler, signals._interrupt])
def test_an_interrupt_while_a_file_runs_is_no_fault_of_the_file(handler, tmp_path, monkeypatch):
    """Nor is one that it lets through; what it raises itself is (tests/test_cli.py)."""
    path = tmp_path / "mine.py"
    before = signal.signal(signal.SIGINT, handler)
    try:
        for statement in THROUGH:
            signal.signal(signal.SIGINT, handler)
            monkeypatch.setattr(signals, "_came_s", None)
            path.write_text(f"try:\n    __import__('signal').raise_signal(2)\n{statement}\n")
            with pytest.raises(KeyboardInterrupt):
                find(LOCK, str(path))
    finally:
        signal.signal(signal.SIGINT, before)
