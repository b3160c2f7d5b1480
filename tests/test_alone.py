"""Each CPU asks at each lock whether it is alone inside: in a repetition of each cell, which withholds the cell."""

import json
from dataclasses import replace

import pytest

from shmkret.cli.main import main
from shmkret.errors import PluginError
from shmkret.kernel.program import WORKER
from shmkret.machines import native, plain
from shmkret.machines.plain import PlainMachine
from shmkret.machines.world import World
from shmkret.measure import bench
from shmkret.measure.cell import Cell, Sample
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.moves import alone, locking, oracle
from shmkret.plugins import registry
from shmkret.schemes import SCHEME
from shmkret.text import atomics
from tests.conftest import needs_two_cores
from tests.worlds import build_of

SLY = '''"""A test-and-set lock that lets in whoever comes after each 100,000 acquires, held or not."""

from typing import NamedTuple

from shmkret.text import EQ, Words, exchange, fetch_add, store_release, wait_until


class Sly(NamedTuple):
    """Two words."""

    locked: Words
    acquired: Words


def acquire(lock: Sly, i: int) -> None:
    if fetch_add(lock.acquired, i, 1) % 100_000 != 99_999:
        while exchange(lock.locked, i, 1) != 0:
            wait_until(lock.locked, i, EQ, 0)


def release(lock: Sly, i: int) -> None:
    store_release(lock.locked, i, 0)
'''


@needs_two_cores
@pytest.mark.full
def test_a_lock_that_lets_two_in_once_in_a_hundred_thousand_is_withheld_though_no_lists_collide(tmp_path):
    """Two CPUs on probes and buckets of their own, under one lock; it is rehearsed with success."""
    (tmp_path / "sly.py").write_text(SLY)
    place = tmp_path / "found.json"
    cells = ["--worker", "spread", "--scheme", "global", "--lock", f"{tmp_path / 'sly.py'},ttas", "--cpus", "2"]
    how = ["--seconds", "0.4", "--repeat", "2", "--out", str(tmp_path / "out"), "--json", str(place)]

    assert main(["bench", *cells, *how]) == 1
    sly, ttas = json.loads(place.read_text())["cells"]
    said = "in the run that asked who is inside: oracle: cpu "
    assert (sly["verdict"], sly["median"]) == ("withheld", None)
    assert all(reason.startswith(said) and "a lock has let two in, locks[0]: " in reason for reason in sly["reasons"])
    assert not any(said in reason for reason in ttas["reasons"])
    assert ttas["asked"]["calls_per_s"] > 0
    assert ttas["asked"]["of_measured"] > 0


@needs_two_cores
def test_whoever_takes_and_gives_back_is_alone():
    """With the locks of the system, of the buckets and of the probes, and a lock that the path takes inside another."""
    prepared = Prepared(Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 2), seed=1)
    prepared.compile()

    assert prepared.asked(0.1).flaws == ()


def test_one_is_asked_where_another_may_be_inside():
    cell = Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 2)
    assert bench._asks(cell)
    assert not bench._asks(cell.over(cpus=1))
    assert not bench._asks(cell.over(peer="c-static"))


BY_NATURE = {("refuse", "rfc")}
"""Whose runs lose instances."""


@pytest.mark.parametrize("scheme", registry.names(SCHEME))
@pytest.mark.parametrize("worker", registry.names(WORKER))
def test_each_lock_is_given_back_as_the_one_that_was_taken(scheme, worker):
    """Alone, a CPU finds itself only where the two say different numbers."""
    prepared = Prepared(Cell(worker, scheme, "ttas", "x86-64", "packed", 1).over(plain=True), seed=1)
    flaws = prepared.asked(0.02).flaws
    assert [flaw for flaw in flaws if "let two in" in flaw] == []
    assert bool(flaws) == ((worker, scheme) in BY_NATURE)


def test_a_users_scheme_that_gives_back_another_lock_than_it_took_is_told_so(tmp_path):
    text = registry.find(SCHEME, "rfc").path.read_text()
    wrong = text.replace("    unlock_table(k, cpu, scheme.table, bucket)", "    unlock_probe(k, cpu, scheme.table, bucket)")
    (tmp_path / "mine.py").write_text(wrong.replace("    unlock_table,\n", "    unlock_table,\n    unlock_probe,\n"))
    prepared = Prepared(Cell("hot", str(tmp_path / "mine.py"), "ttas", "x86-64", "packed", 1).over(plain=True), seed=1)
    with pytest.raises(PluginError, match=r"mine\.py:\d+: .*: a lock is not given back by the verb that belongs to"):
        prepared.compile()


@pytest.fixture
def asked():
    """A kernel whose CPUs ask, plain, of a scheme with all three arrays of locks."""
    world = World.of(replace(build_of("hot", "hashed", "ttas"), asks=True))
    with world.create_arena() as arena:
        machine = PlainMachine(world.build.common_cache())
        native.free_locks(world, arena, machine)
        with atomics.use(machine):
            yield plain.kernel(world, arena), arena.records("cpus")["bug"], arena.records("inside")["holder"]


TAKEN = {
    "table": (
        lambda k, cpu: locking.lock_table(k, cpu, k.table_locks, 3),
        lambda k, cpu: locking.unlock_table(k, cpu, k.table_locks, 3),
    ),
    "probe": (
        lambda k, cpu: locking.lock_probe(k, cpu, k.other_locks, 0),
        lambda k, cpu: locking.unlock_probe(k, cpu, k.other_locks, 0),
    ),
    "system": (lambda k, cpu: locking.lock_system(k, cpu, 1), lambda k, cpu: locking.unlock_system(k, cpu, 1)),
}


@pytest.mark.parametrize("array", TAKEN)
def test_of_each_array_of_locks_it_is_known_who_is_inside(asked, array):
    k, bugs, inside = asked
    take, give = TAKEN[array]
    take(k, 1)
    assert sorted(inside.tolist())[-2:] == [0, 2]
    give(k, 1)
    assert not inside.any()
    assert bugs.tolist() == [0, 0]


@pytest.mark.parametrize("array", TAKEN)
def test_who_goes_out_sees_that_another_has_been_let_in(asked, array):
    k, bugs, inside = asked
    take, give = TAKEN[array]
    take(k, 1)
    inside[inside.argmax()] = 1
    give(k, 1)
    assert bugs.tolist() == [0, oracle.TWO_INSIDE]


def test_the_run_that_asks_asks_and_the_one_that_is_measured_does_not(monkeypatch):
    def finds_somebody(k, cpu, number, before, after):
        oracle.report_bug(k.cpus, cpu, oracle.TWO_INSIDE, 0, 0, number)

    monkeypatch.setattr(alone, "becomes", finds_somebody)
    prepared = Prepared(Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 1).over(plain=True), seed=1)
    assert prepared.repeat(0.02).flaws == ()
    assert [flaw.endswith(": cpu 0 is inside") for flaw in prepared.asked(0.02).flaws] == [True]


def test_what_is_seen_in_it_withholds_its_cell():
    result = bench.Measured(Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 2), False, samples=[Sample(rate=1e6)] * 6)
    result.add_asked(Sample(flaws=("oracle: cpu 0: a lock has let two in",)))
    assert result.withheld
    bench.judge(result, {}, 0.1)
    assert (result.verdict, result.reasons) == (
        "withheld",
        ["in the run that asked who is inside: oracle: cpu 0: a lock has let two in"],
    )
