"""bench/peers/ is a registry: what a file there says of itself is true, and a file that is dropped there is measured."""

import itertools
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from shmkret.cli.main import main
from shmkret.errors import PluginError
from shmkret.locks import LOCK
from shmkret.machines import peers
from shmkret.measure import suite
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.plugins import registry
from shmkret.schemes import SCHEME

from .conftest import TWO_CORES
from .worlds import build_of

needs_compiler = pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler")
SOUND = sorted({lock for lock in peers.find("c").does["lock"] if not registry.find(LOCK, lock).constants.control})
COMMENT = """\
/*
 * Misses every call: what remains is the counting.
 *
 * Flags: -O1 -Wno-unused
 * Workers: hot
 * Schemes: hashed rfc
 * Locks: ttas pthread-robust
 */
"""
MISSES = (
    COMMENT
    + """\
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include "layout.h"
#if !defined(WORKER_hot) || !defined(SCHEME_hashed) || !defined(LOCK_ttas)
#error "compiled for what it does not do"
#endif

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv)
{
    struct stat s;
    fstat(atoi(argv[1]), &s);
    char *arena = mmap(0, s.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
    const int64_t (*section)[3] = (const void *)(arena + SECTIONS_AT);
    struct run *run = (void *)(arena + section[SECTION_run][0]);
    struct cpus *me = (struct cpus *)(arena + section[SECTION_cpus][0]) + atoi(argv[2]);
    struct probes *probes = (void *)(arena + section[SECTION_probes][0]);
    int64_t before = 0, phase;

    __atomic_store_n(&me->ready, 1, __ATOMIC_RELEASE);
    while ((phase = __atomic_load_n(&run->phase, __ATOMIC_ACQUIRE)) != 4) {
        if (phase == 0)
            continue;
        me->calls++;
        probes[0].nmissed++;
        if (phase == 2 && before != 2) {
            me->began_calls = me->calls;
            __atomic_store_n(&me->began_ns, now(), __ATOMIC_RELEASE);
        }
        if (phase == 3 && before != 3) {
            me->ended_calls = me->calls;
            __atomic_store_n(&me->ended_ns, now(), __ATOMIC_RELEASE);
        }
        before = phase;
    }
    __atomic_store_n(&me->ready, 2, __ATOMIC_RELEASE);
    return 0;
}
"""
)


def drop(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str, text: str) -> None:
    """Put a file beside the peers, in a copy of their folder."""
    shutil.copytree(peers.FOLDER, folder, dirs_exist_ok=True)
    (folder / name).write_text(text)
    monkeypatch.setattr(peers, "FOLDER", folder)


@needs_compiler
def test_a_peer_that_is_dropped_is_listed_and_measured(tmp_path, monkeypatch, capsys):
    drop(monkeypatch, tmp_path / "peers", "misses.c", MISSES)

    assert main(["list", "peers"]) == 0
    assert "misses          Misses every call: what remains is the counting." in capsys.readouterr().out.splitlines()

    cell = ["--worker", "hot", "--scheme", "hashed", "--lock", "ttas", "--cpus", "1", "--peer", "misses"]
    how = ["--seconds", "0.02", "--repeat", "1", "--out", str(tmp_path / "out"), "--json", str(tmp_path / "result.json")]
    assert main(["bench", *cell, *how]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    (theirs,) = [cell for cell in result["cells"] if cell["peer"] == "misses"]
    assert theirs["calls"] == theirs["nmissed"] > 0
    (ratio,) = result["ratios"]
    assert (ratio["by"], ratio["over"], ratio["under"]) == ("peer", "shmkret", "misses")
    assert result["peers"]["misses"]["flags"] == "-std=gnu11 -pthread -O1 -Wno-unused"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--worker", "handlers"], "the peer misses has no worker handlers: it has hot"),
        (["--scheme", "global"], "the peer misses has no scheme global: it has hashed, rfc"),
        (["--lock", "pthread"], "the peer misses has no lock pthread: it has ttas, pthread-robust"),
        (["--arch", "arm"], "the peer misses does not do `arch` arm"),
    ],
)
def test_a_peer_that_is_dropped_is_asked_what_it_does(options, words, tmp_path, monkeypatch):
    drop(monkeypatch, tmp_path / "peers", "misses.c", MISSES)
    asked = {"worker": "hot", "scheme": "hashed", "lock": "ttas", "arch": "x86-64"} | {options[0][2:]: options[1]}

    peers_words = {knob: value for knob, value in peers.DOES.items() if knob != "arch"}
    with pytest.raises(Exception, match=words):
        peers.require("misses", asked["worker"], asked["scheme"], asked["lock"], {**peers_words, "arch": asked["arch"]})


