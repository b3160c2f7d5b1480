"""The command line: `shmkret bench`, `shmkret list`. Data to standard output, words to standard error.

Exit codes: 0 held, 1 a property failed, 2 usage or bad input, 3 this machine is not fit for it, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import json
import os
import secrets
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from shmkret import __version__
from shmkret.arch import ARCH
from shmkret.arena import hashing as hash
from shmkret.errors import (
    NOT_WHOLE,
    RunFailed,
    ShmkretError,
    UnfitMachine,
    UnknownName,
    UsageError,
    cannot_import,
    is_short_of_memory,
)
from shmkret.host import posix, signals, topology
from shmkret.kernel.program import WORKER
from shmkret.locks import LOCK
from shmkret.machines import peers
from shmkret.moves import bugs
from shmkret.plugins import registry
from shmkret.plugins.contract import Contract
from shmkret.schemes import SCHEME

EXIT_HELD, EXIT_FAILED, EXIT_BROKEN_PIPE = 0, 1, 141
SCHEMA = 1
_kept: list[Path] = []
"""The folders that this process has written, or was about to write."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    _require_streams()
    options = _parser().parse_args(argv)
    try:
        _require_text(argv)
        code: int = options.run(options, argv)
        sys.stdout.flush()
        return code
    except ShmkretError as error:
        if is_short_of_memory(error):
            _say(f"shmkret: {error}; {NOT_WHOLE}")
            return UnfitMachine.exit_code
        _say(f"shmkret: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        there = _kept and (_kept[-1] / "results.json").is_file()
        _say(f"{signals.KEPT} {_kept[-1]}" if there else signals.WORDS)
        return signals.EXIT_INTERRUPTED
    except MemoryError:
        _say("shmkret: out of memory: raise ulimit -v, or lower --probes, --maxactive, --data-size or --tasks")
        return UnfitMachine.exit_code
    except ImportError as error:
        _say(f"shmkret: {cannot_import(error)}")
        return UnfitMachine.exit_code
    except BrokenPipeError:
        _give_up_output()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        if error.errno is None:  # no system call failed: a library that looks for its own parts does not find them
            _say(f"shmkret: {error}; {NOT_WHOLE}")
            return UnfitMachine.exit_code
        _say(f"shmkret: {error}")
        _give_up_output()
        return UsageError.exit_code
    except SystemExit:
        _say("shmkret: a plug-in called sys.exit(); nothing was measured")
        return UsageError.exit_code


def _say(words: str) -> None:
    """To standard error, if that can be written."""
    with contextlib.suppress(OSError, ValueError):
        print(words, file=sys.stderr, flush=True)


def _require_streams() -> None:
    """Closed streams go to /dev/null, and no name is too odd to be printed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None or getattr(sys, name).closed:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123
        if isinstance(getattr(sys, name), io.TextIOWrapper):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _require_text(argv: Sequence[str]) -> None:
    """Results say what they were asked for, and are UTF-8. Raises UsageError."""
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{os.fsencode(word)!r} is not UTF-8, as everything in a result is: rename it") from None


def _give_up_output() -> None:
    """Nobody reads standard output, or it is full: keep the interpreter from complaining as it closes."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shmkret", description="The Linux kernel's kretprobe instance machinery, run for real between processes."
    )
    parser.add_argument("--version", action="version", version=f"shmkret {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_bench(commands)
    _add_compare(commands)
    again = commands.add_parser("report", help="write the report of a result folder again", allow_abbrev=False)
    again.add_argument("folder", type=Path, metavar="DIR", help="a folder that `shmkret bench` wrote")
    again.set_defaults(run=_report)
    doctor = commands.add_parser("doctor", help="what about this machine makes measurements doubtful", allow_abbrev=False)
    doctor.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")
    doctor.set_defaults(run=_doctor)
    _add_stress(commands)
    _add_arenas(commands)
    listing = commands.add_parser("list", help="what there is to choose from", allow_abbrev=False)
    listing.add_argument("what", metavar="WHAT", help=", ".join(LISTS))
    listing.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")
    listing.set_defaults(run=_list)
    return parser


SWITCHES = {
    "--plain": "run the same functions uncompiled",
    "--recoverable": "compile in what lets others survive the death of a CPU",
    "--lock-wait": "time every acquire, in a run apart",
    "--latency": "time entry and return of calls, in a run apart",
    "--named": "give the arenas names, so that `shmkret inspect` can attach; each lives for one repetition: take --seconds 20",
}


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="measure how a locking scheme scales over cores",
        description="Measures a suite and writes a folder with results.json, CSV and a plot. Lists take commas: --cpus 1,2.",
        allow_abbrev=False,
    )
    bench.add_argument("suite", nargs="?", default="scaling", help="a suite by name (see `shmkret list suites`) or a TOML file")
    axes = bench.add_argument_group("what is measured")
    axes.add_argument("--worker", type=_names, metavar="A,B", help="worker programs, by name or by path")
    axes.add_argument("--scheme", type=_names, metavar="A,B", help="locking schemes")
    axes.add_argument("--lock", type=_names, metavar="A,B", help="inter-process locks")
    axes.add_argument("--arch", type=_names, metavar="A,B", help="architectures")
    axes.add_argument("--padding", type=_names, metavar="A,B", help="cacheline (default), packed")
    axes.add_argument("--cpus", type=_numbers, metavar="1,2", help="workers, each on its own core; default 1, 2, 4 ...")
    axes.add_argument("--peer", metavar="NAME", help="measure this peer, a C program, beside every cell")
    axes.add_argument("--workers-per-core", type=_numbers, metavar="N", help="workers that share a core; default 1")
    axes.add_argument("--pin-order", type=_names, metavar="NAME", help=f"{', '.join(topology.PIN_ORDERS)}; default the first")
    sizes = bench.add_argument_group("sizes, each a value or several")
    sizes.add_argument("--probes", type=_numbers, metavar="N", help="probe records; default what the worker needs")
    sizes.add_argument("--tasks", type=_numbers, metavar="N", help="tasks on the run queues of their CPUs; default one a CPU")
    sizes.add_argument("--maxactive", type=_numbers, metavar="N", help="instances a probe; default max(10, 2 * cpus)")
    sizes.add_argument(
        "--data-size", type=_numbers, metavar="BYTES", help="private bytes an instance; default what handlers need"
    )
    sizes.add_argument("--hash", type=_names, metavar="NAME", help=f"{', '.join(hash.MULTIPLIERS)}; default the first")
    sizes.add_argument(
        "--task-address", type=_names, metavar="MODEL", help=f"{', '.join(hash.ADDRESS_MODELS)}; default the first"
    )
    sizes.add_argument("--handler-ns", type=_numbers, metavar="NS", help="how long the handlers of slow_handler take")
    sizes.add_argument("--work-ns", type=_numbers, metavar="NS", help="work of the task after each round")
    sizes.add_argument("--bug", type=_names, metavar="NAME", help="switch on a historical bug, or A+B; see `shmkret list bugs`")
    how = bench.add_argument_group("how")
    how.add_argument("--seconds", type=float, metavar="S", help="the measured window of one repetition")
    how.add_argument("--repeat", type=int, metavar="N", help="repetitions, each in fresh processes")
    how.add_argument("--seed", type=int, metavar="N", help="for what is drawn at random; default a new one, printed")
    for name, what in SWITCHES.items():
        how.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=what)
    how.add_argument("--out", metavar="DIR", help="the result folder; default shmkret-results/SUITE-TIME-PID")
    how.add_argument("--json", metavar="FILE|-", help="the whole result as one JSON object; - is standard output")
    bench.set_defaults(run=_bench)


