"""What happens before what: data races between accesses that need not be about to happen at the same time.

    an event     the last plain write, plain read, atomic write or atomic read of a CPU to a word that is used plainly
    a row        which events somebody knows: a CPU, a word that carries what was released to it, a fence

Clocks    two accesses race if one comes without knowing the other. Who knows an event, and which word carries it, is all that
          clocks are asked for: a bit each, and no numbers that grow. What all who still run know is forgotten
State     depends on the way: two ways to the same words may differ in who knows what. So the rows are part of the fingerprint
Order     a release store lets its word carry what the CPU knows, and nothing else; an exchange, an addition, sem_post() and an
          unlock add to it. Who loads with acquire, waits, exchanges or takes then knows it. A relaxed store carries what was
          known at the last fence, a relaxed load gives at the next. Sleeping on a futex and waking give no order
Deaths    who announces one knows what the dead knew, and every word that he writes carries that
Learned   which words several use, one of them writing, and which are used plainly and atomically; whether there are fences:
          then a search begins again
Source    C. Flanagan and S. Freund, "FastTrack", 2009, whose epochs are compared, and here only how they compare is kept;
          [intro.races] of C++20 for release sequences; POSIX.1-2017, 4.12, for what synchronises memory
"""

from __future__ import annotations

from shmkret.explore.stacks.control import (
    CLOCK_PRINT,
    CLOCKS,
    CROWDED,
    FENCES,
    LEARNS,
    NR_PLAIN,
    NR_SYNC,
    NUMBERS,
    RACED,
    RACED_HOW,
    STACKS,
)
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import (
    ARENA,
    ARG,
    CONTROL_BYTES,
    FENCED,
    KIND,
    MANY,
    PLACE,
    QUEUE,
    QUEUE_END,
    RECORD,
    SIZE,
    STACK,
    STOP,
    UNDO,
    UNDO_TOP,
    USERS,
    WRITERS,
    cell,
    low,
    owner_in,
)
from shmkret.text.marks import inline, outline

MOST_PLAIN, MOST_SYNC = 64, 1000
"""Words that are used plainly, and words that carry what was released."""
ROW = 8 * MOST_PLAIN
PER_CPU = 3
"""Rows of a CPU, and of who announces: what it knows, what relaxed loads gave it, what it knew at its last fence."""
KNOWN, GIVEN, AT_FENCE = range(PER_CPU)
MOST_ROWS = PER_CPU * 16 + MOST_SYNC
WROTE, READ, WROTE_ATOMICALLY, READ_ATOMICALLY = 1, 2, 4, 8
EVENTS = ("store", "load", "atomic write", "atomic read")
EVERYBODY = 0x111111111111111
"""A bit for each of 15 CPUs, four apart."""
ALL = 15 * EVERYBODY
PLAINLY, ATOMICALLY = 1 << 32, 1 << 33
"""How a word was used: beside its number among plain words, from 1, and (from bit 16 on) its number among those that carry."""
NUMBER = (1 << 16) - 1
LOAD_RELAXED, STORE_RELAXED = steps.kind_of("load_relaxed"), steps.kind_of("store_relaxed", writes=True)
STORE_RELEASE = steps.kind_of("store_release", writes=True)


@inline
def record_of(c: int, cpu: int) -> int:
    """The record of a CPU."""
    return peek(c + STACKS) + (cpu + 1) * STACK - RECORD


@inline
def row(c: int, cpu: int, which: int) -> int:
    """Where a row of a CPU begins."""
    return peek(c + CLOCKS) + (cpu * PER_CPU + which) * ROW


@inline
def write_bits(c: int, place: int, value: int) -> None:
    """Write a word of a row so that it can be undone."""
    before = peek(place)
    if before != value:
        n = peek(c + UNDO_TOP)
        entry = peek(c + UNDO) + 16 * n
        poke(entry, place)
        poke(entry + 8, before)
        poke(c + UNDO_TOP, n + 1)
        offset = place - peek(c + CLOCKS)
        poke(c + CLOCK_PRINT, peek(c + CLOCK_PRINT) ^ bits_print(offset, before) ^ bits_print(offset, value))
        poke(place, value)


