"""What the fields of a record class are: words, tables, arrays of locks, or numbers; and the record in words.

    locked: Words                            a word of the record
    node: Annotated[Node, PER_CPU]           a table of records of another class
    table: Annotated[Locks, PER_BUCKET]      an array of locks; of a scheme
    slots: Annotated[int, NR_SLOTS]          a number

Always    words come in the order of the class, eight bytes each
"""

from __future__ import annotations

import sys
from collections import namedtuple
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

import numpy as np

from shmkret.errors import PluginError
from shmkret.text.atomics import Words
from shmkret.text.domains import NUMBERS, PER_CPU, Domain, Home, name_of

MOST_BYTES = 4096
Locks = Any
"""The annotation of an array of locks."""


class Table(NamedTuple):
    """The field of a record that is a table: records of a class, one for each member of a domain."""

    record: type
    per: Domain


class Parts(NamedTuple):
    """The fields of a record class, by name, in order."""

    words: tuple[str, ...]
    tables: dict[str, Table]
    locks: dict[str, Domain]
    numbers: dict[str, Domain]


@cache
def parts_of(record: type) -> Parts:
    """What the fields of a record class are. Raises PluginError for an annotation that cannot be read."""
    parts = Parts((), {}, {}, {})
    words = []
    notes = _annotations(record)
    for field in record._fields:  # type: ignore[attr-defined]
        kind, *rest = get_args(notes.get(field)) or (None,)
        per = next((note for note in rest if isinstance(note, Domain)), None)
        if per is None:
            words.append(field)
        elif per in NUMBERS:
            parts.numbers[field] = per
        elif hasattr(kind, "_fields"):
            parts.tables[field] = Table(kind, per)
        else:
            parts.locks[field] = per
    return parts._replace(words=tuple(words))


class Legal(NamedTuple):
    """The domains that fields may have, by what they are; those of arrays of locks by the field that may be one."""

    tables: tuple[Domain, ...]
    numbers: tuple[Domain, ...]
    locks: dict[str, tuple[Domain, ...]]


def wrong_field(record: type, legal: Legal) -> str:
    """What is wrong with the first field of a record class that is none of what is legal; empty: nothing."""
    notes, parts = getattr(record, "__annotations__", {}) | _annotations(record), parts_of(record)
    found = (_wrong(field, notes.get(field), parts, legal) for field in record._fields)  # type: ignore[attr-defined]
    return next((f"{record.__name__}.{words}" for words in found if words), "")


def _wrong(field: str, note: Any, parts: Parts, legal: Legal) -> str:
    """Beginning with its name. A scheme may have an int, which nothing is stored in: it is 0."""
    words = ""
    kind = next(iter(get_args(note)), None)
    if field in parts.tables:
        words = _wrong_table(parts.tables[field], legal)
    elif field in parts.numbers:
        words = _wrong_number(kind, parts.numbers[field], legal)
    elif field in parts.locks and kind is int:
        per = name_of(parts.locks[field])
        words = f"an int with {per}, which is no number, but a domain of tables: {_a_number(legal)}; {_a_table(legal)}"
    elif field in parts.locks:
        words = _wrong_array(field, kind, parts.locks[field], legal)
    elif hasattr(note, "_fields") or hasattr(kind, "_fields"):
        words = f"a record without a domain: {_a_table(legal)}"
    elif field in parts.words and note is not None and not _is_words(note) and not (legal.locks and note is int):
        words = f"neither a word nor a table: annotate it Words; {_a_table(legal)}"
    return f"{field} is {words}" if words else ""


def _is_words(note: Any) -> bool:
    """Whether an annotation is Words; by its name where a class's annotations cannot be read."""
    text = getattr(note, "__forward_arg__", note)
    return note is Words or (isinstance(text, str) and text.rpartition(".")[2] == "Words")


def _wrong_table(table: Table, legal: Legal) -> str:
    if table.per not in legal.tables:
        return f"a table {name_of(table.per)}: {_a_table(legal)}"
    if not is_plain(table.record):
        return f"a table of {table.record.__name__}, which is more than words: {_a_table(legal)}"
    return f"a table of Home, {name_of(table.per)}: give PER_CPU" if table.record is Home and table.per != PER_CPU else ""


