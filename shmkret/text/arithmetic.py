"""Arithmetic that wraps as the kernel's integers do, whoever executes it; and what a word can hold.

Python's integers widen, numpy's scalars warn, compiled code wraps: in the text, these three agree.

    whole numbers of 64 bits, signed      are words; numpy's are, too
    True, False                           are 1 and 0
    what lies outside, floats, None ...   is refused, by its file and line

Where        uncompiled, wherever a value enters a word, is compared with one, or goes to libc: as_word(). Compiled, the type of
             the value is looked at, and every constant; what an addition comes to is not: there a word wraps
Not looked at  a number between two words: compiled, it has wrapped before it is compared with another
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from shmkret.errors import NotAWord

LEAST_WORD = -(1 << 63)
MOST_WORD = (1 << 63) - 1
WORD_IS = "a word is a whole number of 64 bits, signed"
_EXECUTE = ("shmkret.text.", "shmkret.machines.", "shmkret.explore.")
_MASK64 = (1 << 64) - 1

_MASK32 = (1 << 32) - 1


def add64(a: int, b: int) -> int:
    """a + b, wrapped to a signed 64-bit integer."""
    return _signed64(a + b)


def sub64(a: int, b: int) -> int:
    """a - b, wrapped to a signed 64-bit integer."""
    return _signed64(a - b)


def mul64(a: int, b: int) -> int:
    """a * b, wrapped to a signed 64-bit integer."""
    return _signed64(a * b)


def shr64(a: int, bits: int) -> int:
    """The 64-bit word `a` shifted right by 0 < bits < 64, zeros coming in: the result is not negative."""
    return (a & _MASK64) >> bits


def add32(a: int, b: int) -> int:
    """a + b as unsigned 32-bit integers, 0 <= result < 2**32."""
    return (a + b) & _MASK32


def sub32(a: int, b: int) -> int:
    """a - b as unsigned 32-bit integers, 0 <= result < 2**32."""
    return (a - b) & _MASK32


def bit_length(value: int) -> int:
    """Bits that `value` >= 0 needs: 0 for 0, else the place of its highest bit, from 1."""
    return value.bit_length()


def as_word(value: Any) -> int:
    """The value as a word holds it. Raises NotAWord, with the file and the line of who wanted it there."""
    if value.__class__ is int and LEAST_WORD <= value <= MOST_WORD:
        return value
    is_numpys = hasattr(value, "item") and getattr(value, "shape", None) == ()
    plain = value.item() if is_numpys else value
    if not isinstance(plain, int):
        raise NotAWord(f"{_place()}{value!r} is no word, but {_kind(value)}: {WORD_IS}")
    if not LEAST_WORD <= plain <= MOST_WORD:
        number = str(int(plain)) if plain.bit_length() < 200 else f"a number of {plain.bit_length()} bits"
        raise NotAWord(f"{_place()}{number} does not fit: {WORD_IS}; add64(), sub64() and mul64() wrap")
    return int(plain)


def _kind(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def _place() -> str:
    """FILE:LINE, and a colon: of the innermost code of the user's that runs, or of ours where none of his does."""
    frame: FrameType | None = sys._getframe()
    ours = None
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if not name.startswith("shmkret."):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}: "
        if not name.startswith(_EXECUTE):
            ours = ours or frame
        elif ours and not name.startswith("shmkret.text."):
            break  # from here on they are those who had it run
        frame = frame.f_back
    return f"{ours.f_code.co_filename}:{ours.f_lineno}: " if ours else ""


def _signed64(value: int) -> int:
    value &= _MASK64
    return value - (1 << 64) if value >> 63 else value
