"""A result folder: results.json, from which all the rest can be made again; CSV, the report, and every plot as SVG and PNG."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from shmkret.clock import CLASSES
from shmkret.errors import UsageError
from shmkret.measure import html, plots, pyperf
from shmkret.measure.latency import QUANTILES
from shmkret.measure.rows import KEY, Json

SCHEMA = 2


def load(folder: Path) -> Json:
    """The result of a folder, or of a results.json. Raises UsageError when there is none, or one of another schema."""
    path = folder / "results.json" if folder.is_dir() else folder
    try:
        result = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(result, dict) or result.get("command") != "bench":
        raise UsageError(f"{path} is no result of `shmkret bench`")
    if result.get("schema") != SCHEMA:
        raise UsageError(f"{path} has schema {result.get('schema')}, this shmkret reads schema {SCHEMA}: measure again")
    return result


def write_folder(folder: Path, result: Json) -> list[Path]:
    """Write all files, or none, and return their paths. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".shmkret-", dir=folder.parent))
    try:
        unfinished.chmod(0o755)
        written = _write_files(unfinished, result)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return [folder / path.name for path in written]


def rewrite(folder: Path, result: Json) -> list[Path]:
    """Make the report, the tables and the plots of a folder again, from its result. Raises OSError, UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    return _write_files(folder, result)


def _write_files(folder: Path, result: Json) -> list[Path]:
    texts = {
        "results.json": json.dumps(result, indent=1, allow_nan=False) + "\n",
        "cells.csv": _csv(_flat(cell) for cell in result["cells"]),
        "samples.csv": _csv(_samples(result["cells"])),
    }
    texts["report.html"] = html.report(result, texts)
    texts["pyperf.json"] = pyperf.export(result)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts] + _save_plots(folder, result)


def _save_plots(folder: Path, result: Json) -> list[Path]:
    paths = []
    for name, figure in plots.figures(result).items():
        paths += [folder / f"{name}.svg", folder / f"{name}.png"]
        figure.savefig(paths[-2], metadata={"Date": None})
        figure.savefig(paths[-1], dpi=150)
    return paths


def _flat(cell: Json) -> Json:
    low, high = cell["ci95"] or (None, None)
    dropped = ("params", "samples", "ci95", "concurrency", "conditions", "reasons", "latency_ns")
    flat = {key: value for key, value in cell.items() if key not in dropped}
    return {
        **flat,
        **cell["params"],
        **_flat_latencies(cell["latency_ns"] or {}),
        "ci95_low": low,
        "ci95_high": high,
        "reasons": "; ".join(cell["reasons"]),
    }


def _flat_latencies(latencies: Json) -> Json:
    """One column a class and statistic, in ns; empty where it was not measured."""
    flat: Json = {"clock_ns": latencies.get("clock")}
    for name in CLASSES:
        of_class = latencies.get(name, {})
        flat |= {f"{name}_ns_{statistic}": of_class.get(statistic) for statistic in ("mean", *QUANTILES, "max")}
    return flat


def _samples(cells: list[Json]) -> list[Json]:
    return [
        {**{key: cell[key] for key in KEY}, **cell["params"], "repetition": r, "calls_per_s": rate}
        for cell in cells
        for r, rate in enumerate(cell["samples"])
    ]


def _csv(rows: Any) -> str:
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
