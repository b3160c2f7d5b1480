"""The list moves that the schemes share. The caller holds the lock that protects the list."""

from __future__ import annotations

from shmkret.atomics import NIL
from shmkret.layout import Kernel
from shmkret.text import inline


@inline
def push_free(k: Kernel, ri: int, rp: int) -> None:
    """hlist_add_head(&ri->hlist, &rp->free_instances)."""
    k.instances.next[ri] = k.probes.free[rp]
    k.probes.free[rp] = ri


@inline
def push_bucket(k: Kernel, ri: int, bucket: int) -> None:
    """hlist_add_head(&ri->hlist, &kretprobe_inst_table[bucket])."""
    k.instances.next[ri] = k.buckets.first[bucket]
    k.buckets.first[bucket] = ri


@inline
def unlink_bucket(k: Kernel, ri: int, prev: int, bucket: int) -> None:
    """hlist_del(&ri->hlist); the walk knows what stands before `ri`, so that no back link is kept."""
    if prev == NIL:
        k.buckets.first[bucket] = k.instances.next[ri]
    else:
        k.instances.next[prev] = k.instances.next[ri]
