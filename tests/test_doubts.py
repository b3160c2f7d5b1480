"""Each reason to doubt a number is provoked: through the kernel's books under roots of our own, or by a run that earns it."""

import contextlib
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from shmkret.arena.records import Cpus
from shmkret.conformance import lock_suite
from shmkret.explore.rehearsal import rehearse as rehearsal
from shmkret.host import books as conditions
from shmkret.host import description as machine
from shmkret.host import topology
from shmkret.host.books import Clock, Conditions, Way
from shmkret.machines.compiled import helpers
from shmkret.measure import bench, doctor, latency, suite, transfer, validity, window
from shmkret.measure.cell import Cell, Sample
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.moves import clock
from shmkret.text import atomics

from .conftest import needs_two_cores

CELL = Cell("hot", "hashed", "sem", "x86-64", "cacheline", 2)
SOUND = Sample(rate=1e6, counts={"calls": 1000, "nmissed": 0}, concurrency=1.0)
ENOUGH = validity.FEWEST_REPETITIONS
ABOUT = {"governor": "performance", "hypervisor": False, "idle_driver": None}
QUIET = {"waited_ns": 0, "preempted": 0, "slept": 0, "at": None, "ticks": 0, "mhz": 3000, "most": 3000}
TICKS_A_S = os.sysconf("SC_CLK_TCK")


