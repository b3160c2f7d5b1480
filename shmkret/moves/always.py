"""What holds of lists at every moment, while others are in the middle of a move: written as the text, for a search to ask.

    always(scheme, k) -> int     of a scheme: 0, or what is wrong, as told() has it; its constant ALWAYS has the sentences

Always    every list is a chain of instances that ends; an instance is on one list, or on none: in the hands of who moves it
          a probe has no more free instances than maxactive
Half done a move is stores to one slot, so that between two of them an instance is on the one list or on none, and never on two
"""

from __future__ import annotations

from shmkret.arena.hashing import NR_BUCKETS
from shmkret.arena.records import Kernel
from shmkret.text.atomics import NIL
from shmkret.text.marks import inline

SPAN = 62
"""Instances that are looked for in one pass: a bit of a word each."""
IN_ONE_PLACE = (
    "a list leads to {}, which is no instance",
    "instance {} is on two lists, or twice on one",
    "probe {} has more free instances than maxactive",
)
NO_INSTANCE, TWICE, TOO_MANY = range(1, 4)
OWN = len(IN_ONE_PLACE) + 1
"""The first number that a scheme has for itself, whose sentences come after these."""
WHICH = 8


@inline
def told(number: int, which: int) -> int:
    """The number of a sentence, from 1, and what it is about."""
    return number | ((which & 0xFFFFFF) << WHICH)


@inline
def walked(k: Kernel, first: int, seen: int, base: int) -> int:
    """`seen`, the instances from `base` on that other lists have, a bit each, and those of one more chain; or, below 0, what
    is wrong.
    """
    left = k.nr_instances
    while first != NIL and seen >= 0:
        if first < 0 or first >= k.nr_instances:
            seen = -told(NO_INSTANCE, first)
        elif left == 0:
            seen = -told(TWICE, first)
        else:
            seen = with_one(seen, first, base)
            first = k.instances.next[first]
            left -= 1
    return seen


@inline
def with_one(seen: int, ri: int, base: int) -> int:
    """`seen` and one instance more; or, below 0, that it is there already."""
    if ri < base or ri >= base + SPAN:
        return seen
    bit = 1 << (ri - base)
    return -told(TWICE, ri) if seen & bit != 0 else seen | bit


@inline
def free_walked(k: Kernel, seen: int, base: int) -> int:
    """As walked(), the free list of each probe."""
    for rp in range(k.nr_probes):
        ri = k.probes.free[rp]
        left = k.probes.maxactive[rp]
        while ri != NIL and seen >= 0:
            if ri < 0 or ri >= k.nr_instances:
                seen = -told(NO_INSTANCE, ri)
            elif left == 0:
                seen = -told(TOO_MANY, rp)
            else:
                seen = with_one(seen, ri, base)
                ri = k.instances.next[ri]
                left -= 1
    return seen


@inline
def in_one_place(k: Kernel) -> int:
    """Of schemes with free lists and buckets: 0, or what is wrong."""
    for base in range(0, k.nr_instances, SPAN):
        seen = walked(k, k.registry.slab[0], free_walked(k, 0, base), base)
        for bucket in range(NR_BUCKETS):
            if k.buckets.first[bucket] != NIL and seen >= 0:
                seen = walked(k, k.buckets.first[bucket], seen, base)
        if seen < 0:
            return -seen
    return 0
