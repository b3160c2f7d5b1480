"""A result folder: results.json, from which all the rest can be made again; CSV, the report, and every plot as SVG and PNG.

Always    results.json is written once, whole, and never again
          a file of a folder is the old one or the new one, whenever we are killed: all are written elsewhere and renamed
Dies      a killed writer leaves .shmkret-HOST.NAMESPACE.PID.*, which the next one removes
"""

from __future__ import annotations

import csv
import io
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shmkret.errors import UsageError
from shmkret.measure.latency import QUANTILES
from shmkret.measure.report import earlier, fields, html, plots, pyperf
from shmkret.measure.report.rows import KEY, Json
from shmkret.moves.clock import CLASSES

SCHEMA = 2
RESULT = "results.json"


def load(folder: Path) -> Json:
    """The result of a folder, or of a results.json.

    One of an earlier schema comes in the words of today's (shmkret.measure.report.earlier).

    Raises: UsageError when there is none, it is of a schema that nobody here knows, or damaged.
    """
    path = folder / RESULT if folder.is_dir() else folder
    try:
        result = json.loads(path.read_text(), parse_constant=_refuse)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(result, dict) or result.get("command") != "bench":
        raise UsageError(f"{path} is no result of a measurement")
    try:
        result = earlier.raised(result, SCHEMA)
    except UsageError as error:
        raise UsageError(f"{path} {error}") from error
    except (LookupError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is damaged: {type(error).__name__}: {error}; measure again") from error
    try:
        fields.check(result)
    except UsageError as error:
        raise UsageError(f"{path} is damaged: {error}; measure again") from error
    return earlier.with_every_knob(result)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def place(folder: Path) -> Path:
    """Where a result folder will be, links followed. Raises UsageError when it cannot be there, before anything is measured."""
    try:
        path = folder.resolve()
        if path.is_dir():
            _sweep(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise UsageError(f"{folder} is there already and is no empty folder: name another one with `out`")
        parent = path
        while not parent.exists():
            parent = parent.parent
        Path(tempfile.mkdtemp(prefix=_prefix(), dir=parent)).rmdir()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{folder} cannot be written ({reason}): name another place with `out`") from error
    return path


def write_folder(folder: Path, result: Json) -> list[Path]:
    """Write all files, or none, and return their paths; a folder that is there already is empty. Raises OSError."""
    if folder.is_dir():
        return _write_into(folder, result)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _unfinished(folder.parent) as unfinished:
        unfinished.chmod(0o755)
        written = _write_files(unfinished, result)
        unfinished.rename(folder)
    return [folder / path.name for path in written]


def _write_into(folder: Path, result: Json) -> list[Path]:
    """In place: it may be a mount, or lie in a folder that we may not write."""
    moved: list[Path] = []
    try:
        with _unfinished(folder) as unfinished:
            for path in _write_files(unfinished, result):
                moved.append(path.rename(folder / path.name))
    except BaseException:
        for path in moved:
            path.unlink(missing_ok=True)
        raise
    return moved


def rescue(result: Json) -> Path:
    """Write results.json alone, to a folder for temporary files, and return that folder. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix="shmkret-"))
    (folder / RESULT).write_text(_json(result))
    return folder


def rewrite(folder: Path, result: Json) -> list[Path]:
    """Make the report, the tables and the plots of a folder again, from its result. Raises OSError, UsageError."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder")
    with _unfinished(folder) as unfinished:
        measured = (folder / RESULT).read_text()
        return [path.rename(folder / path.name) for path in _write_files(unfinished, result, measured)]


@contextmanager
def _unfinished(parent: Path) -> Iterator[Path]:
    """A folder to write in, which goes again, if it was not renamed; and with it those of writers that were killed."""
    _sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=_prefix(), dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _prefix(pid: int | None = None) -> str:
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    return f".shmkret-{platform.node()}.{namespace}.{os.getpid() if pid is None else pid}."


def _sweep(parent: Path) -> None:
    """Remove what writers on this machine, in our pid namespace, left when they were killed."""
    pattern = re.compile(re.escape(_prefix(0)).replace(r"\.0\.", r"\.(\d+)\."))
    for path in parent.glob(".shmkret-*"):
        with suppress(OSError):
            match = pattern.match(path.name)
            if match and path.stat().st_uid == os.geteuid() and not Path(f"/proc/{match[1]}").exists():
                shutil.rmtree(path)


def _json(result: Json) -> str:
    return json.dumps(result, indent=1, allow_nan=False) + "\n"


def _write_files(folder: Path, result: Json, measured: str | None = None) -> list[Path]:
    """The result and all that can be made from it. measured: the result as it is there already, and is left, in its schema."""
    texts = {
        RESULT: measured or _json(result),
        "cells.csv": _csv(_flat(cell) for cell in result["cells"]),
        "samples.csv": _csv(_samples(result["cells"])),
    }
    texts["report.html"] = html.report(result, texts)
    texts["pyperf.json"] = pyperf.export(result)
    names = [name for name in texts if not (measured and name == RESULT)]
    for name in names:
        (folder / name).write_text(texts[name])
    return [folder / name for name in names] + _save_plots(folder, result)


def _save_plots(folder: Path, result: Json) -> list[Path]:
    paths = []
    for name, figure in plots.figures(result).items():
        paths += [folder / f"{name}.svg", folder / f"{name}.png"]
        figure.savefig(paths[-2], metadata={"Date": None})
        figure.savefig(paths[-1], dpi=150)
    return paths


def _flat(cell: Json) -> Json:
    low, high = cell["ci95"] or (None, None)
    lists = ("samples", "ci95", "concurrency", "conditions", "reasons", "rehearsed")
    dropped = ("params", "used", "sources", *lists, "latency_ns", "timed")
    flat = {key: value for key, value in cell.items() if key not in dropped}
    return {
        **flat,
        **cell["params"],
        **{f"{name}_used": value for name, value in cell.get("used", {}).items()},
        **{f"{kind}_source": digest for kind, digest in cell.get("sources", {}).items()},
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
