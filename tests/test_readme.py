"""README and the pages: the example runs and prints what README shows; figures are those of the recorded results."""

import ast
import importlib
import json
import re
import shlex
from pathlib import Path

import pytest

from shmkret.cli.main import main

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text()
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "workers/README.md",
    *sorted(f"docs/{p.name}" for p in REPOSITORY.glob("docs/*.md")),
)
TEXTS = {name: (REPOSITORY / name).read_text() for name in DOCUMENTS}
RESULTS = REPOSITORY / "bench" / "results"
NUMBER = re.compile(r"\d[\d.,]*")


def block(name: str, file: str) -> str:
    return re.search(rf"<!-- run: {name} {re.escape(file)} -->\n+```\w*\n(.*?)```", README, re.DOTALL)[1]


def shape(text: str) -> list[str]:
    """The words of an output, each number replaced; what varies from run to run (verdicts, doubts) left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith(("suspect:", "shmkret", "wrote"))]
    table = [re.sub(r"\b(valid|suspect)\b", "verdict", NUMBER.sub("#", line)) for line in lines[:-2]]
    return [" ".join(line.split()) for line in table if "──" not in line]


def test_the_example_prints_what_readme_shows(tmp_path, monkeypatch, capsys):
    (tmp_path / "mylock.py").write_text(block("example", "mylock.py"))
    monkeypatch.chdir(tmp_path)
    command = shlex.split(block("example", "example.sh"))[1:]

    assert main([*command, "--seconds", "0.02", "--repeat", "8", "--out", "out"]) == 0
    shown = README.split("<!-- run: example example.sh -->")[1].split("```")[3]
    assert shape(capsys.readouterr().out) == shape(shown)


def tables() -> dict[str, list[list[str]]]:
    """The documents' tables of figures by the result folder that each names in the line above it."""
    found = {}
    for folder, table in re.findall(r"<!-- figures: (\S+) -->\n\n((?:\|.*\n)+)", "\n".join(TEXTS.values())):
        rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        found[folder] = rows[2:]
    return found


def results(folder: str):
    return json.loads((RESULTS / folder / "results.json").read_text())


def doubt(*cells) -> str:
    """The mark of a figure that some suspect cell is behind."""
    return "" if all(cell["verdict"] == "valid" for cell in cells) else " ?"


def estimate(ratio, cells=()) -> str:
    return f"{ratio['median']:.2f}{doubt(*cells)} ({ratio['ci95'][0]:.2f} .. {ratio['ci95'][1]:.2f})"


def parities(folder: str) -> list[tuple[tuple[str, str, str], str]]:
    """Each ratio to a peer, by worker, scheme and lock, marked where our cell or the peer's is suspect."""
    recorded = results(folder)
    cells: dict[tuple[str, str, str], list] = {}
    for cell in recorded["cells"]:
        cells.setdefault((cell["worker"], cell["scheme"], cell["lock"]), []).append(cell)
    keyed = [((r["worker"], r["scheme"], r["lock"]), r) for r in recorded["ratios"] if r["by"] == "peer"]
    return [(key, estimate(ratio, cells[key])) for key, ratio in keyed]


def throughput(cell) -> str:
    return f"{cell['median'] / 1e6:.1f}{doubt(cell)}"


def test_readme_fits_on_a_few_screens_and_has_the_scaling_table():
    assert len(README.splitlines()) <= 200
    assert re.findall(r"<!-- figures: \S+/(\S+) -->", README) == ["scaling", "objpool"]