@inline
def bits_print(offset: int, value: int) -> int:
    """What a word of a row adds to the fingerprint: nothing, when it is 0."""
    return cell(offset - (1 << 40), value) if value != 0 else 0


@inline
def number_of(c: int, place: int) -> int:
    """Where a word's numbers stand; 0: it can have none."""
    offset = place - peek(c + ARENA)
    if 0 <= offset < peek(c + SIZE):
        return peek(c + NUMBERS) + offset
    if 0 <= place - c < CONTROL_BYTES:
        return peek(c + NUMBERS) + peek(c + SIZE) + place - c
    return 0


@outline
def is_used(c: int, place: int, how: int) -> int:
    """A word is used so. Its number among plain words, from 1; 0: it is used atomically alone, as far as is known."""
    where = number_of(c, place)
    before = peek(where)
    after = before | how
    if after & PLAINLY != 0 and after & NUMBER == 0 and is_changed_by_one_of_several(c, place):
        if peek(c + NR_PLAIN) == MOST_PLAIN:
            poke(c + CROWDED, 1)
            return 0
        poke(c + NR_PLAIN, peek(c + NR_PLAIN) + 1)
        after |= peek(c + NR_PLAIN)
        if before != 0:
            poke(c + LEARNS, 1)  # it was used before, when that seemed not to matter
    if after != before:
        poke(where, after)
        if after & NUMBER != 0 and after & ATOMICALLY != 0:
            poke(c + LEARNS, 1)
    return after & NUMBER


@inline
def is_changed_by_one_of_several(c: int, place: int) -> bool:
    """Whether several CPUs use a word, one of them writing, as far as is known. Who is about to use it does so already."""
    offset = place - peek(c + ARENA)
    if offset < 0 or offset >= peek(c + SIZE):
        return True
    users = peek(peek(c + USERS) + offset)
    everybody = users & MANY
    return everybody & (everybody - 1) != 0 and (users >> WRITERS) & MANY != 0


@outline
def carried(c: int, place: int, wanted: int) -> int:
    """The row of what a word carries; 0: there is none. wanted: it gets one."""
    where = number_of(c, place)
    n = (peek(where) >> 16) & NUMBER
    if n == 0 and wanted != 0:
        if peek(c + NR_SYNC) == MOST_SYNC:
            poke(c + CROWDED, 1)
            return 0
        n = peek(c + NR_SYNC) + 1
        poke(c + NR_SYNC, n)
        poke(where, peek(where) | n << 16)
    return peek(c + CLOCKS) + (PER_CPU * 16 + n - 1) * ROW if n != 0 else 0


@outline
def forget(c: int, nr: int, at: int, bits: int) -> None:
    """Nobody knows these events of a plain word any more."""
    for i in range(PER_CPU * (nr + 1)):
        place = peek(c + CLOCKS) + i * ROW + at
        if peek(place) & bits != 0:
            write_bits(c, place, peek(place) & ~bits)
    for i in range(peek(c + NR_SYNC)):
        place = peek(c + CLOCKS) + (PER_CPU * 16 + i) * ROW + at
        if peek(place) & bits != 0:
            write_bits(c, place, peek(place) & ~bits)


@inline
def there(c: int, nr: int, at: int) -> int:
    """The events of a plain word: each is known to whose it is."""
    found = 0
    for i in range(nr):
        found |= peek(row(c, i, KNOWN) + at) & (15 << (4 * i))
    return found


@outline
def tidy(c: int, nr: int, at: int) -> None:
    """Forget the events of a plain word that all know who still run."""
    found = there(c, nr, at)
    for i in range(nr):
        if peek(record_of(c, i) + KIND) < steps.DONE:
            found &= peek(row(c, i, KNOWN) + at)
    if found != 0:
        forget(c, nr, at, found)