@pytest.mark.parametrize("kind", ["Workers", "Schemes", "Locks"])
def test_a_peer_that_does_not_say_what_it_does_is_refused_and_hides_no_other(kind, tmp_path, monkeypatch, capsys):
    text = "".join(line for line in MISSES.splitlines(keepends=True) if f"* {kind}:" not in line)
    drop(monkeypatch, tmp_path / "peers", "misses.c", text)

    assert main(["bench", "--peer", "misses", "--lock", "ttas", "--cpus", "1", "--out", str(tmp_path / "out")]) == 2
    assert f"misses.c: its opening comment does not say what it does: add a line `{kind}: NAME ...`" in capsys.readouterr().err
    with pytest.raises(PluginError):
        peers.find("misses")
    assert main(["list", "peers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"c", "c-static", "misses"}
    assert next(line for line in lines if line.startswith("misses")).split(maxsplit=1)[1].startswith("cannot be loaded: ")


@pytest.mark.parametrize("name", peers.names())
def test_what_a_peer_says_it_does_are_names_of_ours(name):
    for kind, found in peers.find(name).does.items():
        for one in found:
            build_of(**{kind: one})


@needs_compiler
@pytest.mark.parametrize("name", peers.names())
def test_a_peer_compiles_for_every_scheme_and_lock_that_it_says_it_does(name, tmp_path):
    """Syntax and types alone; each worker with one of the pairs."""
    path, _, _, does = peers.find(name)
    workers = itertools.cycle(does["worker"])
    for scheme, lock in itertools.product(does["scheme"], does["lock"]):
        build = build_of(next(workers), scheme, lock)
        (tmp_path / "layout.h").write_text(peers.layout_header(build))
        defines = [f"-D{kind.upper()}_{getattr(build, kind).name.replace('-', '_')}" for kind in peers.KINDS]
        command = [
            peers.compiler(),
            *peers.FLAGS,
            "-Wall",
            "-Werror",
            "-fsyntax-only",
            *defines,
            "-I",
            str(tmp_path),
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{build.worker.name} {scheme} {lock}: {done.stderr}"


@pytest.mark.parametrize("name", ["parity", "parity-handlers"])
def test_the_peer_does_everything_in_its_suites(name):
    values = suite.load(name)
    does = peers.find(values["peer"]).does

    for kind in peers.KINDS:
        assert set(values[kind]) <= set(does[kind])


def test_parity_is_measured_for_every_scheme():
    assert set(suite.load("parity")["scheme"]) == set(registry.names(SCHEME))


@needs_compiler
@pytest.mark.parametrize(
    ("worker", "scheme", "lock"),
    [
        ("hot", "hashed", "mcs"),
        ("interrupts", "hashed", "clh"),
        ("handlers", "global", "owner"),
        ("spread", "rfc", "pthread-robust"),
        ("interrupts", "objpool", "ttas"),
        pytest.param("spread", "global", "mcs", marks=pytest.mark.full),
        *(
            pytest.param(*case, marks=pytest.mark.full)
            for case in itertools.product(("handlers", "interrupts"), ("hashed", "objpool"), SOUND)
        ),
    ],
)
def test_the_oracle_and_the_audit_judge_the_c_program_as_they_judge_ours(worker, scheme, lock):
    options = {"worker": [worker], "scheme": [scheme], "lock": [lock], "cpus": [2 if TWO_CORES else 1], "peer": "c"}
    _, cell = suite.plan("parity", options, seed=1).cells
    sample = Prepared(cell, seed=1).repeat(seconds=0.02, warm_up=0.0)

    assert sample.flaws == ()
    assert sample.rate > 0
    assert sample.counts["hits"] > 0
