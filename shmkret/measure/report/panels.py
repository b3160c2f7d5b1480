"""A plot as panels: each narrow enough for a telephone, with no more lines than can be told apart.

    line    the cells that differ only in what lies along x; it looks the same in every panel of its plot
    panel   a pair of axes with its legend, and a sentence for who does not see it
    plot    the panels of one kind, in order; what is not drawn is said in words

A result folder has the panels of a plot in one file (together()); the report has each by itself (alone()), and its page
lays them out.

Always    at most MOST_LINES lines a panel, MOST_ROWS rows a panel, MOST_PANELS panels a plot
          no two of len(COLOURS) * len(MARKS) lines of a plot look alike
"""

from __future__ import annotations

import itertools
import math
import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from shmkret.host.description import in_a_line
from shmkret.measure.report.rows import KEY, KNOBS, Json, told

MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
COLOURS = ("#1f77b4", "#d9730d", "#2a9d4a", "#c0392b", "#8a5cc2", "#8c6d46", "#c94f9b")
"""Told apart on white and on black: 3 to 1 at least, as WCAG 2.1 wants of graphics. No count in common with MARKS."""
INK = "#1a1b1c"
"""The colour of text and axes: the report puts the reader's own in its place."""
FAINT = "#808080"
MOST_LINES = len(COLOURS)
MOST_ROWS = 16
MOST_PANELS = 16
WIDTH_IN, HEIGHT_IN = 4.0, 2.9
SMALLEST_PT = 8.0
"""On 360 pixels, less the margins of the page, WIDTH_IN makes this 9 pixels."""
LETTERS_AN_INCH = 13
LINE_IN, LEGEND_IN = 0.17, 3.2
COLUMNS = 3


class Panel(NamedTuple):
    """says: what it shows, axes, lines and range, in a sentence. draw: draws it onto a pair of axes.

    height_in: without the legend, whose entries are named in `legend`.
    """

    title: str
    says: str
    draw: Callable[[Any], None]
    legend: Sequence[str] = ()
    height_in: float = HEIGHT_IN

    @property
    def legend_columns(self) -> int:
        """Two where the names are short."""
        return 2 if max(map(len, self.legend), default=0) < WIDTH_IN * LETTERS_AN_INCH / 2 - 6 else 1

    @property
    def whole_in(self) -> float:
        """The height with the legend."""
        lines = sum(labelled(name, LEGEND_IN).count("\n") + 1 for name in self.legend)
        return self.height_in + LINE_IN * math.ceil(lines / self.legend_columns)


class Plot(NamedTuple):
    """caption: what all its panels show. left_out: what they do not, and where it is; empty when nothing is left out."""

    name: str
    caption: str
    panels: list[Panel]
    left_out: str = ""


class Line(NamedTuple):
    """Cells along x; the name says what they have in common and other lines of the panel have not."""

    name: str
    rows: list[Json]
    look: int


def limited(name: str, caption: str, panels: list[Panel], left_out: str = "") -> Plot:
    """A plot of no more panels than a reader looks at; the rest is named."""
    if len(panels) > MOST_PANELS:
        more = f"{MOST_PANELS} of {len(panels)} panels are drawn; the tables of the report have the figures of all."
        left_out = f"{left_out} {more}".lstrip()
    return Plot(name, caption, panels[:MOST_PANELS], left_out)


def lines(rows: Sequence[Json], along: str | None, each: tuple[str, ...] = ()) -> list[tuple[str, list[Line]]]:
    """The lines of each panel, with its title. along: the key that lies along x; each: keys that have panels of their own."""
    keys = [key for key in (*KEY, *KNOBS) if key in rows[0] and key != along]
    by_line: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        by_line.setdefault(tuple(row[key] for key in keys), []).append(row)
    firsts = [line[0] for line in by_line.values()]
    found = apart(firsts, keys, each, MOST_LINES)
    names = list(dict.fromkeys(name for _, named in found for name, _ in named))
    return [
        (
            title,
            [Line(name, _sorted(by_line[tuple(row[key] for key in keys)], along), names.index(name)) for name, row in named],
        )
        for title, named in found
    ]


