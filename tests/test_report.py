"""The report and its plots: what is drawn, what is said, how it looks on a telephone, in the dark and on paper."""

import base64
import csv
import gzip
import html as html_module
import io
import itertools
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from shmkret.cli.main import main
from shmkret.measure import bench, compare, latency
from shmkret.measure.cell import COUNTS, Cell, Sample
from shmkret.measure.report import folder, html, panels, plots, tables
from shmkret.measure.report.panels import COLOURS, INK, MARKS, MOST_LINES, MOST_PANELS, MOST_ROWS, SMALLEST_PT, WIDTH_IN
from shmkret.measure.report.rows import mean_wait

RESULTS = Path(__file__).parent.parent / "bench" / "results"
RECORDED = sorted(path.parent for path in RESULTS.rglob("results.json") if path.parts[-3] != "rooms")
ABOUT = {"cpu": "a CPU", "cores_allowed": [0, 1], "hypervisor": False, "kernel": "6.1", "libc": "glibc 2.36"}
QUIET = {"governor": "performance", "hypervisor": False, "idle_driver": None}
MOST_BYTES = 500_000


def histogram(rng):
    counts = np.zeros(latency.NR_BINS, np.int64)
    counts[20:300] = rng.integers(1, 1000, 280) * np.geomspace(1e3, 1, 280).astype(int)
    return latency.Histogram(counts, int(counts @ latency.EDGES), 10**6, 20_000, 1000, 64)


def made(classes=(), nmissed=0, kp_nmissed=0, withheld=lambda cell: False, **axes):
    """A result of made-up cells, the product of the axes, that went through the real judgement."""
    rng = np.random.default_rng(7)
    base = Cell("hot", "hashed", "sem", "x86-64", "cacheline", 1)
    measured = []
    for values in itertools.product(*axes.values()):
        cell = base.over(**dict(zip(axes, values, strict=True)))
        counts = {**dict.fromkeys(COUNTS, 0), "calls": 1000, "returns": 900, "walked": 1800}
        counts |= {"nmissed": nmissed, "kp_nmissed": kp_nmissed}
        flaws = ("the oracle failed",) if withheld(cell) else ()
        rates = cell.cpus**0.7 * rng.uniform(0.9e6, 1.1e6, 10)
        samples = [Sample(None if flaws else rate, counts, 1.0, flaws=flaws) for rate in rates]
        found = {which: histogram(rng) for which in classes}
        timed = {what: samples for what, names in latency.TIMES.items() if set(names) & set(found)}
        measured.append(bench.Measured(cell, False, samples, histograms=found, timed=timed))
        bench.judge(measured[-1], QUIET, 0.3)
    return {
        "schema": 2,
        "command": "bench",
        "argv": ["bench"],
        "version": "0",
        "machine": ABOUT,
        "suite": "made",
        "seed": 1,
        "seconds": 0.3,
        "repeat": 5,
        "first_cell_s": 1.0,
        "all_cells_s": 9.0,
        "peers": {},
        "cells": [bench.cell_object(one) for one in measured],
        "ratios": [bench.ratio_object(one) for one in bench.ratios(measured)],
        "scaling": bench.scaling_objects(measured),
    }


def plot(name, result):
    (found,) = [one for one in plots.plots(result) if one.name == name]
    return found


def axes_of(panel):
    (axis,) = panels.alone(panel).axes
    return axis


def legends(found):
    """The entries of the legend of each panel, as colour, marker and name."""
    for panel in found.panels:
        handles, names = axes_of(panel).get_legend_handles_labels()
        lines = [handle.lines[0] if hasattr(handle, "lines") else handle for handle in handles]
        looks = [(line.get_color(), line.get_marker()) for line in lines]
        yield [(look, name) for look, name in zip(looks, names, strict=True) if not name.startswith("ideal")]


MANY = {"scheme": ["global", "hashed"], "lock": ["sem", "ttas", "ticket", "pthread"], "cpus": [1, 2, 4]}
LOCKS = [f"lock{i}" for i in range(20)]


# What is drawn.


def test_no_two_lines_of_a_plot_look_alike():
    looks = [(panels.look(i)["color"], panels.look(i)["marker"]) for i in range(len(COLOURS) * len(MARKS))]

    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("axes", [MANY, {"lock": LOCKS, "cpus": [1, 2]}, {**MANY, "worker": ["hot", "spread"]}])
