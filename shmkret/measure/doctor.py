"""What about this machine makes measurements doubtful, said beforehand, with what to do about it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from shmkret.errors import ShmkretError
from shmkret.host import books, description, topology
from shmkret.machines import compiled, peers
from shmkret.measure import transfer
from shmkret.measure.validity import LONGEST_WAIT, WIDEST_MHZ, WIDEST_TRANSFER, by_core, most_stolen

WATCHED_S = 0.5
TRANSFERS = 3
IDLE = (3, 4)
"""The places of idle and iowait in a line of /proc/stat."""
FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")
"""What the vDSO reads without a system call."""
MOST_HARNESS_NS, MOST_HISTOGRAM_NS = 2.0, 10.0
LEAST_SHM = 64 << 20
OK, DOUBT, UNKNOWN = "ok", "doubt", "unknown"


class Finding(NamedTuple):
    """One thing that was looked at: `state` is ok, doubt or unknown; `remedy` is empty where there is nothing to do."""

    name: str
    state: str
    words: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; takes some seconds. Raises UnfitMachine."""
    about = description.describe()
    cores = topology.allowed_cores()
    before = books.read([], cores)
    busy = _busy_s(cores)
    time.sleep(WATCHED_S)
    seen = books.between(before, books.read([], cores), cores, WATCHED_S)
    still_busy = _busy_s(cores)
    return [
        *_cores(about, cores),
        *_virtual(about),
        *_frequency(about, seen),
        _steal(seen),
        *_load(cores, busy, still_busy),
        *_transfer(cores),
        *_overhead(),
        _shm(),
        _compiler(),
        _settings(),
    ]


def _cores(about: dict[str, Any], cores: list[int]) -> Iterator[Finding]:
    words = f"{len(cores)} cores may be used, of {about['cores_online']} online"
    few = "two cores show whether a design scales, not how far: use a larger machine"
    yield Finding("cores", OK if len(cores) > 2 else DOUBT, words, "" if len(cores) > 2 else few)
    quota = about["cpu_quota"]
    if quota is not None and quota < len(cores):
        yield Finding("quota", DOUBT, f"the control group may use {quota:g} CPUs at once", "raise its cpu.max, or lower `cpus`")
    threads = [core for core in topology.topology() if core.thread]
    if threads:
        numbers = ", ".join(str(core.number) for core in threads)
        yield Finding("siblings", DOUBT, f"cores {numbers} are second threads", "`cpus` up to the number of whole cores")
    isolated = about["isolated"]
    words = f"isolated cores: {isolated or 'the kernel does not tell'}"
    yield Finding("isolated", OK if isolated else UNKNOWN, words)


def _virtual(about: dict[str, Any]) -> Iterator[Finding]:
    if about["hypervisor"]:
        driver = about["idle_driver"] or "unknown"
        words = f"a virtual machine, idle driver {driver}: a sleeper's wake-up is the hypervisor's"
        yield Finding("hypervisor", DOUBT, words, "compare sleeping locks on bare metal")
    elif about["hypervisor"] is None:
        yield Finding("hypervisor", UNKNOWN, "nothing tells whether this is a virtual machine")
    clock = about["clocksource"]
    if clock is None:
        yield Finding("clock", UNKNOWN, "the kernel does not tell its clock source")
    else:
        fast = clock in FAST_CLOCKS
        remedy = "" if fast else "a reading may be a system call: tsc is none"
        yield Finding("clock", OK if fast else DOUBT, f"clock source {clock}", remedy)


def _frequency(about: dict[str, Any], seen: books.Conditions) -> Iterator[Finding]:
    governor = about["governor"]
    fix = "cpupower frequency-set -g performance"
    if governor is None:
        yield Finding("governor", UNKNOWN, "the kernel does not tell the frequency governor")
    else:
        yield Finding("governor", OK if governor == "performance" else DOUBT, f"governor {governor}", fix)
    if not seen.clocks:
        yield Finding("frequency", UNKNOWN, "the kernel does not tell the frequency of the cores")
    else:
        # An idle core need not be at its most, so each is compared with itself only.
        core, low, high, _ = max(by_core([seen]).values(), key=lambda clock: clock.high_mhz / clock.low_mhz)
        even = high <= WIDEST_MHZ * low
        words = f"core {core}, the least steady: {low:.0f} to {high:.0f} MHz"
        yield Finding("frequency", OK if even else DOUBT, words, "" if even else "switch boost off")


