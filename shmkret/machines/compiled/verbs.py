"""Teaches Numba the text: its functions, its verbs, its questions and its tables, plug-ins included."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import lower_builtin, overload, register_jitable, type_callable

from shmkret.machines.compiled.holders import is_watched, noting
from shmkret.machines.compiled.types import INLINE, OUTLINE
from shmkret.text import marks, verbs

LOCKS = "shmkret.locks"
"""Whose verbs say who holds a lock."""
_taught: dict[str, int] = {"inlines": 0, "outlines": 0, "generics": 0, "constants": 0, "tables": 0}
"""How many of each have been taught."""


def teach() -> None:
    """Teach Numba every function that the text has marked so far."""
    with global_compiler_lock:
        for function in _new("inlines", marks.inlines):
            register_jitable(**INLINE)(function)
        for function in _new("outlines", marks.outlines):
            register_jitable(**OUTLINE)(function)
        for verb in _new("generics", verbs.generics):
            _teach_verb(verb)
        for question in _new("constants", marks.constants):
            _teach_constant(question)
        for table in _new("tables", marks.tables):
            _teach_table(table)


def _new(kind: str, marked: list[Any]) -> list[Any]:
    found = marked[_taught[kind] :]
    _taught[kind] = len(marked)
    return found


def _teach_verb(verb: Any) -> None:
    def choose(subject: Any, *args: Any) -> Any:
        subject_class = subject.instance_class
        function = verbs.source(subject_class, verb.__name__) or verb.default
        if function is None:
            return _missing(verb)
        register_jitable(**INLINE)(function)
        whole = verbs.implementation(subject_class, verb)
        if verb.__module__ != LOCKS or not is_watched(subject):
            return whole
        return noting(verb.__name__, whole, in_turn=bool(getattr(sys.modules[subject_class.__module__], "FIFO", False)))

    overload(verb, jit_options=INLINE, strict=False)(choose)


_abort = types.ExternalFunction("abort", types.void())


def _missing(verb: Any) -> Callable[..., Any]:
    """What stands for a verb that a class does not have, behind a question that the class answers with no: never run, and if it
    were, the process would end.
    """
    names = ", ".join(verb.parameters)
    answer = {"bool": "return False", "int": "return 0"}.get(str(verb.__wrapped__.__annotations__.get("return")), "return None")
    scope: dict[str, Any] = {"abort": _abort}
    source = f"def missing({names}):\n    abort()\n    {answer}\n"
    exec(compile(source, f"<{verb.__name__}>", "exec"), scope)  # noqa: S102 (it must have the verb's parameters)
    return scope["missing"]  # type: ignore[no-any-return]


def _teach_constant(question: marks.Constant) -> None:
    """Compile `question(subject, "name")` to a constant, without a function of its own, which takes long to compile."""

    @type_callable(question.function)
    def typer(context):  # type: ignore[no-untyped-def]
        def typed(subject, name):  # type: ignore[no-untyped-def]
            return types.boolean if isinstance(name, types.StringLiteral) else None

        return typed

    @lower_builtin(question.function, types.Any, types.Any)
    def lowered(context, builder, signature, args):  # type: ignore[no-untyped-def]
        subject, name = signature.args
        return context.get_constant(types.boolean, question.answer(subject.instance_class, name.literal_value))


def _teach_table(table: marks.Table) -> None:
    """Compare with each number in turn and call that function: Numba has no table of functions that it could inline."""
    link, end = (_answer, _no_answer) if table.answers else (_silence, _no_silence)

    def choose(subject: Any, number: Any, k: Any, cpu: Any, task: Any, which: Any) -> Any:
        chain = _chain(getattr(subject.instance_class, table.attribute), 1, link, end)
        return lambda subject, number, k, cpu, task, which: chain(number, k, cpu, task, which)

    overload(table.function, jit_options=INLINE, strict=False)(choose)


def _chain(functions: tuple[Callable[..., Any], ...], number: int, link: Callable[..., Any], end: Callable[..., Any]) -> Any:
    if not functions:
        return register_jitable(**INLINE)(end)
    this = register_jitable(**INLINE)(functions[0])
    rest = _chain(functions[1:], number + 1, link, end)
    return register_jitable(**INLINE)(link(number, this, rest))


def _answer(number: int, this: Any, rest: Any) -> Callable[..., int]:
    def link(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
        if which == number:
            return np.int64(this(k, cpu, task, subject))
        return rest(which, k, cpu, task, subject)

    return link


def _no_answer(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
    return np.int64(0)


def _silence(number: int, this: Any, rest: Any) -> Callable[..., None]:
    def link(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
        if which == number:
            this(k, cpu, task, subject)
        else:
            rest(which, k, cpu, task, subject)

    return link


def _no_silence(which, k, cpu, task, subject):  # type: ignore[no-untyped-def]
    pass
