"""Moves: what a scheme is written with. Whoever writes a scheme imports this face.

    irqflags    interrupts, as a scheme masks them
    locking     locks, as a scheme takes them
    intents     what a CPU says before it changes a list
    lists       the moves
    chained     the walk of schemes with buckets
    clock       whether a run is timed
    bugs        the bugs of the past
    always      what holds of lists at every moment
    oracle      what a run may find wrong with itself
    alone       whether a lock has let two in

Read them in that order.
"""

from shmkret.arena.chains import (
    BUCKETS,
    FREE,
    FREE_LISTS,
    HUNG,
    IN_BUCKETS,
    OF_BUCKET,
    OF_PROBE,
    OF_TASK,
    Chain,
    Ring,
)
from shmkret.arena.chains import hung as in_flight_of
from shmkret.arena.fields import Locks
from shmkret.arena.hashing import NR_BUCKETS, hash_ptr
from shmkret.arena.records import KRETPROBE, Kernel
from shmkret.arena.segment import Arena
from shmkret.locks import release
from shmkret.moves.always import IN_ONE_PLACE, OWN, REGISTERED, SPAN, in_one_place, told, walked, with_one
from shmkret.moves.bugs import has_bug
from shmkret.moves.chained import drain, first, give, next, retire, ri_of, rp_of, take_orphan
from shmkret.moves.intents import (
    FLUSHED,
    HAND,
    HANG,
    NOTHING,
    ORPHAN,
    POP,
    PROBE,
    PUSH,
    REFUSAL,
    REM,
    RETURNED,
    TABLE,
    commit,
    finish,
    intent_of,
    new_count,
    number_of,
    put,
    recovers,
    set_count,
)
from shmkret.moves.irqflags import irqrestore, irqrestore_held, irqsave, irqsave_held
from shmkret.moves.lists import (
    count_missed,
    hung,
    pop_free,
    push_back,
    push_bucket,
    push_free,
    take_in_hand,
    take_out,
    unlink_bucket,
)
from shmkret.moves.lists import push as push_in_front
from shmkret.moves.locking import lock_bucket, lock_inside, lock_probe, lock_table, unlock_probe, unlock_table
from shmkret.moves.oracle import WORKER_BUG, report_bug
from shmkret.text import (
    EQ,
    NE,
    NIL,
    ONE,
    PER_BUCKET,
    PER_CPU,
    PER_INSTANCE,
    PER_PROBE,
    PER_PROBE_PER_CPU,
    PER_RING_WORD,
    PER_TASK,
    RING_WORDS,
    Words,
    cmpxchg,
    exchange,
    fence,
    fetch_add,
    inline,
    load_acquire,
    load_relaxed,
    outline,
    store_relaxed,
    store_release,
    wait_until,
)

__all__ = [
    "BUCKETS",
    "EQ",
    "FLUSHED",
    "FREE",
    "FREE_LISTS",
    "HAND",
    "HANG",
    "HUNG",
    "IN_BUCKETS",
    "IN_ONE_PLACE",
    "KRETPROBE",
    "NE",
    "NIL",
    "NOTHING",
    "NR_BUCKETS",
    "OF_BUCKET",
    "OF_PROBE",
    "OF_TASK",
    "ONE",
    "ORPHAN",
    "OWN",
    "PER_BUCKET",
    "PER_CPU",
    "PER_INSTANCE",
    "PER_PROBE",
    "PER_PROBE_PER_CPU",
    "PER_RING_WORD",
    "PER_TASK",
    "POP",
    "PROBE",
    "PUSH",
    "REFUSAL",
    "REGISTERED",
    "REM",
    "RETURNED",
    "RING_WORDS",
    "SPAN",
    "TABLE",
    "WORKER_BUG",
    "Arena",
    "Chain",
    "Kernel",
    "Locks",
    "Ring",
    "Words",
    "cmpxchg",
    "commit",
    "count_missed",
    "drain",
    "exchange",
    "fence",
    "fetch_add",
    "finish",
    "first",
    "give",
    "has_bug",
    "hash_ptr",
    "hung",
    "in_flight_of",
    "in_one_place",
    "inline",
    "intent_of",
    "irqrestore",
    "irqrestore_held",
    "irqsave",
    "irqsave_held",
    "load_acquire",
    "load_relaxed",
    "lock_bucket",
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
    "push_in_front",
    "put",
    "recovers",
    "release",
    "report_bug",
    "retire",
    "ri_of",
    "rp_of",
    "set_count",
    "store_relaxed",
    "store_release",
    "take_in_hand",
    "take_orphan",
    "take_out",
    "told",
    "unlink_bucket",
    "unlock_probe",
    "unlock_table",
    "wait_until",
    "walked",
    "with_one",
]