def _add_compare(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        help="ratios with intervals of two result folders",
        description="Compares B with A, cell by cell. What counts is an interval without 1 around a ratio beyond the margin. "
        "With --fail-on: 1 for a regression, or a cell that B has lost; 3 where the data cannot tell.",
        allow_abbrev=False,
    )
    compare.add_argument("before", type=Path, metavar="A", help="a result folder")
    compare.add_argument("after", type=Path, metavar="B", help="another, of the same suite")
    compare.add_argument("--margin", type=float, default=2.0, metavar="PERCENT", help="differences up to this do not count; 2")
    compare.add_argument("--fail-on", metavar="CONDITION", help="exit 1 if it holds of a cell, 3 if it may: regression>=5%%")
    compare.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")
    compare.set_defaults(run=_compare)


def _add_stress(commands: Any) -> None:
    stress = commands.add_parser(
        "stress",
        help="kill CPUs at any instant; the others recover, and nothing may be lost",
        description="Kills worker processes while they run, lets a recoverer repair the arena, and audits it after each round.",
        allow_abbrev=False,
    )
    stress.add_argument("--worker", type=_names, default=["hot"], metavar="A,B", help="worker programs; hot")
    stress.add_argument("--scheme", type=_names, default=["hashed"], metavar="A,B", help="global, hashed; hashed")
    stress.add_argument(
        "--lock", type=_names, default=["owner", "pthread-robust", "sem"], metavar="A,B", help="owner,pthread-robust,sem"
    )
    stress.add_argument("--cpus", type=int, default=2, metavar="N", help="CPUs, more than cores if you like; 2")
    stress.add_argument(
        "--kills", type=int, metavar="N", help="deaths, for each combination; 2000, or as many as --seconds allow"
    )
    stress.add_argument(
        "--round", type=int, default=None, metavar="N", help="deaths between two audits; a tenth of --kills, or 200"
    )
    stress.add_argument("--seconds", type=float, default=None, metavar="S", help="stop after that long, for each combination")
    stress.add_argument(
        "--fault", default="random=kill", metavar="SPEC", help="what goes wrong: see `shmkret list faults`; random=kill"
    )
    stress.add_argument(
        "--fence", type=float, metavar="S", help="kill a stopped CPU that holds a lock after that long; default never"
    )
    stress.add_argument("--mutant", default="", metavar="NAME", help="a wrong order of writes, which must be caught")
    stress.add_argument("--probes", type=int, metavar="N", help="probe records; default what the worker needs")
    stress.add_argument("--maxactive", type=int, metavar="N", help="instances a probe; few of them are soon exhausted")
    stress.add_argument(
        "--unprotected", action="store_true", help="instead: what a death does to each lock where nothing is recoverable"
    )
    stress.add_argument("--guests", type=int, default=0, metavar="N", help="CPUs more, left to processes that `shmkret join`")
    stress.add_argument("--seed", type=int, metavar="N", help="of the faults, not of their timing; default a new one, printed")
    stress.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")
    stress.set_defaults(run=_stress)


