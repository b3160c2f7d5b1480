"""What a number is worth: each doubt provoked, intervals, laws, histograms, result folders, comparisons, the doctor."""

import csv
import json
import math
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shmkret.cli.main import main
from shmkret.host import books as conditions
from shmkret.host import description as machine
from shmkret.host import topology
from shmkret.host.books import Clock, Conditions, Way
from shmkret.measure import bench, compare, doctor, latency, scaling, statistics, transfer, validity
from shmkret.measure.cell import Cell, Sample
from shmkret.measure.report import folder
from shmkret.measure.report.rows import KEY
from shmkret.measure.statistics import Estimate
from shmkret.measure.subjects.kretprobes import Prepared
from shmkret.moves import clock

from .conftest import needs_two_cores

CELL = Cell("hot", "hashed", "sem", "x86-64", "cacheline", 2)
SOUND = Sample(rate=1e6, counts={"calls": 1000, "nmissed": 0}, concurrency=1.0)
ABOUT = {"governor": "performance", "hypervisor": False, "idle_driver": None}
STEADY = (Clock(0, 3000.0, 3001.0, 3050.0), Clock(1, 1500.0, 1501.0, None))
LEVEL = (Way(0, 1, 30.0, 31.0), Way(1, 2, 90.0, 91.0))
NARROW = Estimate(1e6, (0.99e6, 1.01e6))
QUICK = ["--seconds", "0.05", "--repeat", "8", "--seed", "1", "--lock", "ttas"]


def doubts(cell=CELL, estimate=NARROW, about=ABOUT, control=False, repetitions=6, **sample):
    """The reasons of a cell of which one repetition is as `sample` says."""
    samples = [SOUND] * (repetitions - 1) + [replace(SOUND, **sample)]
    return list(validity.doubts(cell, samples, estimate, about, 0.3, control))


# Validity: what is sound raises no doubt, and each thing that is not raises its own.


def test_a_sound_cell_is_not_doubted():
    quiet = Conditions(waited=0.0, preempted=1, slept=0, moved=0, stolen=0.0, clocks=STEADY, ways=LEVEL)

    assert doubts() == doubts(conditions=quiet) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"concurrency": 0.9}, "measured together for 90%"),
        ({"counts": {"calls": 1000, "nmissed": 500}}, "found no free instance"),
        ({"repetitions": 5}, "5 repetitions are too few for a 95 % interval"),
        ({"estimate": Estimate(1e6, (0.9e6, 1.1e6))}, "the interval spans 20%"),
        ({"control": True}, "wrong by construction"),
        ({"cell": CELL.over(workers_per_core=2)}, "2 workers a core"),
        ({"conditions": Conditions(waited=0.2)}, "waited 20% of the window"),
        ({"conditions": Conditions(preempted=60)}, "preempted 200 times a second"),
        ({"conditions": Conditions(moved=1)}, "another core than their own"),
        ({"conditions": Conditions(stolen=0.1)}, "the hypervisor took 10%"),
        ({"conditions": Conditions(clocks=(Clock(0, 1200, 3000, None),))}, "core 0's clock was between 1200 and 3000 MHz"),
        ({"conditions": Conditions(ways=(Way(0, 1, 30, 90),))}, "30 ns from core 0 to core 1 at one time and 90 ns"),
        ({"about": {**ABOUT, "governor": "powersave"}}, "governor is powersave"),
        (
            {"about": {**ABOUT, "hypervisor": True, "idle_driver": "haltpoll"}, "conditions": Conditions(slept=900)},
            "slept 3000 times a second: on a virtual machine (idle driver: haltpoll)",
        ),
    ],
)
def test_each_flaw_of_the_conditions_raises_its_own_doubt(change, words):
    (reason,) = doubts(**change)

    assert words in reason


def fake_proc(root: Path, waited=0, involuntary=0, voluntary=0, processor=3, steal=0):
    (root / "7").mkdir(parents=True, exist_ok=True)
    (root / "7" / "schedstat").write_text(f"100 {waited} 5\n")
    (root / "7" / "status").write_text(
        f"Name:\tx\nvoluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t{involuntary}\n"
    )
    (root / "7" / "stat").write_text("7 (a) b) R " + " ".join(["0"] * 35) + f" {processor} 0 0\n")
    (root / "stat").write_text(f"cpu 0\ncpu3 1 0 1 9 0 0 0 {steal} 0 0\ncpu30 9 9 9 9 9 9 9 9 9 9\n")


