"""replay: the tasks of a recording. Each does what its words say (shmkret.measure.replay.program); any CPU runs any task.

    HEAD               what the run says: see below
    CPU_WORDS a CPU    USER_US, NR_SLEEPERS, and the tasks that sleep there with the time at which each is woken
    TASK_WORDS a task  where it is in its program, what is left of the work before its op, how often it was woken and has
                       waited; when it was made, and when it ended, on the clock of the run
    the program        from w[PROGRAM] on

Order     who wakes a task counts it before; so a task that is about to wait finds it, or is woken
"""

from typing import Any

from shmkret.kernel import (
    NIL,
    Kernel,
    block,
    call,
    call_site,
    check_return,
    kprobe_flush_task,
    ret,
    stack_top,
    wake,
    yield_cpu,
)
from shmkret.kernel.sched import pull, wake_on
from shmkret.measure.replay.program import (
    BEFORE_AT,
    CALL,
    END,
    ENTER,
    EXIT,
    FORK,
    INSIDE_AT,
    MOST_BEFORE,
    MOST_NUMBER,
    RETURN,
    SLEEP,
    WAIT,
    WAKE,
    X_AT,
)
from shmkret.text.atomics import cpu_relax, fetch_add, load_acquire, monotonic_ns, store_release
from shmkret.text.marks import inline, outline
from shmkret.trace.recording import UNKNOWN

NS_PER_US, LOOPS_PER_1024_NS, ALIVE, DONE_NS, PROGRAM, CPUS_AT, TASKS_AT, SLICE_US = range(8)
HEAD = 16
USER_US, NR_SLEEPERS, SLEEPERS = 0, 1, 8
MOST_SLEEPERS = 64
CPU_WORDS = SLEEPERS + 2 * MOST_SLEEPERS
FIRST, DONE, LEFT, WOKEN, WAITED, BORN, DUE, CALLS, ENDED = range(9)
TASK_WORDS = 16
NR_FUNCTIONS = 1 + UNKNOWN
TASKS_PER_CPU = 1


def nr_functions(nr_cpus: int) -> int:
    """As many as there are numbers of calls."""
    return NR_FUNCTIONS


def nr_probes(nr_cpus: int) -> int:
    """The whole table is probed."""
    return NR_FUNCTIONS


def step(worker: Any, k: Kernel, cpu: int, task: int, n: int) -> None:
    """One op of the task, or a slice of the work before it."""
    w = k.script.word
    me = w[TASKS_AT] + task * TASK_WORDS
    if w[w[CPUS_AT] + cpu * CPU_WORDS + NR_SLEEPERS] != 0:
        wake_sleepers(k, cpu)
    if load_acquire(w, me + BORN) == 0:
        block(k, cpu)
        return
    at = w[PROGRAM] + w[me + FIRST] + w[me + DONE]
    op = w[at] & 15
    if w[me + LEFT] == 0:
        w[me + LEFT] = 1 + ((w[at] >> BEFORE_AT) & MOST_BEFORE)
    left = w[me + LEFT] - 1
    if left > 0:
        now = left if left < w[SLICE_US] else w[SLICE_US]
        work(k, now)
        w[me + LEFT] -= now
        if k.tasks.place[task] == 0:
            w[w[CPUS_AT] + cpu * CPU_WORDS + USER_US] += now
        if left > now:
            yield_cpu(k, cpu)
            return
    x = w[at] >> X_AT
    if op == CALL:
        call(k, cpu, task, x & MOST_NUMBER, call_site(task, w[me + DONE]))
        work(k, x >> INSIDE_AT)
        comes_back(k, cpu, task, me)
    elif op == ENTER:
        k.tasks.place[task] = 1 + w[me + DONE]
        call(k, cpu, task, x, call_site(task, w[me + DONE]))
    elif op == RETURN:
        left_at = w[me + DONE]
        w[me + DONE] = k.tasks.place[task] - 1
        comes_back(k, cpu, task, me)
        w[me + DONE] = left_at
        k.tasks.place[task] = 0
    elif op == WAIT:
        if load_acquire(w, me + WOKEN) == w[me + WAITED]:
            block(k, cpu)
            return
        w[me + WAITED] += 1
    elif op == SLEEP:
        if not has_slept(k, cpu, task, me, x):
            return
    elif op == WAKE:
        other = w[TASKS_AT] + x * TASK_WORDS
        fetch_add(w, other + WOKEN, 1)
        wake_on(k, cpu, x, cpu_for(k, load_acquire(k.entities.cpu, x)))
    elif op == FORK:
        store_release(w, w[TASKS_AT] + x * TASK_WORDS + BORN, monotonic_ns())
        wake_on(k, cpu, x, cpu_for(k, cpu))
    elif op == EXIT:
        kprobe_flush_task(k, cpu, task)
        w[me + ENDED] = monotonic_ns()
        k.tasks.sp[task] = stack_top(task)
        k.tasks.place[task] = 0
    elif op == END:
        end(k, cpu, task, me)
        block(k, cpu)
        return
    w[me + DONE] += 1
    w[me + LEFT] = 0


