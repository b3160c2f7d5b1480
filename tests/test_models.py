"""What the explorer knows of kernel and libc, held against them: in one process, by threads, and between processes that die.

A thing does one of what its model may do; where the model does but one, they are equal.
"""

import contextlib
import ctypes
import errno
import itertools
import mmap
import os
import signal
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shmkret.arena.fields import dtype_of
from shmkret.arena.records import Buckets
from shmkret.explore.greenlets import futex
from shmkret.explore.greenlets.cpu import Memory, WaitsForever
from shmkret.explore.greenlets.libc import SEM_VALUE_MAX, NotExplorable
from shmkret.explore.greenlets.machine import ExploredMachine
from shmkret.explore.greenlets.promises import PROMISES, table
from shmkret.explore.greenlets.run import one_run
from shmkret.explore.greenlets.steps import DIES
from shmkret.explore.scenario import Scenario
from shmkret.explore.schedule import explore
from shmkret.host import posix
from shmkret.host.ptrace import SYS_FUTEX
from shmkret.machines.plain import PlainMachine, PlainWords
from shmkret.text import atomics, libc
from shmkret.text.atomics import address_of, futex_wait
from shmkret.text.libc import CALLS, OWNER_DIED

from .conftest import REPOSITORY

COMPARED = {
    "test_the_kernel_compares_what_the_model_compares": {"futex_wait"},
    "test_a_signal_ends_a_wait_for_no_reason": {"futex_wait"},
    "test_the_kernel_wakes_as_many_as_the_model": {"futex_wake"},
    "test_one_cpu_does_the_same_on_both": {
        *("sem_init", "sem_wait", "sem_post", "sem_value", "sem_trywait", "sem_wait_unless", "sem_reset"),
        *("mutex_init", "mutex_is_free", "mutex_lock", "mutex_unlock", "mutex_trylock", "mutex_lock_unless"),
        *("robust_init", "robust_is_free", "robust_lock", "robust_trylock", "robust_unlock", "wait_unless"),
    },
    "test_what_a_dead_process_leaves_is_what_the_model_says": {"sem_wait", "mutex_lock", "robust_lock", "robust_unlock"},
    "test_of_two_who_wait_for_a_dead_holder_one_is_told": {"robust_lock"},
    "test_a_signal_does_not_end_a_wait_for_a_semaphore": {"sem_wait", "sem_post"},
}
NOT_COMPARED = {
    "sem_open": "its word lies in no arena",
    "kick": "the model is nothing",
    "wait_until": "tests/test_atomics.py",
    "monotonic_ns": "the model has a pace of its own: tests/test_bounded.py",
}


def test_every_call_has_a_row_that_the_documents_show_and_that_is_compared_or_says_why_not():
    calls = {name for name, call in CALLS.items() if not call.compiled}

    assert set(PROMISES) == calls | {"futex_wait", "futex_wake", "wait_until", "wait_unless", "monotonic_ns"}
    assert set(PROMISES) == set().union(*COMPARED.values(), NOT_COMPARED)
    assert COMPARED.keys() <= globals().keys()
    assert table() in (REPOSITORY / "docs" / "models.md").read_text()


# The kernel, through its system call.

FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE = 0, 1, 3
C = ctypes.CDLL(None, use_errno=True)


def call_futex(word, op, value, timeout=None, other=None):
    """syscall(SYS_futex); returns what it returned, and errno."""
    number = SYS_FUTEX[os.uname().machine]
    status = C.syscall(number, ctypes.byref(word), op, ctypes.c_uint32(value & 0xFFFFFFFF), timeout, other, 0)
    return status, ctypes.get_errno()


def at_once():
    return (ctypes.c_int64 * 2)(0, 0)


WORDS = (0, 1, -1, 1 << 31, 1 << 32, (1 << 32) + 1, -(1 << 32), (1 << 63) - 1, -(1 << 63))


def sleeps(word, value):
    """Whether FUTEX_WAIT lies down in the model."""

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("x", [word])
        return Scenario([partial(futex_wait, words, 0, value)], list, wakes=0)

    return bool(explore(scenario).violations)


