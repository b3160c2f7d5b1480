"""Marks *the text*: the plain functions that every machine executes.

Algorithms import nothing of Numba. They mark their functions here; `shmkret.machines.compiled` teaches them to Numba when a
machine needs native code, and the explored machine calls them as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

inlines: list[Callable[..., Any]] = []

outlines: list[Callable[..., Any]] = []


def inline(function: F) -> F:
    """Mark a function of the text. It stays the plain function; compiled, it is always inlined into its caller."""
    inlines.append(function)
    return function


def outline(function: F) -> F:
    """Mark a function of the text that is rare and long: compiled once, and called."""
    outlines.append(function)
    return function
