"""python -m tests.mutants: see shmkret's tests.mutants."""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.mutants import Mutant, chosen, copy_to, run, tried


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants", description="Make each slip in a copy, and see which test says so."
    )
    parser.add_argument("names", nargs="*", metavar="NAME|AREA", help="these alone; all, if none is given")
    parser.add_argument("--out", type=Path, help="keep each result there; what was killed is not done again")
    parser.add_argument("--part", type=int, metavar="N", help="N of them, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-clean", action="store_true", help="do not run the tests without a slip first")
    options = parser.parse_args()
    try:
        options.mutants = chosen(options.names)
    except KeyError as error:
        parser.error(error.args[0])
    return options


def main() -> int:
    options = parsed()
    mutants = options.mutants
    if options.part is not None:
        mutants = random.Random(options.seed).sample(mutants, min(options.part, len(mutants)))
    known: dict[str, Any] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    with tempfile.TemporaryDirectory(prefix="shmkret-slips-") as place:
        folder = Path(place)
        copy_to(folder)
        clean = set() if options.no_clean else not_clean(mutants, folder)
        for mutant in mutants:
            row = known.get(mutant.name)
            if row is None or row["digest"] != mutant.digest or not row["killed"]:
                row = row_of(mutant, folder, clean)
                known[mutant.name] = row
                if options.out:
                    options.out.write_text(json.dumps(known, indent=1) + "\n")
            word = "killed" if row["killed"] else "harmless" if row["harmless"] else "ALIVE"
            print(f"{mutant.area}/{mutant.name}: {word}, {row['cpu_s']:.1f} s: {row['by']}", flush=True)
    return ended([known[mutant.name] for mutant in mutants])


def not_clean(mutants: list[Mutant], folder: Path) -> set[str]:
    """Those of their tests that fail without a slip."""
    found = set()
    for tests in sorted({mutant.tests for mutant in mutants}):
        code, said, _ = run(tests, folder)
        if code != 0:
            found.add(tests)
            print(f"without a slip: {tests}: exit code {code}\n{said[-2000:]}", file=sys.stderr)
    return found


def row_of(mutant: Mutant, folder: Path, not_clean: set[str]) -> dict[str, Any]:
    if mutant.tests in not_clean:
        killed, by, cpu_s = False, "not killed: its tests fail without it", 0.0
    else:
        killed, by, cpu_s = tried(mutant, folder)
    harmless = bool(mutant.harmless) and by == mutant.harmless
    return {
        "area": mutant.area,
        "digest": mutant.digest,
        "killed": killed,
        "harmless": harmless,
        "by": by,
        "cpu_s": round(cpu_s, 1),
    }


def ended(rows: list[dict[str, Any]]) -> int:
    """Says how many were killed, and how soon."""
    killed = [row["cpu_s"] for row in rows if row["killed"]]
    soon = f", median {statistics.median(killed):.1f} s of processor time" if killed else ""
    print(f"{len(killed)} of {len(rows)} killed, {sum(row['harmless'] for row in rows)} harmless{soon}")
    return 0 if all(row["killed"] or row["harmless"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
