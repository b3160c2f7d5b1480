"""Verbs: functions that dispatch on the class of their first argument.

    acquire(lock, i, cpu)      runs the `acquire` of lock's own file

A verb is found by the class, by one rule for every machine: the function of that name that the class defines, or else the
function of that name in the module that defines the class. Compiled code looks when it is compiled, any other machine at
every call. A verb is never its own implementation, so that a module may import the verbs that it calls. Nothing is dropped
silently: an implementation has all parameters of the verb, or all but those that the verb says may be left out.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from shmkret.text.marks import constant

F = TypeVar("F", bound=Callable[..., Any])
Function = Callable[..., Any]

generics: list[Function] = []
_found: dict[tuple[type, str], tuple[Mapping[str, Any], Any, Function]] = {}
"""By class and verb: where the function was looked for last, what stood there, and what to call, with all parameters."""


class MissingVerb(AttributeError):
    """A class that does not have a verb, or has it with other parameters."""


def generic(contract: F) -> F:
    """Make a verb of a function, whose parameters and docstring are the contract. Every implementation has all parameters."""
    return _verb(contract, 0)


def droppable(contract: F) -> F:
    """As generic(); an implementation may leave out the last parameter."""
    return _verb(contract, 1)


def defaulted(contract: F) -> F:
    """As generic(), for the rare verb whose own body is right for every class that does not have it."""
    return _verb(contract, 0, contract)


def _verb(contract: F, may_drop: int, default: Function | None = None) -> F:
    def dispatch(subject: Any, *args: Any) -> Any:
        return implementation(type(subject), verb)(subject, *args)

    verb: Any = functools.wraps(contract)(dispatch)
    verb.parameters = tuple(inspect.signature(contract).parameters)
    verb.may_drop = may_drop
    verb.default = default
    generics.append(verb)
    return verb  # type: ignore[no-any-return]


def is_verb(value: Any) -> bool:
    """Whether it is a verb itself, and so no implementation of one."""
    return hasattr(value, "may_drop") and hasattr(value, "parameters")


def source(subject_class: type, name: str) -> Function | None:
    """The function of that name that a class has as a verb; None when it has none."""
    own = vars(subject_class).get(name)
    if inspect.isfunction(own):
        return own
    found = vars(sys.modules[subject_class.__module__]).get(name)
    return found if inspect.isfunction(found) and not is_verb(found) else None


def implementation(subject_class: type, verb: Any) -> Function:
    """What runs when `verb` is called with a subject of that class, with all parameters of the verb.

    Raises: MissingVerb when the class has no function of that name, or one with other parameters.
    """
    name = verb.__name__
    key = subject_class, verb.__qualname__
    known = _found.get(key)
    if known is not None and known[0].get(name) is known[1]:
        return known[2]
    function = source(subject_class, name) or verb.default
    if function is None:
        raise MissingVerb(f"{subject_class.__module__} has no {name}()")
    whole = with_all(function, verb.parameters, verb.may_drop)
    own = vars(subject_class)
    place = own if own.get(name) is function else vars(sys.modules[subject_class.__module__])
    _found[key] = place, place.get(name), whole
    return whole


def with_all(function: Function, parameters: tuple[str, ...], may_drop: int) -> Function:
    """The function itself if it has all parameters, or else one that leaves out the last. Raises MissingVerb for other
    numbers.
    """
    code = function.__code__
    missing = len(parameters) - code.co_argcount
    if code.co_flags & inspect.CO_VARARGS or missing == 0:
        return function
    if not 0 < missing <= may_drop:
        wanted = ", ".join(parameters)
        place = f"{code.co_filename}:{code.co_firstlineno}"
        raise MissingVerb(f"{place}: {function.__name__}() takes ({wanted}), this one takes {code.co_argcount}")
    return _WITHOUT_LAST[code.co_argcount](function)


_WITHOUT_LAST: dict[int, Callable[[Function], Function]] = {
    1: lambda function: lambda subject, last: function(subject),
    2: lambda function: lambda subject, a, last: function(subject, a),
    3: lambda function: lambda subject, a, b, last: function(subject, a, b),
    4: lambda function: lambda subject, a, b, c, last: function(subject, a, b, c),
}
"""By the number of parameters that are left. One lambda each: Numba compiles them as they stand."""


@constant
def has_verb(subject_class: Any, name: str) -> bool:
    """Whether the class of `subject` has the verb `name`, a constant. Part of the text; compiled code sees a constant."""
    return source(subject_class, name) is not None
