"""Architectures, one a file: where the return address of a call lies, and how the trampoline takes its place.

A file defines a NamedTuple class and these functions on it:

    push_return(arch, k, task, ret_addr)      what the call instruction does with the address it comes back to
    pop_return(arch, k, task) -> address      what the return instruction does
    prepare_kretprobe(arch, k, ri, task)      arch_prepare_kretprobe(): save the address in ri, put the trampoline there
"""

from __future__ import annotations

from typing import Any

from shmkret.text import generic

TRAMPOLINE = 0x7_0000_0000
"""Address of kretprobe_trampoline; no call site lies there."""


@generic
def push_return(arch: Any, k: Any, task: int, ret_addr: int) -> None:
    """Call: `task` will come back to `ret_addr`."""
    raise NotImplementedError


@generic
def pop_return(arch: Any, k: Any, task: int) -> int:
    """Return: the address that `task` goes to."""
    raise NotImplementedError


@generic
def prepare_kretprobe(arch: Any, k: Any, ri: int, task: int) -> None:
    """Save the return address of the call that `task` has just made in `ri`, and replace it with TRAMPOLINE."""
    raise NotImplementedError
