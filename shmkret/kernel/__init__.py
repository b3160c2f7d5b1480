"""The kernel: probes and their path, tasks, CPUs, interrupts, grace periods. Whoever writes a worker program imports this face.

Read `kretprobes` (a probed call from entry to return), `kprobes` (the breakpoint), `running` (handlers, and a CPU inside
one), `task` (what a program's tasks do, and the oracle), `handlers` (probes as a user declares them), `mode`,
`registration`, `rcu`, `sched`, `irq`, `primitives`, `busy`, `program`, `cpu` (the loop of a CPU).
"""

from shmkret.arch import FRAME_WORDS, epilogue, prologue
from shmkret.arena.records import Kernel
from shmkret.kernel.handlers import Kprobe, Kretprobe, data_at, regs_return_value, set_return_value
from shmkret.kernel.irq import raise_irq
from shmkret.kernel.kprobes import call, enter, ret
from shmkret.kernel.kretprobes import kprobe_flush_task
from shmkret.kernel.registration import (
    EINVAL,
    ENOMEM,
    allocations_may_fail,
    register_kprobe,
    register_kretprobe,
    register_probe,
    register_probes,
    unregister_probe,
    unregister_probes,
)
from shmkret.kernel.sched import block, migrate, wake, yield_cpu
from shmkret.kernel.task import (
    call_and_return,
    call_site,
    check_return,
    check_return_value,
    fork_task,
    stack_top,
)
from shmkret.moves.oracle import WORKER_BUG, report_bug
from shmkret.text import NIL, Words, delay_ns, inline, outline

__all__ = [
    "EINVAL",
    "ENOMEM",
    "FRAME_WORDS",
    "NIL",
    "WORKER_BUG",
    "Kernel",
    "Kprobe",
    "Kretprobe",
    "Words",
    "allocations_may_fail",
    "block",
    "call",
    "call_and_return",
    "call_site",
    "check_return",
    "check_return_value",
    "data_at",
    "delay_ns",
    "enter",
    "epilogue",
    "fork_task",
    "inline",
    "kprobe_flush_task",
    "migrate",
    "outline",
    "prologue",
    "raise_irq",
    "register_kprobe",
    "register_kretprobe",
    "register_probe",
    "register_probes",
    "regs_return_value",
    "report_bug",
    "ret",
    "set_return_value",
    "stack_top",
    "unregister_probe",
    "unregister_probes",
    "wake",
    "yield_cpu",
]
