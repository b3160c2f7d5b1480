"""The rooms of CONTRIBUTING.md and the direction of the arrows between them."""

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PACKAGE = REPOSITORY / "shmkret"


def rooms() -> list[list[str]]:
    """The files of each room, lowest first, as modules; a folder stands for all in it."""
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    table = re.search(r"\| room \|.*?\n\|[-|]+\n((?:\|.*\n)+)", text)[1]
    return [re.findall(r"`([\w/]+(?:\.py|/))`", line.split("|")[2]) for line in table.splitlines()]


def room_of(path: Path) -> int:
    """The number of the room that a module is in."""
    name = str(path.relative_to(PACKAGE))
    for i, files in enumerate(rooms()):
        if any(name == file or (file.endswith("/") and name.startswith(file)) for file in files):
            return i
    raise AssertionError(f"CONTRIBUTING.md has no room for {name}")


def imports(path: Path) -> set[Path]:
    """The modules of ours that a module imports, wherever in it; but not for types alone."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "shmkret":
            folder = PACKAGE.joinpath(*node.module.split(".")[1:])
            inside = [folder / f"{name.name}.py" for name in node.names if (folder / f"{name.name}.py").exists()]
            found.update(
                inside or [folder.with_suffix(".py") if folder.with_suffix(".py").exists() else folder / "__init__.py"]
            )
    return found


def test_every_module_has_a_room_and_imports_only_from_its_own_and_lower_ones():
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name in ("__init__.py", "__main__.py") and path.parent == PACKAGE:
            continue
        upward = [other for other in imports(path) if other.parent != PACKAGE or other.name != "__init__.py"]
        wrong += [f"{path.name} -> {other.name}" for other in upward if room_of(other) > room_of(path)]

    assert wrong == []


def test_one_module_knows_numba():
    numba = re.compile(r"^\s*(?:import|from) (?:numba|llvmlite)", re.MULTILINE)
    knowing = [path.name for path in PACKAGE.rglob("*.py") if numba.search(path.read_text())]

    assert knowing == ["compile.py"]