def _add_arenas(commands: Any) -> None:
    join = commands.add_parser(
        "join",
        help="take part in a run as a CPU of its own, which may be killed",
        description="Takes a slot that `shmkret stress --guests N` leaves, until the run ends. Kill it as you like.",
        allow_abbrev=False,
    )
    join.add_argument("arena", metavar="ARENA", help="its name: see `shmkret list arenas`")
    join.add_argument("--worker", default="hot", metavar="A", help="the worker program that the run has; hot")
    join.add_argument("--scheme", metavar="FILE", help="its scheme, where the arena's header does not find it")
    join.add_argument("--lock", metavar="FILE", help="its lock, where the arena's header does not find it")
    join.set_defaults(run=_join)
    inspect = commands.add_parser("inspect", help="what is in a named arena, live or left over", allow_abbrev=False)
    inspect.add_argument(
        "arena", nargs="?", metavar="ARENA", help="a name that `shmkret list arenas` shows; default the newest live one"
    )
    inspect.add_argument("--lock", metavar="FILE", help="its lock's file, or name, where the arena's header does not find it")
    inspect.add_argument("--audit", action="store_true", help="check every list and count; exit 1 when something is wrong")
    inspect.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")
    inspect.set_defaults(run=_inspect)
    repair = commands.add_parser("repair", help="rebuild the lists of an arena that is left over", allow_abbrev=False)
    repair.add_argument("arena", metavar="ARENA", help="its name: see `shmkret list arenas`")
    repair.add_argument("--lock", metavar="FILE", help="its lock's file, or name, where the arena's header does not find it")
    repair.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")
    repair.set_defaults(run=_repair)
    clean = commands.add_parser("clean", help="remove what killed runs have left over, and nothing else", allow_abbrev=False)
    clean.add_argument("--json", metavar="FILE|-", help="one JSON object; - is standard output")
    clean.set_defaults(run=_clean)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in _names(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers such as 1,2,4") from None


def _bench(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.host import description as machine
    from shmkret.measure import bench, suite
    from shmkret.measure.cell import OURS
    from shmkret.measure.report import folder, tables

    plan = suite.plan(options.suite, {key: getattr(options, key, None) for key in suite.OPTIONS})
    seed = plan.seed
    if plan.out is not None and not plan.out.name:
        raise UsageError("--out names no folder")
    out = plan.out or Path("shmkret-results") / f"{plan.suite}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    place = folder.place(out)
    if plan.json not in (None, "-"):
        _require_writable(Path(plan.json))
    posix.sweep_names()
    try:
        # What a plug-in prints are words, not data.
        with contextlib.redirect_stdout(sys.stderr):
            prepared = bench.prepare(plan, plan.named)
            with _progress(len(plan.cells) * plan.repeat, plan.seconds) as progress:
                measured = bench.run(plan, prepared, progress)
    except RunFailed as error:
        raise RunFailed(f"{error}\nagain: {_replay(argv, seed)}") from error
    result = {
        "schema": folder.SCHEMA,
        "command": "bench",
        "argv": argv,
        "version": __version__,
        "machine": machine.describe(),
        **bench.plan_object(plan),
        "first_cell_s": round(progress.first_s, 2),
        "all_cells_s": round(machine.process_age_s(), 1),
        "peers": {peer: peers.describe(peer) for peer in dict.fromkeys(m.cell.peer for m in measured) if peer != OURS},
        "cells": [bench.cell_object(m) for m in measured],
        "ratios": [bench.ratio_object(r) for r in bench.ratios(measured)],
        "scaling": bench.scaling_objects(measured),
    }
    _kept.append(out)
    try:
        written = folder.write_folder(place, result)
    except OSError as error:
        words = f"{out} cannot be written ({error.strerror})"
        raise UsageError(f"{words}: {_rescue(plan.json, result)}") from error
    except Exception:
        _say(f"shmkret: {_rescue(plan.json, result)}")
        raise
    tables.print_tables(result, sys.stderr if plan.json == "-" else sys.stdout)
    _write_json(plan.json, result)
    signals.ignore()  # an interrupt would be raised where the compiler's objects are freed, and come to nothing but noise
    print(f"wrote {', '.join(path.name for path in written)} to {out}", file=sys.stderr)
    withheld = sum(m.verdict == "withheld" for m in measured)
    if withheld:
        print(f"{withheld} of {len(measured)} cells are withheld; again: {_replay(argv, seed)}", file=sys.stderr)
    return EXIT_FAILED if withheld else EXIT_HELD


def _rescue(json_place: str | None, result: dict[str, Any]) -> str:
    """Put a measurement somewhere, after it could not be written to where it should be; returns words that say where."""
    from shmkret.measure.report import folder

    if json_place:
        with contextlib.suppress(ShmkretError, OSError):
            _write_json(json_place, result)
            if json_place == "-":
                return "the measurement is on standard output"
    try:
        kept = folder.rescue(result)
        return f"the measurement is in {kept}; `shmkret report {kept}` makes the rest"
    except OSError:
        _write_json("-", result)
        return "the measurement is on standard output"


def _compare(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.host import description as machine
    from shmkret.measure import compare
    from shmkret.measure.report import folder, tables

    least = compare.threshold(options.fail_on) if options.fail_on is not None else None
    if not 0 <= options.margin < 100:
        raise UsageError(f"--margin is {options.margin:g}: give percent, from 0 to less than 100")
    before, after = folder.load(options.before), folder.load(options.after)
    margin = options.margin / 100
    cells, together = compare.compare(before, after, margin)
    said = compare.gate(cells, together, least) if least is not None else []
    head = {"schema": SCHEMA, "command": "compare", "argv": argv, "version": __version__, "seed": before["seed"]}
    result = {**head, "machine": machine.describe(), "margin": margin, "cells": cells, "together": together}
    counts = {"regressions": compare.REGRESSION, "lost": compare.LOST, "cannot_tell": compare.CANNOT_TELL}
    result |= {**compare.alone(before, after), **{name: said.count(what) for name, what in counts.items()}}
    tables.print_comparison(result, sys.stderr if options.json == "-" else sys.stdout)
    if before["machine"]["cpu"] != after["machine"]["cpu"]:
        _say(f"two machines: {before['machine']['cpu']} and {after['machine']['cpu']}")
    _write_json(options.json, result)
    if least is None:
        return EXIT_HELD
    for line in compare.verdict(cells, together, said, least):
        _say(line)
    if compare.REGRESSION in said or compare.LOST in said:
        return EXIT_FAILED
    return UnfitMachine.exit_code if compare.CANNOT_TELL in said else EXIT_HELD


def _report(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.measure.report import folder

    result = folder.load(options.folder)
    try:
        written = folder.rewrite(options.folder, result)
    except OSError as error:
        raise UsageError(f"{options.folder}: {error.strerror}") from error
    _say(f"wrote {', '.join(path.name for path in written)} to {options.folder}")
    return EXIT_HELD


def _doctor(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.host import description as machine
    from shmkret.measure import doctor

    _say("looking at this machine, some seconds ...")
    found = doctor.examine()
    if options.json:
        head = {"schema": SCHEMA, "command": "doctor", "argv": argv, "version": __version__, "seed": None}
        _write_json(options.json, {**head, "machine": machine.describe(), "findings": [one._asdict() for one in found]})
        if options.json == "-":
            return EXIT_HELD
    for one in found:
        remedy = f"; {one.remedy}" if one.remedy and one.state != doctor.OK else ""
        print(f"{one.state:8}{one.name:12}{one.words}{remedy}")
    return EXIT_HELD


def _stress(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.host import description as machine
    from shmkret.stress import command

    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    asked = command.Asked.of(options, seed)
    if options.json not in (None, "-"):
        _require_writable(Path(options.json))
    posix.sweep_names()
    output = sys.stderr if options.json == "-" else sys.stdout
    how = command.unprotected if options.unprotected else command.stress if asked.nth is None else command.every_store
    runs = how(asked, output)
    failed = [run for run in runs if run.get("findings")] if not options.unprotected else []
    head = {"schema": SCHEMA, "command": "stress", "argv": argv, "version": __version__, "seed": seed}
    replay = _replay(argv, seed)
    result = {**head, "machine": machine.describe(), "runs": [{**run, "replay": replay} for run in runs]}
    try:
        _write_json(options.json, result)
    except (ShmkretError, OSError):
        if options.json != "-":
            _write_json("-", result)
            _say("shmkret: the result is on standard output")
        raise
    if failed:
        _say(f"{len(failed)} of {len(runs)} runs failed; again: {replay}")
    return EXIT_FAILED if failed else EXIT_HELD


def _join(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.stress import guests

    def watch(cpu: int, pid: int) -> None:
        print(f"cpu {cpu}, pid {pid}", flush=True)

    print("waiting for a slot: it is given away between two rounds", file=sys.stderr, flush=True)
    calls = guests.join(options.arena, options.worker, options.scheme, options.lock, watch)
    print(f"{calls:,} calls")
    return EXIT_HELD


def _inspect(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.arena import named
    from shmkret.audit import arenas
    from shmkret.audit import checks as audit
    from shmkret.host import description as machine
    from shmkret.measure.report import tables

    name = named.newest_live() if options.arena is None else options.arena
    with arenas.copied(name, options.lock) as arena:
        found: dict[str, Any] = {"arena": name, **arena.statistics()}
        pids, inside = named.pids_of(name, arena), audit.inside(arena)
        for cpu, record in enumerate(found["cpus"]):
            record |= {"inside": cpu in inside, "pid": pids[cpu] if pids and cpu < len(pids) else None}
        held, found["locks_doubt"] = arenas.held_locks(arena, options.lock, pids)
        found["held_locks"] = None if held is None else [one._asdict() for one in held]
    if options.audit:
        found["audit"], found["audit_doubt"] = arenas.audited(name, options.lock)
    if options.json:
        head = {"schema": SCHEMA, "command": "inspect", "argv": argv, "version": __version__, "seed": None}
        _write_json(options.json, {**head, "machine": machine.describe(), **found})
    if options.json != "-":
        tables.print_arena(found, sys.stdout)
    return EXIT_FAILED if found.get("audit") else EXIT_HELD


def _repair(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.audit import arenas

    done, left = arenas.repaired(options.arena, options.lock)
    if options.json:
        from shmkret.host import description as machine

        head = {"schema": SCHEMA, "command": "repair", "argv": argv, "version": __version__, "seed": None}
        _write_json(
            options.json, {**head, "machine": machine.describe(), "arena": options.arena, "repaired": done, "audit": left}
        )
    if options.json != "-":
        for what in done or ["nothing had to be repaired"]:
            print(what)
        for what in left:
            print(f"not repaired: {what}")
    return EXIT_FAILED if left else EXIT_HELD


def _clean(options: argparse.Namespace, argv: list[str]) -> int:
    from shmkret.arena import named

    semaphores, removed = posix.sweep_names(), named.clean()
    if options.json:
        from shmkret.host import description as machine

        head = {"schema": SCHEMA, "command": "clean", "argv": argv, "version": __version__, "seed": None}
        _write_json(options.json, {**head, "machine": machine.describe(), "removed": removed, "semaphores": semaphores})
    for name in removed if options.json != "-" else ():
        print(name)
    if not removed and not semaphores:
        _say("nothing is left over")
    return EXIT_HELD


def _arenas() -> list[dict[str, str]]:
    from shmkret.arena import named

    return [{"name": n.name, "summary": f"{n.state}, pid {n.pid}, {n.size >> 10} KiB, {n.summary}"} for n in named.listing()]


def _replay(argv: list[str], seed: int) -> str:
    """The command again with the same seed; into another folder, since this one is there already."""
    again = [
        word for i, word in enumerate(argv) if word != "--out" and not word.startswith("--out=") and argv[i - 1] != "--out"
    ]
    seeded = any(word == "--seed" or word.startswith("--seed=") for word in argv)
    return shlex.join(["shmkret", *again, *([] if seeded else ["--seed", str(seed)])])


def _require_writable(path: Path) -> None:
    """Find out now, not after the run, that the object has no place to go. Raises UsageError."""
    if path.is_dir() or not path.resolve().parent.is_dir():
        raise UsageError(f"{path} cannot be written: it is a folder, or lies in none")
    try:
        if not path.exists():
            tempfile.TemporaryFile(dir=path.resolve().parent).close()
        elif not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}): name another place with --json") from error


class _Progress:
    """Tells standard error how far the run is: a bar on a terminal, one line otherwise. Without threads: we fork."""

    def __init__(self, steps: int, seconds: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from shmkret.measure.report.rows import repetitions

        self.first_s = 0.0
        console = Console(stderr=True)
        self._bar = Progress(
            BarColumn(30),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps)
        if not console.is_terminal:
            print(f"{repetitions(steps)} of {seconds:g} s ...", file=sys.stderr)

    def doing(self, what: str) -> None:
        self._bar.update(self._task, description=what, refresh=True)

    def done(self) -> None:
        from shmkret.host import description as machine

        self.first_s = self.first_s or machine.process_age_s()
        self._bar.update(self._task, advance=1, refresh=True)


@contextlib.contextmanager
def _progress(steps: int, seconds: float) -> Iterator[_Progress]:
    progress = _Progress(steps, seconds)
    with progress._bar:
        yield progress


def _list(options: argparse.Namespace, argv: list[str]) -> int:
    if options.what not in LISTS:
        raise UnknownName("list", options.what, LISTS)
    rows = LISTS[options.what]()
    if options.json:
        from shmkret.host import description as machine

        head = {"schema": SCHEMA, "command": "list", "argv": argv, "version": __version__, "seed": None}
        _write_json(options.json, {**head, "machine": machine.describe(), options.what: rows})
        if options.json == "-":
            return EXIT_HELD
    for row in rows:
        print("  ".join([f"{row['name']:14}", row["summary"]]).rstrip())
    return EXIT_HELD


def _faults() -> list[dict[str, str]]:
    from shmkret.stress import spec

    where = [(name, f"{point.summary} ({', '.join(point.actions)})") for name, point in spec.POINTS.items()]
    what = [(name, action.summary) for name, action in spec.ACTIONS.items()]
    kinds = (("where", [*where, *spec.NTH.items()]), ("what", what))
    return [{"name": name, "summary": f"{kind}: {text}"} for kind, rows in kinds for name, text in rows]


def _mutants() -> list[dict[str, str]]:
    from shmkret.moves.intents import MUTANTS

    return [{"name": name, "summary": summary} for name, summary in MUTANTS.items()]


def _plugins(kind: Contract) -> list[dict[str, str]]:
    return [{"name": name, "summary": _summary(kind, name)} for name in registry.names(kind)]


def _summary(kind: Contract, name: str) -> str:
    """The first line about a plug-in, or why there is none: one that is broken hides no other."""
    try:
        return registry.find(kind, name).summary
    except ShmkretError as error:
        return f"cannot be loaded: {' '.join(str(error).split())}"


def _suites() -> list[dict[str, str]]:
    from shmkret.measure import suite

    return [{"name": name, "summary": suite.title(name)} for name in suite.names()]


LISTS: dict[str, Callable[[], list[dict[str, str]]]] = {
    "locks": lambda: _plugins(LOCK),
    "schemes": lambda: _plugins(SCHEME),
    "archs": lambda: _plugins(ARCH),
    "workers": lambda: _plugins(WORKER),
    "suites": _suites,
    "bugs": lambda: [{"name": b.name, "summary": f"{b.summary} (fixed: {b.fixed})"} for b in bugs.CATALOGUE],
    "arenas": _arenas,
    "faults": _faults,
    "mutants": _mutants,
    "peers": lambda: [{"name": name, "summary": peers.summary(name)} for name in peers.names()],
}


def _write_json(place: str | None, result: dict[str, Any]) -> None:
    if place == "-":
        json.dump(result, sys.stdout, indent=1, allow_nan=False)
        print()
    elif place:
        try:
            Path(place).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
        except OSError as error:
            raise UsageError(f"{place}: {error.strerror}") from error
