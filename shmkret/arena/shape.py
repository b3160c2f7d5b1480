"""What a Kernel is put together from: the same picture for every machine.

    Records    the records of a section            cpus, probes, the node of a queue lock ...
    Column     one column of a section             a word of a lock that has tables beside it
    Number     a whole number                      nr_cpus, the locks of an array
    Zero       nothing: a class that is only there to be dispatched on
    Group      a NamedTuple of these               the Kernel itself, a scheme, a lock with tables

The plain and the explored machine make Python objects of it (realize()), the compiled one a value of LLVM's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Union

from shmkret.arena.fields import fields_of, is_plain, parts_of
from shmkret.arena.layout import ARRAYS, OTHER_ARRAY, SYSTEM_ARRAY, TABLE_ARRAY, arrays_of, own_sections
from shmkret.arena.records import INTEGERS, Kernel
from shmkret.text.domains import NR_LOCKS, NR_NODES, NR_SLOTS, RING_WORDS, Domain


class Records(NamedTuple):
    """The records of a section."""

    section: str
    record: type


class Column(NamedTuple):
    """One column of a section."""

    section: str
    record: type
    field: str


class Number(NamedTuple):
    """A whole number, by its name."""

    name: str


class Zero(NamedTuple):
    """The number 0."""


class Group(NamedTuple):
    """A NamedTuple of a class."""

    record: type
    parts: tuple[Shape, ...]


Shape = Union[Records, Column, Number, Zero, Group]  # noqa: UP007 (it refers to itself)


def marker(record: type) -> Group:
    """A class of one field that is only there to be dispatched on."""
    return Group(record, (Zero(),))


def lock_shape(array: str, lock: type) -> Shape:
    """An array of locks."""
    if is_plain(lock):
        return Records(array, lock)
    parts = parts_of(lock)
    found: list[Shape] = []
    for field in lock._fields:  # type: ignore[attr-defined]
        if field in parts.tables:
            found.append(Records(f"{array}.{field}", parts.tables[field].record))
        elif field in parts.numbers:
            found.append(Number(number_name(parts.numbers[field], array)))
        else:
            found.append(Column(array, lock, field))
    return Group(lock, tuple(found))


def number_name(domain: Domain, array: str) -> str:
    """The name of a number that a lock or a scheme asks for."""
    return {NR_LOCKS: f"{array}.nr", NR_SLOTS: "nr_slots", NR_NODES: "nr_nodes", RING_WORDS: "ring_words"}[domain]


def scheme_shape(scheme: type, lock: type) -> Group:
    """A scheme: its arrays of locks, its own records, its numbers."""
    parts = parts_of(scheme)
    array_of = {field: array for array, field in ARRAYS.items() if field}
    found: list[Shape] = []
    for field in scheme._fields:  # type: ignore[attr-defined]
        if field in parts.locks:
            found.append(lock_shape(array_of[field], lock))
        elif field in parts.tables:
            found.append(Records(f"scheme.{field}", parts.tables[field].record))
        elif field in parts.numbers:
            found.append(Number(number_name(parts.numbers[field], "")))
        else:
            found.append(Zero())
    return Group(scheme, tuple(found))


def kernel_shape(lock: type, scheme: type, arch: type, worker: type, mode: Group) -> Group:
    """A Kernel of these classes."""
    arrays = arrays_of(scheme)
    own = {section.name: Records(section.name, section.record) for section in own_sections()}
    others: dict[str, Shape] = {
        # In the place of an array that the scheme lacks stands the system's. Who goes over all three asks has_array(), or
        # does what may be done twice.
        "system_locks": lock_shape(SYSTEM_ARRAY, lock),
        "table_locks": lock_shape(TABLE_ARRAY if TABLE_ARRAY in arrays else SYSTEM_ARRAY, lock),
        "other_locks": lock_shape(OTHER_ARRAY if OTHER_ARRAY in arrays else SYSTEM_ARRAY, lock),
        "arch": Group(arch, (own["stack"],)),
        "scheme": scheme_shape(scheme, lock),
        "worker": marker(worker),
        "mode": mode,
        **{name: Number(name) for name in INTEGERS},
    }
    return Group(Kernel, tuple((own | others)[field] for field in Kernel._fields))


def numbers_of(shape: Shape) -> tuple[str, ...]:
    """The names of the numbers in it, each once, in order."""
    return tuple(dict.fromkeys(_numbers(shape)))


def _numbers(shape: Shape) -> Iterator[str]:
    if isinstance(shape, Number):
        yield shape.name
    elif isinstance(shape, Group):
        for part in shape.parts:
            yield from _numbers(part)


def realize(shape: Shape, column: Callable[[str, str], Any], number: Callable[[str], int]) -> Any:
    """The Python object of it. column(section, field) makes one column."""
    if isinstance(shape, Group):
        return shape.record(*(realize(part, column, number) for part in shape.parts))
    if isinstance(shape, Records):
        return shape.record(*(column(shape.section, field) for field in fields_of(shape.record)))
    if isinstance(shape, Column):
        return column(shape.section, shape.field)
    return number(shape.name) if isinstance(shape, Number) else 0
