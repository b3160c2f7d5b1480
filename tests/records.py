"""Records: what takes too long for every run of the tests, kept as a command, what it said, and what it depends on.

    python -m tests.records                 each record, and whether its sources are those of today
    python -m tests.records run deaths      run its commands, and write down what they said and the digest of the sources

A record is a file of bench/records. A seeded part of each runs with all other tests (`part`); tests/test_records.py fails
where sources have changed and the record does not say `stale = true`. Comments, docstrings and blank lines are no change.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import shlex
import subprocess
import sys
import time
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
FOLDER = REPOSITORY / "bench" / "records"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


def files(sources: list[str]) -> Iterator[Path]:
    """Files, and every Python file of a folder. Raises FileNotFoundError."""
    for source in sources:
        path = REPOSITORY / source
        if not path.exists():
            raise FileNotFoundError(f"{source}, of which a record depends, is not there")
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def code(text: str) -> str:
    """A Python text without its docstrings, comments, blank lines and blanks at the ends of lines."""
    lines = text.splitlines()
    strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Expr)]
    for node in strings:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        line, column = token.start
        if token.type == tokenize.COMMENT and lines[line - 1]:
            lines[line - 1] = lines[line - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def digest(sources: list[str]) -> str:
    """Of what a record depends on: the code of Python files, all of others."""
    found = hashlib.sha256()
    for path in files(sources):
        text = code(path.read_text()) if path.suffix == ".py" else path.read_text()
        found.update(f"{path.relative_to(REPOSITORY)}\n{text}\n".encode())
    return found.hexdigest()[:16]


def written(record: dict[str, Any]) -> str:
    """As TOML: strings, whole numbers, booleans and lists of strings, in their order."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in record.items())


def _value(value: Any) -> str:
    if isinstance(value, str) and "\n" in value:
        assert "'''" not in value
        return f"'''\n{value}'''"
    if isinstance(value, list):
        return "[\n" + "".join(f"  {json.dumps(one)},\n" for one in value) + "]"
    return json.dumps(value)


def run(name: str) -> None:
    """Run the commands of a record one after the other, and write what they said. Raises CalledProcessError."""
    record = read(name)
    began, said, before = time.time(), "", digest(record["sources"])
    for command in record["commands"]:
        words = [sys.executable if word == "python" else word for word in shlex.split(command)]
        done = subprocess.run(words, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True)
        said += done.stdout
    assert digest(record["sources"]) == before, "the sources were edited meanwhile"
    now = {"date": time.strftime("%Y-%m-%d"), "minutes": round((time.time() - began) / 60)}
    record |= {**now, "digest": before, "stale": False, "result": said}
    (FOLDER / f"{name}.toml").write_text(written(record))


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            for name in names():
                record = read(name)
                print(
                    f"{name:10} {'as today' if digest(record['sources']) == record['digest'] else 'stale':9} {record['claim']}"
                )
        case ["run", *chosen]:
            for name in chosen:
                run(name)
        case _:
            sys.exit(__doc__)
