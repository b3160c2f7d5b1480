"""The header of an arena: what it is, how large, and what it was made with. One page, checked before anything is mapped."""

from __future__ import annotations

import hashlib

import numpy as np

from shmkret.arena.layout import RECORDS, records_with
from shmkret.arena.records import PAGE, fields_of, record_bytes

LONGEST_REFERENCE = 800
"""Bytes of the name or path by which an arena says what it was made with; three of them leave room in the header's page."""

HEADER = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<i8"),
        ("size", "<i8"),
        ("creator_pid", "<i8"),
        ("layout", "S32"),
        ("scheme", f"S{LONGEST_REFERENCE}"),
        ("lock", f"S{LONGEST_REFERENCE}"),
        ("arch", f"S{LONGEST_REFERENCE}"),
        ("build", "S32"),
        ("lock_record", "S512"),
        ("padding", "S16"),
        ("table_padding", "S16"),
        ("hash", "S32"),
        ("task_address", "S32"),
        ("hash_multiplier", "<i8"),
        ("geometry", "<i8", (11,)),
        ("sections", "<i8", (len(RECORDS), 3)),
    ]
)

assert HEADER.itemsize <= PAGE

MAGIC = b"shmkret"

VERSION = 5

GEOMETRY_FIELDS = (
    "nr_cpus", "nr_tasks", "nr_probes", "maxactive", "nr_locks", "nr_functions", "data_size", "script_words", "latency_words",
    "nr_recoverers", "recoverable",
)  # fmt: skip


def layout_digest(lock: type) -> bytes:
    """32 hexadecimal digits that change with any record's fields, the lock's included: others must not attach."""
    records = [(record.__name__, fields_of(record), record_bytes(record)) for record in records_with(lock).values()]
    text = repr((records, HEADER.descr))
    return hashlib.sha256(text.encode()).hexdigest()[:32].encode()
