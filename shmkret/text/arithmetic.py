"""Arithmetic that wraps as the kernel's integers do, whoever executes it.

Python's integers widen, numpy's scalars warn, compiled code wraps: in the text, these three agree.
"""

from __future__ import annotations

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


def _signed64(value: int) -> int:
    value &= _MASK64
    return value - (1 << 64) if value >> 63 else value
