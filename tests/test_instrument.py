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

from shmkret import clock, topology
from shmkret.cli import main
from shmkret.measure import (
    compare,
    conditions,
    doctor,
    folder,
    latency,
    machine,
    scaling,
    statistics,
    transfer,
    validity,
)
from shmkret.measure.cell import Cell, Prepared, Sample
from shmkret.measure.conditions import Conditions
from shmkret.measure.statistics import Estimate

from .conftest import needs_two_cores

CELL = Cell("hot", "hashed", "sem", "x86-64", "cacheline", 2)
SOUND = Sample(rate=1e6, counts={"calls": 1000, "nmissed": 0}, concurrency=1.0)
ABOUT = {"governor": "performance", "hypervisor": False, "idle_driver": None}
NARROW = Estimate(1e6, (0.99e6, 1.01e6))
QUICK = ["--seconds", "0.05", "--repeat", "3", "--seed", "1", "--lock", "ttas"]


def doubts(cell=CELL, estimate=NARROW, about=ABOUT, control=False, repetitions=3, **sample):
    """The reasons of a cell of which one repetition is as `sample` says."""
    samples = [SOUND] * (repetitions - 1) + [replace(SOUND, **sample)]
    return list(validity.doubts(cell, samples, estimate, about, 0.3, control))


# Validity: what is sound raises no doubt, and each thing that is not raises its own.


def test_a_sound_cell_is_not_doubted():
    quiet = Conditions(waited=0.0, preempted=1, slept=0, moved=0, stolen=0.0, mhz=(3000.0, 3001.0), transfer_ns=(30.0, 31.0))

    assert doubts() == doubts(conditions=quiet) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"concurrency": 0.9}, "measured together for 90%"),
        ({"counts": {"calls": 1000, "nmissed": 500}}, "found no free instance"),
        ({"repetitions": 2}, "2 repetitions"),
        ({"estimate": Estimate(1e6, (0.9e6, 1.1e6))}, "the interval spans 20%"),
        ({"control": True}, "wrong by construction"),
        ({"cell": CELL.over(workers_per_core=2)}, "2 workers a core"),
        ({"conditions": Conditions(waited=0.2)}, "waited 20% of the window"),
        ({"conditions": Conditions(preempted=60)}, "preempted 200 times a second"),
        ({"conditions": Conditions(moved=1)}, "another core than their own"),
        ({"conditions": Conditions(stolen=0.1)}, "the hypervisor took 10%"),
        ({"conditions": Conditions(mhz=(1200.0, 3000.0))}, "between 1200 and 3000 MHz"),
        ({"conditions": Conditions(transfer_ns=(30.0, 90.0))}, "30 ns from core to core at one time and 90 ns"),
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

    assert seen == Conditions(waited=0.1, preempted=4, slept=9, moved=1, stolen=0.2, mhz=(2000.0, 3000.0))


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

    assert 1 < transfer.slowest_ns(cores, None) < 100_000
    assert transfer.slowest_ns(cores[:1], None) is None


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


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        low, high = statistics.median(rng.normal(100, 5, 11), rng).ci95
        covered += low <= 100 <= high

    assert 170 <= covered <= 200


@pytest.mark.parametrize(
    ("ratio", "margin", "words"),
    [
        (None, 0, "not measured"),
        (Estimate(0.9, None), 0, "no interval: one repetition"),
        (Estimate(0.95, (0.94, 0.96)), 0.02, "slower, significant"),
        (Estimate(1.05, (1.04, 1.06)), 0.02, "faster, significant"),
        (Estimate(0.985, (0.98, 0.99)), 0.02, "not significant"),
        (Estimate(0.95, (0.90, 1.00)), 0.0, "not significant"),
    ],
)
def test_significance_is_said_in_words(ratio, margin, words):
    assert statistics.significance(ratio, margin) == words


