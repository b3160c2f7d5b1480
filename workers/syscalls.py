"""syscalls: every CPU makes system calls, each with a probe of its own, drawn with the frequencies of a kernel build.

The counts are those of `make -j8 vmlinux` of Linux 6.1.192 (kbuild-syscalls.csv: 67 calls, 4,449,365 times).
exit_group is left out: it never returns, and kprobe_flush_task(), which frees its instance, is not built yet.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret.layout import Kernel
from shmkret.probes import call_and_return

CALLS = list(csv.DictReader(Path(__file__).with_name("kbuild-syscalls.csv").read_text().splitlines()))
DRAWN = 1 << 14


def nr_probes(nr_cpus: int) -> int:
    return len(CALLS)


def script(nr_cpus: int, rng: np.random.Generator) -> NDArray[np.int64]:
    counts = np.array([int(call["count"]) for call in CALLS], float)
    return rng.choice(len(CALLS), nr_cpus * DRAWN, p=counts / counts.sum())


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> int:
    call_and_return(k, cpu, task, k.script.word[cpu * DRAWN + (n & (DRAWN - 1))], n)
    return 1