@outline
def event(c: int, nr: int, cpu: int, place: int, what: int) -> None:
    """A CPU uses a word: RACED when it does not know of another's use which one of the two may change."""
    n = is_used(c, place, PLAINLY if what <= READ else ATOMICALLY)
    if n == 0:
        return
    at = 8 * (n - 1)
    mine = 15 << (4 * cpu)
    against = ALL
    if what == READ:
        against = EVERYBODY * (WROTE | WROTE_ATOMICALLY)
    elif what == WROTE_ATOMICALLY:
        against = EVERYBODY * (WROTE | READ)
    elif what == READ_ATOMICALLY:
        against = EVERYBODY * WROTE
    known = row(c, cpu, KNOWN) + at
    unknown = there(c, nr, at) & against & ~mine & ~peek(known)
    if unknown != 0:
        poke(c + RACED, place)
        poke(c + RACED_HOW, unknown)
    one = what << (4 * cpu)
    forget(c, nr, at, ALL if what == WROTE else one)
    write_bits(c, known, peek(known) | one)
    tidy(c, nr, at)


@outline
def joins(c: int, nr: int, to: int, source: int) -> None:
    """What the one row knows, the other does, too."""
    if source != 0 and to != 0:
        for n in range(peek(c + NR_PLAIN)):
            more = peek(source + 8 * n) & ~peek(to + 8 * n)
            if more != 0:
                write_bits(c, to + 8 * n, peek(to + 8 * n) | more)
                tidy(c, nr, 8 * n)


@outline
def replaces(c: int, to: int, source: int) -> None:
    """The one row knows what the other does, and nothing else."""
    if to != 0:
        for n in range(peek(c + NR_PLAIN)):
            write_bits(c, to + 8 * n, peek(source + 8 * n) if source != 0 else 0)


@inline
def was_taken(c: int, nr: int, r: int, kind: int, word: int) -> bool:
    """Whether a step that may have nothing has what it wants."""
    if kind == steps.CMPXCHG or kind == steps.WAIT_EQUAL_UNLESS:
        return word == peek(r + ARG)
    if kind == steps.WAIT_NOT_EQUAL_UNLESS:
        return word != peek(r + ARG)
    if kind == steps.SEM_TRYWAIT or kind == steps.SEM_WAIT_UNLESS or kind == steps.SEM_WAIT or kind == steps.ASLEEP_IN_SEM:
        return low(word) > 0
    if takes_mutex(kind):
        return owner_in(word) == 0 or is_left(c, nr, r, kind, word)
    return True


@inline
def takes_mutex(kind: int) -> bool:
    """Whether a step is to have a mutex."""
    if kind == steps.MUTEX_LOCK or kind == steps.ASLEEP_IN_MUTEX:
        return True
    return kind == steps.MUTEX_TRYLOCK or kind == steps.MUTEX_LOCK_UNLESS


@inline
def is_left(c: int, nr: int, r: int, kind: int, word: int) -> bool:
    """Whether a robust mutex names one who died: who takes it is told. Of another nobody is."""
    is_robust = kind != steps.MUTEX_LOCK_UNLESS and peek(r + ARG) != 0
    return is_robust and 0 < owner_in(word) <= nr and peek(record_of(c, owner_in(word) - 1) + KIND) == steps.DEAD


@inline
def only_queues(kind: int) -> bool:
    """Whether a step is of who sleeps alone, and of no word."""
    return kind == steps.FUTEX_WAKE or kind == steps.ASLEEP or kind == steps.SEM_WAKES or kind == steps.MUTEX_WAKES