GOLDEN_CPUS = [1, 2, 4, 6, 8, 16, 32, 48, 96]
OBJPOOL = [1.04, 2.09, 4.20, 6.12, 8.40, 16.1, 31.7, 46.4, 70.8]
FREELIST = [1.09, 1.81, 2.32, 1.32, 1.12, 0.96, 0.84, 0.68, 0.41]
"""mattwuq/kretprobe on two Xeon 8260: million calls a second of the per-CPU pool, and of the lock-free list that collapses."""


def test_the_scaling_law_fits_a_design_that_scales():
    law = scaling.fit(GOLDEN_CPUS, OBJPOOL)

    assert law.r2 > 0.99
    assert law.contention < 0.01
    assert law.coherency == pytest.approx(5e-5, rel=0.5)
    assert "wrong model" not in law.words


def test_the_scaling_law_says_where_it_is_the_wrong_model():
    law = scaling.fit(GOLDEN_CPUS, FREELIST)

    assert law.r2 < 0.9
    assert 2 < law.peak_cpus < 6
    assert "wrong model" in law.words


def test_the_scaling_law_is_recovered_from_its_own_curve():
    cpus = np.array([1, 2, 4, 8, 16])
    law = scaling.fit(cpus, 5e6 * cpus / (1 + 0.05 * (cpus - 1) + 0.002 * cpus * (cpus - 1)))

    assert law[:3] == pytest.approx((5e6, 0.05, 0.002), rel=1e-6)
    assert law.peak_cpus == pytest.approx(math.sqrt(0.95 / 0.002), rel=1e-6)


def test_four_core_counts_are_too_few_for_a_law():
    assert scaling.fit([1, 2, 4, 8], [1, 2, 3, 4]) is None


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
    cells = ["--worker", "hot", "--scheme", "global,hashed", "--cpus", "1", "--lock-wait", "--latency"]
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


def slowed(measured, tmp_path, factor):
    """The same results, the cells of `hashed` slower by a factor."""
    result = folder.load(measured)
    for cell in result["cells"]:
        if cell["scheme"] == "hashed":
            cell["samples"] = [rate * factor for rate in cell["samples"]]
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "results.json").write_text(json.dumps(result))
    return str(tmp_path / "slow")


def test_a_result_compared_with_itself_does_not_differ(measured, capsys):
    assert main(["compare", str(measured), str(measured), "--fail-on", "regression>=1%"]) == 0
    assert "0 of 2 cells differ" in capsys.readouterr().out


def test_a_regression_fails_where_that_is_asked_for(measured, tmp_path, capsys):
    slow = slowed(measured, tmp_path, 0.5)

    assert main(["compare", str(measured), slow]) == 0
    assert main(["compare", str(measured), slow, "--fail-on", "regression>=5%", "--json", str(tmp_path / "c.json")]) == 1
    compared = json.loads((tmp_path / "c.json").read_text())
    assert compared["regressions"] == 1
    assert {c["scheme"] for c in compared["cells"] if c["significance"] == "slower, significant"} == {"hashed"}
    assert main(["compare", slow, str(measured), "--fail-on", "regression>=5%"]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["A", "nowhere"], "nowhere/results.json: No such file"),
        (["A", "A", "--fail-on", "slower"], "write regression>=5%"),
        (["A", "A", "--margin", "-1"], "--margin is -1"),
        (["A", "other"], "is no result of"),
        (["A", "old"], "has schema 1"),
        (["A", "broken"], "is not JSON"),
    ],
)
def test_a_bad_comparison_is_bad_input(options, words, measured, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nowhere").mkdir()
    for name, text in (("other", "[]"), ("old", '{"command": "bench", "schema": 1}'), ("broken", "{")):
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
    frequency = list(doctor._frequency(about, Conditions(mhz=(1000.0, 3000.0))))
    virtual = list(doctor._virtual(about))

    assert [(one.state, one.remedy) for one in frequency] == [
        ("doubt", "cpupower frequency-set -g performance"),
        ("doubt", "switch boost off"),
    ]
    assert [one.state for one in virtual] == ["doubt", "doubt"]
