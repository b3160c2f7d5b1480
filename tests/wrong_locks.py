"""Small wrong locks, each of a kind of its own, and right ones beside them that look alike.

WRONG     words of what the rehearsal of the lock by itself must say
BEYOND    wrong where it does not look: words of what it must say that it has not shown
RIGHT     nothing is wrong, and every search that must be complete is
"""

TTAS = """
def acquire(lock, i, cpu):
    while exchange(lock.locked, i, 1) != 0:
        wait_until(lock.locked, i, EQ, 0)

def release(lock, i, cpu):
    store_release(lock.locked, i, 0)

def is_free(lock, i):
    return lock.locked[i] == 0
"""
HEAD = """
from typing import Annotated, NamedTuple
from shmkret.locks import enter
from shmkret.text import *
from shmkret.text import cpu_relax, delay_ns, monotonic_ns, libc, address_of
"""
LOCKED = (
    HEAD
    + """
class Own(NamedTuple):
    locked: Words
    count: Words
"""
)
TICKETS = (
    HEAD
    + """
class Own(NamedTuple):
    next: Words
    owner: Words

def is_free(lock, i):
    return lock.next[i] == lock.owner[i]
"""
)
START = """
def start(lock, i, n):
    lock.next[i] = lock.owner[i] = n
"""


def ttas(acquire=None, release=None, more=""):
    """A lock that takes and gives back as ttas does, or otherwise."""
    text = TTAS
    if acquire:
        old = text[text.index("    while") : text.index("\ndef release")]
        text = text.replace(old, "".join(f"    {line}\n" for line in acquire.strip("\n").split("\n")))
    if release:
        text = text.replace("    store_release(lock.locked, i, 0)\n", "".join(f"    {line}\n" for line in release.split("\n")))
    return LOCKED + text + more


SPIN = """
while exchange(lock.locked, i, 1) != 0:
    wait_until(lock.locked, i, EQ, 0)
"""


def only_when(condition):
    """Excludes when that holds; the count is of turns at the lock."""
    return ttas(
        f"seen = load_relaxed(lock.count, i)\nif {condition}:{SPIN.rstrip()}".replace("\nwhile", "\n    while").replace(
            "\n    wait", "\n        wait"
        ),
        "store_relaxed(lock.count, i, load_relaxed(lock.count, i) + 1)\nstore_release(lock.locked, i, 0)",
    )


def tickets(drawn, more=START):
    """A ticket lock that knows its turn by other means."""
    return (
        TICKETS
        + f"""
def acquire(lock, i):
    ticket = fetch_add(lock.next, i, 1)
    seen = load_acquire(lock.owner, i)
    while {drawn}:
        wait_until(lock.owner, i, NE, seen)
        seen = load_acquire(lock.owner, i)

def release(lock, i):
    store_release(lock.owner, i, add64(lock.owner[i], 1))
"""
        + more
    )


