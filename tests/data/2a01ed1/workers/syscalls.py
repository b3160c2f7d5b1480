"""syscalls: every CPU makes system calls, each with a probe of its own, drawn with the frequencies of a kernel build.

The counts are those of `make -j8 vmlinux` of Linux 6.1.192 (kbuild-syscalls.csv: 68 calls, 4,459,665 times). exit_group never
returns: its instance is flushed, and the task's record becomes a new task.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shmkret.layout import Kernel
from shmkret.probes import call, call_and_return, call_site, fork_task, kprobe_flush_task

CALLS = list(csv.DictReader(Path(__file__).with_name("kbuild-syscalls.csv").read_text().splitlines()))
DRAWN = 1 << 14
EXIT_GROUP = next(i for i, row in enumerate(CALLS) if row["name"] == "exit_group")


def nr_probes(nr_cpus: int) -> int:
    return len(CALLS)


def script(nr_cpus: int, rng: np.random.Generator) -> NDArray[np.int64]:
    counts = np.array([int(call["count"]) for call in CALLS], float)
    return rng.choice(len(CALLS), nr_cpus * DRAWN, p=counts / counts.sum())


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    syscall = k.script.word[cpu * DRAWN + (n & (DRAWN - 1))]
    if syscall == EXIT_GROUP:
        call(k, cpu, task, syscall, call_site(task, n))
        kprobe_flush_task(k, cpu, task)
        fork_task(k, task)
    else:
        call_and_return(k, cpu, task, syscall, n)
