"""Release-acquire memory: what each CPU may still read, and what a store lets others know.

    a word      its messages, in the order in which they were stored; the newest is in memory, some before it are kept here
    a view      for each word the oldest message that may still be read: of a CPU, of a message, of all fences together
    a row       beside each view: which events are known, of shmkret.explore.stacks.clocks, so that races are found

Reads     a load reads any message that its CPU's view allows, and none before it from then on. An exchange, an addition, a
          comparison that succeeds and a call of libc that takes or gives reads the newest. An await reads one
          that ends it; one that can be given up looks in vain first, and knows nothing of that when it is told to stop
Order     a release store's message carries what its CPU knows; one of an exchange or the like carries what the one that it has
          read did, too. Who reads with acquire knows what the message carries, and who reads relaxed does after a fence. A
          relaxed store carries what its CPU knew at its last fence. Fences are in one order: each knows the views of those
          before it, and of what happened before what nothing. Nothing else is a fence, but futex(2)
Plain     a plain access is of the newest message; who does not know all that conflicts with it, races
State     views are told from the oldest message that a running CPU may read: what all have passed is forgotten
Left out  a store is the newest of its word at once, so that stores to several words are in one order (2+2W does not happen);
          nothing is read before it is stored (load buffering does not happen). Two CPUs may see two stores in two orders
          (IRIW), which C++ allows
Limits    MOST_MESSAGES of a word are kept, and what is older is not read: said where one could have been (OVERFLOWED).
          MOST_WORDS words are stored to; a search that comes to one more ends (CROWDED)
Source    O. Lahav, N. Giannarakis and V. Vafeiadis, "Taming release-acquire consistency", POPL 2016: SRA, whose stores are in
          one order; J. Kang, C.-K. Hur, O. Lahav, V. Vafeiadis and D. Dreyer, "A promising semantics for relaxed-memory
          concurrency", POPL 2017, without promises: relaxed accesses and fences; [atomics.order] and [intro.races] of C++20
"""

from __future__ import annotations

from shmkret.explore.stacks.clocks import (
    AT_FENCE,
    GIVEN,
    KNOWN,
    LOAD_RELAXED,
    MOST_SYNC,
    NUMBER,
    PER_CPU,
    READ,
    READ_ATOMICALLY,
    ROW,
    STORE_RELAXED,
    STORE_RELEASE,
    WROTE,
    WROTE_ATOMICALLY,
    adds,
    event,
    gives_only,
    joins,
    number_of,
    only_queues,
    record_of,
    replaces,
    row,
    was_taken,
)  # fmt: skip
from shmkret.explore.stacks.control import BACK, CLOCKS, CROWDED, FENCES, LEARNS, MOST_MESSAGES, NR_SYNC, WHOSE
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import (
    ARG,
    HISTORY,
    KIND,
    NR,
    OLD_PLACE,
    OLD_STOP,
    OLD_VALUE,
    OVERFLOWED,
    PLACE,
    STOP,
    VIEWS,
    keep,
    low,
    owner_in,
)
from shmkret.text.marks import inline, outline

MOST_WORDS = MOST_SYNC // MOST_MESSAGES
FIRST_MESSAGE = PER_CPU * 16
"""The rows behind those of the CPUs are of messages: MOST_MESSAGES for each word, a ring."""
LOAD_ACQUIRE = steps.kind_of("load_acquire")

NEWEST, FENCED_VIEW, PLACES, BASES, VALUES = (8 * MOST_WORDS * j for j in range(5))
HISTORY_BYTES = VALUES + 8 * MOST_WORDS * MOST_MESSAGES
"""Where in the history: for each word the number of its newest message; the view of all fences; its address; the oldest message
that a running CPU may read, which is found anew for each state; and the values of its messages but for the newest, a ring."""


@inline
def word_of(c: int, place: int) -> int:
    """The number of a word that has messages; -1: it has none but what was there at first."""
    where = number_of(c, place)
    return ((peek(where) >> 16) & NUMBER) - 1 if where != 0 else -1


