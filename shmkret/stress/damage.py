"""Damage to a quiet arena: the audit must find it, repair must mend it; and a copy that is no arena must be refused.

Only words that the audit checks are damaged (shmkret.audit.checked, and the scheme's CHECKED). A count that does not add up can
be found and not mended: it is put back by hand.
"""

from __future__ import annotations

import os
import random

import numpy as np

from shmkret.arena.chains import THE_SLAB, Chain
from shmkret.arena.header import HEADER
from shmkret.arena.layout import HEADER_BYTES
from shmkret.arena.segment import Arena
from shmkret.audit.checks import audit, checked_words, own_words
from shmkret.audit.repair import repair
from shmkret.errors import ArenaError
from shmkret.machines.build import Build
from shmkret.stress.spec import Term
from shmkret.stress.stage import Stage
from shmkret.text.atomics import NIL

WILD = (1 << 40, -2, 1 << 62, -(1 << 63))


def harm(stage: Stage, i: int, term: Term) -> list[str]:
    """The i-th term does its damage to the quiet arena, which must be found and mended, or refused."""
    stage.record.strike(i)
    stage.record.add("damaged")
    if term.action in ("torn", "truncate"):
        wrong = _attach_damaged(stage.arena, stage.world.build, term.action == "torn", stage.rng)
    else:
        wrong = damage(stage.arena, stage.world.build, term.action, stage.rng)
    if wrong:
        stage.record.add("other")
    return wrong


def damage(arena: Arena, build: Build, kind: str, rng: random.Random) -> list[str]:
    """Damage one word, let it be found, named and mended. Returns what did not go as it must; empty: all did."""
    section, field, i = rng.choice(_candidates(arena, build, kind))
    words = arena.records(section)[field]
    before = int(words[i])
    words[i] = i if kind == "cycle" else _damaged(kind, before, rng, arena.geometry.nr_instances)
    what = f"{section}.{field}[{i}], {before} -> {int(words[i])}"
    found = audit(arena, build.scheme)
    wrong = [] if found else [f"damage not found: {what}"]
    is_mended = (section, field) in mended(arena, build)
    if is_mended:
        done = repair(arena, build.scheme, None)
        left = audit(arena, build.scheme)
        wrong += [f"damage not repaired: {what}; {one}; done: {done[:3]}" for one in left]
    words[i] = before if wrong or not is_mended else words[i]
    return wrong


def mended(arena: Arena, build: Build) -> set[tuple[str, str]]:
    """The words that repair makes anew."""
    own = own_words(build.scheme) if build.scheme.own("rebuild") is not None else {}
    of_scheme = {(section, field) for section, fields in own.items() for field in fields}
    return {("instances", "state"), ("instances", "rp"), ("recovery", "held")} | of_scheme | links(arena)


def links(arena: Arena) -> set[tuple[str, str]]:
    """The words that lists are linked by."""
    heads = {(one.section, one.field) for one in (*arena.lists, THE_SLAB) if isinstance(one, Chain)}
    return heads | {("instances", "next")}


def _candidates(arena: Arena, build: Build, kind: str) -> list[tuple[str, str, int]]:
    words = checked_words(arena, build.scheme)
    if kind == "flip":
        return words
    return [word for word in words if word[:2] == ("instances", "next") or (kind != "cycle" and word[:2] in links(arena))]


def _damaged(kind: str, before: int, rng: random.Random, nr_instances: int) -> int:
    if kind == "flip":
        flipped = np.array([before], np.int64).view(np.uint64) ^ np.uint64(1 << rng.randrange(64))
        return int(flipped.view(np.int64)[0])
    if kind == "wild":
        return rng.choice([value for value in (nr_instances, *WILD) if value != before])
    others = [ri for ri in range(nr_instances) if ri != before]
    return rng.choice(others) if others else NIL if before != NIL else nr_instances


def _attach_damaged(arena: Arena, build: Build, torn: bool, rng: random.Random) -> list[str]:
    """A copy with a torn header, or without its end, is no arena."""
    data = bytearray(os.pread(arena.fd, arena.size, 0))
    if torn:
        # Any word that says what an arena is: of plug-ins and who made it every text would do.
        fields = ("magic", "version", "size", "layout", "geometry", "sections")
        kind, first = HEADER.fields[rng.choice(fields)][:2]  # type: ignore[index]
        at = first + 8 * rng.randrange(kind.itemsize // 8)
        data[at : at + 8] = rng.randbytes(8)
        what = f"the 8 bytes of its header from {at} on are torn"
    else:
        size = rng.choice((rng.randrange(HEADER_BYTES), rng.randrange(len(data))))
        del data[size:]
        what = f"it was cut off at {size} of {arena.size} bytes"
    fd = os.memfd_create("copy", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as copy:
            copy.write(data)
        Arena.attach(fd, lock=build.lock.record, scheme=build.scheme.record).close()
    except ArenaError:
        os.close(fd)
        return []
    return [f"a copy of the arena was attached though {what}"]