GATE = """
def acquire_unless(lock, i, stop):
    while exchange(lock.locked, i, 1) != 0:
        if not wait_unless(lock.locked, i, EQ, 0, stop):
            return False
    return True

def reset(lock, i, owner):
    store_release(lock.locked, i, 0 if owner == NIL else 1)
"""
OWNED = (
    HEAD
    + """
class Own(NamedTuple):
    owner: Words

def acquire(lock, i, cpu):
    while cmpxchg(lock.owner, i, 0, cpu + 1) != 0:
        wait_until(lock.owner, i, EQ, 0)

def acquire_unless(lock, i, stop, cpu):
    while cmpxchg(lock.owner, i, 0, cpu + 1) != 0:
        if not wait_unless(lock.owner, i, EQ, 0, stop):
            return False
    return True

def release(lock, i):
    store_release(lock.owner, i, 0)

def is_free(lock, i):
    return lock.owner[i] == 0

def take_over(lock, i, dead, cpu):
    return TAKES

def wake_all(lock, i):
    load_acquire(lock.owner, i)
"""
)
ROBUST = (
    HEAD
    + """
SIZE = libc.SIZEOF_PTHREAD_MUTEX_T

class Own(NamedTuple):
    mutex: Words

def init(lock, i):
    libc.robust_init(address_of(lock.mutex, i))

def acquire(lock, i):
    libc.robust_lock(address_of(lock.mutex, i))

def release(lock, i):
    libc.robust_unlock(address_of(lock.mutex, i))

def acquire_robust(lock, i, cpu):
    libc.robust_lock(address_of(lock.mutex, i))
    return 0

def try_acquire_robust(lock, i, cpu):
    return libc.robust_trylock(address_of(lock.mutex, i))
"""
)
SHARED = """
def acquire_shared(lock, i):
    load_acquire(lock.locked, i)

def release_shared(lock, i):
    load_acquire(lock.locked, i)
"""
SEQUENCE = """
def read_begin(lock, i):
    return load_acquire(lock.locked, i)

def read_retry(lock, i, seq):
    return False
"""
COMBINE = """
def apply(lock, i, cpu, section, k, arg):
    return enter(section, k, arg)
"""
ANDERSON = (
    HEAD
    + """
PLACES = {}

class Place(NamedTuple):
    may: Words

class Own(NamedTuple):
    next: Words
    mine: Words
    place: Annotated[Place, PER_LOCK_PER_CPU]
    slots: Annotated[int, NR_SLOTS]

def init(lock, i):
    lock.place.may[i * lock.slots] = 1

def acquire(lock, i):
    at = i * lock.slots + (fetch_add(lock.next, i, 1) & (PLACES - 1))
    wait_until(lock.place.may, at, EQ, 1)
    store_relaxed(lock.place.may, at, 0)
    store_relaxed(lock.mine, i, at)

def release(lock, i):
    at = load_relaxed(lock.mine, i) + 1
    store_release(lock.place.may, i * lock.slots if at == i * lock.slots + PLACES else at, 1)
"""
)
SLEEPS = """
while exchange(lock.locked, i, 1) != 0:
    futex_wait(lock.locked, i, 1)
"""
RELAXES = """
for _ in range(5):
    if exchange(lock.locked, i, 1) == 0:
        return
    cpu_relax()
"""
HOISTED = """
seen = exchange(lock.locked, i, 1)
while seen != 0:
    pass
"""
NO_PATIENCE = """
end = monotonic_ns() + 20_000_000
while exchange(lock.locked, i, 1) != 0 and monotonic_ns() < end:
    cpu_relax()
"""
PATIENCE = """
end = monotonic_ns() + 20_000
while monotonic_ns() < end:
    if exchange(lock.locked, i, 1) == 0:
        return
    cpu_relax()
"""
WAITS_FOR_THE_CLOCK = """
while exchange(lock.locked, i, 1) != 0:
    end = monotonic_ns() + 1_000_000
    while monotonic_ns() < end:
        pass
    wait_until(lock.locked, i, EQ, 0)
"""
BACKS_OFF = """
pause = 100
while exchange(lock.locked, i, 1) != 0:
    delay_ns(pause)
    pause = min(2 * pause, 10_000)
    wait_until(lock.locked, i, EQ, 0)
"""
SWALLOWS = """
seen = exchange(lock.locked, i, 1)
while seen != 0:
    try:
        while seen != 0:
            pass
    except BaseException:
        pass
"""
EVENS = """
seen = cmpxchg(lock.locked, i, 0, 1 + cpu % 2)
while seen != 0 and seen != 1 + cpu % 2:
    wait_until(lock.locked, i, EQ, 0)
    seen = cmpxchg(lock.locked, i, 0, 1 + cpu % 2)
"""
HANDED_OVER = """
while exchange(lock.locked, i, 1) != 0:
    if load_relaxed(lock.count, i) >= 2_000_000:
        break
    wait_until(lock.locked, i, EQ, 0)
store_relaxed(lock.count, i, load_relaxed(lock.count, i) + 100 * cpu)
"""

