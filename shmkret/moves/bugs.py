"""The historical bugs of kretprobes, each a switch: what went wrong, who fixed it, and when.

A scheme says in BUGS which of them it has by nature; `--bug` adds others to any scheme. The text asks has_bug() where the two
versions differ; compiled code decides it at compile time.

Source    kernel/kprobes.c and arch/*/kernel/kprobes.c, Linux 2.6.26 ... 5.11, and the commits named below
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from shmkret.errors import UnknownName
from shmkret.text.marks import constant


class Bug(NamedTuple):
    """One bug. `fixed`: the commit, or the discussion, that ended it."""

    name: str
    summary: str
    fixed: str


CATALOGUE = (
    Bug(
        "double-unlock",
        "entry handler refuses: rp->lock, dropped before it ran, is unlocked again",
        "f02b8624fedc, 2009",
    ),
    Bug(
        "leak-on-refusal",
        "entry handler refuses: the instance is put back nowhere",
        "after 3.0.101; believed 55ca6140e9bb, 2012",
    ),
    Bug("late-list-init", "kprobe_flush_task initialises its list of orphans after filling it", "d496aab567e7, 2012"),
    Bug("packed-table-locks", "the 64 bucket locks lie side by side, several to a cache line", "ef53d9c5e4da, 2008"),
    Bug(
        "probeable-helpers",
        "the bucket lock helpers are ordinary functions: a probe on one of them recurses into the lock",
        "017c39bdb1b3, 2009",
    ),
    Bug(
        "unmarked-flush",
        "kprobe_flush_task does not mark its CPU busy: a probed spin_lock deadlocks in it",
        "9b38cc704e84, 2020",
    ),
    Bug(
        "unmarked-cleanup",
        "unregistering does not mark its CPU busy while it looks for instances in flight: a probed spin_lock deadlocks in it",
        "e03b4a084ea6, 2020",
    ),
    Bug(
        "unmarked-walk",
        "the trampoline of x86 and arm does not mark its CPU busy: a probed spin_lock deadlocks in it",
        "b191fa96ea6d, 2019",
    ),
    Bug("early-reset", "trap architectures reset current_kprobe before they drop the bucket lock", "not known"),
    Bug("single-pass", "ia64 walks once: handlers see the trampoline where they look for the caller", "3661999a17b0, 2007"),
    Bug("racy-nmissed", "kp.nmissed is counted without lock or atomic", "never for kp.nmissed"),
    Bug("flush-current", "the reaper flushes its own task instead of the dead one", "in review, August 2020"),
    Bug(
        "no-grace-period",
        "unregistering does not wait until every CPU has left the handlers",
        "the contract of synchronize_sched",
    ),
    Bug(
        "no-reentrancy-check",
        "a probe hit by an interrupt inside the path runs, and current_kprobe is gone when the path goes on",
        "the contract of current_kprobe",
    ),
)
NAMES = tuple(bug.name for bug in CATALOGUE)


class Bugs(NamedTuple):
    """The bugs that are switched on: a class made by chosen() for each set, told apart by its attribute `names`."""

    unused: int


def chosen(names: Iterable[str]) -> type:
    """A class of Bugs for that set. Raises UnknownName."""
    wanted = frozenset(names)
    for name in sorted(wanted - frozenset(NAMES)):
        raise UnknownName("bug", name, NAMES)
    name = "Bugs_" + "_".join(sorted(wanted)).replace("-", "")
    return type(name, (Bugs,), {"__module__": __name__, "__slots__": (), "names": wanted})


@constant
def has_bug(bugs_class: Any, name: str) -> bool:
    """Whether the bug `name`, a constant, is switched on. Part of the text; compiled code sees a constant."""
    return name in bugs_class.names
