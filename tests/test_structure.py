"""The house: rooms, arrows one way, one place that knows Numba, and no name in a text of something that is not there.

A room is a folder directly in shmkret/, with all below it, or a module directly in it. An arrow is an ordered pair of rooms
with any import between them, wherever it stands, for types too.
"""

import ast
import importlib
import re
import subprocess
import tokenize
from functools import cache
from pathlib import Path

import shmkret

from .conftest import REPOSITORY

PACKAGE = REPOSITORY / "shmkret"
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_ROOMS, MOST_ARROWS, MOST_LINES = 28, 130, 400


def floors() -> list[list[str]]:
    """The rooms, lowest first; of those on one floor none knows another."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    table = re.search(r"\| room \|.*?\n\|[-|: ]+\n((?:\|.*\n)+)", text)[1]
    return [re.findall(r"`(\w+)/?`", line.split("|")[1]) for line in table.splitlines()]


def room_of(module: str) -> str:
    """`shmkret.text.marks` is in `text`, `shmkret` in `__init__`."""
    return module.split(".")[1] if "." in module else "__init__"


def name_of(path: Path) -> str:
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules of ours that a module imports, wherever in it."""
    known, found = set(map(name_of, MODULES)), set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inside & known) or {node.module}
            found |= {node.module} if inside - known else set()
    return frozenset(found & known) - {name_of(path)}


def arrows() -> dict[tuple[str, str], list[str]]:
    """For each arrow the imports that make it."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in MODULES:
        own = name_of(path)
        for other in sorted(imports(path)):
            if room_of(own) != room_of(other):
                found.setdefault((room_of(own), room_of(other)), []).append(f"{own} -> {other}")
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Sets of nodes that reach one another."""
    reached = {node: set(others) for node, others in graph.items()}
    changed = True
    while changed:
        changed = False
        for others in reached.values():
            more = set().union(*(reached[other] for other in others)) - others
            others |= more
            changed |= bool(more)
    rings = {frozenset(other for other in reached[node] if node in reached[other]) for node in graph if node in reached[node]}
    return sorted(sorted(ring) for ring in rings)


def test_every_module_has_a_room_of_the_table():
    assert sorted({room_of(name_of(path)) if path.parent != PACKAGE else path.stem for path in MODULES}) == sorted(
        room for floor in floors() for room in floor
    )


def test_arrows_point_to_lower_rooms_only():
    floor_of = {room: i for i, floor in enumerate(floors()) for room in floor}

    assert [why for (room, other), why in arrows().items() if floor_of[other] >= floor_of[room]] == []


def test_rooms_and_arrows_are_few():
    rooms = [room for floor in floors() for room in floor]
    print(f"{len(rooms)} rooms on {len(floors())} floors, {len(arrows())} arrows")

    assert len(rooms) <= MOST_ROOMS
    assert len(arrows()) <= MOST_ARROWS


def test_no_rooms_and_no_modules_import_each_other_in_a_circle():
    rooms: dict[str, set[str]] = {room: set() for floor in floors() for room in floor}
    for room, other in arrows():
        rooms[room].add(other)

    assert circles(rooms) == []
    assert circles({name_of(path): set(imports(path)) for path in MODULES}) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]


def test_no_module_is_long():
    long = {}
    for path in [*MODULES, *(REPOSITORY / "workers").glob("*.py")]:
        lines = len(path.read_text().splitlines())
        long |= {name_of(path): lines} if lines > MOST_LINES else {}

    assert long == {}


NUMBA = re.compile(r"^\s*(?:import|from) (?:numba|llvmlite)\b", re.MULTILINE)
COMPILED = PACKAGE / "machines" / "compiled"


def test_one_folder_knows_numba():
    knowing = {path.parent for path in MODULES if NUMBA.search(path.read_text())}

    assert knowing == {COMPILED}


def test_what_knows_numba_knows_the_text_and_the_arena_alone():
    known = {other for path in COMPILED.glob("*.py") for other in imports(path)}

    assert {room_of(other) for other in known if not other.startswith("shmkret.machines.compiled")} <= {
        "text",
        "arena",
        "errors",
    }
    assert {other for other in known if other.startswith("shmkret.machines")} <= {name_of(p) for p in COMPILED.glob("*.py")}