def test_the_kernel_compares_what_the_model_compares():
    for word, value in itertools.product(WORDS, WORDS):
        _, why = call_futex(ctypes.c_int64(word), FUTEX_WAIT, value, at_once())
        assert why in (errno.ETIMEDOUT, errno.EAGAIN)
        assert sleeps(word, value) == (why == errno.ETIMEDOUT), (word, value)


@contextlib.contextmanager
def threads_asleep(nr):
    """Threads that sleep on the word that is given."""
    word, bed = ctypes.c_int64(0), ctypes.c_int64(0)
    threads = [threading.Thread(target=call_futex, args=(word, FUTEX_WAIT, 0)) for _ in range(nr)]
    for thread in threads:
        thread.start()
    moved = 0
    while moved < nr:  # whoever sleeps on `word` is laid into the bed
        moved += call_futex(word, FUTEX_REQUEUE, 0, ctypes.c_void_p(nr), ctypes.byref(bed))[0]
    yield bed
    call_futex(bed, FUTEX_WAKE, nr)
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4, -1, 1 << 30, (1 << 31) + 5, 1 << 32, (1 << 32) + 2])
def test_the_kernel_wakes_as_many_as_the_model(most):
    with threads_asleep(3) as bed:
        woken, _ = call_futex(bed, FUTEX_WAKE, most)

    assert woken == min(3, futex.nr_woken(most))


@pytest.fixture
def alarms():
    """SIGALRM, again and again, which a handler takes."""
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_signal_ends_a_wait_for_no_reason(alarms):
    assert call_futex(ctypes.c_int64(0), FUTEX_WAIT, 0) == (-1, errno.EINTR)


# libc, as the plain machine calls it.


KEPT = []
"""Memory that has held a robust mutex. libc keeps a list of those that a thread has, by address, so that it stays for good."""


class Thing:
    """Words in memory that forked processes share."""

    def __init__(self):
        self.machine = PlainMachine()
        self.fresh()

    def fresh(self):
        records = np.frombuffer(mmap.mmap(-1, 4096), dtype_of(Buckets, 64), 4)
        KEPT.append(records)
        self.words = PlainWords(records["first"])


@pytest.fixture(scope="module")
def thing():
    the_thing = Thing()
    the_thing.machine.prepare(
        *("load_acquire", "store_release"),
        *("sem_wait", "sem_post", "sem_trywait", "sem_wait_unless"),
        *("mutex_lock", "mutex_unlock", "mutex_trylock", "mutex_lock_unless"),
        *("robust_lock", "robust_trylock", "robust_unlock"),
    )
    return the_thing


X, STOP = 1, 0
MAKES = {
    "sem": lambda words: libc.sem_init(address_of(words, X), 1),
    "mutex": lambda words: libc.mutex_init(address_of(words, X)),
    "robust": lambda words: libc.robust_init(address_of(words, X)),
}


def on_x(call):
    return lambda words: call(address_of(words, X))


def unless(call, told):
    def code(words):
        atomics.store_release(words, STOP, told)
        return call(address_of(words, X), words)

    return code


DOES = {
    "sem": {
        **{name: on_x(getattr(libc, f"sem_{name}")) for name in ("wait", "post", "trywait", "value")},
        "wait unless told": unless(libc.sem_wait_unless, 1),
        "wait unless": unless(libc.sem_wait_unless, 0),
        "reset 0": lambda words: libc.sem_reset(address_of(words, X), 0),
        "reset 2": lambda words: libc.sem_reset(address_of(words, X), 2),
        "reset most": lambda words: libc.sem_reset(address_of(words, X), SEM_VALUE_MAX),
    },
    "mutex": {
        **{name: on_x(getattr(libc, f"mutex_{name}")) for name in ("lock", "unlock", "trylock", "is_free", "init")},
        "lock unless told": unless(libc.mutex_lock_unless, 1),
        "lock unless": unless(libc.mutex_lock_unless, 0),
    },
    "robust": {name: on_x(getattr(libc, f"robust_{name}")) for name in ("lock", "unlock", "trylock", "is_free")},
}


