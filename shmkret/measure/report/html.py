"""The report: one file that holds everything, plots and raw data too, and asks the network for nothing."""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from shmkret.host.description import in_a_line
from shmkret.measure.report import panels, plots
from shmkret.measure.report.rows import KEY, KNOBS, Json, repetitions, row_name, rows_of, shown, value_of
from shmkret.measure.report.tables import doubts, rehearsed

MOST_PLAIN_BYTES = 20_000
"""Raw data above this is compressed: the report shall go into a mail."""
STYLE = """
:root { color-scheme: light dark; --ink: #1a1b1c; --faint: #5f6368; --line: #d4d7da; --page: #ffffff; --doubt: #a64b08; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e9ea; --faint: #a3a8ad; --line: #3d4247; --page: #16181a; --doubt: #f0a860; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 70rem; margin: 0 auto;
       padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
p.faint, figcaption { color: var(--faint); font-size: .9rem; }
ul.doubts { padding-left: 1.2rem; } ul.doubts li, td.suspect, td.withheld { color: var(--doubt); }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
td.number, th.number { text-align: right; }
figure { margin: 1.5rem 0; color: var(--ink); }
div.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem 1rem; }
svg { width: 100%; max-width: 34rem; height: auto; stroke-linejoin: round; stroke-linecap: butt; }
svg text { font-family: system-ui, "DejaVu Sans", sans-serif; fill: currentColor; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { color: var(--faint); } dd { margin: 0; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
@media print {
  :root { color-scheme: light; --ink: #000000; --faint: #444444; --line: #999999; --page: #ffffff; --doubt: #8a3d00; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  h2 { break-after: avoid; } svg, tr { break-inside: avoid; }
  div.wide { overflow: visible; } table { font-size: 7pt; }
  th, td { padding: .15rem .3rem; white-space: normal; overflow-wrap: break-word; } td.number { white-space: nowrap; }
  div.panels { grid-template-columns: 1fr 1fr; }
}
"""


def report(result: Json, files: Mapping[str, str]) -> str:
    """The report of a result. files: the raw data to be offered for download, by name."""
    title = f"shmkret: {result['suite']}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p class=faint>{escape(in_a_line(result['machine']))}; shmkret {escape(result['version'])}; {_how(result)}</p>",
        "<h2>Doubts</h2>",
        _doubts(result),
        *_rehearsed(result["cells"]),
        *_figures(result),
        "<h2>Cells</h2>",
        _cells(result["cells"]),
        *_ratios(result),
        *_laws(result.get("scaling", [])),
        *_latencies(result["cells"]),
        "<h2>Machine</h2>",
        _machine(result["machine"]),
        "<h2>Raw data</h2>",
        f"<p>{', '.join(_download(name, text) for name, text in files.items())}. Made by "
        f"<code>{escape(' '.join(['shmkret', *result['argv']]))}</code>, seed {result['seed']}.</p>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _how(result: Json) -> str:
    return f"{repetitions(result['repeat'])} of {result['seconds']:g} s, interleaved"


def _doubts(result: Json) -> str:
    said = doubts(result["cells"])
    if not said:
        return "<p>None: every cell is valid.</p>"
    return f"<ul class=doubts>{''.join(f'<li>{escape(one)}</li>' for one in said)}</ul>"


def _rehearsed(cells: list[Json]) -> Iterable[str]:
    said = rehearsed(cells)
    if said:
        yield f"<h2>Rehearsed</h2><ul>{''.join(f'<li>{escape(one)}</li>' for one in said)}</ul>"


def _figures(result: Json) -> Iterable[str]:
    for plot in plots.plots(result):
        drawn = (_svg(panel, f"{plot.name}-{i}") for i, panel in enumerate(plot.panels))
        caption = f"{plot.caption} {plot.left_out}".strip()
        yield f"<h2>{plot.name.capitalize()}</h2>"
        yield f"<figure><div class=panels>{''.join(drawn)}</div><figcaption>{escape(caption)}</figcaption></figure>"


def _svg(panel: panels.Panel, name: str) -> str:
    """A panel as part of a page: transparent, in the page's ink and letters, its ids its own."""
    text = io.StringIO()
    panels.alone(panel).savefig(
        text, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    svg = text.getvalue()
    svg = _without_weight(svg[svg.index("<svg") :].replace(panels.INK, "currentColor"))
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(panel.says)}"', 1)


