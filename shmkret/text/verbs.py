"""Verbs: functions that dispatch on the class of their first argument, and the contracts that they belong to."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from shmkret.text.marks import F

generics: list[Callable[..., Any]] = []

defaults: dict[str, Callable[..., Any]] = {}


def generic(contract: F) -> F:
    """Make a verb that dispatches on its first argument: `acquire(lock, i)` runs the `acquire` of lock's own module.

    The class of the first argument, or the module that defines it, must hold a function of the same name. Plain Python
    looks it up at the call; compiled code at compile time, at no cost. It may leave out the last arguments.
    """
    name = contract.__name__

    def dispatch(subject: Any, *args: Any) -> Any:
        function = implementation(type(subject), name)
        code = function.__code__
        return function(subject, *(args if code.co_flags & inspect.CO_VARARGS else args[: code.co_argcount - 1]))

    verb = functools.wraps(contract)(dispatch)
    generics.append(verb)
    return verb  # type: ignore[return-value]


def optional(contract: F) -> F:
    """A verb as generic() makes them, which a plug-in may leave out: then the contract's own body runs."""
    defaults[contract.__name__] = contract
    return generic(contract)


def implementation(subject_class: type, name: str) -> Callable[..., Any]:
    """The function `name` of `subject_class`, or else of the module that defines it, or else the verb's default."""
    own = vars(subject_class).get(name)
    if inspect.isfunction(own):
        return own
    function: Callable[..., Any] | None = getattr(sys.modules[subject_class.__module__], name, defaults.get(name))
    if function is None:
        raise AttributeError(f"{sys.modules[subject_class.__module__].__name__} has no {name}()")
    return function