@pytest.mark.parametrize("kind", DOES)
@settings(max_examples=60)
@given(data=st.data())
def test_one_cpu_does_the_same_on_both(kind, data, thing):
    """But for what it would wait for for ever, and what nothing is said of: the model refuses that."""
    explored = ExploredMachine()
    words = explored.words("x", [0] * 4)
    thing.fresh()
    with atomics.use(explored):
        MAKES[kind](words)
    with atomics.use(thing.machine):
        MAKES[kind](thing.words)
    for name in data.draw(st.lists(st.sampled_from(sorted(DOES[kind])), max_size=12)):
        try:
            with atomics.use(explored):
                said = DOES[kind][name](words)
        except (WaitsForever, NotExplorable):
            continue
        with atomics.use(thing.machine):
            assert DOES[kind][name](thing.words) == said, name


@pytest.mark.parametrize(("word", "told"), [(0, 1), (1, 0), (1, 1)])
def test_one_cpu_that_may_be_told_to_stop_does_the_same_on_both(word, told, thing):
    thing.fresh()
    explored = ExploredMachine()
    said = []
    for machine, words in ((explored, explored.words("x", [0] * 4)), (thing.machine, thing.words)):
        with atomics.use(machine):
            atomics.store_release(words, X, word)
            atomics.store_release(words, STOP, told)
            said.append(atomics.wait_unless(words, X, atomics.EQ, 1, words))

    assert said[0] == said[1]


# Processes, some of which die.

LOCKS = {
    "sem": ("sem_wait", "sem_post", "sem_trywait"),
    "mutex": ("mutex_lock", "mutex_unlock", "mutex_trylock"),
    "robust": ("robust_lock", "robust_unlock", "robust_trylock"),
}