@inline
def comes_back(k: Kernel, cpu: int, task: int, me: int) -> None:
    """The task returns from the call of its op DONE, and the oracle looks."""
    ret(k, cpu, task)
    check_return(k, cpu, task, call_site(task, k.script.word[me + DONE]), stack_top(task))
    k.script.word[me + CALLS] += 1


@inline
def work(k: Kernel, us: int) -> None:
    """So many microseconds of the recording, as this run has them, in turns of a loop."""
    loops = us * k.script.word[NS_PER_US] * k.script.word[LOOPS_PER_1024_NS] >> 10
    for _ in range(loops):
        cpu_relax()


@outline
def has_slept(k: Kernel, cpu: int, task: int, me: int, us: int) -> bool:
    """Whether the time of a task that sleeps is over; else it sleeps, and is woken then, or comes to look again."""
    w = k.script.word
    now = monotonic_ns()
    if w[me + DUE] == 0:
        own = w[CPUS_AT] + cpu * CPU_WORDS
        nr = w[own + NR_SLEEPERS]
        if nr == MOST_SLEEPERS:
            yield_cpu(k, cpu)  # there is no place where it would be woken from
            return False
        w[me + DUE] = now + us * w[NS_PER_US]
        w[own + SLEEPERS + 2 * nr] = task
        w[own + SLEEPERS + 2 * nr + 1] = w[me + DUE]
        w[own + NR_SLEEPERS] = nr + 1
    if now < w[me + DUE]:
        block(k, cpu)
        return False
    w[me + DUE] = 0
    return True


@outline
def wake_sleepers(k: Kernel, cpu: int) -> None:
    """Those of this CPU whose time is over."""
    w = k.script.word
    own = w[CPUS_AT] + cpu * CPU_WORDS
    now = monotonic_ns()
    i = 0
    while i < w[own + NR_SLEEPERS]:
        at = own + SLEEPERS + 2 * i
        if w[at + 1] <= now:
            task = w[at]
            last = own + SLEEPERS + 2 * (w[own + NR_SLEEPERS] - 1)
            w[at] = w[last]
            w[at + 1] = w[last + 1]
            w[own + NR_SLEEPERS] -= 1
            wake(k, cpu, task)
        else:
            i += 1


@outline
def end(k: Kernel, cpu: int, task: int, me: int) -> None:
    """Nothing more is known of the task; the run ends with the last one."""
    w = k.script.word
    if w[me + LEFT] >= 0:
        w[me + LEFT] = -1
        if fetch_add(w, ALIVE, -1) == 1:
            store_release(w, DONE_NS, monotonic_ns())


@outline
def cpu_for(k: Kernel, usual: int) -> int:
    """Where a task that is woken goes on: where it was, unless another CPU is idle and that one is not."""
    if load_acquire(k.cpus.task, usual) == NIL:
        return usual
    for other in range(k.nr_cpus):
        if load_acquire(k.cpus.task, other) == NIL and load_acquire(k.runqueues.first, other) == NIL:
            return other
    return usual


def idles(worker: Any, k: Kernel, cpu: int) -> None:
    """This CPU has nothing to do: somebody's time may be over, or another CPU have a task too many."""
    if k.script.word[k.script.word[CPUS_AT] + cpu * CPU_WORDS + NR_SLEEPERS] != 0:
        wake_sleepers(k, cpu)
    for other in range(k.nr_cpus):
        if other != cpu and load_acquire(k.runqueues.first, other) != NIL:
            pull(k, cpu, other)
            return
