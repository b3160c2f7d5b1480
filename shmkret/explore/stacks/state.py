"""What a state of a search is, as a number; which are known, and which are on the way that led here."""

from __future__ import annotations

from shmkret.explore.stacks.choices import record
from shmkret.explore.stacks.control import (
    BOUND,
    BY_PAST,
    CLOCK_PRINT,
    F_CHOICE,
    F_DIED,
    F_LAST,
    F_STATE,
    F_USED,
    F_WOKEN,
    FRAME,
    FRAMES,
    ON_PATH,
    PATH_MASK,
    STANDS,
    SYMMETRIC,
    VIEWS_PRINT,
    back_of,
    is_step,
)  # fmt: skip
from shmkret.explore.stacks.symmetry import has_begun
from shmkret.machines.compiled.stacks import ask, peek, poke
from shmkret.machines.compiled.watched import (
    COMMITTED,
    ISSUED,
    NR,
    OWN_PRINT,
    PAST,
    PRINT,
    VIEWS,
    cell,
    entry_of,
    mix,
    offset_of,
)  # fmt: skip
from shmkret.text.arithmetic import add64, mul64
from shmkret.text.marks import inline


@inline
def held_back(c: int, r: int) -> int:
    """The stores in a CPU's buffer, in order, as a number; 0 for none."""
    h = 0
    n = peek(r + COMMITTED)
    while n != peek(r + ISSUED):
        h = mix(add64(mul64(h, 7), cell(offset_of(c, peek(entry_of(r, n))), peek(entry_of(r, n) + 8))))
        n += 1
    return h


@inline
def fingerprint(c: int, nr: int, last: int, used: int, died: int, woken: int) -> int:
    """Where all stands, as a number that is not 0."""
    known = peek(c + CLOCK_PRINT) if peek(c + VIEWS) == 0 else ask(peek(c + VIEWS_PRINT), c)
    h = peek(c + PRINT) ^ known
    which = PAST
    if peek(c + BY_PAST) == 0:
        h = h ^ mix(peek(c + OWN_PRINT))
        which = STANDS
    for i in range(nr):
        r = record(c, i)
        h = mix(add64(mul64(h, 7), add64(peek(r + which), held_back(c, r))))
    h = mix(add64(h, add64(mul64(died, 31), woken)))
    if peek(c + SYMMETRIC) != 0:
        begun = 0
        for i in range(nr):
            begun += 1 if has_begun(record(c, i)) else 0
        h = mix(add64(h, begun))
    if peek(c + BOUND) >= 0:
        h = mix(add64(h, add64(mul64(last, 1009), used)))
    return h if h != 0 else 1


@inline
def is_new(table: int, places: int, h: int) -> bool:
    """Put a fingerprint into a table of any number of places below 2**31, if it is not there.

    Its place goes with its upper half: a larger table has all in the same order, but for those that had to move on.
    """
    i = ((h >> 32) & 0xFFFFFFFF) * places >> 32
    while True:
        there = peek(table + 8 * i)
        if there == h:
            return False
        if there == 0:
            poke(table + 8 * i, h)
            return True
        i = i + 1 if i + 1 < places else 0


@inline
def is_fair(c: int, at: int, frame: int) -> bool:
    """Whether a way can be gone for ever: who reads an old message, again and again, reads a newer one at last."""
    nr = peek(c + NR)
    while at < frame and not (is_step(peek(at + F_CHOICE), nr) and back_of(peek(at + F_CHOICE), nr) > 0):
        at += FRAME
    return at == frame


@inline
def is_on_path(c: int, frame: int, h: int) -> bool:
    """Whether the path that leads to this frame has been in that state before, and can go round for ever."""
    if peek(peek(c + ON_PATH) + 8 * (h & PATH_MASK)) != 0:
        at = peek(c + FRAMES)
        while at < frame:
            if peek(at + F_STATE) == h:
                return is_fair(c, at, frame)
            at += FRAME
    return False


@inline
def put_on_path(c: int, frame: int, h: int) -> None:
    """The path has come to this state, from which it goes on."""
    poke(frame + F_STATE, h)
    place = peek(c + ON_PATH) + 8 * (h & PATH_MASK)
    poke(place, peek(place) + 1)


@inline
def take_off_path(c: int, frame: int) -> None:
    """The path goes back from the state of this frame."""
    h = peek(frame + F_STATE)
    if h != 0:
        poke(frame + F_STATE, 0)
        place = peek(c + ON_PATH) + 8 * (h & PATH_MASK)
        poke(place, peek(place) - 1)


@inline
def state_of(c: int, nr: int, frame: int) -> int:
    """The fingerprint of the state to which the path has come."""
    return fingerprint(c, nr, peek(frame + F_LAST), peek(frame + F_USED), peek(frame + F_DIED), peek(frame + F_WOKEN))
