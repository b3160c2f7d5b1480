"""The arena: what it reserves, what it refuses, what it leaves behind."""

import fcntl
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from shmkret.arena import header, layout, memory
from shmkret.arena import segment as arenas
from shmkret.arena.layout import Geometry
from shmkret.arena.segment import Arena
from shmkret.audit.checks import audit
from shmkret.errors import ArenaError, GeometryError, UnknownName
from shmkret.locks.ticket import Ticket
from shmkret.locks.ttas import Ttas
from shmkret.plugins import registry
from shmkret.schemes import SCHEME
from shmkret.text.atomics import NIL

GLOBAL = registry.find(SCHEME, "global")
SMALL = Geometry(nr_cpus=2, nr_tasks=3, nr_probes=5, maxactive=7, nr_locks=69, data_size=24)


def created(geometry=SMALL):
    """An arena of the scheme `global`."""
    arena = Arena.create(geometry, lock=Ticket, scheme=GLOBAL.record)
    GLOBAL.own("populate")(arena)
    return arena


def test_a_new_arena_has_every_instance_free_and_passes_the_audit():
    with created() as arena:
        assert audit(arena, GLOBAL) == []
        assert arena.records("probes")["free"].tolist() == [0, 7, 14, 21, 28]
        assert (arena.records("buckets")["first"] == NIL).all()


def test_a_million_instances_over_4096_probes_are_all_on_their_lists():
    geometry = Geometry(nr_cpus=2, nr_tasks=2, nr_probes=4096, maxactive=245, nr_locks=4160)
    with created(geometry) as arena:
        assert geometry.nr_instances > 1_000_000
        assert audit(arena, GLOBAL) == []


@pytest.mark.parametrize("padding", layout.PADDINGS)
def test_records_do_not_overlap_and_lines_are_kept_apart_when_asked(padding):
    geometry = Geometry(nr_cpus=2, nr_tasks=3, nr_probes=5, maxactive=7, nr_locks=69, data_size=24, padding=padding)
    placed = layout.sections(geometry, Ticket)

    for before, after in itertools.pairwise(placed):
        assert before.offset + before.nr * before.stride <= after.offset
    strides = {s.name: s.stride for s in placed}
    assert strides["locks"] == strides["table_locks"] == (16 if padding == "packed" else 64)
    assert strides["system_locks"] == 64
    assert strides["cpus"] % 128 == strides["instances"] % 64 == 0


def test_the_private_arena_is_sealed_and_has_no_name():
    with Arena.create(SMALL, lock=Ticket) as arena:
        assert arena.name is None
        assert fcntl.fcntl(arena.fd, fcntl.F_GET_SEALS) == arenas.SEALS
        with pytest.raises(PermissionError):
            os.ftruncate(arena.fd, 4096)


def test_a_named_arena_is_seen_by_another_mapping_and_unlinked_by_close():
    with Arena.create(SMALL, lock=Ticket, named=True) as arena:
        path = arenas.SHM / arena.name
        assert path.stat().st_mode & 0o777 == 0o600
        with Arena.attach(os.open(path, os.O_RDWR), lock=Ticket) as other:
            arena.records("tasks")["pc"] = [1, 2, 3]
            assert other.geometry == SMALL
            assert other.records("tasks")["pc"].tolist() == [1, 2, 3]
    assert not path.exists()


def test_views_outlive_close_without_a_crash():
    arena = Arena.create(SMALL, lock=Ticket)
    tasks = arena.records("tasks")
    arena.close()
    arena.close()
    tasks["pc"] = 4

    assert tasks["pc"].tolist() == [4, 4, 4]


def tampered(field, value, size=None):
    """Attach to an arena whose header was changed by somebody."""
    with Arena.create(SMALL, lock=Ticket, named=True) as arena:
        arena.header[field] = value
        fd = os.open(arenas.SHM / arena.name, os.O_RDWR)
        try:
            if size is not None:
                os.ftruncate(fd, size)
            Arena.attach(fd, lock=Ticket).close()
        except ArenaError:
            os.close(fd)
            raise


def zeros(shape):
    return np.zeros(shape, np.int64)


@pytest.mark.parametrize(
    ("field", "value", "size", "words"),
    [
        ("magic", b"ELF", None, "not an arena"),
        ("version", 99, None, "has version 99"),
        ("layout", b"0" * 32, None, "layout 000"),
        ("size", 4096, None, "truncated"),
        ("version", header.VERSION, 8192, "truncated"),
        ("version", header.VERSION, 100, "header alone"),
        ("geometry", zeros((1, len(header.GEOMETRY_FIELDS))), None, "does not add up"),
        ("geometry", np.full((1, len(header.GEOMETRY_FIELDS)), (1 << 62) + 1), None, "does not add up"),
        ("geometry", np.array([[2, 3, 5, 8, 69, 5, 24, 1, 1, 0, 0, 1]]), None, "does not add up"),
        ("sections", zeros((1, header.MOST_SECTIONS, 3)), None, "does not add up"),
        ("padding", b"loose", None, "does not add up"),
    ],
)
def test_attach_refuses_with_the_reason(field, value, size, words):
    with pytest.raises(ArenaError, match=words):
        tampered(field, value, size)


