"""Peers: C programs in bench/peers/ that do a worker's work on our arena, to be compared with. One a file, NAME.c.

Its opening comment says what it is, how it is compiled, and what it does:

    /*
     * One line about it, for `shmkret list peers`.
     *
     * Flags: -O2 -fno-plt             beside FLAGS; may be left out
     * Workers: hot handlers           of our workers, schemes and locks, those whose work it does; all three lines are needed,
     * Schemes: hashed                 and every combination of them must compile
     * Locks: sem pthread-robust
     */

It is compiled for one of each, with -DWORKER_hot -DSCHEME_hashed -DLOCK_pthread_robust, and includes "layout.h": a struct for
the records of each section, `struct scheme_link` for scheme.link; the place of the section in the table of sections,
SECTION_scheme_link; and the constants of the path. What else it includes lies beside it. It is run as

    NAME FD CPU

where FD is the arena, inherited; everything in it is ready, and the process is pinned. What it must do there, by order:

    cpus[CPU].ready = 1             then wait until run.phase is not 0 (AT_GATE)
    calls                           made and counted as our workers' are: an audit looks at the lists and the books at the end
    run.phase is 2 (MEASURE)        at the first look that sees it: began_calls = calls, then began_ns = CLOCK_MONOTONIC
    run.phase is 3 (COOL_DOWN)      likewise: ended_calls, then ended_ns
    run.phase is 4 (STOP)           leave all locks; cpus[CPU].ready = 2, and exit with status 0

It looks at the phase at least every few milliseconds, with acquire order, and writes `ready` and the times with release order.
A compiled peer is kept in the user's cache folder.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shmkret.arch import TRAMPOLINE
from shmkret.arena.fields import fields_of
from shmkret.arena.hashing import KPROBE_HASH_BITS, NR_BUCKETS
from shmkret.arena.header import HEADER
from shmkret.arena.layout import GEOMETRY_FIELDS, frame, stride_of
from shmkret.arena.records import RUNQUEUE_LOCKS
from shmkret.arena.segment import Arena
from shmkret.errors import PluginError, UnfitMachine, UnknownName, UsageError
from shmkret.kernel.task import TASK_TEXT_BITS, TEXT_BASE
from shmkret.machines.build import Build
from shmkret.plugins.registry import data_folder

FLAGS = ("-std=gnu11", "-pthread")
DOES = {"arch": "x86-64", "bug": "none", "work_ns": 0, "plain": False, "recoverable": False}
"""What every peer is written for, of the other knobs of a cell."""
KINDS = ("worker", "scheme", "lock")
FOLDER = data_folder("bench") / "peers"


class Peer(NamedTuple):
    """What a peer's opening comment says. does: for each of KINDS, the names."""

    path: Path
    summary: str
    flags: tuple[str, ...]
    does: Mapping[str, tuple[str, ...]]


def names() -> list[str]:
    """The peers there are."""
    return sorted(path.stem for path in FOLDER.glob("*.c"))


def find(name: str) -> Peer:
    """The peer of that name. Raises UnknownName; PluginError, when its opening comment does not say what it should."""
    if name not in names():
        raise UnknownName("peer", name, names())
    path = FOLDER / f"{name}.c"
    opening = path.read_text(errors="replace").partition("*/")[0]
    lines = [line.strip().removeprefix("*").strip() for line in opening.removeprefix("/*").splitlines()]
    summary = next(filter(None, lines), "")
    said = {word: tuple(rest.split()) for word, colon, rest in (line.partition(":") for line in lines) if colon}
    does = {kind: said.get(f"{kind.capitalize()}s", ()) for kind in KINDS}
    for kind, known in does.items():
        if not known:
            raise PluginError(
                f"{path}: its opening comment does not say what it does: add a line `{kind.capitalize()}s: NAME ...`"
            )
    return Peer(path, summary, said.get("Flags", ()), does)


def summary(name: str) -> str:
    """The first line of what the peer says about itself, or why there is none: one that is broken hides no other."""
    try:
        return find(name).summary
    except PluginError as error:
        return f"cannot be loaded: {error}"


def require(peer: str, worker: str, scheme: str, lock: str, otherwise: Mapping[str, Any]) -> None:
    """Find out, before anything runs, that the peer exists, does that work, and can be compiled.

    otherwise: the other knobs of the cell that change its work, of which a peer knows only DOES.

    Raises: UnknownName, UsageError, UnfitMachine.
    """
    does = find(peer).does
    for knob, value in otherwise.items():
        if value != DOES[knob]:
            raise UsageError(f"the peer {peer} does not do `{knob}` {value}: leave that out, or `peer`")
    for kind, name in zip(KINDS, (worker, scheme, lock), strict=True):
        if name.replace("_", "-") not in does[kind]:
            raise UsageError(f"the peer {peer} has no {kind} {name}: it has {', '.join(does[kind])}")
    compiler()


