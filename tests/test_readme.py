"""README: its example runs and prints what it shows; its figures are those of the recorded results."""

import json
import re
import shlex
from pathlib import Path

import pytest

from shmkret.cli import main

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text()
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

    assert main([*command, "--seconds", "0.02", "--repeat", "3", "--out", "out"]) == 0
    shown = README.split("<!-- run: example example.sh -->")[1].split("```")[3]
    assert shape(capsys.readouterr().out) == shape(shown)


def tables() -> dict[str, list[list[str]]]:
    """README's tables of figures by the result folder that each names in the line above it."""
    found = {}
    for folder, table in re.findall(r"<!-- figures: (\S+) -->\n\n((?:\|.*\n)+)", README):
        rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        found[folder] = rows[2:]
    return found


def results(folder: str):
    return json.loads((RESULTS / folder / "results.json").read_text())


def estimate(ratio) -> str:
    return f"{ratio['median']:.2f} ({ratio['ci95'][0]:.2f} .. {ratio['ci95'][1]:.2f})"


def throughput(cell) -> str:
    return f"{cell['median'] / 1e6:.1f}" + ("" if cell["verdict"] == "valid" else " ?")


def test_readme_has_its_tables():
    assert [Path(folder).name for folder in tables()] == ["scaling", "parity", "parity-handlers", "features", "hash"]


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("scaling")])
def test_the_scaling_table_is_the_recorded_one(folder):
    recorded = results(folder)
    cells = {(c["worker"], c["scheme"], c["cpus"]): c for c in recorded["cells"]}
    speedups = {(r["worker"], r["scheme"]): estimate(r) for r in recorded["ratios"] if r["by"] == "cpus"}
    expected = []
    for worker in ("hot", "spread", "syscalls"):
        for scheme in ("global", "hashed"):
            one, two = (throughput(cells[worker, scheme, cpus]) for cpus in (1, 2))
            expected.append([f"`{worker}`", f"`{scheme}`", one, two, speedups[worker, scheme]])

    assert tables()[folder] == expected


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("parity-handlers")])
def test_the_table_of_parity_with_handlers_is_the_recorded_one(folder):
    ratios = [r for r in results(folder)["ratios"] if r["by"] == "peer"]
    expected = [[f"`{r['worker']}`", f"`{r['scheme']}`", f"`{r['lock']}`", estimate(r)] for r in ratios]

    assert tables()[folder] == expected


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("features")])
def test_the_table_of_features_is_the_recorded_one(folder):
    ns = {(c["worker"], c["params"]["bug"]): 1e9 / c["median"] for c in results(folder)["cells"]}
    hot = ns["hot", "none"]
    added = [ns[worker, "none"] - hot for worker in ("handlers", "irqsave", "interrupts", "switches")]
    expected = [f"{hot:.1f}", *(f"{more:+.1f}" for more in added), f"{hot - ns['hot', 'no-reentrancy-check']:+.1f}"]

    assert [row[-1] for row in tables()[folder]] == expected


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("hash")])
def test_the_table_of_hashes_is_the_recorded_one(folder):
    cells = {
        (c["params"]["task_address"], c["params"]["hash"]): c for c in results(folder)["cells"] if c["params"]["tasks"] == 128
    }
    expected = []
    for model in ("slab", "page", "ia64-stack", "pid"):
        pair = [cells[model, name] for name in ("mult-2008-64", "mult-2016")]
        figures = [f"{c['walk_mean']:.1f}, {c['median'] / 1e6:.1f}" for c in pair]
        expected.append([f"`{model}`", *figures])

    assert tables()[folder] == expected


@pytest.mark.parametrize("folder", [folder for folder in tables() if folder.endswith("parity")])
def test_the_parity_table_is_the_recorded_one(folder):
    expected = []
    for scheme in ("global", "hashed"):
        ratios = [
            {r["lock"]: estimate(r) for r in results(place)["ratios"] if r["by"] == "peer" and r["scheme"] == scheme}
            for place in (folder, f"{folder}-static")
        ]
        expected += [[f"`{scheme}`", f"`{lock}`", *(of[lock] for of in ratios)] for lock in ratios[0]]

    assert tables()[folder] == expected


def test_every_file_that_the_documents_name_is_there():
    for document in ("README.md", "CONTRIBUTING.md"):
        for path in re.findall(r"`((?:shmkret|workers|bench|tests|\.ci)/[\w./-]*)`", (REPOSITORY / document).read_text()):
            assert (REPOSITORY / path).exists(), f"{document} names {path}"


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