def test_attach_to_another_users_is_refused(monkeypatch):
    with Arena.create(SMALL, lock=Ticket) as arena:
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
        with pytest.raises(ArenaError, match=f"belongs to user {os.getuid()}, we are 4711"):
            Arena.attach(arena.fd, lock=Ticket)


def test_a_reference_that_does_not_fit_is_left_out_rather_than_cut():
    with Arena.create(SMALL, lock=Ticket, names={"lock": "/" + "x" * header.LONGEST_REFERENCE, "scheme": "/é.py"}) as arena:
        assert (arena.statistics()["plugins"]["lock"], arena.statistics()["plugins"]["scheme"]) == ("", "/é.py")


def test_small_sizes_are_told_in_kib(monkeypatch):
    monkeypatch.setattr(memory, "_available_bytes", lambda: 4096)
    with pytest.raises(ArenaError, match=r"would take \d\d KiB and 4 KiB of memory are available"):
        Arena.create(SMALL, lock=Ticket)


@pytest.mark.parametrize("padding", layout.PADDINGS)
def test_attach_with_another_lock_is_refused(padding):
    geometry = Geometry(nr_cpus=1, nr_tasks=1, nr_probes=1, maxactive=1, nr_locks=65, padding=padding)
    with (
        Arena.create(geometry, lock=Ticket) as arena,
        pytest.raises(ArenaError, match=f"this shmkret has version {header.VERSION}, layout"),
    ):
        Arena.attach(arena.fd, lock=Ttas)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nr_cpus": 0}, "nr_cpus is 0"),
        ({"maxactive": -1}, "maxactive is -1"),
        ({"data_size": 1 << 40}, "data_size is"),
        ({"nr_probes": 1 << 20, "maxactive": 1 << 20}, "instances"),
    ],
)
def test_impossible_sizes_are_refused(change, words):
    with pytest.raises(GeometryError, match=words):
        Geometry(**{"nr_cpus": 1, "nr_tasks": 1, "nr_probes": 1, "maxactive": 1, "nr_locks": 1, **change})


def test_an_arena_that_does_not_fit_is_refused_before_memory_is_touched(monkeypatch):
    monkeypatch.setattr(memory, "_available_bytes", lambda: 1 << 12)

    with pytest.raises(ArenaError, match="of memory are available"):
        Arena.create(SMALL, lock=Ticket)


def open_files():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_an_unknown_hash_or_address_model_leaves_nothing_behind():
    before = open_files()
    with pytest.raises(UnknownName, match="did you mean mult-2016"):
        Arena.create(SMALL, lock=Ticket, hash_name="mult-2015")
    with pytest.raises(UnknownName, match="did you mean slab"):
        Arena.create(SMALL, lock=Ticket, task_address="slap")

    assert open_files() == before


def put_on_used(arena):
    arena.records("scheme.link")["prev"][2] = NIL
    arena.records("scheme.link")["next"][2] = NIL
    arena.records("scheme.used")["first"][0] = 2


def in_flight(arena, ri):
    arena.records("instances")["task"][ri] = 0
    arena.records("buckets")["first"][3] = ri


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.records("probes")["free"].__setitem__(0, 1), "1 instances lost, such as instance 0"),
        (lambda a: a.records("probes")["free"].__setitem__(0, 99), "leads to 99, which is no instance"),
        (lambda a: a.records("instances")["next"].__setitem__(6, 0), "comes back to instance 0"),
        (lambda a: a.records("buckets")["first"].__setitem__(3, 6), "1 instances doubled, such as instance 6"),
        (lambda a: a.records("instances")["rp"].__setitem__(2, 4), "instance 2 of probe 4 is on the free list of probe 0"),
        (put_on_used, "1 instances are on used lists, 0 in buckets"),
        (lambda a: a.records("registry")["slab"].__setitem__(0, 4), "3 instances doubled, such as instance 4"),
        (lambda a: a.records("instances")["next"].__setitem__(34, 99), "leads to 99, which is no instance"),
        (lambda a: a.records("scheme.used")["first"].__setitem__(0, 77), "the used list of probe 0 is broken at 77"),
        (lambda a: in_flight(a, 6), "1 instances are in buckets, and their tasks are at rest"),
        (lambda a: a.records("cpus")["calls"].__setitem__(0, 1), "1 calls, but 0 hits"),
        (lambda a: a.records("cpus")["returns"].__setitem__(1, 1), "0 hits, but 1 returns"),
    ],
)
def test_the_audit_sees_each_kind_of_damage(spoil, words):
    with created() as arena:
        spoil(arena)

        assert any(words in str(wrong) for wrong in audit(arena, GLOBAL)), audit(arena, GLOBAL)