def test_no_panel_has_more_lines_than_can_be_told_apart(axes):
    result = made(**axes)
    cells = len(result["cells"]) // len(axes["cpus"])
    for name in ("throughput", "efficiency"):
        shown = list(legends(plot(name, result)))
        looks = {}
        for lines in shown:
            assert 1 <= len(lines) <= MOST_LINES
            assert len({look for look, _ in lines}) == len(lines)
            for look, line in lines:
                assert looks.setdefault(line, look) == look  # one look a line in all panels
        assert sum(map(len, shown)) == cells


def test_many_lines_are_split_by_what_makes_the_fewest_panels():
    assert [panel.title for panel in plot("throughput", made(**MANY)).panels] == ["hot global", "hot hashed"]
    assert [panel.title for panel in plot("throughput", made(lock=LOCKS, cpus=[1, 2])).panels] == [
        "hot (1 of 3)",
        "hot (2 of 3)",
        "hot (3 of 3)",
    ]


def test_latencies_of_many_cells_are_in_panels_of_few():
    result = made(classes=("table_lock", "probe_lock"), scheme=["global", "hashed"], lock=LOCKS[:6], cpus=[1, 2])
    shown = list(legends(plot("latency", result)))

    assert all(len(lines) <= MOST_LINES for lines in shown)
    assert sum(map(len, shown)) == 2 * len(result["cells"])


@pytest.mark.parametrize("cpus", [[1], [1, 2], list(range(1, 97, 5))])
def test_long_names_leave_room_for_what_they_name(cpus):
    """The layout engine warns where they do not, and a warning is an error."""
    result = made(lock=[f"./some/where/that/is/a/long/way/from/here/lock{i}.py" for i in range(3)], cpus=cpus)

    assert html.report(result, {}).count("<svg") >= 2
    assert len(plots.figures(result)) >= 2


def test_every_ratio_is_drawn():
    result = made(scheme=["global", "hashed"], lock=LOCKS[:6], cpus=[1, 2, 4])
    found = plot("ratios", result)
    rows = [len(axes_of(panel).get_yticks()) for panel in found.panels]

    assert len(found.panels) <= MOST_PANELS
    assert not found.left_out
    assert max(rows) <= MOST_ROWS
    assert sum(rows) == len(result["ratios"])


def test_a_knob_that_the_suite_varies_comes_first():
    result = made(scheme=["global", "hashed"], cpus=[1, 2], tasks=[2, 8, 32], hash=["mult-2008-64", "mult-2016"])
    kinds = list(dict.fromkeys(panel.title.split(":")[0] for panel in plot("ratios", result).panels))

    assert kinds == ["by tasks", "by hash", "by scheme", "by cpus"]


def test_what_is_not_drawn_is_said_in_words(monkeypatch):
    monkeypatch.setattr(panels, "MOST_PANELS", 2)
    monkeypatch.setattr(plots, "PLOTS", (plots.throughput,))
    result = made(worker=["hot", "spread", "idle"], cpus=[1, 2])
    found = plot("throughput", result)

    assert [panel.title for panel in found.panels] == ["hot", "spread"]
    assert found.left_out == "2 of 3 panels are drawn; the tables of the report have the figures of all."
    assert found.left_out in html.report(result, {})


def test_beside_a_peer_the_other_ratios_are_named():
    found = plot("ratios", folder.load(next(path for path in RECORDED if path.name == "parity")))

    assert {panel.title.split(":")[0] for panel in found.panels} == {"by peer"}
    assert found.left_out == "Ratios by scheme and by lock are in the tables of the report."


def test_a_class_of_locks_that_a_scheme_has_not_is_left_out():
    result = made(classes=("probe_lock",), cpus=[1, 2])
    names = [panel.title for panel in plot("waits", result).panels]
    said = io.StringIO()
    tables.print_tables(result, said)

    assert names == ["walks", "other locks"]
    row = next(line for line in said.getvalue().splitlines() if " hot " in line and ".." in line)
    assert row.split()[-4:-1] == ["2.0", "-", row.split()[-2]]


