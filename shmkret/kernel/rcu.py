"""Quiescent states and grace periods: what unregistering waits for.

    quiescent[cpu]   even: the CPU may be inside the path; odd: it is idle, waits, or is gone
                     it grows by 2 whenever the CPU passes from one batch of rounds of its program to the next

    CPU 0: unregister            CPU 1
    unlinks the probe
                                 still holds the probe that it found before
    reads quiescent[1] = 6       ...
    waits until it is not 6      round over: 6 -> 8, whatever it finds now is new
    frees the instances

Always    a CPU passes a quiescent state with preemption on and outside every probe
Order     all accesses to `quiescent` are read-modify-writes: either the waiter sees the new value, or the CPU, whose own comes
          later, sees everything that the waiter did before
Source    synchronize_sched(), Linux 2.6.26; the counter is that of dynticks, Linux 2.6.29
"""

from __future__ import annotations

from shmkret.arena.records import KPROBE_MUTEX, Kernel
from shmkret.moves.intents import begin_wait, end_wait
from shmkret.moves.locking import lock_system, unlock_system
from shmkret.moves.oracle import MAY_NOT_SLEEP, report_bug
from shmkret.text.atomics import NE, NIL, fetch_add, monotonic_ns, wait_until
from shmkret.text.marks import inline


@inline
def quiescent_state(k: Kernel, cpu: int) -> None:
    """The CPU is between two rounds: it holds nothing that it found before."""
    fetch_add(k.runqueues.quiescent, cpu, 2)


@inline
def idle_enter(k: Kernel, cpu: int) -> None:
    """From here on nobody waits for this CPU."""
    fetch_add(k.runqueues.quiescent, cpu, 1)


@inline
def idle_exit(k: Kernel, cpu: int) -> None:
    """This CPU may find probes again."""
    fetch_add(k.runqueues.quiescent, cpu, 1)


@inline
def might_sleep(k: Kernel, cpu: int) -> None:
    """Whoever may sleep must not be inside a probe, under a lock or in an interrupt: others would take it for quiescent."""
    if k.cpus.preempt_count[cpu] != 0 or k.cpus.current_kprobe[cpu] != NIL or k.cpus.irqs_off[cpu] != 0:
        report_bug(k.cpus, cpu, MAY_NOT_SLEEP, k.cpus.task[cpu], k.cpus.preempt_count[cpu], 0)


@inline
def synchronize_sched(k: Kernel, cpu: int) -> None:
    """Wait until every CPU that was inside the path has left it. An idle or ended one is not waited for; a stopped one is."""
    might_sleep(k, cpu)
    began = monotonic_ns()
    idle_enter(k, cpu)
    for other in range(k.nr_cpus):
        seen = fetch_add(k.runqueues.quiescent, other, 0)
        if other != cpu and seen & 1 == 0:
            k.cpus.waits_for[cpu] = other
            begin_wait(k.mode.recovery, k, cpu)
            wait_until(k.runqueues.quiescent, other, NE, seen)
            end_wait(k.mode.recovery, k, cpu)
    k.cpus.waits_for[cpu] = NIL
    idle_exit(k, cpu)
    k.cpus.grace_periods[cpu] += 1
    k.cpus.grace_ns[cpu] += monotonic_ns() - began


@inline
def mutex_lock(k: Kernel, cpu: int) -> None:
    """kprobe_mutex: who waits for it sleeps, and whoever holds it may wait for a grace period meanwhile."""
    might_sleep(k, cpu)
    idle_enter(k, cpu)
    lock_system(k, cpu, KPROBE_MUTEX)
    idle_exit(k, cpu)


@inline
def mutex_unlock(k: Kernel, cpu: int) -> None:
    """Give kprobe_mutex back."""
    unlock_system(k, cpu, KPROBE_MUTEX)
