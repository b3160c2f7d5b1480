"""The one place that knows Numba: teaches it the text, and compiles a CPU's loop.

Read `types` (what a column and a Kernel are), `words` and `libc` (what an access and a call become), `verbs` (how the text is
taught), `loop` (what is compiled), `cache` and `trust` (where it is kept, and who else may write there), `helpers` (what is
compiled by itself).

Never     inline assembly (it aborts the process), dispatchers as arguments (never found in the cache), two integer types
          (a signed and an unsigned 64-bit value compare as floating point)
"""

from __future__ import annotations

from shmkret.errors import UnfitMachine

try:
    import numba as _numba  # noqa: F401
except Exception as error:  # its settings are checked as it is imported
    _said = f"Numba cannot be used: {error}; see the variables of the environment that begin with NUMBA_"
    raise UnfitMachine(_said) from error

from shmkret.machines.compiled import libc, words  # noqa: F401 (they teach Numba as they are imported)
from shmkret.machines.compiled.cache import cache_folder, require_supported_machine, unusual_settings
from shmkret.machines.compiled.helpers import CALLED, helpers_of
from shmkret.machines.compiled.loop import compile_cpu, compile_function, compile_question
from shmkret.machines.compiled.verbs import teach

__all__ = [
    "CALLED",
    "cache_folder",
    "compile_cpu",
    "compile_function",
    "compile_question",
    "helpers_of",
    "require_supported_machine",
    "teach",
    "unusual_settings",
]