QUIET = {
    # Nobody else is there yet, or any more.
    "machines.world": {"create_arena", "_send_home"},
    "machines.plain": {"column"},
    "explore.rehearsal.rehearse": {"_has_two_buckets"},
    "explore.scene": {"seen_by_cpus", "wrong_chains"},
    "explore.rehearsal.trial_scenes": {"wrong", "tried"},
    "explore.scenarios.death": {"prepare"},
    "explore.scenarios.refuse": {"check"},
    "explore.scenarios.register": {"prepare", "check"},
    "explore.scenarios.takers": {"prepare"},
    "explore.scenarios.wakes": {"prepare", "check"},
    "explore.mutants.litmus": {"check"},
    "explore.mutants.programs.own_words": {"check"},
    "explore.mutants.programs.third_has_it": {"prepare"},
    "explore.snapshot": {"__init__", "audit"},
    "stress.crash_points": {"die_at", "column"},
    "stress.damage": {"damage"},
    "stress.guests": {"_nr_guests"},
    "stress.shortage": {"drain", "refill"},
    "schemes.global_": {"audit", "rebuild", "populate"},
    "schemes.objpool": {"audit"},
    "measure.latency": {"_words"},
    "measure.overhead": {"_ns_a_call"},
    "measure.replay.run": {"_ran"},
    "measure.subjects.kretprobes": {"_sample"},
    "measure.window": {"lead"},
}
"""Functions that look at an arena at rest, by module; everything in `arena` and `audit` does."""


def calls_of(path: Path, name: str) -> list[tuple[str, int]]:
    """The innermost function and the line of each call of a method called `name`."""
    found = []

    def visit(node: ast.AST, inside: str) -> None:
        inside = node.name if isinstance(node, ast.FunctionDef) else inside
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
            found.append((inside, node.lineno))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(parsed(path), "")
    return found


def test_the_words_of_a_live_run_are_reached_through_atomics():
    """numpy orders nothing: on Arm a store through it may be seen before what it says has happened."""
    wrong = []
    for path in MODULES:
        module = name_of(path).removeprefix("shmkret.")
        if module.split(".")[0] not in ("arena", "audit"):
            wrong += [f"{module}:{line} {f}" for f, line in calls_of(path, "records") if f not in QUIET.get(module, ())]

    assert wrong == []


def test_every_folder_opens_with_what_it_promises():
    short = [name_of(path) for path in PACKAGE.rglob("__init__.py") if (ast.get_docstring(parsed(path)) or "").count("\n") < 2]

    assert short == []


# What a text names is there.

