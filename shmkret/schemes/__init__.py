"""Schemes: how each generation of the kernel keeps free and used instances, and under which locks. One a file.

A file defines a NamedTuple class with one field, `locks`, and these functions on it. The probe path (shmkret.probes) calls
them in this order, per probed call:

    entry     obtain(scheme, k, rp) -> ri      an instance of probe rp, or NIL and rp's nmissed counted
              hang(scheme, k, ri, task)        ri, filled in, is now task's
    return    lock_bucket(scheme, k, task)     the instances of task are ours; returns the bucket
              recycle(scheme, k, bucket, prev, ri)   ri, which follows prev (or NIL) in it, is free again
              unlock_bucket(scheme, k, bucket)

and, outside the text,

    nr_locks(nr_probes) -> int                 how many locks it takes
    audit(arena) -> list of str                optional: what is wrong with lists that only this scheme keeps; in sentences
"""

from __future__ import annotations

from typing import Any

from shmkret.text import generic


@generic
def obtain(scheme: Any, k: Any, rp: int) -> int:
    """Take an instance of probe `rp` for a call; NIL when there is none, which is counted in nmissed."""
    raise NotImplementedError


@generic
def hang(scheme: Any, k: Any, ri: int, task: int) -> None:
    """Hang `ri` into the bucket of `task`, in front."""
    raise NotImplementedError


@generic
def lock_bucket(scheme: Any, k: Any, task: int) -> int:
    """Make the bucket of `task` ours; returns its index."""
    raise NotImplementedError


@generic
def unlock_bucket(scheme: Any, k: Any, bucket: int) -> None:
    """Give the bucket back."""
    raise NotImplementedError


@generic
def recycle(scheme: Any, k: Any, bucket: int, prev: int, ri: int) -> None:
    """recycle_rp_inst(): take `ri`, which follows `prev` (NIL: is the first), out of the bucket and free it."""
    raise NotImplementedError
