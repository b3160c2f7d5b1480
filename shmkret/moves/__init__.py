"""Moves: what a scheme is written with. How its locks are taken, its lists changed, and interrupts masked meanwhile.

Read `irqflags` (interrupts as a scheme sees them), `locking` (locks as a scheme takes them), `intents` (what a CPU says
before it changes a list), `lists` (the moves), `chained` (the walk of schemes with buckets), `clock` (whether a run is
timed), `bugs`.
Whoever writes a scheme imports this face.
"""

from shmkret.arena.chains import BUCKET, BUCKETS, FREE, FREE_LISTS, HUNG, IN_BUCKETS, PROBE, TASK, Chain, Ring
from shmkret.arena.fields import Locks
from shmkret.arena.hashing import NR_BUCKETS, hash_ptr
from shmkret.arena.records import Kernel
from shmkret.moves.bugs import has_bug
from shmkret.moves.chained import drain, first, give, next, retire, ri_of, rp_of, take_orphan
from shmkret.moves.intents import FLUSHED, NOTHING, REFUSAL, RETURNED, new_count, number_of, put, recovers, set_count
from shmkret.moves.irqflags import irqrestore, irqrestore_held, irqsave, irqsave_held
from shmkret.moves.lists import (
    count_missed,
    pop_free,
    push_back,
    push_bucket,
    push_free,
    take_in_hand,
    take_out,
    unlink_bucket,
)
from shmkret.moves.locking import lock_inside, lock_probe, lock_table, unlock_probe, unlock_table
from shmkret.text import NIL, ONE, PER_BUCKET, PER_CPU, PER_INSTANCE, PER_PROBE, PER_TASK, Words, inline, outline

__all__ = [
    "BUCKET",
    "BUCKETS",
    "FLUSHED",
    "FREE",
    "FREE_LISTS",
    "HUNG",
    "IN_BUCKETS",
    "NIL",
    "NOTHING",
    "NR_BUCKETS",
    "ONE",
    "PER_BUCKET",
    "PER_CPU",
    "PER_INSTANCE",
    "PER_PROBE",
    "PER_TASK",
    "PROBE",
    "REFUSAL",
    "RETURNED",
    "TASK",
    "Chain",
    "Kernel",
    "Locks",
    "Ring",
    "Words",
    "count_missed",
    "drain",
    "first",
    "give",
    "has_bug",
    "hash_ptr",
    "inline",
    "irqrestore",
    "irqrestore_held",
    "irqsave",
    "irqsave_held",
    "lock_inside",
    "lock_probe",
    "lock_table",
    "new_count",
    "next",
    "number_of",
    "outline",
    "pop_free",
    "push_back",
    "push_bucket",
    "push_free",
    "put",
    "recovers",
    "retire",
    "ri_of",
    "rp_of",
    "set_count",
    "take_in_hand",
    "take_orphan",
    "take_out",
    "unlink_bucket",
    "unlock_probe",
    "unlock_table",
]
