"""Whether a mutant is killed: what its search says, and what the same search says of the text as it stands.

A row is one of `shmkret explore --json`; a search that came to none has a sentence instead.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from shmkret.explore.mutants import Mutant

Row = dict[str, Any]
CRASHES = re.compile(r"crashes: SIG|runs on for|raises an exception|^the search")
"""What no kill is, whatever a mutant's data say: it names nothing that a slip has broken."""
MOST_PREEMPTIONS = 3


class Verdict(NamedTuple):
    """by: the words of the violation that kills it, or why it is not killed. expected: it ends as its data say."""

    killed: bool
    expected: bool
    by: str
    preemptions: int | None = None
    replay: str = ""


def judged(mutant: Mutant, mutated: Row | str, stands: Row | str) -> Verdict:
    """mutated, stands: the search of the mutant, and of the text as it stands."""
    for what, row in (("its search", mutated), ("the search of what stands there", stands)):
        if isinstance(row, str):
            return Verdict(False, False, f"not killed: {what}: {row}")
    assert not isinstance(mutated, str)
    assert not isinstance(stands, str)
    found, right = _violation(mutated), _violation(stands)
    if mutant.misses:
        return _missed(mutant, mutated, found, right)
    if not stands["complete"]:
        return Verdict(False, False, f"not killed: what stands there is not clean: {_said(stands, right)}")
    if found is None:
        said = f"not killed: {_said(mutated, found)}"
        return Verdict(False, bool(mutant.harmless) and mutated["complete"], mutant.harmless or said)
    what, preemptions, replay = found["what"], found["preemptions"], found["replay"]
    if CRASHES.search(what) or not mutant.by or not re.search(mutant.by, what):
        return Verdict(False, False, f"not killed by what it breaks: {what}", preemptions, replay)
    return Verdict(True, preemptions is not None and preemptions <= MOST_PREEMPTIONS, what, preemptions, replay)


def _missed(mutant: Mutant, mutated: Row, found: Row | None, right: Row | None) -> Verdict:
    """Of a slip of the explorer that hides something."""
    if right is None or not re.search(mutant.misses, right["what"]):
        return Verdict(False, False, f"not killed: the right search does not find {mutant.misses!r}")
    if found is None and mutated["complete"]:
        return Verdict(True, True, f"complete, and has not seen: {right['what']}", right["preemptions"], right["replay"])
    return Verdict(False, False, f"not killed: {_said(mutated, found)}")


def _violation(row: Row) -> Row | None:
    return row["violations"][0] if row["violations"] else None


def _said(row: Row, violation: Row | None) -> str:
    if violation:
        return str(violation["what"])
    return "complete, without a violation" if row["complete"] else f"bounded: {row['bound']}"
