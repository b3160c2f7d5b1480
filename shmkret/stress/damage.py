"""Damage to a quiet arena: the audit must find it, repair must mend it.

Only words that the audit checks are damaged (shmkret.layout.CHECKED); a count that does not add up can be found and not mended,
so that it is put back by hand.
"""

from __future__ import annotations

import random

import numpy as np

from shmkret.arena.chains import THE_SLAB, Chain
from shmkret.arena.segment import Arena
from shmkret.audit.checks import audit, checked_words
from shmkret.audit.repair import repair
from shmkret.machines.build import Build
from shmkret.text.atomics import NIL

OWN = {("instances", "state"), ("instances", "rp"), ("recovery", "held"), *(("scheme.link", f) for f in ("next", "prev"))}
MENDED = OWN | {("scheme.used", "first")}
"""What repair mends beside the links of lists."""
WILD = (1 << 40, -2, 1 << 62, -(1 << 63))


def damage(arena: Arena, build: Build, kind: str, rng: random.Random) -> list[str]:
    """Damage one word, let it be found, named and mended. Returns what did not go as it must; empty: all did."""
    section, field, i = rng.choice(_candidates(arena, build, kind))
    words = arena.records(section)[field]
    before = int(words[i])
    words[i] = i if kind == "cycle" else _damaged(kind, before, rng, arena.geometry.nr_instances)
    what = f"{section}.{field}[{i}], {before} -> {int(words[i])}"
    found = audit(arena, build.scheme)
    wrong = [] if found else [f"damage not found: {what}"]
    if (section, field) in MENDED | links(arena):
        done = repair(arena, build.scheme, None)
        left = audit(arena, build.scheme)
        wrong += [f"damage not repaired: {what}; {one}; done: {done[:3]}" for one in left]
    words[i] = before if wrong or (section, field) not in MENDED | links(arena) else words[i]
    return wrong


def links(arena: Arena) -> set[tuple[str, str]]:
    """The words that lists are linked by."""
    heads = {(one.section, one.field) for one in (*arena.lists, THE_SLAB) if isinstance(one, Chain)}
    return heads | {("instances", "next")}


def _candidates(arena: Arena, build: Build, kind: str) -> list[tuple[str, str, int]]:
    words = checked_words(arena)
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