@outline
def numbered(c: int, place: int) -> int:
    """The same of a word that is to have some. -1: there are too many."""
    w = word_of(c, place)
    if w < 0:
        w = peek(c + NR_SYNC) // MOST_MESSAGES
        if w == MOST_WORDS:
            poke(c + CROWDED, 1)
            return -1
        where = number_of(c, place)
        poke(c + NR_SYNC, (w + 1) * MOST_MESSAGES)
        poke(where, peek(where) | (w + 1) << 16)
        poke(peek(c + HISTORY) + PLACES + 8 * w, place)
    return w


@inline
def newest_of(c: int, w: int) -> int:
    """Where the number of a word's newest message stands."""
    return peek(c + HISTORY) + NEWEST + 8 * w


@inline
def fenced(c: int, w: int) -> int:
    """Where the view of all fences stands, of a word."""
    return peek(c + HISTORY) + FENCED_VIEW + 8 * w


@inline
def value_of(c: int, w: int, n: int) -> int:
    """Where the value of a word's message n stands, which is not the newest."""
    return peek(c + HISTORY) + VALUES + 8 * (w * MOST_MESSAGES + n % MOST_MESSAGES)


@inline
def message(c: int, w: int, n: int) -> int:
    """The row of what a word's message n carries."""
    return peek(c + CLOCKS) + (FIRST_MESSAGE + w * MOST_MESSAGES + n % MOST_MESSAGES) * ROW


@inline
def view(c: int, of: int, w: int) -> int:
    """Where it stands which message of a word may still be read; of: a row, beside which the view lies."""
    return of + peek(c + VIEWS) - peek(c + CLOCKS) + 8 * w


@inline
def write(c: int, place: int, value: int) -> None:
    """Write a word of a view, or of the history."""
    if peek(place) != value:
        keep(c, place, value)


@inline
def raises(c: int, place: int, n: int) -> None:
    """From now on no message before that is read."""
    if peek(place) < n:
        keep(c, place, n)