def test_conditions_are_read_from_the_kernels_books(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "PROC", tmp_path / "proc")
    monkeypatch.setattr(conditions, "SYSFS", tmp_path / "sys")
    for mhz in (2_000_000, 3_000_000):
        (tmp_path / "sys" / "cpu3" / "cpufreq").mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / "cpu3" / "cpufreq" / "scaling_cur_freq").write_text(f"{mhz}\n")
        if mhz == 2_000_000:
            fake_proc(tmp_path / "proc")
            before = conditions.read([7], [3])
    fake_proc(
        tmp_path / "proc", waited=50_000_000, involuntary=4, voluntary=9, processor=2, steal=os.sysconf("SC_CLK_TCK") // 10
    )
    seen = conditions.between(before, conditions.read([7], [3]), [3], window_s=0.5)

    mhz = {"mhz": (2000.0, 3000.0), "clocks": (Clock(3, 2000.0, 3000.0, None),)}
    assert seen == Conditions(waited=0.1, preempted=4, slept=9, moved=1, stolen=0.2, **mhz)


def test_what_the_kernel_does_not_tell_is_unknown_and_not_zero(tmp_path, monkeypatch):
    monkeypatch.setattr(conditions, "PROC", tmp_path)
    monkeypatch.setattr(conditions, "SYSFS", tmp_path)
    nothing = conditions.read([7], [3])

    assert set(nothing) == {None}
    assert conditions.between(nothing, nothing, [3], 0.5) == Conditions()


@needs_two_cores
def test_a_busy_neighbour_is_noticed():
    """A real process on the core of a real worker."""
    core = topology.allowed_cores()[0]
    code = f"import os\nos.sched_setaffinity(0, {{{core}}})\nprint(flush=True)\nwhile True: pass"
    with subprocess.Popen([shutil.which("python3") or "python3", "-c", code], stdout=subprocess.PIPE) as busy:
        try:
            busy.stdout.readline()
            prepared = Prepared(replace(CELL, cpus=1, lock="ttas"), seed=1)
            prepared.compile()
            sample = prepared.repeat(0.3)
        finally:
            busy.kill()

    assert sample.conditions.waited > validity.LONGEST_WAIT
    assert sample.conditions.preempted > 0
    assert any("waited" in reason for reason in doubts(cell=prepared.cell, conditions=sample.conditions))


@needs_two_cores
def test_a_line_takes_some_time_from_core_to_core():
    cores = topology.allowed_cores()[:2]

    (way,) = transfer.ways_ns(cores, None).values()
    assert 1 < way < 100_000
    assert transfer.ways_ns(cores[:1], None) == {}


