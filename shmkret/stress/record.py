"""What a run of `shmkret stress` has counted and found, in a shared page: it outlives the nemesis."""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterable

import numpy as np

MOST_TIMES = 1 << 20
"""Recovery times that are kept; later ones replace the oldest."""
MOST_TERMS = 64
MOST_SLOTS = 256
FINDINGS_BYTES = 1 << 16
NOTE_BYTES = 256
COUNTS = (
    "strikes",
    "calls",
    "kills",
    "recoveries",
    "stops",
    "rounds",
    "damaged",
    "stopped_holders",
    "fenced",
    "raised",
    "lost_guests",
    "lost",
    "doubled",
    "stuck",
    "count_errors",
    "other",
    "times",
    "done",
)


class Record:
    """Counts, recovery times (us), and for each term of the specification how often it struck, and how often elsewhere.

    calls: as of late, for the display. strikes: faults so far of the terms that strike while CPUs are at work. raised: CPUs
    that died of an exception in a handler or the worker program. lost_guests: processes not of ours that died.
    """

    def __init__(self) -> None:
        sizes = (8 * len(COUNTS), 8 * 2 * MOST_TERMS, 8 * MOST_SLOTS, 4 * MOST_TIMES)
        self._words = sum(sizes)
        self._map = mmap.mmap(-1, self._words + FINDINGS_BYTES + NOTE_BYTES)
        self.counts = np.frombuffer(self._map, np.int64, len(COUNTS))
        self._terms = np.frombuffer(self._map, np.int64, 2 * MOST_TERMS, sizes[0]).reshape(MOST_TERMS, 2)
        self._deaths = np.frombuffer(self._map, np.int64, MOST_SLOTS, sum(sizes[:2]))
        self._times = np.frombuffer(self._map, np.uint32, MOST_TIMES, sum(sizes[:3]))

    def add(self, name: str, n: int = 1) -> None:
        """Count."""
        self.counts[COUNTS.index(name)] += n

    def set(self, name: str, n: int) -> None:
        """Let a count be that."""
        self.counts[COUNTS.index(name)] = n

    def __getitem__(self, name: str) -> int:
        return int(self.counts[COUNTS.index(name)])

    def strike(self, term: int) -> None:
        """Count a fault of that term."""
        self._terms[term, 0] += 1

    def miss(self, term: int) -> None:
        """Of the faults of that term, one did not find what it looked for, and took what there was."""
        self._terms[term, 1] += 1

    def struck(self, term: int) -> int:
        """How many faults of that term there have been."""
        return int(self._terms[term, 0])

    def missed(self, term: int) -> int:
        """How many of them took what there was."""
        return int(self._terms[term, 1])

    def add_deaths(self, slots: Iterable[int]) -> None:
        """Count a death of each of these."""
        for slot in slots:
            self._deaths[slot] += 1

    def deaths(self, nr_slots: int) -> list[int]:
        """How often the process of each slot has died, and not ended because it was told to."""
        return self._deaths[:nr_slots].tolist()  # type: ignore[no-any-return]

    def add_time(self, ns: int) -> None:
        """From SIGKILL until every lock of the dead CPU was free, in ns."""
        self._times[self["times"] % MOST_TIMES] = min(max(0, ns // 1000), (1 << 32) - 1)
        self.add("times")

    def times_ms(self) -> dict[str, float | None]:
        """p50, p99 and max of the recovery times."""
        times = self._times[: min(self["times"], MOST_TIMES)] / 1000
        if not len(times):
            return {"p50": None, "p99": None, "max": None}
        p50, p99, most = np.percentile(times, [50, 99, 100]).tolist()
        return {"p50": round(p50, 4), "p99": round(p99, 4), "max": round(most, 4)}

    def note(self, what: str) -> None:
        """Keep a sentence that is no finding; the last one stays."""
        text = what.encode()[:NOTE_BYTES]
        self._map[-NOTE_BYTES:] = text.ljust(NOTE_BYTES, b"\0")

    def noted(self) -> str:
        """That sentence; empty when there was none."""
        return bytes(self._map[-NOTE_BYTES:]).rstrip(b"\0").decode(errors="replace")

    def say(self, findings: list[str]) -> None:
        """Keep what was found."""
        kept = findings[:20]
        while kept and len(json.dumps(kept)) > FINDINGS_BYTES - 8:
            kept.pop()
        text = json.dumps(kept or [findings[0][:1000]]).encode()
        self._map[self._words : self._words + 8] = len(text).to_bytes(8, "little")
        self._map[self._words + 8 : self._words + 8 + len(text)] = text

    def said(self) -> list[str]:
        """What was found."""
        size = int.from_bytes(self._map[self._words : self._words + 8], "little")
        found: list[str] = json.loads(self._map[self._words + 8 : self._words + 8 + size] or b"[]")
        return found
