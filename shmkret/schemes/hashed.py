"""A lock a bucket and a lock a probe: the seed's split, as merged in 2.6.27, its known bugs mended.

    table lock b    bucket b of kretprobe_inst_table
    lock rp         rp->lock

Order     bucket
            +-- probe    take() takes it inside the bucket's; never the other way round
Limbo     between obtain() and push() an instance is on no list, and no lock is held: the entry handler runs there
Always    0 <= instances on free <= maxactive, for each probe; an instance is on one list, or in the hands of one CPU
Source    Linux commit ef53d9c5e4da ("kprobes: improve kretprobe scalability with hashed locking"); the mends are those of
          f02b8624fedc, d496aab567e7, 017c39bdb1b3, 9b38cc704e84 and b191fa96ea6d
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from shmkret.moves import (
    IN_ONE_PLACE,
    NIL,
    NR_BUCKETS,
    PER_BUCKET,
    PER_PROBE,
    POP,
    PROBE,
    PUSH,
    REFUSAL,
    TABLE,
    Kernel,
    Locks,
    count_missed,
    drain,
    first,
    give,
    has_bug,
    hash_ptr,
    in_one_place,
    inline,
    irqrestore,
    irqrestore_held,
    irqsave,
    irqsave_held,
    load_acquire,
    lock_inside,
    lock_probe,
    lock_table,
    new_count,
    next,
    number_of,
    pop_free,
    push_back,
    push_bucket,
    push_free,
    put,
    recovers,
    release,
    retire,
    ri_of,
    rp_of,
    set_count,
    take_orphan,
    take_out,
    unlink_bucket,
    unlock_probe,
    unlock_table,
)

__all__ = ["drain", "first", "give", "next", "retire", "ri_of", "rp_of"]


ALWAYS = IN_ONE_PLACE
SYMMETRIC = True


class Hashed(NamedTuple):
    """The buckets' locks, and the probes'."""

    table: Annotated[Locks, PER_BUCKET]
    locks: Annotated[Locks, PER_PROBE]


def obtain(scheme: Hashed, k: Kernel, cpu: int, rp: int) -> int:
    flags = irqsave(k.mode.irq, k, cpu)
    lock_probe(k, cpu, scheme.locks, rp)
    ri = k.probes.free[rp]
    if ri == NIL:
        count_missed(k, cpu, rp)
    else:
        pop_free(k, cpu, ri, rp)
    unlock_probe(k, cpu, scheme.locks, rp)
    irqrestore(k.mode.irq, k, cpu, flags)
    return ri


def refuse(scheme: Hashed, k: Kernel, cpu: int, rp: int, ri: int) -> None:
    if has_bug(k.mode.bugs, "double-unlock"):
        release(scheme.locks, rp, cpu)
    if has_bug(k.mode.bugs, "leak-on-refusal"):
        set_count(k, cpu, REFUSAL, new_count(k, cpu, REFUSAL, rp), rp)
    else:
        flags = irqsave(k.mode.irq, k, cpu)
        lock_probe(k, cpu, scheme.locks, rp)
        push_free(k, cpu, ri, rp, REFUSAL)
        unlock_probe(k, cpu, scheme.locks, rp)
        irqrestore(k.mode.irq, k, cpu, flags)


def push(scheme: Hashed, k: Kernel, cpu: int, ri: int, task: int) -> None:
    bucket = kretprobe_hash_lock(scheme, k, cpu, task)
    push_bucket(k, cpu, ri, bucket)
    kretprobe_table_unlock(scheme, k, cpu, bucket)


def begin_walk(scheme: Hashed, k: Kernel, cpu: int, task: int) -> int:
    return kretprobe_hash_lock(scheme, k, cpu, task)


def end_walk(scheme: Hashed, k: Kernel, cpu: int, where: int, task: int) -> None:
    kretprobe_table_unlock(scheme, k, cpu, where)


def take(scheme: Hashed, k: Kernel, cpu: int, where: int, prev: int, ri: int, why: int) -> bool:
    rp = k.instances.rp[ri]
    if rp == NIL:
        return take_orphan(k, cpu, where, prev, ri, why)
    if recovers(k.mode.recovery, "moves"):
        # Both locks first: between the two halves of the move the instance is in nobody's hands.
        lock_inside(k, cpu, scheme.locks, rp, number_of(k, TABLE, where))
        take_out(k, cpu, ri, prev, where, why)
    else:
        unlink_bucket(k, ri, prev, where)
        lock_inside(k, cpu, scheme.locks, rp, number_of(k, TABLE, where))
    push_back(k, cpu, ri, rp, why)
    unlock_probe(k, cpu, scheme.locks, rp)
    return False


def orphan(scheme: Hashed, k: Kernel, cpu: int, rp: int) -> None:
    for bucket in range(NR_BUCKETS):
        kretprobe_table_lock(scheme, k, cpu, bucket)
        ri = k.buckets.first[bucket]
        while ri != NIL:
            if k.instances.rp[ri] == rp:
                put(k, k.instances.rp, ri, NIL)
            ri = k.instances.next[ri]
        kretprobe_table_unlock(scheme, k, cpu, bucket)


@inline
def kretprobe_hash_lock(scheme: Any, k: Kernel, cpu: int, task: int) -> int:
    bucket = hash_ptr(k.tasks.address[task], k.hash_multiplier)
    kretprobe_table_lock(scheme, k, cpu, bucket)
    return bucket


@inline
def kretprobe_table_lock(scheme: Any, k: Kernel, cpu: int, bucket: int) -> None:
    irqsave_held(k.mode.irq, k, cpu)
    lock_table(k, cpu, scheme.table, bucket)


@inline
def kretprobe_table_unlock(scheme: Any, k: Kernel, cpu: int, bucket: int) -> None:
    unlock_table(k, cpu, scheme.table, bucket)
    irqrestore_held(k.mode.irq, k, cpu)


def always(scheme: Hashed, k: Kernel) -> int:
    return in_one_place(k)


def lock_free(scheme: Hashed, k: Kernel, cpu: int, rp: int) -> None:
    lock_probe(k, cpu, scheme.locks, rp)


def unlock_free(scheme: Hashed, k: Kernel, cpu: int, rp: int) -> None:
    unlock_probe(k, cpu, scheme.locks, rp)


def lock_of(scheme: Hashed, k: Kernel, op: int, ri: int) -> int:
    if op == POP or op == PUSH:  # noqa: SIM109 (the text has no containers)
        return number_of(k, PROBE, load_acquire(k.instances.rp, ri))
    return number_of(k, TABLE, hash_ptr(k.tasks.address[load_acquire(k.instances.task, ri)], k.hash_multiplier))


def finish_push(scheme: Hashed, k: Kernel, ri: int) -> None:
    pass


def finish_take(scheme: Hashed, k: Kernel, ri: int) -> None:
    pass


def finish_orphan(scheme: Hashed, k: Kernel, rp: int) -> None:
    pass