def test_the_documents_have_their_tables():
    assert [Path(folder).name for folder in tables()] == ["scaling", "objpool", "parity", "parity-handlers", "features", "hash"]


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith(("scaling", "objpool"))])
def test_a_scaling_table_is_the_recorded_one(folder):
    recorded = results(folder)
    cells = {(c["worker"], c["scheme"], c["cpus"]): c for c in recorded["cells"]}
    speedups = {(r["worker"], r["scheme"]): estimate(r) for r in recorded["ratios"] if r["by"] == "cpus"}
    expected = []
    for worker, scheme in speedups:
        one, two = (throughput(cells[worker, scheme, cpus]) for cpus in (1, 2))
        expected.append([f"`{worker}`", f"`{scheme}`", one, two, speedups[worker, scheme]])

    assert tables()[folder] == expected


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("parity-handlers")])
def test_the_table_of_parity_with_handlers_is_the_recorded_one(folder):
    assert tables()[folder] == [[*(f"`{part}`" for part in key), figure] for key, figure in parities(folder)]


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("features")])
def test_the_table_of_features_is_the_recorded_one(folder):
    cells = {(c["worker"], c["params"]["bug"]): c for c in results(folder)["cells"]}
    hot, unchecked = cells["hot", "none"], cells["hot", "no-reentrancy-check"]
    pairs = [(cells[worker, "none"], hot) for worker in ("handlers", "irqsave", "interrupts", "switches")]
    added = [
        f"{1e9 / more['median'] - 1e9 / less['median']:+.1f}{doubt(more, less)}" for more, less in [*pairs, (hot, unchecked)]
    ]
    expected = [f"{1e9 / hot['median']:.1f}{doubt(hot)}", *added]

    assert [row[-1] for row in tables()[folder]] == expected


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("hash")])
def test_the_table_of_hashes_is_the_recorded_one(folder):
    cells = {
        (c["params"]["task_address"], c["params"]["hash"]): c for c in results(folder)["cells"] if c["params"]["tasks"] == 128
    }
    expected = []
    for model in ("slab", "page", "ia64-stack", "pid"):
        pair = [cells[model, name] for name in ("mult-2008-64", "mult-2016")]
        figures = [f"{c['walk_mean']:.1f}, {throughput(c)}" for c in pair]
        expected.append([f"`{model}`", *figures])

    assert tables()[folder] == expected


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("parity")])
def test_the_parity_table_is_the_recorded_one(folder):
    over, over_static = parities(folder), dict(parities(f"{folder}-static"))

    assert tables()[folder] == [[f"`{key[1]}`", f"`{key[2]}`", figure, over_static[key]] for key, figure in over]


@pytest.mark.parametrize("folder", [*tables(), "2026-11-24-epyc-2-cores/parity-static", "2026-11-24-epyc-2-cores/padding"])
def test_a_document_says_how_many_cells_of_a_recording_are_valid(folder):
    """In every section that shows the recording's table, or the command that made it."""
    verdicts = [cell["verdict"] for cell in results(folder)["cells"]]
    sections = [part for text in TEXTS.values() for part in re.split(r"^## ", text, flags=re.MULTILINE)]
    showing = [part for part in sections if re.search(rf"(?:figures: |--out bench/results/){folder}(?![\w-])", part)]

    assert showing
    for part in showing:
        assert re.search(rf"\b{verdicts.count('valid')} of {len(verdicts)}\s+cells", part)


def test_every_file_that_the_documents_name_is_there():
    for document, text in TEXTS.items():
        for path in re.findall(r"[`(]((?:shmkret|workers|bench|tests|docs|\.ci)/[\w./-]*)[`)]", text):
            assert (REPOSITORY / path).exists(), f"{document} names {path}"
        for page in re.findall(r"\]\(([\w-]+\.md)\)", text):
            assert (REPOSITORY / "docs" / page).exists(), f"{document} links to {page}"


def test_every_function_that_the_documents_call_is_there():
    files = [*(REPOSITORY / "shmkret").rglob("*.py"), *(REPOSITORY / "workers").glob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    known = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for document, text in TEXTS.items():
        prose = re.sub(r"```python.*?```", "", text, flags=re.DOTALL)
        assert set(re.findall(r"\b([a-z_]\w+)\(", prose)) <= known, f"{document} names what is not there"


def test_every_name_that_a_documents_python_imports_is_there():
    for document, text in TEXTS.items():
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "shmkret":
                    for alias in node.names:
                        there = hasattr(importlib.import_module(node.module), alias.name)
                        assert there, f"{document} imports {alias.name} from {node.module}"


def test_the_installed_names_are_those_of_the_checkout():
    """The wheel carries what the checkout has in these folders."""
    text = (REPOSITORY / "pyproject.toml").read_text()
    for folder in ("workers", "bench/suites", "bench/peers"):
        assert f'"{folder}" = "shmkret/_data/{folder}"' in text


def examples() -> dict[str, str]:
    """The Python files that the documents for contributors show, by the first word of their docstring."""
    texts = [(REPOSITORY / name).read_text() for name in ("workers/README.md", "CONTRIBUTING.md")]
    blocks = [block for text in texts for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    return {re.match(r'"""(\w+)', block)[1]: block for block in blocks}


@pytest.mark.parametrize("name", examples())
def test_a_file_that_the_documents_show_runs(name, tmp_path):
    own = tmp_path / f"{name}.py"
    own.write_text(examples()[name])
    kind = "--arch" if name == "mips" else "--worker"
    options = [kind, str(own), "--scheme", "hashed", "--lock", "ttas", "--cpus", "1", "--plain", "--repeat", "3"]
    options += [] if kind == "--worker" else ["--worker", "hot"]

    assert main(["bench", *options, "--seconds", "0.02", "--out", str(tmp_path / "out")]) == 0


def test_the_documents_show_a_worker_with_handlers_and_an_architecture():
    assert {"alternate", "even", "mips"} <= examples().keys()
