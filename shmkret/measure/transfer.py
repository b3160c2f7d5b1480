"""What a cache line takes from one core to another: two pinned processes hand one word to and fro.

A virtual CPU may move under us, from one physical core to another, between two repetitions or within one. Pinning cannot
prevent it, and nothing tells; but lines then take another time. So the way is timed before and after each repetition.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from shmkret.host.crew import Crew

BATCHES, ROUNDS = 10, 200
PATIENCE_S = 5.0
RESULT = 16
"""The word that holds the result: two cache lines behind the word that is handed over."""


def ways_ns(cores: Sequence[int], folder: Path | None) -> dict[tuple[int, int], float]:
    """The ways between neighbours, cores in a ring, in ns one way, by pair of cores; empty for a single core.

    folder: where compiled code is kept. Raises: WorkerHung when a core does not run us for seconds.
    """
    distinct = list(dict.fromkeys(cores))
    ring = zip(distinct, distinct[1:] + distinct[:1], strict=True)
    return {(a, b): one_way_ns(a, b, folder) for a, b in dict.fromkeys((min(p), max(p)) for p in ring) if a != b}


def one_way_ns(one: int, other: int, folder: Path | None) -> float:
    """Half of a round trip between two cores, ns: the least of BATCHES batches of ROUNDS round trips."""
    from shmkret.machines import compiled

    ping_pong = compiled.helpers_of(folder)["ping_pong"]
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        address = int(np.frombuffer(page, np.int64).ctypes.data)

        def player(me: int) -> Callable[[], None]:
            return lambda: page.__setitem__(slice(8 * (RESULT + me), 8 * (RESULT + me + 1)), _bytes(ping_pong, address, me))

        with Crew([player(0), player(1)], [one, other]) as crew:
            crew.join(PATIENCE_S)
        return int.from_bytes(page[8 * RESULT : 8 * (RESULT + 1)], "little") / (2 * ROUNDS)


def _bytes(ping_pong: Callable[..., int], address: int, me: int) -> bytes:
    return int(ping_pong(address, me, BATCHES, ROUNDS)).to_bytes(8, "little")