NAMED = re.compile(r"(?<![\w./\"'-])shmkret(?:\.[A-Za-z_]\w*)+(?![\w-])")
GROUPS = {"shmkret.locks", "shmkret.schemes", "shmkret.archs", "shmkret.workers"}
"""Of entry points."""
FILE = re.compile(r"`([\w-]+(?:/[\w.-]+)*/(?:[\w.-]+\.(?:py|md|toml|c|h|csv|json))?)`")
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"#.*")
SETTINGS = [REPOSITORY / name for name in ("pyproject.toml", "mkdocs.yml", ".ci/run") if (REPOSITORY / name).exists()]
DOCUMENTS = [
    REPOSITORY / name
    for name in subprocess.run(["git", "ls-files", "*.md"], cwd=REPOSITORY, capture_output=True, text=True).stdout.splitlines()
    if not name.startswith(("tests/data/", "CHANGELOG"))
] or [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").glob("*.md")]


def texts() -> dict[Path, str]:
    """What is said, by file: documents without their programs, which run in tests of their own, docstrings and comments.

    What the package says while it runs, too: a string of a test may name what is not there on purpose.
    """
    said = {path: FENCED.sub("", path.read_text()) for path in DOCUMENTS}
    said |= {path: "\n".join(COMMENT.findall(path.read_text())) for path in SETTINGS}
    for folder in ("shmkret", "workers", "tests", "bench"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            if "data" not in path.parts and "results" not in path.parts:
                strings = docstrings(path) if folder in ("tests", "bench") else all_strings(path)
                said[path] = "\n".join([*strings, *comments(path)])
    return said


def docstrings(path: Path) -> list[str]:
    """Of the module, its classes and functions, and the strings that stand below a constant."""
    strings = [node.value for node in ast.walk(parsed(path)) if isinstance(node, ast.Expr)]
    return [node.value for node in strings if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def all_strings(path: Path) -> list[str]:
    """Docstrings, messages, and every other string."""
    nodes = ast.walk(parsed(path))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def comments(path: Path) -> list[str]:
    with tokenize.open(path) as lines:
        return [token.string for token in tokenize.generate_tokens(lines.readline) if token.type == tokenize.COMMENT]


def is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one, and not a path of before the rooms."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        module = ".".join(parts[:i])
        if {".".join(parts[1:j]) for j in range(i + 1)} & shmkret._MOVED.keys():
            return False
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_every_module_and_function_that_a_text_names_is_there():
    missing = []
    for path, text in texts().items():
        names = {name for name in NAMED.findall(text) if name not in GROUPS}
        missing += [f"{path.relative_to(REPOSITORY)} names {name}" for name in sorted(names) if not is_there(name)]

    assert missing == []


CALLED = re.compile(r"(?<![\w.])(\w+)\(\)")
THE_KERNELS = {
    *("__register_kretprobe", "arch_prepare_kretprobe", "do_IRQ", "get_kretprobe_hash_lock", "hlist_add_head", "init_kprobes"),
    *("kfree", "kmalloc", "kprobe_running", "local_irq_restore", "local_irq_save", "put_kretprobe_hash_lock"),
    *("register_kprobes", "register_kretprobes", "stop_machine", "trampoline_probe_handler", "try_to_wake_up"),
    *("unregister_kprobe", "unregister_kprobes", "unregister_kretprobe", "unregister_kretprobes"),
    *("clone", "execve", "exit_group", "print_trace_line", "rt_sigreturn", "trace_print_lat_fmt", "wait4"),
    *("abort", "fallocate", "fork", "handle_futex_death", "ngx_shmtx_force_unlock"),
    *("shmkret_begin", "shmkret_switch", "shmkret_unused", "switch"),
    *("get_kretprobe", "objpool_pop", "objpool_push", "objpool_try_add_slot", "objpool_try_get_slot", "recycle_rp_inst"),
}
"""Functions of other programs, mostly the kernel's, that a text names as the source of ours; and libc's."""


def defined() -> set[str]:
    """The names of our functions and classes."""
    paths = [path for folder in ("shmkret", "workers", "tests") for path in (REPOSITORY / folder).rglob("*.py")]
    nodes = [node for path in paths for node in ast.walk(parsed(path))]
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_every_function_that_a_text_calls_by_name_is_there():
    ours, missing = defined(), []
    for path, text in texts().items():
        missing += [f"{path.relative_to(REPOSITORY)} names {name}()" for name in set(CALLED.findall(text)) - ours - THE_KERNELS]

    assert sorted(missing) == []


def test_every_file_that_a_text_names_is_there():
    missing = []
    for path, text in texts().items():
        for name in sorted(set(FILE.findall(text))):
            if not any((folder / name).exists() for folder in (REPOSITORY, PACKAGE, path.parent)):
                missing.append(f"{path.relative_to(REPOSITORY)} names {name}")

    assert missing == []


def test_a_name_that_is_not_there_is_missed():
    assert is_there("shmkret.text.atomics.wait_until")
    assert not is_there("shmkret.text.atomics.wait_untill")
    assert not is_there("shmkret.atomics")
    assert NAMED.findall("`shmkret.text.marks`, shmkret.<random>, and shmkret.0123") == ["shmkret.text.marks"]
    assert FILE.findall("`shmkret/text/` and `docs/lock.md`, not `./mine.py` or `mine.py`") == ["shmkret/text/", "docs/lock.md"]