def apart(
    rows: Sequence[Json], keys: Sequence[str], each: tuple[str, ...], most: int
) -> list[tuple[str, list[tuple[str, Json]]]]:
    """Rows in groups of at most `most`: the title of each, and its rows with what tells one from another.

    The keys in `each` always have groups of their own; of the other keys that differ, those do that make the fewest groups.
    Where no choice makes the groups small enough, what is still too large is cut.
    """
    differ = [key for key in keys if key not in each and len({row[key] for row in rows}) > 1]
    own = min(_choices(differ), key=lambda chosen: _cost(rows, (*each, *chosen), most))
    rest = [key for key in differ if key not in own] or ["scheme", "lock"]
    found: list[tuple[str, list[tuple[str, Json]]]] = []
    for group in _groups(rows, (*each, *own)):
        title = " ".join(told(key, group[0][key]) for key in (*each, *own))
        parts = cut(group, most)
        for i, part in enumerate(parts):
            count = f" ({i + 1} of {len(parts)})" if len(parts) > 1 else ""
            found.append((title + count, [(" ".join(told(key, row[key]) for key in rest), row) for row in part]))
    return found


def _choices(differ: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every choice of keys that leaves one to tell lines apart by; fewest first."""
    return itertools.chain.from_iterable(itertools.combinations(differ, n) for n in range(max(1, len(differ))))


def _cost(rows: Sequence[Json], keys: tuple[str, ...], most: int) -> tuple[bool, int]:
    sizes = [len(group) for group in _groups(rows, keys)]
    return max(sizes) > most, sum(math.ceil(size / most) for size in sizes)


def _groups(rows: Iterable[Json], keys: tuple[str, ...]) -> list[list[Json]]:
    groups: dict[tuple[Any, ...], list[Json]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return list(groups.values())


def cut(rows: Sequence[Json], most: int) -> list[Sequence[Json]]:
    """Rows in parts of at most `most`."""
    return [rows[i : i + most] for i in range(0, len(rows), most)]


def _sorted(line: list[Json], along: str | None) -> list[Json]:
    return sorted(line, key=lambda row: int(row[along] or 0)) if along else line


def look(i: int) -> dict[str, Any]:
    """The colour and the mark of line i of a plot."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKS[i % len(MARKS)], "markersize": 5}


def alone(panel: Panel) -> Any:
    """A figure of one panel, for the report."""
    figure = _figure(WIDTH_IN, panel.whole_in)
    _draw(figure, panel)
    return figure


def together(plot: Plot, result: Json) -> Any:
    """A figure of all panels of a plot and what it was measured on, for a file."""
    columns = min(COLUMNS, len(plot.panels))
    rows = [plot.panels[i : i + columns] for i in range(0, len(plot.panels), columns)]
    heights = [max(panel.whole_in for panel in row) for row in rows]
    about = textwrap.wrap(_about(result, plot), int(LETTERS_AN_INCH * WIDTH_IN * columns))
    foot = 0.1 + 0.15 * len(about)
    figure = _figure(WIDTH_IN * columns, sum(heights) + foot)
    body, under = figure.subfigures(2, 1, height_ratios=(sum(heights), foot))
    grid = body.subfigures(len(rows), columns, height_ratios=heights, squeeze=False)
    for places, row in zip(grid, rows, strict=True):
        for place, panel in zip(places, row, strict=False):
            _draw(place, panel)
    under.text(0.5, 0.5, "\n".join(about), fontsize=SMALLEST_PT, ha="center", va="center")
    return figure


def _about(result: Json, plot: Plot) -> str:
    withheld = sum(cell["verdict"] == "withheld" for cell in result["cells"])
    hidden = f"; {withheld} of {len(result['cells'])} cells are withheld and not drawn" if withheld else ""
    left_out = f" {plot.left_out}" if plot.left_out else ""
    return f"suite {result['suite']}, seed {result['seed']}{hidden}; {in_a_line(result['machine'])}.{left_out}"


def _draw(place: Any, panel: Panel) -> None:
    axis = place.subplots()
    if panel.title:
        place.suptitle(labelled(panel.title, LEGEND_IN), fontsize=SMALLEST_PT + 2)
    axis.tick_params(labelsize=SMALLEST_PT)
    panel.draw(axis)
    named, names = axis.get_legend_handles_labels()
    if names:
        kind = {"loc": "outside lower center", "ncols": panel.legend_columns, "fontsize": SMALLEST_PT, "frameon": False}
        place.legend(named, [labelled(name, LEGEND_IN) for name in names], **kind)


def labelled(text: str, room_in: float = 2.2) -> str:
    """The label of an axis, in lines that fit beside it."""
    return textwrap.fill(text, int(LETTERS_AN_INCH * room_in))


def _figure(width_in: float, height_in: float) -> Any:
    os.environ["MPLBACKEND"] = "agg"  # whatever the user's is, and before matplotlib reads it
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {
        "svg.hashsalt": "shmkret",
        "svg.fonttype": "none",
        "text.parse_math": False,
        "font.size": SMALLEST_PT + 1,
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
    }
    from matplotlib.figure import Figure

    return Figure(layout="constrained", figsize=(width_in, height_in))
