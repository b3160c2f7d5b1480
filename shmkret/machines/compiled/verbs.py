"""Teaches Numba the text: its functions, its verbs, and the questions that are constants."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import lower_builtin, overload, register_jitable, type_callable

from shmkret.arch import has_feature
from shmkret.kernel.handlers import ask, has_handlers, tell
from shmkret.machines.compiled.types import INLINE, OUTLINE
from shmkret.moves.bugs import has_bug
from shmkret.moves.intents import recovers
from shmkret.text import marks, verbs


def _constant(question: Callable[..., bool], answer: Callable[[Any, str], bool]) -> None:
    """Compile `question(subject, "name")` to a constant, without a function of its own, which takes long to compile."""

    @type_callable(question)
    def typer(context):  # type: ignore[no-untyped-def]
        def typed(subject, name):  # type: ignore[no-untyped-def]
            return types.boolean if isinstance(name, types.StringLiteral) else None

        return typed

    @lower_builtin(question, types.Any, types.Any)
    def lowered(context, builder, signature, args):  # type: ignore[no-untyped-def]
        subject, name = signature.args
        return context.get_constant(types.boolean, answer(subject.instance_class, name.literal_value))


_constant(has_feature, lambda arch, name: name in sys.modules[arch.__module__].FEATURES)

_constant(has_bug, lambda bugs, name: name in bugs.names)

_constant(recovers, lambda recovery, name: name in recovery.names)

_constant(has_handlers, lambda declared, table: bool(getattr(declared, table)))


@overload(ask, jit_options=INLINE, strict=False)
def _ask(handlers: Any, number: Any, k: Any, cpu: Any, task: Any, subject: Any) -> Any:
    chain = _chain(handlers.instance_class.asked, 1, _answer, _no_answer)
    return lambda handlers, number, k, cpu, task, subject: chain(number, k, cpu, task, subject)


@overload(tell, jit_options=INLINE, strict=False)
def _tell(handlers: Any, number: Any, k: Any, cpu: Any, task: Any, subject: Any) -> Any:
    chain = _chain(handlers.instance_class.told, 1, _silence, _no_silence)
    return lambda handlers, number, k, cpu, task, subject: chain(number, k, cpu, task, subject)


def _chain(table: tuple[Callable[..., Any], ...], number: int, link: Callable[..., Any], end: Callable[..., Any]) -> Any:
    """Compare with each number in turn and call that handler: Numba has no table of functions that it could inline."""
    if not table:
        return register_jitable(**INLINE)(end)
    this = register_jitable(**INLINE)(table[0])
    rest = _chain(table[1:], number + 1, link, end)
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


_taught = 0

_outlines_taught = 0

_verbs_taught = 0


def teach() -> None:
    """Teach Numba every function that the text has marked so far, plug-ins included."""
    with global_compiler_lock:
        _teach()


def _teach() -> None:
    global _taught, _outlines_taught, _verbs_taught
    for function in marks.inlines[_taught:]:
        register_jitable(**INLINE)(function)
    _taught = len(marks.inlines)
    for function in marks.outlines[_outlines_taught:]:
        register_jitable(**OUTLINE)(function)
    _outlines_taught = len(marks.outlines)
    for verb in verbs.generics[_verbs_taught:]:
        _teach_verb(verb)
    _verbs_taught = len(verbs.generics)


def _without_last(function: Callable[..., Any]) -> Callable[..., Any]:
    if function.__code__.co_argcount == 2:
        return lambda lock, i, cpu: function(lock, i)
    return lambda lock, i, stop, cpu: function(lock, i, stop)


def _teach_verb(verb: Callable[..., Any]) -> None:
    def choose(subject: Any, *args: Any) -> Any:
        function = verbs.implementation(subject.instance_class, verb.__name__)
        if function.__code__.co_argcount == len(args):  # one argument fewer: a lock that does not ask which CPU it is
            return _without_last(register_jitable(**INLINE)(function))
        return function

    overload(verb, jit_options=INLINE, strict=False)(choose)