class Books:
    """/proc and /sys of a machine whose worker i is process 100 + i on core i."""

    def __init__(self, root, monkeypatch):
        self.proc, self.sys = root / "proc", root / "sys"
        self.cpus = self.sys / "devices/system/cpu"
        monkeypatch.setattr(conditions, "PROC", self.proc)
        monkeypatch.setattr(conditions, "SYSFS", self.cpus)
        monkeypatch.setattr(machine, "PROC", self.proc)
        monkeypatch.setattr(machine, "SYS", self.sys)
        monkeypatch.setattr(machine, "SYSTEM", self.sys / "devices/system")
        monkeypatch.setattr(machine, "CPUS", self.cpus)
        self.put(self.proc / "cpuinfo", "")

    def put(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def of(self, workers):
        """The books as these workers, each a dict of what is not QUIET, would leave them."""
        lines = ["cpu 0"]
        for i, changes in enumerate(workers):
            now = {**QUIET, "at": i, **changes}
            process = self.proc / f"{100 + i}"
            self.put(process / "schedstat", f"100 {now['waited_ns']} 5")
            switches = f"voluntary_ctxt_switches:\t{now['slept']}\nnonvoluntary_ctxt_switches:\t{now['preempted']}"
            self.put(process / "status", f"Name:\tx\n{switches}")
            self.put(process / "stat", f"{100 + i} (a) b) R " + " ".join(["0"] * 35) + f" {now['at']} 0 0")
            self.put(self.cpus / f"cpu{i}/cpufreq/scaling_cur_freq", str(now["mhz"] * 1000))
            self.put(self.cpus / f"cpu{i}/cpufreq/scaling_max_freq", str(now["most"] * 1000))
            lines.append(f"cpu{i} 1 0 1 9 0 0 0 {now['ticks']} 0 0")
        self.put(self.proc / "stat", "\n".join(lines))

    def repetition(self, before, after, seconds):
        cores = list(range(len(before)))
        pids = [100 + core for core in cores]
        self.of(before)
        first = conditions.read(pids, cores)
        self.of(after)
        return conditions.between(first, conditions.read(pids, cores), cores, seconds)


@pytest.fixture
def books(tmp_path, monkeypatch):
    return Books(tmp_path, monkeypatch)


def judged(samples, of=CELL, about=ABOUT, seconds=0.3, **more):
    """The reasons that a cell of these samples is given."""
    result = bench.Measured(of, False, samples=samples, **more)
    bench.judge(result, about, seconds)
    assert result.verdict == ("suspect" if result.reasons else "valid")
    return result.reasons


def reasons(seen, of=CELL, about=ABOUT, seconds=0.3):
    """The same where one of enough repetitions ran under the conditions `seen`."""
    return judged([*[SOUND] * (ENOUGH - 1), replace(SOUND, conditions=seen)], of, about, seconds)


def only(found):
    assert len(found) == 1, f"one reason to doubt, and not {found}"
    return found[0]


# The kernel's books.


@pytest.mark.parametrize(
    ("after", "seconds", "words"),
    [
        ([{"waited_ns": 60_000_000}, {}], 0.3, "a CPU waited 20% of the window for its core"),
        ([{}, {"preempted": 60}], 0.3, "a CPU was preempted 200 times a second"),
        ([{"at": 1}, {}], 0.3, "1 workers ran on another core"),
        ([{"ticks": TICKS_A_S // 10}, {}], 0.3, "the hypervisor took 33% of the window"),
        ([{"ticks": 2}, {}], 0.15, f"the hypervisor took {2 / TICKS_A_S / 0.15:.0%} of the window"),
        ([{}, {"mhz": 2000}], 0.3, "core 1's clock was between 2000 and 3000 MHz"),
    ],
)
def test_what_the_kernels_books_say_raises_its_own_doubt(books, after, seconds, words):
    reason = only(reasons(books.repetition([{}, {}], after, seconds), seconds=seconds))

    assert words in reason


def test_one_repetition_that_waited_is_enough_beside_others_that_did_not(books):
    quiet = books.repetition([{}, {}], [{}, {}], 0.3)
    bad = books.repetition([{}, {}], [{"waited_ns": 60_000_000}, {}], 0.3)
    samples = [replace(SOUND, conditions=seen) for seen in (*[quiet] * ENOUGH, bad)]

    assert "a CPU waited 20% of the window for its core" in only(judged(samples))


def test_quiet_books_raise_no_doubt(books):
    assert reasons(books.repetition([{}, {}], [{}, {}], 0.3)) == []


def test_many_cpus_that_are_each_seldom_preempted_are_not_doubted(books):
    """Each of 32 CPUs 30 times a second: a kernel's own work."""
    seen = books.repetition([{}] * 32, [{"preempted": 9, "slept": 200}] * 32, 0.3)

    assert (seen.preempted, seen.slept) == (9, 200)
    assert reasons(seen, CELL.over(cpus=32), {**ABOUT, "hypervisor": True}) == []


def test_one_tick_of_steal_in_a_short_window_may_be_of_an_earlier_time(books):
    seen = books.repetition([{}, {}], [{}, {"ticks": 1}], 0.15)

    assert seen.stolen > validity.MOST_STOLEN
    assert reasons(seen, seconds=0.15) == []


def test_a_long_window_sees_steal_that_a_short_one_cannot(books):
    seen = books.repetition([{}, {}], [{}, {"ticks": 3 * TICKS_A_S}], 100.0)

    assert "took 3% of the window" in reasons(seen, seconds=100.0)[0]


def test_cores_of_two_kinds_are_not_doubted(books):
    kinds = [{"mhz": 5200, "most": 5200}, {"mhz": 3800, "most": 3800}]

    assert reasons(books.repetition(kinds, kinds, 0.3)) == []


def test_a_core_that_stays_below_its_own_maximum_is_doubted(books):
    slow = [{}, {"mhz": 1200, "most": 3000}]
    reason = only(reasons(books.repetition(slow, slow, 0.3)))

    assert "core 1's clock was 1200 MHz, and might be 3000" in reason


def test_a_core_that_is_slower_in_a_later_repetition_is_doubted(books):
    turns = [[{"mhz": mhz, "most": mhz}, {}] for mhz in (*[3000] * ENOUGH, 2400)]
    samples = [replace(SOUND, conditions=books.repetition(turn, turn, 0.3)) for turn in turns]

    assert any("core 0's clock was between 2400 and 3000 MHz" in reason for reason in judged(samples))


def test_a_pair_of_cores_that_stays_below_the_slowest_is_seen_to_change(monkeypatch):
    cores, times = [0, 1, 2, 3], {(0, 1): 30.0, (1, 2): 31.0, (2, 3): 150.0, (0, 3): 150.0}
    monkeypatch.setattr(transfer, "one_way_ns", lambda a, b, folder: times[a, b])
    before = transfer.ways_ns(cores, None)
    times[1, 2] = 120.0
    seen = Conditions().with_ways(before, transfer.ways_ns(cores, None))

    assert seen.transfer_ns == (150.0, 150.0)
    reason = only(reasons(seen))
    assert "31 ns from core 1 to core 2 at one time and 120 ns at another" in reason


def test_pairs_that_differ_from_each_other_are_not_doubted():
    assert reasons(Conditions(ways=(Way(0, 1, 30, 31), Way(1, 2, 150, 151)))) == []


def test_a_pair_that_is_slower_in_a_later_repetition_is_doubted():
    turns = [replace(SOUND, conditions=Conditions(ways=(Way(0, 1, ns, ns),))) for ns in (*[30] * ENOUGH, 90)]

    assert "30 ns from core 0 to core 1 at one time and 90 ns" in judged(turns)[0]


def test_sleeping_waiters_are_doubted_on_a_virtual_machine_only(books):
    seen = books.repetition([{}, {}], [{}, {"slept": 900}], 0.3)
    books.put(books.cpus / "cpuidle/current_driver", "haltpoll")
    books.put(books.proc / "cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu hypervisor sse")
    virtual = {**machine.describe(), "governor": None}
    books.put(books.proc / "cpuinfo", "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse")
    real = {**machine.describe(), "governor": None}

    reason = only(reasons(seen, about=virtual))
    assert "slept 3000 times a second: on a virtual machine (idle driver: haltpoll)" in reason
    assert reasons(seen, about=real) == []


def test_a_governor_is_doubted(books):
    for core in topology.allowed_cores():
        books.put(books.cpus / f"cpu{core}/cpufreq/scaling_governor", "powersave")

    reason = only(reasons(Conditions(), about=machine.describe()))
    assert "the frequency governor is powersave" in reason


# What the run itself says.


def marks(**words):
    cpus = np.zeros(2, [(name, "<i8") for name in Cpus._fields])
    for name, values in words.items():
        cpus[name] = values
    return cpus


def test_windows_that_hardly_overlap_are_doubted():
    rate, concurrency = window.rate(marks(began_ns=[0, 10], ended_ns=[90, 100], ended_calls=[90, 90]))
    samples = [*[SOUND] * ENOUGH, replace(SOUND, rate=rate, concurrency=concurrency)]

    assert any("measured together for 80% of the window only" in reason for reason in judged(samples))


def test_samples_that_scatter_are_doubted():
    reason = only(judged([replace(SOUND, rate=rate) for rate in np.linspace(0.5e6, 1.5e6, ENOUGH)]))

    assert re.match(r"the interval spans \d+% of the median", reason)


class Quiet:
    def doing(self, what):
        pass

    def done(self):
        pass


def measured(repeat=3, **changes):
    """A real, short run of one cell."""
    plan = suite.Plan("one", (CELL.over(**{"lock": "ttas", "cpus": 1, **changes}),), 0.02, repeat, 1)
    (result,) = bench.run(plan, bench.prepare(plan), Quiet())
    return result


def test_few_repetitions_are_doubted():
    assert "2 repetitions are too few for a 95 % interval: give `repeat` 6 or more" in measured(repeat=2).reasons


def test_calls_without_an_instance_are_doubted():
    assert any("of the calls found no free instance" in reason for reason in measured(worker="recursion", maxactive=1).reasons)


@needs_two_cores
def test_several_workers_a_core_are_doubted():
    result = measured(cpus=2, workers_per_core=2)

    assert any("2 workers a core: the scheduler is measured too" in reason for reason in result.reasons)
    assert not any("waited" in reason for reason in result.reasons)


@needs_two_cores
def test_a_broken_lock_that_the_oracle_did_not_notice_is_doubted():
    """Two CPUs on their own probes and buckets: nobody contends for anything."""
    result = measured(worker="spread", lock="busted", cpus=2)

    assert any("busted is wrong by construction, and the oracle did not notice" in reason for reason in result.reasons)


MINE = """
from typing import NamedTuple
from shmkret.text import EQ, Words, cmpxchg, load_acquire, store_release, wait_until

class Mine(NamedTuple):
    word: Words

def acquire(lock, i{cpu}):
    while cmpxchg(lock.word, i, 0, 1) != 0:
        wait_until(lock.word, i, EQ, 0)

def release(lock, i):
    store_release(lock.word, i, 0)

def is_free(lock, i):
    return load_acquire(lock.word, i) == 0
"""


@pytest.fixture
def mine(tmp_path):
    """A lock of the user's own."""
    takes_cpu = "acquire(lock, i, cpu)" in (suite.FOLDER.parents[1] / "shmkret" / "locks" / "ttas.py").read_text()
    (tmp_path / "mine.py").write_text(MINE.replace("{cpu}", ", cpu" if takes_cpu else ""))
    return str(tmp_path / "mine.py")


@pytest.fixture
def _anew(monkeypatch):
    monkeypatch.setattr(rehearsal, "_known", {})


@pytest.mark.full
@pytest.mark.usefixtures("_anew")
def test_a_rehearsal_that_gave_up_is_doubted(mine, monkeypatch):
    monkeypatch.setattr(rehearsal, "MOST_STATES", 20)

    assert any("the rehearsal gave up after" in reason for reason in measured(lock=mine).reasons)


@pytest.mark.full
@pytest.mark.usefixtures("_anew")
def test_what_is_too_large_to_be_rehearsed_is_doubted(mine, monkeypatch):
    monkeypatch.setattr(rehearsal, "LARGEST", 1)

    assert any("not rehearsed: the arena is too large" in reason for reason in measured(lock=mine).reasons)


# Runs apart, which read the clock.


class Log(list):
    """A column that notes what is written."""

    def __init__(self, words):
        super().__init__([0] * words)
        self.written = []

    def __setitem__(self, i, value):
        self.written.append(i)
        super().__setitem__(i, value)


def test_under_a_lock_the_time_is_kept_and_recorded_at_a_later_turn():
    word = Log(clock.HISTOGRAM_WORDS)
    word[clock.ONE_IN], word[clock.MOST_CLOCK] = 7, 1000
    hours = iter([100, 150, 170, 190])
    with atomics.use(SimpleNamespace(monotonic_ns=lambda: next(hours))):
        at = clock.turn(SimpleNamespace(word=word), 0)
        word.written.clear()
        clock.keep(SimpleNamespace(word=word), 0, at)

        assert word.written == [clock.PENDING]
        assert clock.turn(SimpleNamespace(word=word), 0) == clock.NOT_NOW
    assert word[clock.bin_of(50)] == 1
    assert (word[clock.SUM], word[clock.MAX], word[clock.CLOCK], word[clock.NR_CLOCK]) == (50, 50, 20, 1)


def test_an_interrupt_between_two_readings_is_not_the_clocks_cost():
    word = Log(clock.HISTOGRAM_WORDS)
    word[clock.PENDING], word[clock.MOST_CLOCK] = 51, 1000
    hours = iter([0, 4_000_000])
    with atomics.use(SimpleNamespace(monotonic_ns=lambda: next(hours))):
        clock.turn(SimpleNamespace(word=word), 0)

    assert (word[clock.CLOCK], word[clock.NR_CLOCK], word[clock.SUM]) == (0, 0, 50)


@pytest.mark.parametrize("one_in", [3, 7, 61, 1021])
def test_one_in_so_many_is_timed_and_in_step_with_nothing(one_in):
    word = [0] * clock.HISTOGRAM_WORDS
    word[clock.ONE_IN] = one_in
    latencies = SimpleNamespace(word=word)
    timed = []
    with atomics.use(SimpleNamespace(monotonic_ns=lambda: 1)):
        for n in range(20 * one_in):
            if clock.is_turn(latencies, 0) and (at := clock.turn(latencies, 0)) >= 0:
                clock.keep(latencies, 0, at)
                timed.append(n)

    assert timed == list(range(0, 20 * one_in, one_in))
    assert {n % 4 for n in timed} == {0, 1, 2, 3}


@pytest.mark.parametrize(("rate", "one_in"), [(None, 3), (1000.0, 3), (1e6, 31), (47e6, 1021), (5e9, 65521)])
def test_the_faster_the_calls_the_fewer_are_timed(rate, one_in):
    assert latency.one_in_of(rate) == one_in


@pytest.mark.parametrize("what", ["locks", pytest.param("calls", marks=pytest.mark.full)])
def test_a_timed_run_records_one_in_as_many_as_its_rate_allows(what):
    prepared = Prepared(CELL.over(cpus=1, lock="ttas"), seed=1)
    prepared.compile()
    sample, found = prepared.timed(what, 0.02, rate=1e6)
    a_call = 2 if what == "locks" else 1

    assert sample.flaws == ()
    assert set(found) == set(latency.TIMES[what])
    for one in found.values():
        assert one.one_in == 31
        assert abs(a_call * sample.counts["calls"] - 31 * one.nr) <= 3 * 31
        assert 0 < one.nr_clock <= one.nr


def test_repetitions_of_a_timed_run_are_merged():
    one = latency.Histogram(np.array([1, 2]), 20, 9, 30, 3, 7)
    other = latency.Histogram(np.array([0, 4]), 40, 12, 50, 4, 7)
    both = latency.merged([one, other])

    assert both.counts.tolist() == [1, 6]
    assert both[1:] == (60, 12, 80, 7, 7)


TIMED = latency.Histogram(np.array([0, 100]), 5000, 60, 2000, 100, 1)
"""100 waits of 50 ns, of which the clock takes 20."""


def of_timed(found=TIMED, **changes):
    """The reasons of a sound cell beside which ran one that timed its locks."""
    timed = replace(SOUND, **{"rate": 0.99e6, **changes})
    more = {"timed": {"locks": [timed] * 3}, "histograms": {"table_lock": found}}
    return judged([SOUND] * ENOUGH, **more)


def test_a_timed_run_like_the_measured_one_is_not_doubted():
    assert of_timed() == []


def test_a_timed_run_that_is_slower_is_doubted():
    reason = only(of_timed(rate=0.85e6))

    assert reason.startswith("where locks were timed: calls were 15% slower than in the run that is measured")


def test_waits_that_add_up_to_more_than_the_calls_took_are_doubted():
    """2 CPUs, 1e6 calls a second: 2000 ns a call. 3000 calls took one lock each."""
    counts = np.array([0, 3000])
    reason = only(of_timed(latency.Histogram(counts, 3000 * 2100, 9999, 60_000, 3000, 1)))

    assert "the waits add up to 2080 ns a call, and a call took 2020 ns" in reason
    assert of_timed(latency.Histogram(counts, 3000 * 2050, 9999, 60_000, 3000, 1)) == []


def test_what_would_make_any_run_doubtful_makes_a_timed_one_too(books):
    seen = books.repetition([{}, {}], [{"waited_ns": 60_000_000, "ticks": TICKS_A_S // 10}, {"mhz": 2000}], 0.3)
    found = of_timed(conditions=seen, concurrency=0.9)

    assert len(found) == 4
    assert all(reason.startswith("where locks were timed: ") for reason in found)


def test_the_speed_of_a_timed_run_stands_beside_its_times():
    result = measured(lock_wait=True, latency=True)
    told = bench.cell_object(result)

    assert set(told["timed"]) == {"locks", "calls"}
    assert all(len(one["samples"]) == len(one["conditions"]) == 3 for one in told["timed"].values())
    for name in (*latency.TIMES["locks"], *latency.TIMES["calls"]):
        what = "locks" if name.endswith("lock") else "calls"
        one = told["latency_ns"][name]
        assert one["calls_per_s"] == pytest.approx(np.median(told["timed"][what]["samples"]))
        assert one["of_measured"] == pytest.approx(
            np.median(np.divide(told["timed"][what]["samples"], told["samples"])), rel=1e-9
        )
        assert one["one_in"] > 1


# Machines of other kinds.


@pytest.mark.parametrize(
    ("files", "known"),
    [
        ({}, None),
        ({"proc/cpuinfo": "vendor_id\t: AuthenticAMD\nflags\t: fpu sse"}, False),
        ({"proc/cpuinfo": "vendor_id\t: AuthenticAMD\nflags\t: fpu hypervisor"}, True),
        ({"sys/hypervisor/type": "xen"}, True),
        ({"proc/device-tree/hypervisor/compatible": "linux,kvm"}, True),
        ({"proc/device-tree/fw-cfg@9020000/compatible": "qemu,fw-cfg-mmio"}, True),
        ({"sys/class/dmi/id/sys_vendor": "QEMU"}, True),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2", "sys/class/dmi/id/product_name": "c7g.large"}, True),
        ({"sys/class/dmi/id/sys_vendor": "Amazon EC2", "sys/class/dmi/id/product_name": "c7g.metal"}, None),
        ({"sys/class/dmi/id/sys_vendor": "GIGABYTE"}, None),
    ],
)
def test_a_virtual_machine_is_recognised_or_not_known(books, tmp_path, files, known):
    for path, text in files.items():
        books.put(tmp_path / path, text)

    assert machine.hypervisor() is known
    states = [one.state for one in doctor._virtual(machine.describe()) if one.name == "hypervisor"]
    assert states == {True: ["doubt"], False: [], None: ["unknown"]}[known]


def arm(*parts):
    return "\n\n".join(
        f"processor\t: {i}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: {p}" for i, p in enumerate(parts)
    )


@pytest.mark.parametrize(
    ("cpuinfo", "board", "name"),
    [
        ("vendor_id\t: x\nmodel name\t: AMD EPYC 9R14", None, "AMD EPYC 9R14"),
        (arm("0xd0c", "0xd0c"), None, "Neoverse-N1"),
        (arm("0xd05", "0xd0b"), "A Board\0", "Cortex-A55 + Cortex-A76 (A Board)"),
        (arm("0xfff"), None, "Arm core 0xfff of implementer 0x41"),
    ],
)
def test_a_processor_has_a_name(books, cpuinfo, board, name):
    books.put(books.proc / "cpuinfo", cpuinfo)
    if board:
        books.put(books.proc / "device-tree/model", board)

    assert machine.describe()["cpu"] == name


@pytest.mark.parametrize(("said", "state"), [("", "ok"), ("2-3", "ok"), (None, "unknown")])
def test_that_no_core_is_isolated_is_known(books, said, state):
    if said is not None:
        books.put(books.cpus / "isolated", said)
    (finding,) = (one for one in doctor._cores(machine.describe(), topology.allowed_cores()) if one.name == "isolated")

    assert finding.state == state
    assert (said or {"": "none", None: "does not tell"}[said]) in finding.words


@pytest.mark.parametrize(
    ("source", "state"),
    [("tsc", "ok"), ("hyperv_clocksource_tsc_page", "ok"), ("arch_sys_counter", "ok"), ("hpet", "doubt"), (None, "unknown")],
)
def test_a_clock_that_is_read_without_a_system_call_is_fine(source, state):
    (finding,) = doctor._virtual({"hypervisor": False, "clocksource": source})

    assert finding.state == state


def test_a_core_that_is_not_in_the_kernels_books_is_unknown_and_not_an_error(books):
    """lxcfs shows a container's own cores only, or numbers them anew."""
    books.of([{}, {}])
    before, after = doctor._busy_s([0, 5]), doctor._busy_s([0, 5])
    (known, unknown) = doctor._load([0, 5], before, after)

    assert before[1] is None
    assert (known.state, unknown.state) == ("ok", "unknown")
    assert conditions.read([], [0, 5]).stolen_s is None


def test_the_doctor_compares_a_core_with_itself():
    kinds = Conditions(clocks=(Clock(0, 5200, 5200, 5200), Clock(1, 800, 800, 3800)))
    (finding,) = (one for one in doctor._frequency({"governor": None}, kinds) if one.name == "frequency")

    assert finding.state == "ok"


def test_the_probe_between_cores_is_compiled_once_for_all_pairs(monkeypatch, tmp_path):
    folders, ways = [], []
    real, really_between = helpers.compile_function, transfer.one_way_ns

    def compile_function(text, kinds, folder):
        folders.append(folder)
        return real(text, kinds, folder)

    class NoCrew(contextlib.nullcontext):
        def __init__(self, players, cores):
            super().__init__(self)
            ways.append(cores)

        def join(self, patience_s):
            pass

    monkeypatch.setattr(helpers, "compile_function", compile_function)
    monkeypatch.setattr(transfer, "Crew", NoCrew)
    monkeypatch.setattr(transfer, "one_way_ns", lambda *way: really_between(*way) + 30.0)
    monkeypatch.setenv("SHMKRET_CACHE_DIR", str(tmp_path))
    list(doctor._transfer([0, 1, 2, 3]))

    assert len(ways) > 1
    assert [folder.name for folder in folders] == ["ping_pong"]
    assert folders[0].parent.parent == tmp_path


def test_the_suite_for_locks_does_not_call_an_uncontended_run_contended(monkeypatch):
    monkeypatch.setattr(topology, "usable", lambda: 1)

    with pytest.raises(pytest.skip.Exception, match="two CPUs contend for needs two cores"):
        lock_suite("ttas")().test_nothing_is_lost_between_processes()
