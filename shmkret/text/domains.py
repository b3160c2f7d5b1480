"""How many records a table has: one for each of what the domain names.

A lock says of each of its tables which domain it has, in the annotation of the field:

    node: Annotated[Node, PER_CPU]          lock.node.next[cpu]

Tables belong to an array of locks, so that a CPU that is inside two arrays has a record in each.
"""

from __future__ import annotations

from typing import NamedTuple

from shmkret.text.atomics import Words


class Domain(str):
    """The name of a domain; arena.layout counts its members."""

    __slots__ = ()


ONE = Domain("one")
PER_CPU = Domain("cpu")
"""A CPU, recoverers included: index `cpu`."""
PER_LOCK_AND_CPU = Domain("lock and cpu")
"""Each lock, then each CPU: of n locks, CPU c starts with record n + c."""
PER_LOCK_PER_CPU = Domain("lock x cpu")
"""Each CPU of each lock: index `i * lock.slots + cpu`, with `slots: Annotated[int, NR_SLOTS]`."""
PER_NODE = Domain("lock x node")
"""Each memory node of each lock: index `i * lock.nodes + lock.home.node[cpu]`, with `nodes: Annotated[int, NR_NODES]`."""

PER_TASK = Domain("task")
PER_PROBE = Domain("probe")
PER_INSTANCE = Domain("instance")
PER_BUCKET = Domain("bucket")
PER_PROBE_PER_CPU = Domain("probe x cpu")
"""Each CPU of each probe: index `rp * k.nr_slots + cpu`."""
PER_RING_WORD = Domain("ring word")
"""A ring for each CPU of each probe, as long as the power of two that holds all instances of a probe. From PER_TASK on,
these are for the records of a scheme."""

NR_LOCKS = Domain("number of locks")
NR_SLOTS = Domain("number of cpus")
NR_NODES = Domain("number of nodes")
RING_WORDS = Domain("words of a ring")
"""These are no tables: the field is a number, of the locks of the array, of CPU slots, of memory nodes, of words of a ring."""
NUMBERS = (NR_LOCKS, NR_SLOTS, NR_NODES, RING_WORDS)


def name_of(domain: Domain) -> str:
    """The name by which a file gives it, such as PER_CPU."""
    named = (name for name, value in globals().items() if isinstance(value, Domain) and value == domain)
    return next(named, str(domain))


class Home(NamedTuple):
    """The table `home: Annotated[Home, PER_CPU]` of a lock: the memory node of each CPU's core, from 0."""

    node: Words
