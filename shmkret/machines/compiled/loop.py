"""Compiles a CPU's loop.

Inlining  every function of the text and every verb is forced into the loop; only the loop itself is a compiled function.
Threads   what is changed of Numba while a loop is compiled is changed under Numba's own lock: nobody else compiles then.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.typing.typeof import typeof_impl

from shmkret.arena.records import Script
from shmkret.arena.shape import Group
from shmkret.errors import PluginError
from shmkret.machines.compiled.cache import FolderCache, alone
from shmkret.machines.compiled.steps import ACCESSES, LIBC, NOT_SEARCHED
from shmkret.machines.compiled.types import bind, kernel_maker
from shmkret.machines.compiled.verbs import teach
from shmkret.machines.compiled.watching import finished
from shmkret.text.arithmetic import LEAST_WORD, MOST_WORD, WORD_IS

INT, WORD, STOP = "int", "word", "stop"
"""Kinds of arguments of compile_function(): a number; the address of a word, which the function gets as (words, i); the
address of a word that it gets as a column."""


def compile_cpu(
    loop_of: Callable[..., None], shape: Group, strides: Mapping[str, int], folder: Path | None, *, watched: bool = False
) -> Callable[..., None]:
    """The loop of a CPU, compiled for one choice of everything: `loop(address of the parameters, cpu)`.

    Args:    loop_of: a function of the text, of (k, cpu). shape, strides: what a Kernel is, and how far apart the records of
             each section lie, in the order of the arena. folder: where compiled code is kept, or None. watched: every access to
             a word, and every call of libc, is a call of what stands for it in a search (shmkret.machines.compiled.watched).
    Raises:  PluginError, with what Numba said, when a function of the text does not compile.
    """
    teach()
    make = kernel_maker(shape, strides, watched=watched)

    # The address of each section is read once: one register. A sum of the arena's address and an offset would be two.
    def loop(parameters, cpu):  # type: ignore[no-untyped-def]
        loop_of(make(parameters), cpu)

    def searched(parameters, cpu):  # type: ignore[no-untyped-def]
        loop_of(make(parameters), cpu)
        finished()

    try:
        return compile_to(searched if watched else loop, types.void(types.int64, types.int64), folder, watched=watched)
    except Exception as error:  # Numba raises more than its own errors
        raise PluginError(f"the CPU's loop does not compile: {_innermost(str(error))}") from error


def compile_question(
    asks: Callable[[Any], int], shape: Group, strides: Mapping[str, int], folder: Path | None
) -> Callable[[int], int]:
    """A question about an arena, `asks(k) -> a whole number`, of the text, compiled: it takes the address of the parameters.

    Its accesses are plain ones: it is asked while no CPU runs. Raises: PluginError, as compile_cpu().
    """
    teach()
    make = kernel_maker(shape, strides)

    def question(parameters):  # type: ignore[no-untyped-def]
        return np.int64(asks(make(parameters)))

    try:
        return compile_to(question, types.int64(types.int64), folder)
    except Exception as error:  # Numba raises more than its own errors
        raise PluginError(f"what is asked of every state does not compile: {_innermost(str(error))}") from error


def compile_function(text: Callable[..., Any], kinds: Sequence[str], folder: Path | None) -> Callable[..., int]:
    """A function of the text, compiled by itself: it takes whole numbers, of these kinds, and answers with one (nothing: 0)."""
    teach()
    names = [f"a{j}" for j in range(len(kinds))]
    taken = {INT: "{0}", WORD: "bind(Column, 8, {0}).word, 0", STOP: "bind(Column, 8, {0}).word"}
    arguments = ", ".join(taken[kind].format(name) for kind, name in zip(kinds, names, strict=True))
    answers = str(inspect.signature(text).return_annotation) not in ("None", "<class 'NoneType'>")
    body = f"return int64(text({arguments}))" if answers else f"text({arguments})\n    return 0"
    scope: dict[str, Any] = {"__name__": __name__, "text": text, "bind": bind, "Column": Script, "int64": np.int64}
    source = f"def {text.__name__}({', '.join(names)}):\n    {body}\n"
    exec(compile(source, f"<{text.__name__}>", "exec"), scope)  # noqa: S102 (Numba takes a signature's arguments by name)
    return compile_to(scope[text.__name__], types.int64(*[types.int64] * len(kinds)), folder)


def _innermost(words: str) -> str:
    """The place and the reason in Numba's report, which nests one report a caller, the innermost first."""
    place = re.search(r'^ *File "([^"]+)", line (\d+):', words, re.MULTILINE)
    if not place:
        return words
    before = [line for line in map(str.strip, words[: place.start()].splitlines()) if line and not WHERE.match(line)]
    reason = before[-1] if before else words
    no_word = re.search(rf"^ *(?:\w+: )?(.*{re.escape(WORD_IS)}.*)$", words, re.MULTILINE)
    if no_word:
        reason = no_word[1]
    if reason.startswith("Untyped global name") and "'function'" in reason:
        reason += "; mark that function with @inline, from shmkret.text"
    if "re-entrant" in reason:
        reason = "it calls itself, which no function of the text may"
    return f"{place[1]}:{place[2]}: {reason}"