def _wrong_number(kind: Any, per: Domain, legal: Legal) -> str:
    if kind is not int:
        return f"a number, {name_of(per)}, and no int: {_a_number(legal)}; {_a_table(legal)}"
    return "" if per in legal.numbers else f"the number {name_of(per)}: {_a_number(legal)}"


def _wrong_array(field: str, kind: Any, per: Domain, legal: Legal) -> str:
    if not legal.locks or kind is not Locks:
        return f"neither a word nor a table: {_a_table(legal)}"
    if field not in legal.locks:
        return f"an array of locks: call it {' or '.join(legal.locks)}"
    return "" if per in legal.locks[field] else f"an array of locks {name_of(per)}: give {either(legal.locks[field])}"


def _a_table(legal: Legal) -> str:
    return f"a table is Annotated[a NamedTuple class of words, {either(legal.tables)}]"


def _a_number(legal: Legal) -> str:
    return f"a number is Annotated[int, {either(legal.numbers)}]"


def either(domains: tuple[Domain, ...]) -> str:
    """Domains for a sentence that lets one choose."""
    *others, last = map(name_of, domains)
    return f"{', '.join(others)} or {last}" if others else last


def _annotations(record: type) -> dict[str, Any]:
    try:
        return get_type_hints(record, include_extras=True)
    except Exception as error:
        if not any("Annotated" in str(note) for note in getattr(record, "__annotations__", {}).values()):
            return {}  # all are words
        file = getattr(sys.modules[record.__module__], "__file__", record.__module__)
        raise PluginError(f"{file}: the annotations of {record.__name__} cannot be read: {error}") from error


def fields_of(record: type) -> tuple[str, ...]:
    """The names of a record class's words, in order."""
    return parts_of(record).words


def is_plain(record: type) -> bool:
    """Whether all fields of a record class are words."""
    return len(parts_of(record).words) == len(record._fields)  # type: ignore[attr-defined]


def record_bytes(record: type) -> int:
    """Bytes of one unpadded record: its words, or SIZE where the record's module says so."""
    own = getattr(record, "_bytes", 0)
    size = getattr(sys.modules[record.__module__], "SIZE", 0) if fields_of(record) else 0
    return max(8 * len(fields_of(record)), own, size)


def dtype_of(record: type, stride: int) -> np.dtype[np.void]:
    """The structured dtype of one record: '<i8' fields in the order of the class, `stride` bytes each."""
    fields = fields_of(record)
    return np.dtype(
        {
            "names": list(fields),
            "formats": ["<i8"] * len(fields),
            "offsets": [8 * j for j in range(len(fields))],
            "itemsize": stride,
        }
    )


def describe_record(record: type) -> str:
    """A record class in words, for who has not its file: NAME BYTES FIELD ...; a table is FIELD=DOMAIN:NAME BYTES FIELD ...;"""
    parts = parts_of(record)
    words = [record.__name__, str(record_bytes(record)), *parts.words]
    tables = [f"{field}={per}:{describe_record(of)}" for field, (of, per) in parts.tables.items()]
    arrays = [f"{field}={per}:" for field, per in (parts.locks | parts.numbers).items()]
    return ";".join([" ".join(words), *tables, *arrays])


def described_record(text: str) -> type:
    """A class of the layout that describe_record() has told. Raises ValueError for anything else."""
    own, *others = text.split(";")
    name, size, *fields = own.split(" ")
    notes: dict[str, Table | Domain] = {}
    for other in others:
        field, _, rest = other.partition("=")
        per, _, described = rest.partition(":")
        notes[field] = Table(described_record(described), Domain(per)) if described else Domain(per)
    made: Any = namedtuple
    record: Any = made(name, [*fields, *notes], module=__name__)
    if not record._fields or not 8 * len(fields) <= int(size) <= MOST_BYTES:
        raise ValueError(f"{size} bytes do not hold {len(fields)} fields")
    record._bytes = int(size)
    record.__annotations__ = {field: _note(note) for field, note in notes.items()}
    whole: type = record
    return whole


def _note(note: Table | Domain) -> Any:
    from typing import Annotated

    if isinstance(note, Table):
        return Annotated[note.record, note.per]
    return Annotated[int if note in NUMBERS else Locks, note]