def compiler() -> str:
    """The C compiler: $CC, cc, gcc or clang. Raises UnfitMachine when there is none."""
    chosen = os.environ.get("CC")
    if chosen and not shutil.which(chosen):
        raise UnfitMachine(f"CC is {chosen!r}, which is no program: set it to a C compiler, or unset it")
    for candidate in (chosen, "cc", "gcc", "clang"):
        if candidate and shutil.which(candidate):
            return candidate
    raise UnfitMachine("there is no C compiler for the peers: install gcc or clang, or set CC to yours")


def build(peer: str, build: Build, cache: Path | None) -> list[str]:
    """Compile the peer; returns the start of its command line, to which the arena's fd and the cpu are added.

    Raises: UnfitMachine without a compiler, or with its words when it fails.
    """
    source, _, flags, _ = find(peer)
    header = layout_header(build)
    defines = [f"-D{kind.upper()}_{_c_name(getattr(build, kind).name)}" for kind in KINDS]
    cc = compiler()
    command = [cc, *FLAGS, *flags, *defines]
    text = "\0".join((*command, _version(cc), header, source.name, *map(_text, sorted(FOLDER.iterdir()))))
    folder = cache or Path(_scratch().name)
    program = folder / f"peer-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    if not program.exists():
        _compile(command, source, header, program)
    return [str(program)]


def describe(peer: str) -> dict[str, str]:
    """What a peer is compiled with: `compiler`, the first line of its version, and `flags`."""
    return {"compiler": _version(compiler()), "flags": " ".join((*FLAGS, *find(peer).flags))}


@functools.cache
def _version(cc: str) -> str:
    done = subprocess.run([cc, "--version"], capture_output=True, text=True, errors="replace", check=False)
    return done.stdout.partition("\n")[0]


def _text(path: Path) -> str:
    """A file that a peer may include."""
    return path.read_text(errors="replace") if path.is_file() else ""


def _compile(command: list[str], source: Path, header: str, program: Path) -> None:
    unfinished = program.with_suffix(f".{os.getpid()}")
    with tempfile.TemporaryDirectory(prefix="shmkret-peer-") as scratch:
        (Path(scratch) / "layout.h").write_text(header)
        folders = ["-I", scratch, "-I", str(FOLDER)]
        try:
            status, words = _run([*command, *folders, str(source), "-o", str(unfinished)])
            if status or not unfinished.exists():
                raise UnfitMachine(f"{source.name} does not compile with {' '.join(command)}:\n{words.strip()}")
            unfinished.replace(program)
        finally:
            unfinished.unlink(missing_ok=True)


def _run(command: list[str]) -> tuple[int, str]:
    """The exit status and the errors of a compiler, which is gone with all its children when we are interrupted."""
    options: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
    with subprocess.Popen(command, start_new_session=True, **options) as compiler:
        try:
            words = compiler.communicate()[1]
        except BaseException:
            os.killpg(compiler.pid, signal.SIGKILL)
            raise
    return compiler.returncode, words


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Where peers go when there is no cache; removed when this process ends."""
    return tempfile.TemporaryDirectory(prefix="shmkret-peer-")


def execute(command: list[str], arena: Arena, cpu: int) -> None:
    """Become the peer, as CPU `cpu` of the arena. For use in a forked child."""
    os.set_inheritable(arena.fd, True)
    os.execv(command[0], [*command, str(arena.fd), str(cpu)])


def layout_header(build: Build) -> str:
    """layout.h: a struct for each section's records, as wide as its stride, and the constants of the path.

    A section that the scheme has not has a struct all the same, and the number of another: nobody uses it.
    """
    lock = build.lock.record
    here = {section.name: i for i, section in enumerate(frame(lock, build.scheme.record))}
    every = {section.name: section for section in (*frame(lock, build.scheme.record), *frame(lock))}
    lines = ["#pragma once", "#include <stdint.h>"]
    for section in every.values():
        stride, fields = stride_of(section, build.padding, build.table_padding), fields_of(section.record)
        spare = stride // 8 - len(fields)
        members = [f"\tint64_t {field};" for field in fields] + ([f"\tint64_t spare[{spare}];"] if spare else [])
        name = _c_name(section.name)
        lines += [f"struct {name} {{", *members, "};"]
        lines.append(f'_Static_assert(sizeof(struct {name}) == {stride}, "{name}");')
    offsets: Any = HEADER.fields
    constants = {
        **{f"SECTION_{_c_name(name)}": here.get(name, 0) for name in every},
        "SECTIONS_AT": offsets["sections"][1],
        "HASH_MULTIPLIER_AT": offsets["hash_multiplier"][1],
        "KPROBE_HASH_BITS": KPROBE_HASH_BITS,
        "RUNQUEUE_LOCKS": RUNQUEUE_LOCKS,
        "NR_BUCKETS": NR_BUCKETS,
        **{f"{field.upper()}_AT": offsets["geometry"][1] + 8 * j for j, field in enumerate(GEOMETRY_FIELDS)},
        "TRAMPOLINE": TRAMPOLINE,
        "TEXT_BASE": TEXT_BASE,
        "TASK_TEXT_BITS": TASK_TEXT_BITS,
    }
    return "\n".join([*lines, *(f"#define {name} {value}LL" for name, value in constants.items())]) + "\n"


def _c_name(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")