@pytest.mark.parametrize(
    ("cpus", "withheld", "words"),
    [
        ([1, 2, 4], lambda cell: False, "ideal: 1 CPU times n"),
        ([2, 4], lambda cell: False, "ideal: 2 CPUs times n/2"),
        ([1, 2, 4], lambda cell: cell.cpus == 1, "ideal: 2 CPUs times n/2"),
        ([1, 2, 4], lambda cell: cell.cpus == 1 and cell.lock == "sem", "ideal: each line's first point, times the CPUs"),
    ],
)
def test_an_ideal_line_says_from_what_it_is_drawn(cpus, withheld, words):
    (panel,) = plot("throughput", made(lock=["sem", "ttas"], cpus=cpus, withheld=withheld)).panels

    assert words in axes_of(panel).get_legend_handles_labels()[1]


def test_efficiency_has_intervals_of_paired_samples():
    result = made(cpus=[1, 2])
    (panel,) = plot("efficiency", result).panels
    (line,) = axes_of(panel).containers
    (ratio,) = result["ratios"]
    _, (low, high) = (segment[:, 1] for segment in line.lines[2][0].get_segments())

    assert line.has_yerr
    assert line.lines[0].get_ydata()[1] == pytest.approx(ratio["median"] / 2)
    assert [low, high] == pytest.approx([end / 2 for end in ratio["ci95"]], rel=0.02)


@pytest.mark.parametrize("seen", [{"kp_nmissed": 7}, {"nmissed": 5}])
def test_misses_of_both_kinds_are_in_report_table_and_plot(seen):
    result = made(cpus=[1], **seen)
    page = html.report(result, {})
    (count,) = seen.values()

    assert f"{100 * count / 1000:.2g}" in plot("misses", result).panels[0].says
    assert "<th class=number>nmissed</th><th class=number>kp-nmissed</th>" in page
    assert f">{10 * count}</td>" in page


def test_a_percentile_has_one_value_wherever_it_is_shown():
    """As it was measured: what two readings of the clock take is in it, and stands beside it."""
    result = made(classes=("table_lock", "probe_lock"), cpus=[1])
    cell = result["cells"][0]
    found, clock = cell["latency_ns"]["table_lock"], cell["latency_ns"]["clock"]
    said = io.StringIO()
    tables.print_tables(result, said)
    line = next(line for line in said.getvalue().splitlines() if line.split()[-8:-6] == ["table", "lock"])
    row, *_ = csv.DictReader(folder._csv(map(folder._flat, result["cells"])).splitlines())
    page = html.report(result, {})
    drawn = plot("latency", result).panels[0]
    shown = [f"{found[q]:,.0f}" for q in ("p50", "p90", "p99", "p99_9", "max")]

    assert line.split()[-6:] == [*shown, f"{clock:.0f}"]
    assert [float(row[f"table_lock_ns_{q}"]) for q in ("p50", "p99")] == [found["p50"], found["p99"]]
    assert float(row["clock_ns"]) == clock
    assert "".join(f"<td class=number>{one}</td>" for one in shown) in page
    assert f"Median: hashed sem {found['p50']:.3g}." in drawn.says
    assert f"two readings of the clock, {clock:.0f} ns" in plot("latency", result).caption
    assert mean_wait(cell, "table_lock") == found["mean"]


@pytest.mark.parametrize("seen", [0, 701])
def test_the_terminal_shows_calls_missed_by_reentry_where_there_were_any(seen):
    said = io.StringIO()
    tables.print_tables(made(cpus=[1], kp_nmissed=seen), said)

    assert ["kp_nmissed" in said.getvalue(), "7,010" in said.getvalue()] == [bool(seen)] * 2


def test_each_row_of_the_table_of_latencies_names_its_cell():
    page = html.report(made(classes=("entry", "return"), tasks=[2, 8, 32]), {})
    table = re.search("<h2>Latency in nanoseconds.*?</table>", page, re.DOTALL)[0]
    names = re.findall("<tr><td>(.*?)</td><td>(.*?)</td>", table)

    assert len(names) == len(set(names)) == 6


