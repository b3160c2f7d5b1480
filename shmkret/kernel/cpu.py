"""A CPU: the outer loop of a worker process, and the phases that all CPUs follow.

    AT_GATE -> WARM_UP -> MEASURE -> COOL_DOWN -> STOP      the parent writes run.phase, forwards only while a CPU lives

Every CPU spins at the start line until all are ready, and goes on calling while any has not yet seen the window end, so that
nobody is measured against an idle neighbour. Each marks the clock and its count of calls itself, at the first batch that
sees the window begin and end. Between two batches the CPU is quiescent, and its next task runs.

Order     a CPU's store_release(ended_ns) pairs with the parent's load; its marks are complete by then
"""

from __future__ import annotations

from shmkret.arena.records import Kernel
from shmkret.kernel.program import idles, step
from shmkret.kernel.rcu import idle_enter, idle_exit, quiescent_state
from shmkret.kernel.sched import BLOCK, WORK, YIELD, has_next, schedule, yield_cpu
from shmkret.moves.intents import begin_wait, calls_of, end_wait, pass_gate
from shmkret.moves.oracle import PREEMPTED, report_bug
from shmkret.text.atomics import NE, NIL, cpu_relax, delay_ns, load_acquire, monotonic_ns, store_release, wait_until
from shmkret.text.marks import inline, outline
from shmkret.text.verbs import has_verb

AT_GATE, WARM_UP, MEASURE, COOL_DOWN, STOP = range(5)
PHASE = 0
BATCH = 64


@inline
def run_cpu(k: Kernel, cpu: int) -> None:
    """Run the worker program on `cpu` until the parent says STOP, or this CPU has seen a bug."""
    begin_wait(k.mode.recovery, k, cpu)
    store_release(k.cpus.ready, cpu, 1)
    wait_until(k.run.phase, PHASE, NE, AT_GATE)
    end_wait(k.mode.recovery, k, cpu)
    idle_exit(k, cpu)
    phase = AT_GATE
    k.cpus.need_resched[cpu] = WORK if k.run.work_ns[PHASE] != 0 else 0
    task = schedule(k, cpu, NIL)
    n = 0
    while phase != STOP and load_acquire(k.cpus.bug, cpu) == 0:
        if task == NIL:
            task = idle(k, cpu, phase)
        else:
            for _ in range(BATCH):
                step(k.worker, k, cpu, task, n)
                n += 1
                if k.cpus.need_resched[cpu] != 0:
                    task = end_round(k, cpu, task)
                    if task == NIL:
                        break
            task = tick(k, cpu, task)
            quiescent_state(k, cpu)
        pass_gate(k.mode.recovery, k, cpu)
        now = load_acquire(k.run.phase, PHASE)
        if now != phase:
            phase = now
            mark(k, cpu, phase)
    idle_enter(k, cpu)
    begin_wait(k.mode.recovery, k, cpu)
    store_release(k.cpus.ready, cpu, 2)


@inline
def one_round(k: Kernel, cpu: int, task: int, n: int) -> None:
    """What run_cpu() does with one round, for machines that have no loop: `task` begins and ends as the current one."""
    idle_exit(k, cpu)
    k.cpus.task[cpu] = task
    step(k.worker, k, cpu, task, n)
    idle_enter(k, cpu)


@inline
def tick(k: Kernel, cpu: int, task: int) -> int:
    """The timer: nothing of the path may be unfinished, and the next task of the queue, if there is one, gets the CPU."""
    if k.cpus.preempt_count[cpu] != 0 or k.cpus.irqs_off[cpu] != 0 or k.cpus.current_kprobe[cpu] != NIL:
        report_bug(k.cpus, cpu, PREEMPTED, task, k.cpus.preempt_count[cpu], 0)
    if task != NIL and has_next(k, cpu):
        yield_cpu(k, cpu)
        return schedule(k, cpu, task)
    return task


@outline
def end_round(k: Kernel, cpu: int, task: int) -> int:
    """The round is over, and this CPU has more to do than to begin the next: work_ns, or another task's turn."""
    if k.run.work_ns[PHASE] != 0:
        delay_ns(k.run.work_ns[PHASE])
    if k.cpus.need_resched[cpu] & (YIELD | BLOCK) != 0:
        return schedule(k, cpu, task)
    return task


@outline
def idle(k: Kernel, cpu: int, phase: int) -> int:
    """No task may run here: wait for one, or for the next phase. Grace periods do not wait for an idle CPU."""
    idle_enter(k, cpu)
    while not has_next(k, cpu) and load_acquire(k.run.phase, PHASE) == phase:
        pass_gate(k.mode.recovery, k, cpu)
        if has_verb(k.worker, "idles"):
            idles(k.worker, k, cpu)
        cpu_relax()
    idle_exit(k, cpu)
    return schedule(k, cpu, NIL)


@inline
def mark(k: Kernel, cpu: int, phase: int) -> None:
    """Note where this CPU stands as the measured window begins or ends."""
    if phase == MEASURE:
        k.cpus.began_calls[cpu] = calls_of(k, cpu)
        store_release(k.cpus.began_ns, cpu, monotonic_ns())
    if phase == COOL_DOWN:
        k.cpus.ended_calls[cpu] = calls_of(k, cpu)
        store_release(k.cpus.ended_ns, cpu, monotonic_ns())