@outline
def happens(c: int, nr: int, cpu: int) -> None:
    """A CPU is about to do its step, and nobody comes between."""
    r = record_of(c, cpu)
    kind, place = peek(r + KIND), peek(r + PLACE)
    known = row(c, cpu, KNOWN)
    if kind == steps.LOAD:
        event(c, nr, cpu, place, READ)
    elif kind == steps.STORE or kind == steps.MUTEX_INIT:
        event(c, nr, cpu, place, WROTE)
    elif not only_queues(kind):
        word = peek(place)
        taken = was_taken(c, nr, r, kind, word)
        if peek(r + STOP) != 0:
            event(c, nr, cpu, peek(r + STOP), READ_ATOMICALLY)
            if peek(peek(r + STOP)) != 0:
                joins(c, nr, known, carried(c, peek(r + STOP), 0))
        event(c, nr, cpu, place, WROTE_ATOMICALLY if kind & steps.WRITES != 0 and taken else READ_ATOMICALLY)
        if takes_mutex(kind) and is_left(c, nr, r, kind, word):
            joins(c, nr, known, row(c, owner_in(word) - 1, KNOWN))
        gets(c, nr, cpu, kind, place, taken)
        gives(c, nr, cpu, kind, place, taken)


@inline
def gets(c: int, nr: int, cpu: int, kind: int, place: int, taken: bool) -> None:
    """What a step learns from the word that it is on."""
    if kind == LOAD_RELAXED:
        if peek(c + FENCES) != 0:
            joins(c, nr, row(c, cpu, GIVEN), carried(c, place, 0))
    elif not gives_only(kind) and kind != steps.FUTEX_WAIT and (taken or kind == steps.CMPXCHG):
        joins(c, nr, row(c, cpu, KNOWN), carried(c, place, 0))


@inline
def gives_only(kind: int) -> bool:
    """Whether a step learns nothing."""
    if kind == steps.SEM_RESET or kind == STORE_RELAXED:
        return True
    return kind == STORE_RELEASE or kind == steps.SEM_POST or kind == steps.MUTEX_UNLOCK


@inline
def adds(kind: int) -> bool:
    """Whether a word carries what it did, after a step that gives more."""
    return kind == steps.SEM_POST or kind == steps.MUTEX_UNLOCK or kind == steps.EXCHANGE or kind == steps.FETCH_ADD


@inline
def gives(c: int, nr: int, cpu: int, kind: int, place: int, taken: bool) -> None:
    """What the word carries after a step."""
    known = row(c, cpu, KNOWN)
    if kind == STORE_RELAXED:
        replaces(c, carried(c, place, peek(c + FENCES)), row(c, cpu, AT_FENCE))
    elif kind == STORE_RELEASE or kind == steps.SEM_RESET:
        replaces(c, carried(c, place, 1), known)
    elif adds(kind) or (kind == steps.CMPXCHG and taken):
        joins(c, nr, carried(c, place, 1), known)


@outline
def happened(c: int, nr: int, cpu: int) -> None:
    """It has come to its next step, or its end: a fence between the two; who has ended knows of nothing but its own."""
    r = record_of(c, cpu)
    if peek(r + FENCED) != 0:
        poke(r + FENCED, 0)
        if peek(c + FENCES) == 0:
            poke(c + FENCES, 1)
            poke(c + LEARNS, 1)
        joins(c, nr, row(c, cpu, KNOWN), row(c, cpu, GIVEN))
        replaces(c, row(c, cpu, AT_FENCE), row(c, cpu, KNOWN))
    if peek(r + KIND) == steps.DONE:
        for n in range(peek(c + NR_PLAIN)):
            write_bits(c, row(c, cpu, KNOWN) + 8 * n, peek(row(c, cpu, KNOWN) + 8 * n) & (15 << (4 * cpu)))
            tidy(c, nr, 8 * n)


@outline
def died(c: int, nr: int, cpu: int, mark: int) -> None:
    """A CPU has died, and that was announced: what was written since `mark` carries what it knew."""
    top = peek(c + UNDO_TOP)
    for n in range(mark, top):
        place = peek(peek(c + UNDO) + 16 * n)
        queued = 0 <= place - c - QUEUE < 8 * QUEUE_END
        if number_of(c, place) != 0 and not queued:
            joins(c, nr, carried(c, place, 1), row(c, cpu, KNOWN))
    for n in range(peek(c + NR_PLAIN)):
        tidy(c, nr, 8 * n)
