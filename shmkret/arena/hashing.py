"""Which bucket a task hangs its instances in: hash_ptr(), its multipliers, and the addresses that tasks have.

A bucket is the top KPROBE_HASH_BITS bits of `address * multiplier` modulo 2**64. The 32-bit multiplier is kept shifted
left by 32, which makes the same product give hash_ptr() of a 32-bit kernel.

Source    include/linux/hash.h and kernel/kprobes.c, Linux 2.6.26; include/linux/hash.h, Linux 5.4
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shmkret.errors import UnknownName
from shmkret.text.arithmetic import mul64, shr64
from shmkret.text.marks import inline

KPROBE_HASH_BITS = 6
NR_BUCKETS = 1 << KPROBE_HASH_BITS

MULTIPLIERS = {
    "mult-2008-64": 0x9E37FFFFFFFC0001,
    "mult-2008-32": 0x9E370001 << 32,
    "mult-2016": 0x61C8864680B583EB,
}


class AddressModel(NamedTuple):
    """Where a kernel of that kind puts its task_structs: task t lies at `base + t * size`."""

    base: int
    size: int


ADDRESS_MODELS = {
    "slab": AddressModel(0xFFFF88003D000000, 2624),  # objects of 41 cache lines, side by side
    "page": AddressModel(0xFFFF88003D000000, 4096),
    "ia64-stack": AddressModel(0xE000000100000000, 32768),  # task_struct and stacks in one page-order block
    "pid": AddressModel(300, 1),
}


@inline
def hash_ptr(address: int, multiplier: int) -> int:
    """The bucket of the task at `address`, 0 <= bucket < NR_BUCKETS."""
    return shr64(mul64(address, multiplier), 64 - KPROBE_HASH_BITS)


def multiplier(name: str) -> int:
    """The signed 64-bit multiplier called `name`. Raises UnknownName."""
    if name not in MULTIPLIERS:
        raise UnknownName("hash", name, MULTIPLIERS)
    return mul64(MULTIPLIERS[name], 1)


def task_addresses(model: str, nr_tasks: int) -> NDArray[np.int64]:
    """The addresses of `nr_tasks` tasks, int64[nr_tasks]. Raises UnknownName."""
    if model not in ADDRESS_MODELS:
        raise UnknownName("task-address model", model, ADDRESS_MODELS)
    base, size = ADDRESS_MODELS[model]
    addresses = np.arange(nr_tasks, dtype=np.uint64) * np.uint64(size) + np.uint64(base)
    return addresses.view(np.int64)
