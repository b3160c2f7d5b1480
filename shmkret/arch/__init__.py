"""Architectures, one a file: where the return address of a call lies, and how the trampoline takes its place.

A file defines a NamedTuple class with one field, the stacks of all tasks, and these functions on it; k.tasks holds the
registers. `shmkret.arch._stack` and `shmkret.arch._link` have them for the two usual ways; a file imports what it shares.

    call_insn(arch, k, task, ret_addr)        the call instruction: the task will come back to ret_addr
    prologue(arch, k, task)                   a function that calls others makes its frame
    epilogue(arch, k, task)                   and takes it down
    return_insn(arch, k, task) -> address     the return instruction: where the task goes
    prepare_kretprobe(arch, k, ri, task)      arch_prepare_kretprobe(): save the return address in ri, put TRAMPOLINE there
    resume_at(arch, k, task, address)         the end of the trampoline: the task goes on at the real return address

and FEATURES, a set of

    trap        the trampoline is a trap with a kprobe of its own: the CPU is busy and not preempted for the whole walk, and the
                task's address is set inside it; otherwise assembly calls the handler, and sets the address last
    two-pass    the walk looks for the real return address before it runs any handler
    irqs-off    interrupts are masked from the breakpoint to its end

All addresses are those of the task's text. RETPC conventions are the file's own business.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from shmkret.errors import PluginError, UnknownName
from shmkret.plugins.contract import Constant, Contract, names, of_verb, one_record
from shmkret.text.marks import constant
from shmkret.text.verbs import generic

TRAMPOLINE = 0x7_0000_0000
"""Address of kretprobe_trampoline; no call site lies there."""
FRAME_WORDS = 2
"""Words of stack that a call and its prologue take, on every architecture: the return address and a register."""


@generic
def call_insn(arch: Any, k: Any, task: int, ret_addr: int) -> None:
    """Call: `task` will come back to `ret_addr`."""
    raise NotImplementedError


@generic
def prologue(arch: Any, k: Any, task: int) -> None:
    """Make the frame of a function that calls others."""
    raise NotImplementedError


@generic
def epilogue(arch: Any, k: Any, task: int) -> None:
    """Take down the frame that prologue() made."""
    raise NotImplementedError


@generic
def return_insn(arch: Any, k: Any, task: int) -> int:
    """Return: the address that `task` goes to."""
    raise NotImplementedError


@generic
def prepare_kretprobe(arch: Any, k: Any, ri: int, task: int) -> None:
    """Save the return address of the call that `task` has just made in `ri`, and replace it with TRAMPOLINE."""
    raise NotImplementedError


@generic
def resume_at(arch: Any, k: Any, task: int, address: int) -> None:
    """Let `task` go on at `address`, its real return address."""
    raise NotImplementedError


@constant
def has_feature(arch_class: Any, name: str) -> bool:
    """Whether an architecture has the feature `name`, a constant. Compiled code sees a constant."""
    return name in sys.modules[arch_class.__module__].FEATURES


FEATURES = ("trap", "two-pass", "irqs-off")


def _are_features(value: Any) -> str:
    words = names(value)
    strange = [] if words else sorted(set(value) - set(FEATURES))
    if strange:
        raise UnknownName("feature", strange[0], FEATURES)
    return words


def _check(contract: Contract, path: Path, module: ModuleType) -> None:
    arch: Any = one_record(contract, path, module)
    if len(arch._fields) != 1:
        raise PluginError(f"{path}: {arch.__name__} of an arch has one field, the stacks")


ARCH = Contract(
    name="arch",
    folder=Path(__file__).parent,
    package="shmkret.arch",
    record=one_record,
    signatures=tuple(map(of_verb, (call_insn, prologue, epilogue, return_insn, prepare_kretprobe, resume_at))),
    constants=(Constant("FEATURES", None, _are_features),),
    more=_check,
)