def address_of(compiled: Any) -> int:
    """The address of what compile_to() has compiled, as a function of C that takes and returns 64-bit integers."""
    (result,) = compiled.overloads.values()
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_cfunc_wrapper_name))


def entry_of(compiled: Any) -> int:
    """The address of what compile_to() has compiled, as Numba calls it: with places for the result and for what is raised, both
    of a word, before the arguments.
    """
    (result,) = compiled.overloads.values()
    return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))


WHERE = re.compile("During: |raised from ")
FENCE = "fence seq_cst"
DEEPEST = 5000
"""Calls of Python within one another, of which the deepest path of our own takes a fifth and more."""


def _call_for_fences(library: Any) -> None:
    """Let a library call a hook where it has a fence, which is on no word whose type would say that it is watched."""
    text = str(library._final_module)
    if FENCE not in text:
        return
    hook, kind = ACCESSES["fence"]
    text = text.replace(FENCE, f"call void @shmkret_{hook}(i64 {kind})")  # an answer would need a number of its own
    library._final_module = llvm.parse_assembly(f"{text}\ndeclare void @shmkret_{hook}(i64)\n")


def _rename_libc(library: Any) -> None:
    """Before a library is made executable, let it call the models of libc's functions in place of these, and one for fences."""
    finalize = library._finalize_final_module

    def renamed() -> None:
        _call_for_fences(library)
        functions = list(library._final_module.functions)
        called = {function.name for function in functions if function.is_declaration}
        # What is not there would be called at address 0.
        strange = sorted(name for name in called & {*LIBC, *NOT_SEARCHED} if not llvm.address_of_symbol(f"shmkret_{name}"))
        if strange:
            raise PluginError(f"it calls {', '.join(strange)}, of which a search has no model")
        for function in functions:
            if function.is_declaration and function.name in LIBC:
                function.name = f"shmkret_{function.name}"
            elif not function.is_declaration and function.linkage == llvm.Linkage.linkonce_odr:
                function.linkage = "internal"  # else LLVM may take the copy that was linked into another loop
        finalize()

    library._finalize_final_module = renamed


@contextlib.contextmanager
def _linked_only(*, watched: bool) -> Iterator[None]:
    """While this block runs, functions without a wrapper for Python are linked into their callers and made nothing else.

    Numba would make each executable, with all that it contains; only the loop is. What is rare stays out of line.
    """
    context = cpu_target.target_context
    executable = context.get_executable

    def get_executable(library: Any, descriptor: Any, environment: Any) -> Any:
        defined = {function.name: function for function in library._final_module.functions if not function.is_declaration}
        own = defined.get(descriptor.llvm_func_name)
        # A loop from the cache is machine code already, and defines nothing here.
        if own is None or descriptor.llvm_cpython_wrapper_name in defined:
            if watched and own is not None:
                _rename_libc(library)
            return executable(library, descriptor, environment)
        if not descriptor.inline:
            own.add_function_attribute("noinline")
        library._finalize_specific = lambda: None
        return [].append  # Numba wants some builtin function, of which only the identity is used

    context.get_executable = get_executable
    try:
        yield
    finally:
        del context.get_executable


@contextlib.contextmanager
def _words_only() -> Iterator[None]:
    """While this block runs, a constant is a word. Numba would take 1 << 63 for unsigned, and a sum with it for a float."""
    numbas = typeof_impl.dispatch(int)

    def typed(value: int, context: Any) -> Any:
        if not LEAST_WORD <= value <= MOST_WORD:
            raise ValueError(f"{value} does not fit: {WORD_IS}")
        return numbas(value, context)

    typeof_impl.register(int, typed)
    try:
        yield
    finally:
        typeof_impl.register(int, numbas)


@contextlib.contextmanager
def _deep() -> Iterator[None]:
    """Numba compiles what a function calls while it compiles that, and takes some forty calls of Python for each level."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, DEEPEST))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def compile_to(
    function: Callable[..., Any], signature: Any, folder: Path | None, *, watched: bool = False
) -> Callable[..., Any]:
    """Compile for one signature; a folder keeps what was compiled. watched: it calls models of libc's functions."""
    dispatcher = numba.njit(function)
    if folder:
        dispatcher._cache = FolderCache(folder, function)
    with (
        alone(folder) if folder else contextlib.nullcontext(),
        global_compiler_lock,
        _linked_only(watched=watched),
        _words_only(),
        _deep(),
    ):
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher  # type: ignore[no-any-return]
