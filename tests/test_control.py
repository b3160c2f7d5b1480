"""The control words of a live run: read and written with order, by who supervises it."""

import threading

import pytest

from shmkret.kernel.cpu import AT_GATE, COOL_DOWN, MEASURE, STOP, WARM_UP
from shmkret.machines.control import Control
from shmkret.machines.plain import PlainMachine
from shmkret.measure.cell import Cell
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.text import atomics


class Told:
    """A plain machine that notes what it is asked for."""

    def __init__(self):
        self.machine, self.asked = PlainMachine(None), []

    def load_acquire(self, words, i):
        self.asked.append(("load_acquire", i))
        return self.machine.load_acquire(words, i)

    def store_release(self, words, i, value):
        self.asked.append(("store_release", i))
        self.machine.store_release(words, i, value)


@pytest.fixture
def arena():
    cell = Cell("hot", "hashed", "ticket", "x86-64", "cacheline", 3).over(workers_per_core=3)
    with Prepared(cell, seed=1).world.create_arena() as arena:
        yield arena


def test_the_phase_is_written_with_release_and_read_with_acquire(arena):
    told = Told()
    control = Control(arena, told)

    assert control.phase() == AT_GATE
    control.set_phase(MEASURE)

    assert control.phase() == MEASURE == arena.records("run")["phase"][0]
    assert told.asked == [("load_acquire", 0), ("store_release", 0), ("load_acquire", 0)]


def test_words_are_asked_for_of_some_records_or_of_all(arena):
    told = Told()
    control = Control(arena, told)
    control.store("cpus", "ready", 1, 7)

    assert control.values("cpus", "ready") == [0, 7, 0] == arena.records("cpus")["ready"].tolist()
    assert control.load("cpus", "ready", 1) == 7
    assert control.any_nonzero("cpus", "ready")
    assert not control.any_nonzero("cpus", "ready", [0, 2])
    assert control.all_nonzero("cpus", "ready", [1])
    assert not control.all_nonzero("cpus", "ready")
    assert {name for name, _ in told.asked[1:]} == {"load_acquire"}


def test_a_supervisor_does_not_wait_for_a_thread_that_explores(arena):
    machine = PlainMachine(None)
    machine.prepare()
    control = Control(arena, machine)
    supervisor = threading.Thread(target=control.set_phase, args=(STOP,))

    with atomics.use(machine):  # what an exploring thread does for as long as it explores
        supervisor.start()
        supervisor.join(30)
        assert control.phase() == STOP


def test_a_repetition_leads_its_cpus_by_words_with_order(monkeypatch):
    stored, loaded = [], []
    store, load = PlainMachine.store_release, PlainMachine.load_acquire
    monkeypatch.setattr(PlainMachine, "store_release", lambda *told: stored.append(told[3]) or store(*told))
    monkeypatch.setattr(PlainMachine, "load_acquire", lambda *asked: loaded.append(asked[2]) or load(*asked))
    ready = Prepared(Cell("hot", "hashed", "ttas", "x86-64", "cacheline", 1), seed=1)
    ready.compile()

    assert ready.repeat(0.02, warm_up=0.01).flaws == ()
    assert stored == [WARM_UP, MEASURE, COOL_DOWN, STOP]
    assert len(loaded) >= 6  # ready, began_ns, ended_ns, and each time behind it whether a bug was seen