def test_a_plot_says_what_it_shows_to_who_does_not_see_it():
    result = made(lock=["sem", "ttas"], cpus=[1, 2, 4])
    (panel,) = plot("throughput", result).panels
    sem, ttas = (
        [f"{cell['median'] / 1e6:.3g}" for cell in result["cells"] if cell["lock"] == lock] for lock in ("sem", "ttas")
    )

    assert panel.says == (
        "Throughput of hot in million probed calls a second, all CPUs, against 1 to 4 CPUs: "
        f"sem from {sem[0]} to {sem[-1]}, ttas from {ttas[0]} to {ttas[-1]}."
    )


# The page.


class Page(HTMLParser):
    """Collects the tags and the addresses that a page would load."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.offers, self.ids, self.used, self.said = [], [], {}, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        known = dict(attributes)
        self.ids += [known["id"]] if "id" in known else []
        self.used += re.findall(r"url\(#([^)]*)\)", json.dumps(known))
        if tag == "svg":
            self.said.append(known["aria-label"])
        elif tag == "use":
            self.used.append(known["href"].removeprefix("#"))
        elif tag == "a" and known["href"].startswith("data:"):
            self.offers[known["download"]] = known["href"]
        elif tag in ("script", "link", "img", "iframe", "a"):
            self.loads.append((tag, known))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_report_is_one_small_file_that_loads_nothing(path):
    result = folder.load(path)
    files = {"results.json": (path / "results.json").read_text(), "cells.csv": "a,b\n1,2\n"}
    text = html.report(result, files)
    page = Page(text)
    drawn = plots.plots(result)

    assert page.loads == []
    assert page.tags.count("svg") == sum(len(plot.panels) for plot in drawn) >= 1
    assert len(text.encode()) < MOST_BYTES
    order = ["Doubts", *(plot.name.capitalize() for plot in drawn), "Cells", "Machine", "Raw data"]
    assert [text.index(f"<h2>{name}</h2>") for name in order] == sorted(text.index(f"<h2>{name}</h2>") for name in order)
    assert "currentColor" in text
    assert INK not in text.split("</style>")[1]
    assert all(len(says.split()) > 6 and re.search(r"\d", says) for says in page.said)
    assert len(page.said) == page.tags.count("svg")
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.used) <= set(page.ids)
    assert base64.b64decode(page.offers["cells.csv"].partition(",")[2]) == files["cells.csv"].encode()
    big = page.offers.get("results.json.gz")
    raw = gzip.decompress(base64.b64decode(big.partition(",")[2])) if big else None
    assert raw == (files["results.json"].encode() if len(files["results.json"]) > html.MOST_PLAIN_BYTES else None)


def test_the_words_of_a_plot_survive_what_makes_it_small():
    page = html.report(made(classes=("entry",), cpus=[1, 2]), {})
    svgs = re.findall(r"<svg.*?</svg>", page)
    words = [text.text for svg in svgs for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]

    assert {"50", "99", "99.9", "99.99", "CPUs", "percentile", "nanoseconds"} <= set(words)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "out"
    folder.write_folder(out, made(classes=("table_lock", "probe_lock"), nmissed=3, kp_nmissed=2, **MANY))
    return out


def test_every_plot_is_there_as_svg_and_png(written):
    names = [plot.name for plot in plots.plots(folder.load(written))]

    assert names == ["throughput", "efficiency", "ratios", "latency", "misses", "waits"]
    for name in names:
        assert ET.parse(written / f"{name}.svg").getroot().tag.endswith("svg")
        assert (written / f"{name}.png").read_bytes().startswith(b"\x89PNG")


# Results that were recorded earlier.


def one_of_each_form(paths):
    """The recorded folders; those whose form another one before has are in the full selection."""
    seen = set()
    for path in paths:
        result = json.loads((path / "results.json").read_text())
        form = (result["schema"], *result["cells"][0], *result["cells"][0]["params"])
        yield pytest.param(path, marks=[pytest.mark.full] if form in seen else [], id=f"{path.parent.name}-{path.name}")
        seen.add(form)


def folder_with(result, path):
    path.mkdir()
    (path / "results.json").write_text(json.dumps(result))
    return path


@pytest.mark.parametrize("path", list(one_of_each_form(RECORDED)))
def test_every_recorded_folder_is_reported_again_and_keeps_its_result(path, tmp_path):
    copy = Path(shutil.copytree(path, tmp_path / "copy"))

    assert main(["report", str(copy)]) == 0
    assert (copy / "results.json").read_bytes() == (path / "results.json").read_bytes()
    assert {"cells.csv", "samples.csv", "report.html", "pyperf.json"} <= {one.name for one in copy.iterdir()}
    assert "<h2>Cells</h2>" in (copy / "report.html").read_text()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_recorded_folder_is_compared_with_itself(path, tmp_path):
    assert main(["compare", str(path), str(path), "--json", str(tmp_path / "same.json")]) == 0
    cells = json.loads((tmp_path / "same.json").read_text())["cells"]
    measured = [cell for cell in json.loads((path / "results.json").read_text())["cells"] if cell["median"]]

    assert sum(cell["median"] is not None for cell in cells) == len(measured) > 0
    assert all(cell["median"] == pytest.approx(1) for cell in cells if cell["median"] is not None)


def test_cells_of_an_earlier_schema_are_those_of_today():
    before, after = (folder.load(RESULTS / day / "scaling") for day in ("2026-11-23-epyc-2-cores", "2026-11-24-epyc-2-cores"))
    cells, together = compare.compare(before, after)

    assert len(cells) == sum(cell["median"] is not None for cell in cells) == 12
    assert together["median"] == pytest.approx(0.9, abs=0.05)
    assert [cell["conditions"][0]["waited"] for cell in before["cells"]] == [
        cell["waited"][0]
        for cell in json.loads((RESULTS / "2026-11-23-epyc-2-cores/scaling/results.json").read_text())["cells"]
    ]


def test_a_knob_that_came_later_was_not_turned(tmp_path):
    result = made(cpus=[1, 2])
    for one in (*result["cells"], *result["ratios"], *result["scaling"]):
        one["params"].pop("recoverable", None)
    loaded = folder.load(folder_with(result, tmp_path / "before"))

    assert loaded["cells"] == made(cpus=[1, 2])["cells"]
    assert loaded["ratios"] == made(cpus=[1, 2])["ratios"]


@pytest.mark.parametrize("schema", [0, 3, 99, "2", True, None])
def test_an_unknown_schema_is_named(schema, tmp_path, capsys):
    path = folder_with({**made(cpus=[1, 2]), "schema": schema}, tmp_path / "other")

    assert main(["report", str(path)]) == 2
    assert f"has schema {schema!r}, this shmkret reads 1, 2: report it with the shmkret that" in capsys.readouterr().err
    assert main(["compare", str(path), str(RECORDED[0])]) == 2
    assert f"has schema {schema!r}, this shmkret" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["cells", "ratios"])
def test_a_damaged_result_of_an_earlier_schema_is_refused(missing, tmp_path, capsys):
    result = json.loads((RESULTS / "2026-11-23-epyc-2-cores/scaling/results.json").read_text())
    del result[missing]

    assert main(["report", str(folder_with(result, tmp_path / "damaged"))]) == 2
    assert f"results.json is damaged: KeyError: '{missing}'; measure again" in capsys.readouterr().err


# In a real browser.

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium here: apt-get install chromium")
LOOK = """<script>addEventListener("load", () => {
const all = one => [...document.querySelectorAll(one)];
const colour = one => getComputedStyle(document.querySelector(one)).color;
const plots = all("svg").map(svg => {
  const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
  const texts = [...svg.querySelectorAll("text")];
  return {
    smallest: Math.min(...texts.map(text => parseFloat(getComputedStyle(text).fontSize) * scale)),
    right: box.right,
    cut: texts.filter(text => {
      const own = text.getBoundingClientRect();
      return own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1;
    }).map(text => text.textContent),
  };
});
parent.postMessage(JSON.stringify({
  wide: document.documentElement.scrollWidth, window: innerWidth, plots, headings: all("h2").map(one => one.textContent),
  tables: all("table").map(one => one.getBoundingClientRect().right),
  words: [colour("body"), colour("figcaption"), colour("td.suspect")], page: getComputedStyle(document.body).backgroundColor,
  axes: getComputedStyle(document.querySelector("svg text")).fill, ink: colour("figure"),
  loaded: performance.getEntriesByType("resource").map(entry => entry.name),
}), "*");
});</script>"""
FRAME = """<!doctype html><title>waiting</title>
<script>addEventListener("message", told => document.title = told.data);</script>
<iframe style="width: {width}px; height: 900px; border: 0" src="{address}"></iframe>"""


def chromium(tmp_path, *options):
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout


def look(report, tmp_path, width, dark=False, paper=False):
    """What a browser makes of the report in a frame so wide: sizes, colours, what it loaded. paper: as it is printed."""
    text = report.read_text().replace("</body>", f"{LOOK}</body>")
    (tmp_path / "look.html").write_text(text.replace("@media print", "@media all") if paper else text)
    (tmp_path / "frame.html").write_text(FRAME.format(width=width, address=(tmp_path / "look.html").as_uri()))
    # Chromium's own number for a preferred colour scheme: 0 is dark, 1 is light.
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    dom = chromium(tmp_path, scheme, "--virtual-time-budget=10000", "--dump-dom", (tmp_path / "frame.html").as_uri())
    return json.loads(html_module.unescape(dom.partition("<title>")[2].partition("</title>")[0]))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)] if colour[0] == "#" else re.findall(r"[\d.]+", colour)[:3]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (float(part) / 255 for part in parts)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a, b):
    """WCAG 2.1: text wants 4.5, graphics 3."""
    dark, bright = sorted((luminance(a), luminance(b)))
    return (bright + 0.05) / (dark + 0.05)


def test_text_is_nine_pixels_high_on_a_telephone():
    """The arithmetic of it, where there is no browser: 360 pixels less two margins of 16 for WIDTH_IN * 72 points."""
    assert SMALLEST_PT * (360 - 2 * 16) / (72 * WIDTH_IN) >= 9


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 400, 500, 1400])
def test_the_report_is_readable_in_a_browser(written, tmp_path, width, dark):
    seen = look(written / "report.html", tmp_path, width, dark)

    assert seen["window"] == width
    assert seen["loaded"] == []
    assert len(seen["plots"]) > 12
    assert min(one["smallest"] for one in seen["plots"]) >= 9
    assert [one["cut"] for one in seen["plots"] if one["cut"]] == []
    assert max(one["right"] for one in seen["plots"]) <= width
    assert seen["wide"] <= width  # tables scroll inside, the page does not
    assert min(contrast(colour, seen["page"]) for colour in seen["words"]) >= 4.5
    assert min(contrast(colour, seen["page"]) for colour in (*COLOURS, panels.FAINT)) >= 3
    assert (luminance(seen["page"]) < 0.1) == dark
    assert seen["axes"] == seen["ink"]


@needs_browser
def test_nothing_is_cut_on_paper(tmp_path, monkeypatch):
    """A4 less margins is 718 pixels; a reader who likes the dark prints in the light too."""
    monkeypatch.setattr(plots, "PLOTS", (plots.throughput,))
    knobs = {"tasks": [2, 8], "hash": ["mult-2008-64", "mult-2016"], "bug": ["none", "no-reentrancy-check"]}
    result = made(
        classes=("table_lock",), worker=["syscalls", "interrupts"], cpus=[1, 2], padding=["packed", "cacheline"], **knobs
    )
    (tmp_path / "report.html").write_text(html.report(result, {}))
    seen = look(tmp_path / "report.html", tmp_path, 718, dark=True, paper=True)

    assert len(seen["plots"]) > 1
    assert max(seen["tables"] + [one["right"] for one in seen["plots"]]) <= 718
    assert luminance(seen["page"]) == pytest.approx(1)
    assert min(contrast(colour, seen["page"]) for colour in seen["words"]) >= 4.5


@needs_browser
def test_it_prints_with_all_sections(written, tmp_path):
    pdf = tmp_path / "report.pdf"
    options = ["--no-pdf-header-footer", "--generate-pdf-document-outline", f"--print-to-pdf={pdf}"]
    chromium(tmp_path, *options, (written / "report.html").as_uri())
    text = pdf.read_bytes().decode("latin-1")
    headings = re.findall("<h2>(.*?)</h2>", (written / "report.html").read_text())

    assert len(headings) > 8
    assert [title for title in re.findall(r"/Title \((.*?)\)", text) if title in headings] == headings
    assert len(re.findall(r"/Type /Page\b", text)) >= 3
