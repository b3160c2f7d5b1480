"""What messages and views add to the number of a state: shmkret.explore.stacks.views.

Messages are counted from the oldest that a running CPU may read. So what all have passed is forgotten, and two ways that differ
in that alone lead to one state.
"""

from __future__ import annotations

from shmkret.explore.stacks.clocks import AT_FENCE, GIVEN, KNOWN, record_of, row
from shmkret.explore.stacks.control import MOST_MESSAGES, NR_PLAIN, NR_SYNC
from shmkret.explore.stacks.views import BASES, MOST_WORDS, fenced, message, newest_of, value_of, view
from shmkret.machines.compiled import steps
from shmkret.machines.compiled.stacks import peek, poke
from shmkret.machines.compiled.watched import HISTORY, KIND, NR, cell
from shmkret.text.marks import inline, outline


@inline
def oldest_read(c: int, nr: int, w: int) -> int:
    """The oldest message of a word that a running CPU may read; the newest, when all have ended."""
    n = peek(newest_of(c, w))
    oldest = n
    for i in range(nr):
        if peek(record_of(c, i) + KIND) < steps.DONE:
            oldest = min(oldest, peek(view(c, row(c, i, KNOWN), w)))
    return max(oldest, n - MOST_MESSAGES + 1)


@outline
def print_of(c: int, of: int, beside: int, salt: int) -> int:
    """What a row and its view add to the fingerprint, but for what is known of another, beside, anyway (0: of none)."""
    h = 0
    for w in range(peek(c + NR_SYNC) // MOST_MESSAGES):
        n = peek(view(c, of, w))
        if beside == 0 or n > peek(view(c, beside, w)):
            n -= peek(peek(c + HISTORY) + BASES + 8 * w)
            if n > 0:
                h ^= cell(salt << 32 | w, n)
    return h ^ events_of(c, of, beside, salt)


@inline
def events_of(c: int, of: int, beside: int, salt: int) -> int:
    """The same of a row alone."""
    h = 0
    for n in range(peek(c + NR_PLAIN)):
        bits = peek(of + 8 * n) & ~(peek(beside + 8 * n) if beside != 0 else 0)
        if bits != 0:
            h ^= cell(salt << 32 | (MOST_WORDS + n), bits)
    return h


@inline
def views_print(c: int) -> int:
    """What all messages and views add to the fingerprint of a state."""
    nr, history = peek(c + NR), peek(c + HISTORY)
    words = peek(c + NR_SYNC) // MOST_MESSAGES
    for w in range(words):
        poke(history + BASES + 8 * w, oldest_read(c, nr, w))
    h = 0
    for i in range(nr):
        known = row(c, i, KNOWN)
        if peek(record_of(c, i) + KIND) < steps.DONE:
            h ^= print_of(c, known, 0, 4 * i + 1)
            h ^= print_of(c, row(c, i, GIVEN), known, 4 * i + 2)
            h ^= print_of(c, row(c, i, AT_FENCE), 0, 4 * i + 3)
        else:
            h ^= events_of(c, known, 0, 4 * i + 1)
    for w in range(words):
        newest, base = peek(newest_of(c, w)), peek(history + BASES + 8 * w)
        if peek(fenced(c, w)) > base:
            h ^= cell(1 << 50 | w, peek(fenced(c, w)) - base)
        for n in range(base, newest + 1):
            salt = 100 + w * MOST_MESSAGES + n - base
            h ^= print_of(c, message(c, w, n), 0, salt)
            if n < newest:
                h ^= cell(salt << 32 | 1 << 20, peek(value_of(c, w, n)))
    return h