@outline
def learns(c: int, nr: int, to: int, source: int) -> None:
    """What the one row and its view know, the other does, too."""
    joins(c, nr, to, source)
    for w in range(peek(c + NR_SYNC) // MOST_MESSAGES):
        raises(c, view(c, to, w), peek(view(c, source, w)))


@outline
def becomes(c: int, to: int, source: int) -> None:
    """The one row and its view know what the other does, and nothing else. source: 0 for nothing at all."""
    replaces(c, to, source)
    for w in range(peek(c + NR_SYNC) // MOST_MESSAGES):
        write(c, view(c, to, w), peek(view(c, source, w)) if source != 0 else 0)


@outline
def fences(c: int, nr: int, cpu: int) -> None:
    """A full barrier."""
    if peek(c + FENCES) == 0:
        poke(c + FENCES, 1)
        poke(c + LEARNS, 1)
    known = row(c, cpu, KNOWN)
    learns(c, nr, known, row(c, cpu, GIVEN))
    for w in range(peek(c + NR_SYNC) // MOST_MESSAGES):
        raises(c, view(c, known, w), peek(fenced(c, w)))
        raises(c, fenced(c, w), peek(view(c, known, w)))
    becomes(c, row(c, cpu, AT_FENCE), known)


@inline
def is_store(kind: int) -> bool:
    """Whether a step writes, and reads nothing."""
    return kind == steps.STORE or makes_anew(kind) or (kind == STORE_RELAXED or kind == STORE_RELEASE)  # noqa: SIM109 (Numba's tuples cost)


@inline
def makes_anew(kind: int) -> bool:
    """Whether a step is a call of libc that promises no order."""
    return kind == steps.SEM_RESET or kind == steps.MUTEX_INIT


@inline
def releases(kind: int) -> bool:
    """Whether the message of a step carries what its CPU knows."""
    return kind == STORE_RELEASE or kind == steps.CMPXCHG or adds(kind)


@inline
def acquires(kind: int, taken: bool) -> bool:
    """Whether a step knows what the message carries that it reads. A call of libc that fails promises nothing."""
    return (taken or kind == steps.CMPXCHG) and not gives_only(kind) and not is_store(kind)


@outline
def stores(c: int, nr: int, cpu: int, place: int, kind: int) -> None:
    """A word gets a new message, and its value comes to memory as the step is done. A word that is written plainly alone has
    none: nobody may read another than the newest.
    """
    is_plain = kind == steps.STORE or kind == steps.MUTEX_INIT
    w = word_of(c, place) if is_plain else numbered(c, place)
    if w < 0:
        return
    known = row(c, cpu, KNOWN)
    n = peek(newest_of(c, w)) + 1
    write(c, value_of(c, w, n - 1), peek(place))
    write(c, newest_of(c, w), n)
    becomes(c, message(c, w, n), 0 if is_store(kind) else message(c, w, n - 1))
    if releases(kind):
        learns(c, nr, message(c, w, n), known)
    elif not is_plain:
        learns(c, nr, message(c, w, n), row(c, cpu, AT_FENCE))
    raises(c, view(c, known, w), n)
    for i in range(nr):
        if peek(record_of(c, i) + KIND) < steps.DONE and peek(view(c, row(c, i, KNOWN), w)) <= n - MOST_MESSAGES:
            poke(c + OVERFLOWED, 1)


@inline
def sees(c: int) -> int:
    """A CPU (WHOSE) is about to do its step, and nobody comes between: it reads the message that is so many (BACK) before the
    newest.
    """
    nr, cpu, back = peek(c + NR), peek(c + WHOSE), peek(c + BACK)
    r = record_of(c, cpu)
    kind, place = peek(r + KIND), peek(r + PLACE)
    if kind == steps.FENCE or kind == steps.FUTEX_WAIT or kind == steps.FUTEX_WAKE:
        fences(c, nr, cpu)
    if kind == steps.LOAD:
        event(c, nr, cpu, place, READ)
        reads(c, cpu, place, 0)
    elif kind == steps.STORE or kind == steps.MUTEX_INIT:
        event(c, nr, cpu, place, WROTE)
        stores(c, nr, cpu, place, kind)
    elif kind != steps.FENCE and not only_queues(kind):
        races_by_design(c, nr, cpu, back)
    return 0


@inline
def reads(c: int, cpu: int, place: int, back: int) -> None:
    """A CPU reads a message, and none before it any more."""
    w = word_of(c, place)
    if w >= 0:
        raises(c, view(c, row(c, cpu, KNOWN), w), peek(newest_of(c, w)) - back)


@outline
def races_by_design(c: int, nr: int, cpu: int, back: int) -> None:
    """An atomic access."""
    r = record_of(c, cpu)
    kind, place, stop = peek(r + KIND), peek(r + PLACE), peek(r + STOP)
    known = row(c, cpu, KNOWN)
    w = word_of(c, place)
    stop_back = max(back - MOST_MESSAGES, 0)
    if back >= MOST_MESSAGES:
        back = in_vain(c, cpu)
        poke(r + OLD_STOP, 1)
    word = peek(place)
    if back > 0:
        word = peek(value_of(c, w, peek(newest_of(c, w)) - back))
        poke(r + OLD_PLACE, place)
        poke(r + OLD_VALUE, word)
    taken = was_taken(c, nr, r, kind, word)
    gives_up = stop != 0 and not taken
    writes = kind & steps.WRITES != 0 and taken
    event(c, nr, cpu, place, WROTE_ATOMICALLY if writes else READ_ATOMICALLY)
    if w >= 0 and not is_store(kind) and not gives_up:
        reads(c, cpu, place, back)
        source = message(c, w, peek(newest_of(c, w)) - back)
        if kind == LOAD_RELAXED or kind == steps.FUTEX_WAIT:
            if peek(c + FENCES) != 0:
                learns(c, nr, row(c, cpu, GIVEN), source)
        elif acquires(kind, taken):
            learns(c, nr, known, source)
    if stop != 0:
        event(c, nr, cpu, stop, READ_ATOMICALLY)
        if gives_up and word_of(c, stop) >= 0:
            reads(c, cpu, stop, stop_back)
            learns(c, nr, known, message(c, word_of(c, stop), peek(newest_of(c, word_of(c, stop))) - stop_back))
    if writes:
        stores(c, nr, cpu, place, kind)


@inline
def can_see(c: int) -> int:
    """Whether a CPU (WHOSE) can do its step on the message that is so many (BACK) before the newest: 1, or 0."""
    cpu, back = peek(c + WHOSE), peek(c + BACK)
    r = record_of(c, cpu)
    kind = peek(r + KIND)
    w = word_of(c, peek(r + PLACE))
    if kind >= steps.DONE:
        return 0
    if back >= MOST_MESSAGES:
        return 1 if is_told_late(c, cpu, back - MOST_MESSAGES) else 0
    if w < 0:
        return 0
    n = peek(newest_of(c, w)) - back
    oldest = peek(view(c, row(c, cpu, KNOWN), w))
    if kind == steps.FUTEX_WAIT:  # it is a fence first
        oldest = max(oldest, peek(view(c, row(c, cpu, GIVEN), w)), peek(fenced(c, w)))
    return 1 if n >= oldest and can_read(r, kind, peek(value_of(c, w, n))) else 0


@inline
def can_read(r: int, kind: int, value: int) -> bool:
    """Whether a step can be done where it reads that, and not the newest: then it writes nothing."""
    if kind == LOAD_RELAXED or kind == steps.FUTEX_WAIT:
        return True
    if kind == LOAD_ACQUIRE:
        return True
    if kind == steps.WAIT_EQUAL or kind == steps.WAIT_EQUAL_UNLESS:
        return value == peek(r + ARG)
    if kind == steps.WAIT_NOT_EQUAL or kind == steps.WAIT_NOT_EQUAL_UNLESS:
        return value != peek(r + ARG)
    if kind == steps.CMPXCHG:
        return value != peek(r + ARG)
    if kind == steps.SEM_TRYWAIT:
        return low(value) == 0
    return kind == steps.MUTEX_TRYLOCK and peek(r + ARG) == 0 and owner_in(value) != 0


@outline
def in_vain(c: int, cpu: int) -> int:
    """How many messages before the newest there is one that a CPU, which waits, may read, and that does not end its wait; -1:
    there is none.
    """
    r = record_of(c, cpu)
    kind, w = peek(r + KIND), word_of(c, peek(r + PLACE))
    if not ends_wait(r, kind, peek(peek(r + PLACE))):
        return 0
    if w >= 0:
        n = peek(newest_of(c, w))
        for back in range(1, min(n - peek(view(c, row(c, cpu, KNOWN), w)) + 1, MOST_MESSAGES)):
            if not ends_wait(r, kind, peek(value_of(c, w, n - back))):
                return back
    return -1


@inline
def ends_wait(r: int, kind: int, value: int) -> bool:
    """Whether what a CPU waits for has come."""
    if kind == steps.WAIT_EQUAL_UNLESS:
        return value == peek(r + ARG)
    if kind == steps.WAIT_NOT_EQUAL_UNLESS:
        return value != peek(r + ARG)
    return low(value) > 0 if kind == steps.SEM_WAIT_UNLESS else owner_in(value) == 0


@inline
def is_told_late(c: int, cpu: int, back: int) -> bool:
    """Whether a CPU can give up waiting as the message says that is so many before the newest of the word that ends its wait,
    after it has looked in vain. The newest of both is what it sees without this.
    """
    stop = peek(record_of(c, cpu) + STOP)
    if stop == 0:
        return False
    vain = in_vain(c, cpu)
    if back == 0:
        return vain > 0 and peek(stop) != 0
    w = word_of(c, stop)
    if w < 0 or vain < 0:
        return False
    n = peek(newest_of(c, w)) - back
    return n >= peek(view(c, row(c, cpu, KNOWN), w)) and peek(value_of(c, w, n)) != 0