def in_a_child(body):
    """Fork a process that does something and exits with what it returns; an alarm ends it. Its pid."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        status = 99
        try:
            status = int(body() or 0)
        finally:
            os._exit(status)
    return pid


def status_of(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def dies_after(kind, steps):
    """What a holder does that is killed after so many steps, and what one who comes then is told, twice."""
    lock, unlock, tries = (getattr(libc, name) for name in LOCKS[kind])

    def holder(words):
        for call in (lock, unlock)[:steps]:
            call(address_of(words, X))

    def comes(words):
        said = [int(tries(address_of(words, X)))]
        if said[0] == (0 if kind == "robust" else 1) or (kind == "robust" and said[0] == OWNER_DIED):
            unlock(address_of(words, X))
        return [*said, int(tries(address_of(words, X)))]

    return holder, comes


@pytest.mark.parametrize("kind", LOCKS)
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_what_a_dead_process_leaves_is_what_the_model_says(kind, steps, thing):
    holder, comes = dies_after(kind, steps)
    said = []

    def scenario(machine: ExploredMachine) -> Scenario:
        words = machine.words("x", [0] * 4)
        MAKES[kind](words)

        def holds():
            holder(words)
            atomics.load_acquire(words, STOP)  # it dies before this

        return Scenario([holds, lambda: said.append(comes(words))], list, (0,))

    with one_run(scenario, [], Memory()) as run:
        run.begin([0] * steps + [DIES - 0])
        while run.possible:
            run.go_on(run.possible[0])

    thing.fresh()
    with atomics.use(thing.machine):
        MAKES[kind](thing.words)

        def killed():
            holder(thing.words)
            os.kill(os.getpid(), signal.SIGKILL)

        assert status_of(in_a_child(killed)) == -signal.SIGKILL
        said.append(comes(thing.words))

    assert said[0] == said[1]


def test_of_two_who_wait_for_a_dead_holder_one_is_told(thing):
    """Whether they come before its death or after it."""
    thing.fresh()

    def holds():
        libc.robust_lock(address_of(thing.words, X))
        atomics.store_release(thing.words, STOP, 1)
        signal.pause()

    def comes():
        status = libc.robust_lock(address_of(thing.words, X))
        libc.robust_unlock(address_of(thing.words, X))
        return status

    with atomics.use(thing.machine):
        MAKES["robust"](thing.words)
        holder = in_a_child(holds)
        atomics.wait_until(thing.words, STOP, atomics.EQ, 1)
        waiters = [in_a_child(comes) for _ in range(2)]
        os.kill(holder, signal.SIGKILL)

        assert sorted(map(status_of, waiters)) == [0, OWNER_DIED]
        assert status_of(holder) == -signal.SIGKILL


def test_a_signal_does_not_end_a_wait_for_a_semaphore(thing):
    thing.fresh()

    def waits():
        signal.signal(signal.SIGUSR1, lambda *_: None)
        atomics.store_release(thing.words, STOP, 1)
        libc.sem_wait(address_of(thing.words, X))

    with atomics.use(thing.machine):
        libc.sem_init(address_of(thing.words, X), 0)
        pid = in_a_child(waits)
        atomics.wait_until(thing.words, STOP, atomics.EQ, 1)
        for _ in range(20):
            while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "SZ":
                os.sched_yield()
            os.kill(pid, signal.SIGUSR1)
        assert os.waitpid(pid, os.WNOHANG) == (0, 0)
        libc.sem_post(address_of(thing.words, X))

        assert status_of(pid) == 0
        assert libc.sem_value(address_of(thing.words, X)) == 0


def test_whether_a_mutex_is_free_is_read_and_changes_nothing():
    libc = ctypes.CDLL(None)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    view = ctypes.c_char.from_buffer(memory)
    address = ctypes.c_void_p(ctypes.addressof(view))
    posix.mutex_init(address.value)
    seen = [posix.mutex_is_free(address.value)]
    libc.pthread_mutex_lock(address)
    before = bytes(memory)
    seen.append(posix.mutex_is_free(address.value))
    assert bytes(memory) == before
    libc.pthread_mutex_unlock(address)
    before = bytes(memory)
    seen.append(posix.mutex_is_free(address.value))

    assert bytes(memory) == before
    assert seen == [True, False, True]
    del view


def test_whether_a_robust_mutex_is_free_is_read_and_changes_nothing():
    """Free, held, its holder dead, taken by another, and not recoverable: given back by who did not make it consistent."""
    libc = ctypes.CDLL(None)
    memory = mmap.mmap(-1, mmap.PAGESIZE)
    view = ctypes.c_char.from_buffer(memory)
    address = ctypes.c_void_p(ctypes.addressof(view))
    posix.mutex_init(address.value, robust=True)
    seen = [posix.mutex_is_free(address.value)]
    libc.pthread_mutex_lock(address)
    seen.append(posix.mutex_is_free(address.value))
    libc.pthread_mutex_unlock(address)
    child = os.fork()
    if child == 0:
        libc.pthread_mutex_lock(address)
        os._exit(0)
    os.waitpid(child, 0)
    before = bytes(memory)
    seen += [posix.mutex_is_free(address.value), posix.mutex_is_free(address.value)]
    assert bytes(memory) == before
    assert libc.pthread_mutex_lock(address) == errno.EOWNERDEAD
    seen.append(posix.mutex_is_free(address.value))
    libc.pthread_mutex_unlock(address)
    assert libc.pthread_mutex_lock(address) == errno.ENOTRECOVERABLE
    seen.append(posix.mutex_is_free(address.value))

    assert seen == [True, False, False, False, False, False]


def test_a_robust_mutex_that_is_not_recoverable_is_nobodys(thing):
    """Given back by who was told of a death, and did not make it consistent."""
    libc_ = ctypes.CDLL(None)
    thing.fresh()
    with atomics.use(thing.machine):
        address = ctypes.c_void_p(address_of(thing.words, X))
    posix.mutex_init(address.value, robust=True)
    child = os.fork()
    if child == 0:
        libc_.pthread_mutex_lock(address)
        os._exit(0)
    os.waitpid(child, 0)
    assert libc_.pthread_mutex_lock(address) == errno.EOWNERDEAD
    libc_.pthread_mutex_unlock(address)

    with atomics.use(thing.machine):
        with pytest.raises(RuntimeError, match="not recoverable"):
            libc.robust_lock(address_of(thing.words, X))
        # Last: glibc's trylock leaves its thread's number in the word when it says so, and whoever locks would wait for ever.
        assert libc.robust_trylock(address_of(thing.words, X)) == libc.REFUSED
