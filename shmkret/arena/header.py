"""The header of an arena: what it is, how large, and what it was made with. Two pages, checked before anything is mapped."""

from __future__ import annotations

import hashlib

import numpy as np

from shmkret.arena.fields import describe_record
from shmkret.arena.layout import GEOMETRY_FIELDS, HEADER_BYTES, frame

LONGEST_REFERENCE = 800
"""Bytes of the name or path by which an arena says what it was made with."""
MOST_SECTIONS = 64
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
        ("lock_record", "S768"),
        ("scheme_record", "S768"),
        ("padding", "S16"),
        ("table_padding", "S16"),
        ("hash", "S32"),
        ("task_address", "S32"),
        ("hash_multiplier", "<i8"),
        ("geometry", "<i8", (len(GEOMETRY_FIELDS),)),
        ("sections", "<i8", (MOST_SECTIONS, 3)),
    ]
)
assert HEADER.itemsize <= HEADER_BYTES
MAGIC = b"shmkret"
VERSION = 6


def layout_digest(lock: type, scheme: type | None = None) -> bytes:
    """32 hexadecimal digits that change with any record's fields, the lock's included: others must not attach."""
    records = [(section.name, describe_record(section.record), section.place) for section in frame(lock, scheme)]
    text = repr((records, HEADER.descr))
    return hashlib.sha256(text.encode()).hexdigest()[:32].encode()
