"""A result as pyperf reads it: a benchmark a cell, seconds a call on one CPU.

Source    https://pyperf.readthedocs.io/en/latest/api.html, "JSON format", version 1.0
"""

from __future__ import annotations

import json

from shmkret.measure.report.rows import Json, name_of


def export(result: Json) -> str:
    """The text of pyperf.json; cells that are withheld are left out."""
    benchmarks = [_benchmark(cell) for cell in result["cells"] if cell["median"]]
    about = {"cpu_model_name": result["machine"]["cpu"], "platform": result["machine"]["kernel"], "shmkret": result["version"]}
    return json.dumps({"version": "1.0", "metadata": about, "benchmarks": benchmarks}, indent=1) + "\n"


def _benchmark(cell: Json) -> Json:
    told = {key: str(cell[key]) for key in ("worker", "scheme", "lock", "verdict")}
    runs = [{"values": [cell["cpus"] / rate]} for rate in cell["samples"] if rate]
    return {"metadata": {**told, "name": _name(cell), "unit": "second", "loops": 1}, "runs": runs}


def _name(cell: Json) -> str:
    knobs = [f"{key}={value}" for key, value in cell["params"].items() if value not in (None, False)]
    return " ".join([name_of(cell), cell["arch"], cell["padding"], *knobs])