WRONG = {
    "does nothing": (ttas("load_acquire(lock.locked, i)", "load_acquire(lock.locked, i)"), "inside lock 0 beside"),
    "excludes at index 0 only": (only_when("i < 1"), "inside lock"),
    "excludes at the first two only": (only_when("i < 2"), "inside lock 63 beside"),
    "lets go inside acquire": (ttas(SPIN + "store_release(lock.locked, i, 0)"), "inside lock 0 beside"),
    "right for 1,000 turns": (only_when("seen < 1000"), "inside lock"),
    "right for 65,536 turns": (only_when("seen < 65536"), "inside lock"),
    "right for 20,000 turns of the second CPU": (ttas(HANDED_OVER), "two CPUs in turn"),
    "excludes even from odd CPUs only": (ttas(EVENS), "acquire 3x1x1"),
    "has room for two": (ANDERSON.replace("{}", "2"), "acquire 3x1x1"),
    "gives another lock back, too": (
        ttas(release="store_release(lock.locked, i, 0)\nstore_release(lock.locked, 0, 0)"),
        "2x2x2",
    ),
    "looks, then takes": (ttas("wait_until(lock.locked, i, EQ, 0)\nstore_release(lock.locked, i, 1)"), "inside lock 0 beside"),
    "is not given back": (ttas(release="load_acquire(lock.locked, i)"), "deadlock"),
    "gives back without order": (ttas(release="lock.locked[i] = 0"), "data race"),
    "wakes nobody": (ttas(SLEEPS), "deadlock"),
    "says that it is held": (ttas().replace("lock.locked[i] == 0", "lock.locked[i] != 0"), "lock 0 is not free"),
    "counts to 16 bits": (tickets("seen != (ticket & 0xFFFF)"), "cpu 0 waits for ever"),
    "counts to 31 bits": (tickets("seen != ticket and ticket < 1 << 31"), "started at n = 2^31 - "),
    "counts to 32 bits": (tickets("(seen & 0xFFFFFFFF) < (ticket & 0xFFFFFFFF)"), "started at n = 2^32 - "),
    "counts to 63 bits": (tickets("seen < ticket"), "started at n = 2^63 - "),
    "tries, and always gets it": (ttas(more="\ndef try_acquire(lock, i):\n    return True\n"), "tries gets it, too"),
    "tries, and leaves it taken": (
        ttas(more="\ndef try_acquire(lock, i):\n    return exchange(lock.locked, i, 2) == 3\n"),
        "does not get it",
    ),
    "shares with the writer": (ttas(more=SHARED), "shared 2x1x1"),
    "never reads again": (ttas(more=SEQUENCE), "which are of two times"),
    "combines without a lock": (ttas(more=COMBINE), "combine 2x1x1"),
    "has it, told to stop": (ttas(more=GATE.replace("return False", "return True")), "gate 2x1x1"),
    "is reset to nobody": (ttas(more=GATE.replace("0 if owner == NIL else 1", "0")), "gate 2x1x1"),
    "takes over from whom it likes": (OWNED.replace("TAKES", "exchange(lock.owner, i, cpu + 1) != 0"), "take over 2x1x1"),
    "takes nothing over": (OWNED.replace("TAKES", "False"), "take over 2x1x1"),
    "does not tell of a death": (ROBUST, "is not told"),
    "gives up in time, and enters": (ttas(NO_PATIENCE), "inside lock 0 beside"),
    "spins on a copy": (ttas(HOISTED), "own.py:13: cpu 1 runs on"),
    "spins for ever": (ttas("while exchange(lock.locked, i, 1) != 0:\n    cpu_relax()"), "own.py:12: cpu 1 spins"),
}
BEYOND = {
    "excludes at most indices": (only_when("i != 5"), "other locks of an array than 0, 1 and 63"),
    "excludes three CPUs only": (only_when("cpu < 3"), "more than three CPUs"),
    "right for 100,000 turns": (only_when("seen < 100_000"), "no start(lock, i, n)"),
    "counts to 31 bits, and does not say": (tickets("seen != ticket and ticket < 1 << 31", ""), "no start(lock, i, n)"),
}
RIGHT = {
    "ttas": ttas(),
    "tickets": tickets("seen != ticket"),
    "backs off": ttas(BACKS_OFF),
    "waits for the clock": ttas(WAITS_FOR_THE_CLOCK),
    "spins a little, then waits": ttas(RELAXES + SPIN.strip("\n")),
    "gives up in time, and waits": ttas(PATIENCE + SPIN.strip("\n")),
    "with a gate": ttas(more=GATE),
    "with an owner": OWNED.replace("TAKES", "cmpxchg(lock.owner, i, dead + 1, cpu + 1) == dead + 1"),
}
