"""Peers: C programs in bench/peers/ that do a worker's work on our arena, to be compared with.

Each is compiled for one scheme, lock and padding, against a layout.h that is written from the record classes, and run by the
same crew, gate and window as our own workers. Compiled peers are kept in the user's cache folder.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shmkret.arch import TRAMPOLINE
from shmkret.arena.fields import fields_of
from shmkret.arena.hashing import KPROBE_HASH_BITS, NR_BUCKETS
from shmkret.arena.header import HEADER
from shmkret.arena.layout import GEOMETRY_FIELDS, frame, stride_of
from shmkret.arena.records import RUNQUEUE_LOCKS
from shmkret.arena.segment import Arena
from shmkret.errors import UnfitMachine, UnknownName, UsageError
from shmkret.kernel.task import TASK_TEXT_BITS, TEXT_BASE
from shmkret.machines.build import Build
from shmkret.plugins.registry import data_folder

FLAGS = ("-std=gnu11", "-pthread")
DOES = {"arch": "x86-64", "bug": "none", "work_ns": 0, "plain": False, "recoverable": False}
"""What peers are written for."""
FOLDER = data_folder("bench") / "peers"


def names() -> list[str]:
    """The peers there are."""
    return sorted(path.stem for path in FOLDER.glob("*.c"))


def require(peer: str, worker: str, scheme: str, lock: str, otherwise: Mapping[str, Any]) -> None:
    """Find out, before anything runs, that the peer exists, does that work, and can be compiled.

    otherwise: the other knobs of the cell that change its work, of which a peer knows only DOES.

    Raises: UnknownName, UsageError, UnfitMachine.
    """
    if peer not in names():
        raise UnknownName("peer", peer, names())
    for knob, value in otherwise.items():
        if value != DOES[knob]:
            raise UsageError(f"the peer {peer} does not do `{knob}` {value}: leave that out, or `peer`")
    text = "".join(path.read_text() for path in FOLDER.glob("*.c"))
    for kind, name in (("worker", worker), ("scheme", scheme), ("lock", lock)):
        known = list(dict.fromkeys(re.findall(rf"defined\({kind.upper()}_(\w+)\)", text)))
        if _c_name(name) not in known:
            raise UsageError(f"the peer {peer} has no {kind} {name}: it has {', '.join(known)}")
    compiler()


def summary(name: str) -> str:
    """The first line of the peer's opening comment."""
    return (FOLDER / f"{name}.c").read_text().partition("* ")[2].partition("\n")[0]


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
    source = FOLDER / f"{peer}.c"
    header = layout_header(build)
    defines = [f"-D{kind.upper()}_{_c_name(getattr(build, kind).name)}" for kind in ("scheme", "lock", "worker")]
    cc = compiler()
    command = [cc, *FLAGS, *_own_flags(source), *defines]
    text = "\0".join((*command, _version(cc), header, *(path.read_text() for path in sorted(FOLDER.glob("*.c")))))
    folder = cache or Path(_scratch().name)
    program = folder / f"peer-{hashlib.sha256(text.encode()).hexdigest()[:24]}"
    if not program.exists():
        _compile(command, source, header, program)
    return [str(program)]


def describe(peer: str) -> dict[str, str]:
    """What a peer is compiled with: `compiler`, the first line of its version, and `flags`."""
    return {"compiler": _version(compiler()), "flags": " ".join((*FLAGS, *_own_flags(FOLDER / f"{peer}.c")))}


@functools.cache
def _version(cc: str) -> str:
    done = subprocess.run([cc, "--version"], capture_output=True, text=True, errors="replace", check=False)
    return done.stdout.partition("\n")[0]


def _own_flags(source: Path) -> list[str]:
    """The flags that a peer's opening comment asks for, on its line `Flags:`."""
    return next((line.split()[2:] for line in source.read_text().splitlines() if line.startswith(" * Flags:")), [])


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