def _without_weight(svg: str) -> str:
    """The same picture in half the bytes: what the page says once is left out, places are to a tenth of a point."""
    svg = re.sub(r"<!--.*?-->|<style.*?</style>|<metadata.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-zA-Z0-9]+_\d+"| xmlns:xlink="[^"]*"| version="1.1"| transform="rotate\(-0 [^"]*"', "", svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg.replace("xlink:href", "href"))
    svg = re.sub(r"(<text [^>]*?); fill: currentColor", r"\1", svg)
    svg = re.sub(r'(<use [^>]*?) style="fill: currentColor; stroke: currentColor; stroke-width: 0.8"', r"\1", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"-?\d+\.\d{2,}", _tenth, tag[0]), svg)
    svg = re.sub(r"\s+", " ", svg).replace("> <", "><").replace(" L ", " ")
    return re.sub(r'<g([^>]*)>((?:<use [^>]*?( style="[^"]*")/>)(?:<use [^>]*?\3/>)*)</g>', _once, svg)


def _tenth(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _once(group: re.Match[str]) -> str:
    """The style of all marks of a group, at the group."""
    return f"<g{group[1]}{group[3]}>{group[2].replace(group[3], '')}</g>"


def _cells(cells: list[Json]) -> str:
    rows = rows_of(cells)
    keys = shown(rows, (*KEY, *KNOBS))
    heads = [*keys, "Mcalls/s", "95 %", "ns a call, each CPU", "nmissed", "kp_nmissed", "verdict"]
    body = []
    for row in rows:
        figures = ("-", "-", "-")
        if row["median"]:
            figures = (f"{row['median'] / 1e6:.2f}", _interval(row["ci95"], 1e6), f"{1e9 * row['cpus'] / row['median']:.1f}")
        missed = (f"{row['nmissed']:,}", f"{row['kp_nmissed']:,}")
        body.append([*(value_of(row[key]) for key in keys), *figures, *missed, row["verdict"]])
    return _table(heads, body, first_number=len(keys))


def _ratios(result: Json) -> Iterable[str]:
    kinds = list(dict.fromkeys(ratio["by"] for ratio in result["ratios"]))
    for by in kinds:
        rows = rows_of(ratio for ratio in result["ratios"] if ratio["by"] == by)
        keys = shown(rows, tuple(key for key in (*KEY, *KNOBS) if key != by))
        body = []
        for row in rows:
            figure = "-" if row["median"] is None else f"{row['median']:.3f}"
            pair = f"{value_of(row['over'])} / {value_of(row['under'])}"
            body.append([*(value_of(row[key]) for key in keys), pair, figure, _interval(row["ci95"], 1), row["significance"]])
        yield f"<h2>Ratios by {escape(by.replace('_', ' '))}</h2>"
        yield _table([*keys, by, "ratio", "95 %", ""], body, first_number=len(keys) + 1)


def _laws(laws: list[Json]) -> Iterable[str]:
    if laws:
        yield "<h2>Scaling law</h2>"
        yield "<p class=faint>The Universal Scalability Law (Gunther 2007), from five core counts on.</p>"
        yield _table(["cells", "fit"], [[law["name"], law["words"]] for law in laws], first_number=2)


def _latencies(cells: list[Json]) -> Iterable[str]:
    body = []
    for cell in cells:
        for which, found in (cell["latency_ns"] or {}).items():
            if which != "clock":
                figures = [f"{found[q]:,.0f}" for q in ("p50", "p90", "p99", "p99_9", "max")]
                body.append(
                    [
                        row_name(cell, cells),
                        which.replace("_", " "),
                        *figures,
                        f"{cell['latency_ns']['clock']:.0f}",
                        *_beside(found),
                    ]
                )
    if body:
        yield "<h2>Latency in nanoseconds</h2>"
        yield (
            "<p class=faint>From a run apart, which times one in so many, and was so fast beside the one that is measured. "
            "Every time includes two readings of the clock, whose mean cost stands behind it.</p>"
        )
        heads = ["cell", "of", "p50", "p90", "p99", "p99.9", "max", "clock", "one in", "speed"]
        yield _table(heads, body, first_number=2)


def _beside(found: Json) -> list[str]:
    """How many were timed, and how fast the calls were meanwhile; results of before do not say."""
    part = found.get("of_measured")
    return [str(found.get("one_in", 1)), "-" if part is None else f"{part:.0%}"]


def _machine(machine: Json) -> str:
    return f"<dl>{''.join(f'<dt>{escape(key)}</dt><dd>{escape(_told(value))}</dd>' for key, value in machine.items())}</dl>"


def _told(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(map(_told, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(one)}" for key, one in value.items())
    return "unknown" if value is None else str(value)


def _table(heads: list[str], body: list[list[str]], first_number: int) -> str:
    def cell(tag: str, i: int, text: str) -> str:
        kind = "number" if first_number <= i and (tag == "th" or text[:1].isdigit() or text == "-") else text
        known = kind if kind in ("number", "suspect", "withheld") else ""
        return f"<{tag}{f' class={known}' if known else ''}>{escape(text.replace('_', '-') if tag == 'th' else text)}</{tag}>"

    def row(tag: str, texts: list[str]) -> str:
        return f"<tr>{''.join(cell(tag, i, text) for i, text in enumerate(texts))}</tr>"

    return f"<div class=wide><table>{row('th', heads)}{''.join(row('td', texts) for texts in body)}</table></div>"


def _interval(ci95: list[float] | None, unit: float) -> str:
    return f"{ci95[0] / unit:.2f} .. {ci95[1] / unit:.2f}" if ci95 else "-"


def _download(name: str, text: str) -> str:
    kind = "application/json" if name.endswith("json") else "text/csv"
    raw = text.encode()
    if len(raw) > MOST_PLAIN_BYTES:
        name, kind, raw = f"{name}.gz", "application/gzip", gzip.compress(raw, mtime=0)
    data = base64.b64encode(raw).decode()
    return f'<a download="{escape(name)}" href="data:{kind};base64,{data}">{escape(name)}</a>'
