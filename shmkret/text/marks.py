"""Marks *the text*: the plain functions that every machine executes.

Algorithms import nothing of Numba. They mark their functions here; `shmkret.machines.compiled` teaches Numba what is marked
when a machine needs native code, and the explored machine calls the same functions as they are.

    @inline      compiled into each of its callers
    @outline     rare and long: compiled once, and called
    @constant    a question about a class, answered when the text is compiled
    @table       calls one function of a table that a class holds, by its number
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Constant(NamedTuple):
    """A question of the text: `function(subject, name)`, and what answers it: `answer(class of the subject, name)`."""

    function: Callable[[Any, str], bool]
    answer: Callable[[Any, str], bool]


class Table(NamedTuple):
    """A call of the text: `function(subject, number, *arguments)`, and the attribute of the class that holds the functions."""

    function: Callable[..., Any]
    attribute: str
    answers: bool


inlines: list[Callable[..., Any]] = []
outlines: list[Callable[..., Any]] = []
constants: list[Constant] = []
tables: list[Table] = []


def inline(function: F) -> F:
    """Mark a function of the text. It stays the plain function; compiled, it is always inlined into its caller."""
    inlines.append(function)
    return function


def outline(function: F) -> F:
    """Mark a function of the text that is rare and long: compiled once, and called."""
    outlines.append(function)
    return function


def constant(answer: Callable[[Any, str], bool]) -> Callable[[Any, str], bool]:
    """Make a question of the text from what answers it for a class: asked with a subject of that class, and a constant name."""

    def ask(subject: Any, name: str) -> bool:
        return answer(type(subject), name)

    question = functools.wraps(answer)(ask)
    constants.append(Constant(question, answer))
    return question


def table(attribute: str, *, answers: bool) -> Callable[[F], F]:
    """Mark `function(subject, number, *arguments)`, which calls the function of that number, from 1, in a tuple of the class.

    Args:    attribute: where the class keeps the tuple. answers: whether the functions return a whole number; 0 where there is
             none of that number.
    """

    def mark(function: F) -> F:
        tables.append(Table(function, attribute, answers))
        return function

    return mark