def _steal(seen: books.Conditions) -> Finding:
    if seen.stolen is None:
        return Finding("steal", UNKNOWN, "the kernel does not tell what the hypervisor takes")
    state = OK if seen.stolen <= most_stolen(WATCHED_S) else DOUBT
    return Finding("steal", state, f"the hypervisor took {seen.stolen:.0%} of a core", "" if state == OK else "another machine")


def _load(cores: list[int], before: list[float | None], after: list[float | None]) -> Iterator[Finding]:
    for core, then, now in zip(cores, before, after, strict=True):
        if then is None or now is None:
            yield Finding(f"core {core}", UNKNOWN, "/proc/stat does not tell how busy it is")
            continue
        part = (now - then) / WATCHED_S
        state = OK if part <= LONGEST_WAIT + books.TICK_S / WATCHED_S else DOUBT
        yield Finding(f"core {core}", state, f"{part:.0%} busy with others", "" if state == OK else "end what runs there")


def _transfer(cores: list[int]) -> Iterator[Finding]:
    folder = compiled.cache_folder(())
    ways = {pair: [ns] for pair, ns in transfer.ways_ns(cores, folder).items()}
    for _ in range(TRANSFERS - 1):
        for pair, ns in transfer.ways_ns(cores, folder).items():
            ways[pair].append(ns)
    if ways:
        (one, other), times = max(ways.items(), key=lambda way: max(way[1]) / min(way[1]))
        steady = max(times) <= WIDEST_TRANSFER * min(times)
        words = (
            f"a cache line takes {min(times):.0f} to {max(times):.0f} ns from core {one} to core {other}, the least steady pair"
        )
        yield Finding(
            "transfer", OK if steady else DOUBT, words, "" if steady else "a virtual CPU moves: measure when it does not"
        )


def _overhead() -> Iterator[Finding]:
    from shmkret.measure import overhead

    cost = overhead.measure()
    for name, ns, most in (("harness", cost.harness, MOST_HARNESS_NS), ("histogram", cost.histogram, MOST_HISTOGRAM_NS)):
        state = OK if ns < most else DOUBT
        words = {"harness": "the measuring loop adds to a call", "histogram": "a histogram entry takes"}[name]
        yield Finding(
            name, state, f"{words} {ns:.1f} ns", "" if state == OK else f"more than {most:g} ns: is the machine quiet?"
        )
    yield Finding("clock cost", OK, f"two readings of the clock take {cost.clock:.0f} ns")


def _shm() -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free
    except OSError:
        return Finding("/dev/shm", DOUBT, "there is none: named arenas and semaphores cannot be made", "mount a tmpfs there")
    state = OK if free >= LEAST_SHM else DOUBT
    return Finding("/dev/shm", state, f"{free >> 20} MiB free", "" if state == OK else "remount it with a larger size=")


def _compiler() -> Finding:
    try:
        return Finding("compiler", OK, f"{peers.compiler()} compiles the C peers")
    except ShmkretError as error:
        return Finding("compiler", DOUBT, str(error))


def _settings() -> Finding:
    unusual = compiled.unusual_settings()
    words = f"Numba's settings are {', '.join(unusual) or 'its own'}"
    return Finding("numba", DOUBT if unusual else OK, words, "unset them: they change the code" if unusual else "")


def _busy_s(cores: list[int]) -> list[float | None]:
    """Seconds that each core was busy since it came up; None: the kernel does not tell, or tells it under another number."""
    return [_busy_of(core) for core in cores]


def _busy_of(core: int) -> float | None:
    try:
        return sum(part for i, part in enumerate(books.ticks(core)) if i not in IDLE) * books.TICK_S
    except (OSError, ValueError, LookupError):
        return None
