"""Compiles a CPU's loop.

Inlining  every function of the text and every verb is forced into the loop; only the loop itself is a compiled function.
Threads   what is changed of Numba while a loop is compiled is changed under Numba's own lock: nobody else compiles then.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from shmkret.arena import layout, records
from shmkret.errors import PluginError
from shmkret.machines.compiled.cache import FolderCache
from shmkret.machines.compiled.types import bind, make_kernel
from shmkret.machines.compiled.verbs import teach

SECTIONS = tuple(layout.RECORDS)


def compile_cpu(run_cpu: Callable[..., None], build: Any, cache: Path | None) -> Callable[..., None]:
    """The loop of a CPU, compiled for one choice of everything.

    Args:    build: a shmkret.build.Build: its classes and paddings are all that is used here.
             cache: the folder of compiled code, or None.
    Its arguments are the addresses of the sections, in the order of SECTIONS, the integers of a Kernel in
    theirs, and the cpu.

    Raises: PluginError, with what Numba said, when a function of the text does not compile.
    """
    teach()
    arch, scheme, lock, worker = (plugin.record for plugin in (build.arch, build.scheme, build.lock, build.worker))
    context, irq, primitives, clock, recovery_mode, handlers, bugs = build.mode_classes
    R = layout.records_with(lock)  # noqa: N806
    run_s, cpus_s, runqueues_s, tasks_s, entities_s, stack_s, functions_s, probes_s, instances_s, buckets_s, registry_s, \
        recovery_s, misses_s, script_s, data_s, latencies_s, table_locks_s, locks_s, system_locks_s = (
        layout.stride_of(name, record, layout.padding_of(name, build.padding, build.table_padding))
        for name, record in R.items()
    )  # fmt: skip
    Run, Cpus, Runqueues, Tasks, Entities, Stack, Functions, Probes, \
        Instances, Buckets, Registry, Recovery, Misses, Script, Data, Latencies, _, _, _ = R.values()  # fmt: skip  # noqa: N806
    Mode = build.mode  # noqa: N806

    # Each section's address is an argument: one register. Sums of the arena's address and an offset would be two.
    def loop(  # type: ignore[no-untyped-def]
        run, cpus, runqueues, tasks, entities, stack, functions, probes, instances, buckets, registry, recovery, misses,
        script, data, latencies, table_locks, locks, system_locks,
        nr_cpus, nr_slots, nr_tasks, nr_functions, nr_probes, nr_instances, nr_locks, script_words, data_words, hash_multiplier,
        handler_ns, cpu,
    ):  # fmt: skip
        k = make_kernel(
            (
                bind(Run, run_s, run),
                bind(Cpus, cpus_s, cpus),
                bind(Runqueues, runqueues_s, runqueues),
                bind(Tasks, tasks_s, tasks),
                bind(Entities, entities_s, entities),
                bind(Functions, functions_s, functions),
                bind(Probes, probes_s, probes),
                bind(Instances, instances_s, instances),
                bind(Buckets, buckets_s, buckets),
                bind(Registry, registry_s, registry),
                bind(Recovery, recovery_s, recovery),
                bind(Misses, misses_s, misses),
                bind(Script, script_s, script),
                bind(Data, data_s, data),
                bind(Latencies, latencies_s, latencies),
                bind(lock, system_locks_s, system_locks),
                arch(bind(Stack, stack_s, stack)),
                scheme(bind(lock, table_locks_s, table_locks), bind(lock, locks_s, locks)),
                worker(0),
                Mode(context(0), irq(0), primitives(0), clock(0), recovery_mode(0), handlers(0), bugs(0)),
                nr_cpus,
                nr_slots,
                nr_tasks,
                nr_functions,
                nr_probes,
                nr_instances,
                nr_locks,
                script_words,
                data_words,
                hash_multiplier,
                handler_ns,
            )
        )
        run_cpu(k, cpu)

    try:
        integers = [types.int64] * (len(SECTIONS) + len(records.INTEGERS) + 1)
        return compile_to(loop, types.void(*integers), cache and cache / f"{build.digest}-{run_cpu.__name__}")
    except Exception as error:  # Numba raises more than its own errors
        raise PluginError(f"the CPU's loop does not compile: {_innermost(str(error))}") from error


def _innermost(words: str) -> str:
    """The place and the reason in Numba's report, which nests one report a caller, the innermost first."""
    place = re.search(r'^ *File "([^"]+)", line (\d+):', words, re.MULTILINE)
    if not place:
        return words
    before = [line.strip() for line in words[: place.start()].splitlines() if line.strip()]
    reason = before[-1] if before else words
    if reason.startswith("Untyped global name") and "'function'" in reason:
        reason += "; mark that function with @inline, from shmkret.text"
    return f"{place[1]}:{place[2]}: {reason}"


@contextlib.contextmanager
def _linked_only() -> Iterator[None]:
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


def compile_to(function: Callable[..., Any], signature: Any, folder: Path | None) -> Callable[..., Any]:
    """Compile for one signature; a folder keeps what was compiled."""
    dispatcher = numba.njit(function)
    if folder:
        dispatcher._cache = FolderCache(folder, function)
    with global_compiler_lock, _linked_only():
        dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher  # type: ignore[no-any-return]