def test_a_quota_of_a_group_above_ours_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(topology, "CGROUP", tmp_path)
    monkeypatch.setattr(topology, "OWN_CGROUP", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text("0::/user.slice/run.scope\n")
    (tmp_path / "user.slice" / "run.scope").mkdir(parents=True)
    (tmp_path / "user.slice" / "run.scope" / "cpu.max").write_text("max 100000\n")
    assert topology.quota() is None
    (tmp_path / "user.slice" / "cpu.max").write_text("150000 100000\n")

    assert topology.quota() == 1.5
    assert topology.usable() == 1


# Statistics.


DRAWN = {
    "normal": (lambda rng, n: rng.normal(100, 5, n), 100.0),
    "a few much slower": (lambda rng, n: 100 - rng.exponential(5, n), 100 - 5 * math.log(2)),
    "far out on both sides": (lambda rng, n: rng.standard_cauchy(n), 0.0),
}


@pytest.mark.parametrize("n", range(statistics.FEWEST_SAMPLES, 16))
@pytest.mark.parametrize("kind", DRAWN)
def test_an_interval_covers_the_truth_as_often_as_it_says_and_not_more(kind, n):
    draw, truth = DRAWN[kind]
    rng = np.random.default_rng(5)
    ends = np.array([statistics.median(draw(rng, n)).ci95 for _ in range(2000)])
    covered = float(((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean())

    assert 0.93 <= covered <= 0.97


@pytest.mark.parametrize("n", [8, 11, 12, 15])
@pytest.mark.parametrize("drift", [0.0, 0.01])
def test_a_paired_ratio_covers_the_truth_whatever_the_drift(n, drift):
    rng = np.random.default_rng(6)
    found = [statistics.paired_ratio(*rounds(rng, n, drift, noise=0.02)) for _ in range(1500)]
    covered = np.mean([one.ci95[0] <= 1 <= one.ci95[1] for one in found])

    assert 0.935 <= covered <= 0.99  # of 35 ways to fall with 8 rounds, 34 are the nearest to 95 %
    assert abs(np.mean([math.log(one.median) for one in found])) < 0.001


def rounds(rng, n, drift, noise):
    """Ratios of two variants that are equally fast, in n rounds A B, B A, A B ...: the machine slows down by `drift` a cell."""
    ratios = np.exp(rng.normal(0, noise, n) + np.where(np.arange(n) % 2, drift, -drift))
    return ratios[0::2], ratios[1::2]


def test_an_odd_number_of_rounds_does_not_let_the_drift_through():
    assert statistics.paired_ratio(*rounds(np.random.default_rng(1), 11, drift=0.05, noise=0.0)).median == pytest.approx(1.0)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_too_few_samples_have_a_median_and_no_interval(n):
    assert statistics.median(np.arange(1.0, 1.0 + n)) == Estimate((n + 1) / 2, None)


@pytest.mark.parametrize(("n", "known"), [(1, False), (7, False), (8, True)])
def test_too_few_rounds_have_a_ratio_and_no_interval(n, known):
    ratio = statistics.paired_ratio(np.ones((n + 1) // 2), np.ones(n // 2))

    assert ratio.median == 1
    assert (ratio.ci95 is not None) == known


def test_thousands_of_samples_have_an_interval_too():
    many = np.random.default_rng(2).normal(100, 5, 10_000)

    assert statistics.median(many).ci95 == pytest.approx((100, 100), abs=0.3)
    assert statistics.paired_ratio(many[:500], many[500:1000]).ci95 == pytest.approx((100, 100), abs=0.6)


@pytest.mark.parametrize(
    ("ratio", "margin", "words"),
    [
        (None, 0, "not measured"),
        (Estimate(0.9, None), 0, "no interval: too few repetitions"),
        (Estimate(0.95, (0.94, 0.96)), 0.02, "slower, significant"),
        (Estimate(1.05, (1.04, 1.06)), 0.02, "faster, significant"),
        (Estimate(0.985, (0.98, 0.99)), 0.02, "not significant"),
        (Estimate(1.015, (1.01, 1.02)), 0.02, "not significant"),
        (Estimate(1.05, (1.00, 1.10)), 0.0, "not significant"),
        (Estimate(0.95, (0.90, 1.00)), 0.0, "not significant"),
        (Estimate(0.95, (0.91, 0.99)), 0.02, "slower, significant"),
    ],
)
def test_significance_is_said_in_words(ratio, margin, words):
    assert statistics.significance(ratio, margin) == words


GOLDEN_CPUS = [1, 2, 4, 6, 8, 16, 32, 48, 96]
OBJPOOL = [1.04, 2.09, 4.20, 6.12, 8.40, 16.1, 31.7, 46.4, 70.8]
FREELIST = [1.09, 1.81, 2.32, 1.32, 1.12, 0.96, 0.84, 0.68, 0.41]
"""mattwuq/kretprobe on two Xeon 8260: million calls a second of the per-CPU pool, and of the lock-free list that collapses."""


def points(rates, error=None):
    """Rates with intervals as wide as a standard error of that part makes them; without, if it is None."""
    return [Estimate(rate, None if error is None else (rate * (1 - 1.96 * error), rate * (1 + 1.96 * error))) for rate in rates]


def test_the_scaling_law_fits_a_design_that_scales():
    law = scaling.fit(GOLDEN_CPUS, points(OBJPOOL))

    assert law.r2 > 0.99
    assert law.contention < 0.01
    assert law.coherency == pytest.approx(5e-5, rel=0.5)
    assert "wrong model" not in law.words


@pytest.mark.parametrize("error", [None, 0.01, 0.1])
def test_the_scaling_law_says_where_it_is_the_wrong_model(error):
    law = scaling.fit(GOLDEN_CPUS, points(FREELIST, error))

    assert law.r2 < 0.9
    assert 2 < law.peak_cpus < 6
    assert "wrong model" in law.words


@pytest.mark.parametrize("error", [None, 0.01])
def test_a_cliff_is_not_the_laws_shape_however_high_its_r2(error):
    law = scaling.fit([1, 2, 4, 8, 16, 32], points([1, 2, 4, 8, 8, 8], error))

    assert law.r2 > 0.95
    assert law.wrong


@pytest.mark.parametrize("truth", ["flat", "the law"])
def test_noise_around_a_law_is_not_called_a_wrong_model(truth):
    rng, n = np.random.default_rng(4), np.array([1.0, 2, 4, 8, 16])
    curve = np.ones(5) if truth == "flat" else n / (1 + 0.1 * (n - 1) + 0.003 * n * (n - 1))

    for noise, most in ((0.01, 0), (0.03, 10)):
        wrong = [scaling.fit(n, points(curve * rng.normal(1, noise, 5), noise)).wrong for _ in range(200)]
        assert sum(wrong) <= most


def test_points_above_and_below_in_long_runs_are_not_noise():
    alternating, bent = np.tile([0.06, -0.06], 8), np.repeat([0.06, -0.06, 0.06], [5, 6, 5])

    assert not scaling._is_beyond_chance(alternating, points(np.ones(16), 0.1))
    assert scaling._is_beyond_chance(bent, points(np.ones(16), 0.1))


@pytest.mark.parametrize(
    "rates", [[5, 5, 5, 5, 5], [5, 2, 2, 2, 2], [5, 4, 3, 2, 1], [1, 3, 9, 30, 99], [1, 2, 4, 8, 16], [1e9, 1e-9, 1, 1, 1]]
)
def test_coefficients_stay_what_they_mean_whatever_the_rates(rates):
    law = scaling.fit([1, 2, 4, 8, 16], points(rates, 0.01))

    assert law.rate > 0
    assert 0 <= law.contention <= 1
    assert law.coherency >= 0
    assert law.peak_cpus >= 1
    assert "nan" not in law.words + str(law.r2) or law.words.count("R2") == 0


def test_the_best_fit_within_the_bounds_may_lie_on_one():
    """More than serial: without the bound its contention would be 2.7; no other pair within them comes nearer."""
    n, x = np.array([1.0, 2, 4, 8, 16]), np.array([5.0, 2, 2, 2, 2])
    law = scaling.fit(n, points(x))
    curve = n / (1 + np.linspace(0, 1, 101)[:, None, None] * (n - 1) + np.linspace(0, 0.5, 101)[:, None] * n * (n - 1))
    rates = (x / curve).sum(axis=2, keepdims=True) / ((x / curve) ** 2).sum(axis=2, keepdims=True)
    errors = ((rates * x / curve - 1) ** 2).sum(axis=2)
    own = n / (1 + law.contention * (n - 1) + law.coherency * n * (n - 1))

    assert law.contention == 1
    assert ((x / (law.rate * own) - 1) ** 2).sum() <= errors.min() + 1e-9


def test_the_scaling_law_is_recovered_from_its_own_curve():
    cpus = np.array([1, 2, 4, 8, 16])
    law = scaling.fit(cpus, points(5e6 * cpus / (1 + 0.05 * (cpus - 1) + 0.002 * cpus * (cpus - 1)), 0.01))

    assert law[:3] == pytest.approx((5e6, 0.05, 0.002), rel=1e-6)
    assert law.peak_cpus == pytest.approx(math.sqrt(0.95 / 0.002), rel=1e-6)
    assert not law.wrong


def test_four_core_counts_are_too_few_for_a_law():
    assert scaling.fit([1, 2, 4, 8], points([1, 2, 3, 4])) is None


def test_laws_are_named_by_what_tells_them_apart_and_hold_only_numbers():
    cells = [CELL.over(padding=padding, cpus=cpus) for padding in ("packed", "cacheline") for cpus in (1, 2, 4, 8, 16)]
    measured = [bench.Measured(cell, False, [replace(SOUND, rate=2e6)] * 8, Estimate(2e6, (2e6, 2e6))) for cell in cells]
    laws = bench.scaling_objects(measured)

    assert [law["name"] for law in laws] == ["hot hashed packed", "hot hashed cacheline"]
    assert json.dumps(laws, allow_nan=False)


# Histograms.


@pytest.mark.parametrize("ns", [0, 1, 31, 32, 63, 64, 65, 127, 128, 1000, 12345, 10**6, 10**9, (1 << 36) - 1, 1 << 36, 1 << 50])
def test_a_time_lies_in_its_bin(ns):
    i = clock.bin_of(ns)

    assert clock.least_of(i) <= ns
    if i + 1 < clock.NR_BINS:
        assert ns < clock.least_of(i + 1)
        assert clock.least_of(i + 1) - clock.least_of(i) <= max(1, ns / 32)


def test_quantiles_are_those_of_the_times_within_three_percent():
    times = np.random.default_rng(3).lognormal(6, 1, 20_000).astype(int)
    counts = np.bincount([clock.bin_of(int(ns)) for ns in times], minlength=clock.NR_BINS)
    found = latency.Histogram(counts, int(times.sum()), int(times.max()))

    for q in (0.5, 0.9, 0.99, 0.999):
        assert found.quantile(q) == pytest.approx(np.quantile(times, q, method="inverted_cdf"), rel=0.035)
    assert found.statistics()["max"] == times.max()
    assert found.statistics()["mean"] == pytest.approx(times.mean())
    assert sum(count for _, count in found.statistics()["bins"]) == 20_000


# The folder, the comparison.


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("measured") / "out"
    cells = ["--worker", "hot", "--scheme", "hashed", "--maxactive", "4,8", "--cpus", "1", "--lock-wait", "--latency"]
    assert main(["bench", *cells, *QUICK, "--out", str(out)]) == 0
    return out


def test_csv_has_numbers_where_numbers_are(measured):
    rows = list(csv.DictReader((measured / "cells.csv").read_text().splitlines()))

    assert len(rows) == 2
    for row in rows:
        assert float(row["median"]) > 0
        assert float(row["entry_ns_p50"]) <= float(row["entry_ns_p99_9"]) <= float(row["entry_ns_max"])


def test_pyperf_reads_its_file(measured):
    pyperf = pytest.importorskip("pyperf")
    suite = pyperf.BenchmarkSuite.load(str(measured / "pyperf.json"))
    cells = [cell for cell in folder.load(measured)["cells"] if cell["median"]]

    assert [b.median() for b in suite.get_benchmarks()] == [pytest.approx(c["cpus"] / c["median"], rel=0.2) for c in cells]


def test_a_report_is_written_again_from_its_results(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "copy")
    for file in (tmp_path / "copy").iterdir():
        if file.name != "results.json":
            file.unlink()

    assert main(["report", str(tmp_path / "copy")]) == 0
    assert {file.name for file in (tmp_path / "copy").iterdir()} == {file.name for file in measured.iterdir()}
    assert (tmp_path / "copy" / "report.html").read_text() == (measured / "report.html").read_text()


def steady(measured, tmp_path):
    """The same results, as a machine gives them that nobody else uses: their repetitions differ by a thousandth."""
    result = folder.load(measured)
    for cell in result["cells"]:
        cell["samples"] = [1e6 * (1 + 0.001 * (i % 2)) for i in range(len(cell["samples"]))]
    (tmp_path / "steady").mkdir()
    (tmp_path / "steady" / "results.json").write_text(json.dumps(result))
    return tmp_path / "steady"


def slowed(measured, tmp_path, factor):
    """The same results, the cell of 8 instances slower by a factor."""
    result = folder.load(measured)
    for cell in result["cells"]:
        if cell["params"]["maxactive"] == 8:
            cell["samples"] = [rate * factor for rate in cell["samples"]]
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "results.json").write_text(json.dumps(result))
    return str(tmp_path / "slow")


def test_a_result_compared_with_itself_does_not_differ(measured, capsys):
    assert main(["compare", str(measured), str(measured)]) == 0
    said = capsys.readouterr().out
    assert "0 of 2 cells differ" in said
    verdicts = {cell["verdict"] for cell in folder.load(measured)["cells"]}
    assert any(f"{one}, {one}" in said for one in verdicts)


def test_a_regression_fails_where_that_is_asked_for(measured, tmp_path, capsys):
    measured = steady(measured, tmp_path)
    slow = slowed(measured, tmp_path, 0.2)

    assert main(["compare", str(measured), slow]) == 0
    assert main(["compare", str(measured), slow, "--fail-on", "regression>=5%", "--json", str(tmp_path / "c.json")]) == 1
    compared = json.loads((tmp_path / "c.json").read_text())
    assert compared["regressions"] == 1
    assert [c["params"]["maxactive"] for c in compared["cells"] if c["significance"] == "slower, significant"] == [8]
    assert "1 of 2 cells are slower by 5.0% or more" in capsys.readouterr().err


def made(shifts, seed, noise=0.005, n=12, drift=0.0):
    """A result of one cell a shift (logarithms of the rate), each with normal noise; `drift` a repetition, all cells alike."""
    rng = np.random.default_rng(seed)
    key = {**dict.fromkeys(KEY, ""), "cpus": 1, "params": {"tasks": None}, "verdict": "valid"}
    cells = []
    for i, shift in enumerate(shifts):
        rates = 1e6 * np.exp(shift - drift * np.arange(n) + rng.normal(0, noise, n))
        cells.append({**key, "worker": f"w{i}", "samples": rates.tolist()})
    return {"cells": cells}


def said_of(before, after, least=0.05):
    """What is significant, and what the gate says of the cells."""
    cells, together = compare.compare(before, after)
    return [cell["significance"] for cell in cells], together, compare.gate(cells, together, least)


def test_a_slowdown_is_found_where_the_data_allow_it():
    found, together, gate = said_of(made([0.0] * 24, 1), made([math.log(0.93)] * 24, 2))

    assert found == ["slower, significant"] * 24
    assert together["significance"] == "slower, significant"
    assert set(gate) == {compare.REGRESSION}


def test_one_slow_cell_among_many_does_not_pass_for_noise_of_the_runs():
    found, _, gate = said_of(made([0.0] * 24, 1), made([math.log(0.9), *[0.0] * 23], 2))

    assert found == ["slower, significant"] + ["not significant"] * 23
    assert gate == [compare.REGRESSION] + [compare.HELD] * 23


@pytest.mark.parametrize(("noise", "shift"), [(0.005, 0.0), (0.005, 0.03), (0.05, 0.0), (0.05, 0.03)])
def test_two_runs_of_one_suite_differ_in_one_cell_of_twenty_at_most(noise, shift):
    """shift: by how much each cell of a run lies beside its own mean, which no repetition shows."""
    rng = np.random.default_rng(8)
    significant, failed = 0, 0
    for seed in range(40):
        before, after = (made(rng.normal(0, shift, 24), 2 * seed + k, noise) for k in (0, 1))
        found, _, gate = said_of(before, after)
        significant += sum(one.endswith(", significant") for one in found)
        failed += compare.REGRESSION in gate

    assert significant <= 40 * 24 / 20
    assert failed <= 4


def test_a_drift_of_the_runs_makes_the_gate_unsure_and_not_green():
    """8 % slower while the first half of each run is 9 % faster than the second."""
    for cells in (1, 24):
        _, _, gate = said_of(made([0.0] * cells, 1, drift=0.015), made([math.log(0.92)] * cells, 2, drift=0.015))
        assert set(gate) == {compare.CANNOT_TELL}


RECORDED = Path(__file__).parent.parent / "bench" / "results" / "2026-11-24-epyc-2-cores"


def test_the_recorded_runs_are_compared_as_readme_says(tmp_path):
    a, b = (folder.load(RECORDED / name) for name in ("same-a", "same-b"))
    found, together, gate = said_of(a, b)
    assert set(found) == {"not significant"}
    assert together["significance"] == "not significant"
    assert compare.CANNOT_TELL in gate
    assert compare.REGRESSION not in gate

    for cell in b["cells"]:
        cell["samples"] = [0.95 * rate for rate in cell["samples"]]
    found, together, _ = said_of(a, b)
    assert found.count("slower, significant") == 2
    assert together["significance"] == "slower, significant"
    assert said_of(*(folder.load(RECORDED / name) for name in ("slowed-one", "slowed-two")))[0] == ["slower, significant"]


def write(result, place):
    place.mkdir()
    (place / "results.json").write_text(json.dumps(result))
    return str(place)


def test_a_cell_without_a_number_in_b_fails(measured, tmp_path, capsys):
    broken, fewer = folder.load(measured), folder.load(measured)
    broken["cells"][1] |= {"verdict": "withheld", "median": None, "ci95": None, "reasons": ["the oracle failed"]}
    del fewer["cells"][1]
    for name, result, words in (("broken", broken, "withheld in B"), ("fewer", fewer, "not there in B")):
        place = write(result, tmp_path / name)
        assert main(["compare", str(measured), place, "--fail-on", "regression>=5%", "--json", str(tmp_path / "c.json")]) == 1
        out, err = capsys.readouterr()
        assert words in out
        assert "1 of 2 cells have no number in B" in err
        assert json.loads((tmp_path / "c.json").read_text())["lost"] == 1


def test_what_the_data_cannot_tell_is_exit_3_with_what_helps(measured, tmp_path, capsys):
    few = folder.load(measured)
    for cell in few["cells"]:
        cell["samples"] = cell["samples"][:5]
    place = write(few, tmp_path / "few")

    assert main(["compare", str(measured), place, "--fail-on", "regression>=5%"]) == 3
    err = capsys.readouterr().err
    assert "2 of 2 cells cannot tell a regression of 5.0%" in err
    assert "2 with fewer than 6 repetitions" in err
    assert "raise --repeat or --seconds" in err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda r: r.pop("machine"), "the result has no 'machine'"),
        (lambda r: r.pop("seed"), "the result has no 'seed'"),
        (lambda r: r["machine"].pop("cpu"), "machine has no 'cpu'"),
        (lambda r: r.update(cells=[]), "there are no cells"),
        (lambda r: r.update(cells={}), "the result.cells is {}"),
        (lambda r: r.update(cells=[1]), "the result.cells is [1]"),
        (lambda r: r["cells"][0].pop("samples"), "cells[0] has no 'samples'"),
        (lambda r: r["cells"][1].pop("verdict"), "cells[1] has no 'verdict'"),
        (lambda r: r["cells"][1].update(verdict="fine"), "the verdict 'fine'"),
        (lambda r: r["cells"][1].update(samples=["fast"]), "cells[1].samples is"),
        (lambda r: r["cells"][1].update(samples=[-1.0]), "cells[1].samples is [-1.0]"),
        (lambda r: r["cells"][1].update(samples=[0]), "cells[1].samples has a number that is not above 0"),
        (lambda r: r["cells"][1].update(cpus=True), "cells[1].cpus is true"),
        (lambda r: r["cells"][1].update(ci95=[1.0]), "cells[1].ci95 has 1 ends"),
        (lambda r: r["cells"][1].update(median=None), "its median is None"),
        (lambda r: r["cells"][1]["params"].pop("tasks"), "cells[1].params has other keys"),
        (lambda r: r["cells"][0]["latency_ns"].pop("clock"), "latency_ns has no 'clock'"),
        (lambda r: r["cells"][0]["latency_ns"]["entry"].pop("p99"), "latency_ns.entry has no 'p99'"),
        (lambda r: r["ratios"][0].pop("by"), "ratios[0] has no 'by'"),
        (lambda r: r["ratios"][0].update(median=0), "ratios[0].median has a number that is not above 0"),
        (lambda r: r["ratios"][0]["params"].update(probes=[1]), "ratios[0].params.probes is [1]"),
        (lambda r: r["cells"][1]["params"].update(work_ns="x"), 'cells[1].params.work_ns is "x"'),
        (lambda r: r["cells"][1]["params"].update(tasks=3), "params.tasks is null in some of the cells only"),
        (lambda r: r["cells"][1].update(calls=-1), "cells[1].calls is -1"),
        (lambda r: r["cells"][1].pop("hits"), "cells[1] has other keys than cells[0]: 'hits'"),
        (lambda r: r["cells"][1].update(median=10**400), "cells[1].median is 1000"),
        (lambda r: r["cells"][1].update(ci95=[2.0, 1.0]), "cells[1].ci95 ends before it begins"),
        (lambda r: r["cells"][1].update(samples=[None]), "cells[1] has a median, and no samples"),
        (lambda r: r["cells"][1].update(used=[]), "cells[1].used is []"),
        (lambda r: r["cells"].append(r["cells"][0]), "cells[2] has the key and the params of cells[0]"),
        (lambda r: r["cells"][0]["latency_ns"]["entry"].update(bins=[[1]]), "latency_ns.entry.bins[0] is [1]"),
        (lambda r: r["cells"][0]["latency_ns"]["entry"].update(bins=[]), "latency_ns.entry.bins is empty"),
        (lambda r: r["machine"].pop("libc"), "machine has no 'libc'"),
        (lambda r: r.update(repeat=0), "there are no repeat"),
        (lambda r: r["cells"][1].update(median=math.inf), "Infinity is no number"),
    ],
)
def test_a_damaged_result_is_bad_input(damage, words, measured, tmp_path, capsys):
    result = folder.load(measured)
    damage(result)
    place = write(result, tmp_path / "damaged")

    for command in (["compare", str(measured), place], ["report", place]):
        assert main(command) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["A", "nowhere"], "nowhere/results.json: No such file"),
        (["A", "A", "--fail-on", "slower"], "write regression>=5%"),
        (["A", "A", "--margin", "-1"], "--margin is -1"),
        (["A", "other"], "is no result of"),
        (["A", "old"], "has schema 0"),
        (["A", "broken"], "is not JSON"),
    ],
)
def test_a_bad_comparison_is_bad_input(options, words, measured, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nowhere").mkdir()
    for name, text in (("other", "[]"), ("old", '{"command": "bench", "schema": 0}'), ("broken", "{")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(text)

    assert main(["compare", *(str(measured) if word == "A" else word for word in options)]) == 2
    assert words in capsys.readouterr().err


def test_results_without_a_common_cell_cannot_be_compared(measured):
    result = folder.load(measured)
    other = json.loads(json.dumps(result))
    for cell in other["cells"]:
        cell["lock"] = "another"

    with pytest.raises(Exception, match="no cell in common"):
        compare.compare(result, other)


# The doctor.


def test_the_doctor_looks_at_everything_and_measures_what_measuring_costs(tmp_path, capsys):
    assert main(["doctor", "--json", str(tmp_path / "d.json")]) == 0
    found = {one["name"]: one for one in json.loads((tmp_path / "d.json").read_text())["findings"]}

    assert {"cores", "governor", "frequency", "steal", "harness", "histogram", "clock cost", "/dev/shm"} <= found.keys()
    assert all(one["state"] in ("ok", "doubt", "unknown") for one in found.values())
    assert "ns" in found["harness"]["words"]
    assert "harness" in capsys.readouterr().out


def test_the_doctor_says_what_to_do():
    about = {**machine.describe(), "governor": "powersave", "hypervisor": True, "clocksource": "hpet"}
    frequency = list(doctor._frequency(about, Conditions(clocks=(Clock(0, 1000.0, 3000.0, None),))))
    virtual = list(doctor._virtual(about))

    assert [(one.state, one.remedy) for one in frequency] == [
        ("doubt", "cpupower frequency-set -g performance"),
        ("doubt", "switch boost off"),
    ]
    assert [one.state for one in virtual] == ["doubt", "doubt"]
