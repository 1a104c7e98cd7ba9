"""The plots, each a row of small panels: drawn together for files, and taken apart for the page.

Every function here takes a plain frame (columns named in its docstring) and draws what it is given. A missing number
is not drawn; its table says why.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from reports import svg
from reports.palette import LIGHT, Mark
from reports.words import Words, own_name, tagged_name

PANEL = (3.6, 2.55)  # inches; a panel is about as wide as a telephone
COLUMNS, HEAD = 4, 0.4  # panels to a row of a file, and inches above them for its title
LINE = 0.16  # inches of a title's further line
RIGHT, NAMES = 0.14, 1.32  # inches right of the axes, and left of them where languages are named
INK, MUTED, GRID, PAGE = (LIGHT[role] for role in ("ink", "muted", "grid", "page"))
STYLE: dict[Any, Any] = {
    "text.parse_math": False,  # a model's name may hold dollar signs
    "axes.unicode_minus": True,
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the layout is the same everywhere
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.facecolor": PAGE,
    "figure.facecolor": PAGE,
    "savefig.facecolor": PAGE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
}
PARTS = {
    "code_bytes": "c1",
    "scale_bytes": "c5",
    "side_bytes": "c4",
    "embedding_bytes": "g1",
    "head_bytes": "g2",
    "rest_bytes": "g3",
}
"""Parts of a model and their colours: what a method wrote is coloured, what none touches is grey."""
FILL = {"established": "full", "depends on the scale": "left", "not established": "none"}


@dataclass(frozen=True)
class Panel:
    title: str
    draw: Callable[[Axes], None]
    height: float = PANEL[1]
    framed: bool = False
    left: float = 0.56
    """Inches for the words left of the axes."""

    @property
    def heading(self) -> list[str]:
        """The title in lines that fit the panel."""
        return textwrap.wrap(self.title, 42) or [""]

    @property
    def tall(self) -> float:
        """Inches, with the title's further lines."""
        return self.height + LINE * (len(self.heading) - 1)


class Box(NamedTuple):
    """Where a panel stands in its figure: inches from the figure's upper left corner."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Plot:
    """Panels that answer one question. ``name`` is its file name."""

    name: str
    title: str
    panels: Sequence[Panel]
    key: Sequence[tuple[str, Mark | str]] = ()
    """The legend: words with a variant's mark or the role of a colour."""

    @property
    def boxes(self) -> list[Box]:
        """Four panels to a row, each hanging from the top of its row."""
        tall = max(panel.tall for panel in self.panels)
        places = (divmod(number, COLUMNS) for number in range(len(self.panels)))
        return [
            Box(PANEL[0] * column, HEAD + tall * row, PANEL[0], panel.tall)
            for (row, column), panel in zip(places, self.panels, strict=True)
        ]

    @cached_property
    def figure(self) -> Figure:
        """All panels and the legend in one figure. Drawing is slow, so that page and files are made of the same."""
        columns = min(COLUMNS, len(self.panels))
        keys = max(1, 2 * columns)
        tall, rows = max(panel.tall for panel in self.panels), -(-len(self.panels) // columns)
        foot = 0.12 + 0.24 * -(-len(self.key) // keys)
        with matplotlib.rc_context(STYLE):
            figure = Figure(figsize=(PANEL[0] * columns, HEAD + tall * rows + foot))
            FigureCanvasAgg(figure)
            for panel, box in zip(self.panels, self.boxes, strict=True):
                _draw_panel(_place(figure, panel, box), panel)
            width, height = figure.get_size_inches()
            figure.text(0.12 / width, 1 - 0.28 / height, self.title, size=11, weight="bold")
            if self.key:
                figure.legend(handles=[_handle(word, mark) for word, mark in self.key], loc="lower left", ncols=keys)
            return figure

    @cached_property
    def drawing(self) -> str:
        """The figure as matplotlib writes SVG, to be made fit for a page by `reports.svg`."""
        return svg.drawn(self.figure)


def _place(figure: Figure, panel: Panel, box: Box) -> Axes:
    """Axes with room for their words."""
    top, bottom = 0.3 + panel.tall - panel.height, 0.46
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (
            (box.x + panel.left) / width,
            1 - (box.y + box.height - bottom) / height,
            (box.width - panel.left - RIGHT) / width,
            (box.height - top - bottom) / height,
        )
    )


def words_in(figure: Figure) -> str:
    """Every text of a figure, to check that a font has its glyphs."""
    return "".join(text.get_text() for text in _texts(figure))


def set_fonts(figure: Figure, fonts: Sequence[str]) -> None:
    """Put ``fonts`` behind DejaVu Sans, for the glyphs that it lacks."""
    for text in _texts(figure):
        text.set_fontfamily(["DejaVu Sans", *fonts])


def _texts(figure: Figure) -> list[Text]:
    return figure.findobj(Text)  # type: ignore[return-value]


def perplexity_panels(frame: pd.DataFrame, marks: Mapping[str, Mark], words: Words, worst: str | None) -> list[Panel]:
    """Columns variant, language, megabytes, perplexity, low, high, on_front, is_none; one panel a language."""
    panels = []
    for language, rows in frame.groupby("language", sort=False):
        title = tagged_name(str(language)) + (f" · {words['worst_panel']}" if language == worst else "")

        def draw(ax: Axes, rows: pd.DataFrame = rows) -> None:
            front = rows[rows["on_front"]].sort_values("megabytes")
            ax.plot(front["megabytes"], front["perplexity"], color=MUTED, lw=1, zorder=1)
            points = [
                Point(row.megabytes, row.perplexity, marks[row.variant], y=(row.low, row.high)) for row in _rows(rows)
            ]
            _points(ax, points)
            for row in _rows(rows[rows["is_none"].astype(bool)]):
                ax.axhline(row.perplexity, color=MUTED, lw=0.8, ls=":", zorder=0)
            _vertical_scale(ax, rows["perplexity"])
            ax.margins(x=0.12, y=0.12)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_xlabel(words["megabytes"])

        panels.append(Panel(title, draw, framed=language == worst))
    return panels


def change_panels(frame: pd.DataFrame, marks: Mapping[str, Mark], words: Words, label: str) -> list[Panel]:
    """Columns variant, setting, language, value, low, high, band (the noise floor's); one panel a variant and setting,
    one row a language."""
    return _forests(frame, marks, words, label, lambda row: "full")


def gap_panels(frame: pd.DataFrame, marks: Mapping[str, Mark], words: Words, label: str) -> list[Panel]:
    """As ``change_panels``, with the column verdict, which decides how a mark is filled."""
    return _forests(frame, marks, words, label, lambda row: FILL.get(row.verdict, "none"))


def point_panels(frame: pd.DataFrame, marks: Mapping[str, Mark], words: Words) -> list[Panel]:
    """Columns variant, setting, language, x, x_low, x_high, y, y_low, y_high; one panel a language and setting, one
    point a variant."""
    panels = []
    for (setting, language), rows in frame.groupby(["setting", "language"], sort=False):

        def draw(ax: Axes, rows: pd.DataFrame = rows, language: str = str(language)) -> None:
            values = pd.concat([rows["x"], rows["y"]])
            if values.min() > 0 and values.max() > 8 * values.min():
                for axis, set_scale in ((ax.xaxis, ax.set_xscale), (ax.yaxis, ax.set_yscale)):
                    _log(axis, set_scale, values.max() / values.min())
            else:
                ax.xaxis.set_major_locator(MaxNLocator(4))
                ax.yaxis.set_major_locator(MaxNLocator(5))
                ax.axhline(0, color=MUTED, lw=0.7, zorder=0)
                ax.axvline(0, color=MUTED, lw=0.7, zorder=0)
            points = [
                Point(row.x, row.y, marks[row.variant], (row.x_low, row.x_high), (row.y_low, row.y_high))
                for row in _rows(rows)
            ]
            _points(ax, points)
            low, high = values.min(), values.max()  # its two points count among what the axes have to show
            ax.axline((low, low), (max(high, low + 1),) * 2, color=MUTED, lw=0.9, ls="--", zorder=0)
            ax.margins(0.15)
            ax.set_xlabel(words.say("extra_bits_in", language=own_name("en")))
            ax.set_ylabel(own_name(language))

        panels.append(Panel(_with_setting(tagged_name(str(language)), setting), draw))
    return panels


def size_panels(frame: pd.DataFrame, words: Words) -> list[Panel]:
    """Columns variant and the PARTS in bytes; one panel, one bar a variant."""

    def draw(ax: Axes) -> None:
        for place, row in enumerate(_rows(frame)):
            left = 0.0
            for part, role in PARTS.items():
                megabytes = getattr(row, part) / 1e6
                if pd.notna(megabytes) and megabytes > 0:
                    ax.barh(place, megabytes, left=left, height=0.5, color=LIGHT[role], edgecolor=PAGE, linewidth=0.6)
                    left += megabytes
            ax.text(0, place - 0.32, f"{row.variant} · {left:,.0f} MB", va="bottom", fontsize=8)
        ax.set_ylim(len(frame) - 0.5, -0.85)
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.grid(visible=False, axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlabel("MB")

    return [Panel("", draw, height=0.75 + 0.44 * max(2, len(frame)), left=RIGHT)]


def _forests(
    frame: pd.DataFrame, marks: Mapping[str, Mark], words: Words, label: str, fill: Callable[..., str]
) -> list[Panel]:
    reach = frame.assign(far=frame[["value", "low", "high"]].abs().max(axis=1)).groupby(
        ["variant", "setting"], sort=False
    )["far"]
    apart = reach.max().max() > 4 * reach.max().min()
    edges = frame[["value", "low", "high"]].min().min(), frame[["value", "low", "high"]].max().max()
    languages = list(dict.fromkeys(frame["language"]))
    panels = []
    for (variant, setting), rows in frame.groupby(["variant", "setting"], sort=False):

        def draw(ax: Axes, rows: pd.DataFrame = rows, mark: Mark = marks[str(variant)]) -> None:
            ax.axvline(0, color=INK, lw=0.9, zorder=0)
            places = [languages.index(language) for language in rows["language"]]
            bands = {
                place: band for place, band in zip(places, rows["band"], strict=True) if pd.notna(band) and band > 0
            }
            if bands:
                lefts = [-band for band in bands.values()]
                widths = [2 * band for band in bands.values()]
                ax.barh(list(bands), widths, 0.8, lefts, color=MUTED, alpha=0.3, lw=0, zorder=0.5)
            _points(
                ax,
                [
                    Point(row.value, place, mark, x=(row.low, row.high), fill=fill(row))
                    for row, place in zip(_rows(rows), places, strict=True)
                ],
            )
            ax.set_yticks(range(len(languages)), [tagged_name(code) for code in languages])
            ax.set_ylim(len(languages) - 0.4, -0.6)
            ax.tick_params(axis="y", length=0)
            if not apart:
                _span(ax, *edges)
            else:
                ax.margins(x=0.08)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_xlabel(label + (f" ({words['own_scale']})" if apart else ""))

        panels.append(Panel(_with_setting(str(variant), setting), draw, height=0.85 + 0.2 * len(languages), left=NAMES))
    return panels


def _rows(frame: pd.DataFrame) -> list[Any]:
    return list(frame.itertuples())


def _with_setting(title: str, setting: object) -> str:
    return f"{title} ({setting})" if setting else title


def _draw_panel(ax: Axes, panel: Panel) -> None:
    panel.draw(ax)
    # Where languages stand at the left, the title begins above them.
    shift = 1.25 / (PANEL[0] - NAMES - RIGHT) if panel.left == NAMES else 0.0
    # At a given height: to look for one that is free would measure every tick's label once more.
    ax.set_title("\n".join(panel.heading), x=-shift, y=1.0, ha="left")
    if panel.framed:
        for spine in ax.spines.values():
            spine.set(visible=True, color=INK, linewidth=1.6)


class Point(NamedTuple):
    """A mark with its intervals."""

    at_x: float
    at_y: float
    mark: Mark
    x: tuple[float, float] = (math.nan, math.nan)
    y: tuple[float, float] = (math.nan, math.nan)
    fill: str = "full"


def _points(ax: Axes, points: Sequence[Point]) -> None:
    """Marks with their intervals; a missing bound draws no bar. What looks alike is drawn at once: each costs time."""
    bars: dict[str, list[tuple[float, float]]] = {}
    alike: dict[tuple[Mark, str], list[Point]] = {}
    for point in points:
        if pd.isna(point.at_x) or pd.isna(point.at_y):
            continue
        alike.setdefault((point.mark, point.fill), []).append(point)
        of = bars.setdefault(point.mark.colour, [])
        if pd.notna(point.x[0]) and pd.notna(point.x[1]):
            of += [(point.x[0], point.at_y), (point.x[1], point.at_y), (math.nan, math.nan)]
        if pd.notna(point.y[0]) and pd.notna(point.y[1]):
            of += [(point.at_x, point.y[0]), (point.at_x, point.y[1]), (math.nan, math.nan)]
    for colour, ends in bars.items():
        if ends:
            ax.plot(*zip(*ends, strict=True), color=colour, lw=1.3, zorder=2)
    for (mark, fill), of_mark in alike.items():
        ax.plot(
            [point.at_x for point in of_mark],
            [point.at_y for point in of_mark],
            ls="none",
            marker=mark.shape,
            ms=6.5,
            color=mark.colour,
            markeredgecolor=PAGE if fill == "full" else mark.colour,
            markeredgewidth=0.6 if fill == "full" else 1.2,
            markerfacecolor=PAGE if fill == "none" else mark.colour,
            markerfacecoloralt=PAGE,
            fillstyle="left" if fill == "left" else "full",
            zorder=3,
        )


def _vertical_scale(ax: Axes, values: pd.Series) -> None:
    """Logarithmic where the values differ by more than twice, else plain."""
    if values.min() > 0 and values.max() > 2 * values.min():
        _log(ax.yaxis, ax.set_yscale, values.max() / values.min())
    else:
        ax.yaxis.set_major_locator(MaxNLocator(5))


def _log(axis: matplotlib.axis.Axis, set_scale: Callable[..., None], span: float) -> None:
    set_scale("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 3.0, 5.0) if span < 20 else (1.0, 2.0, 5.0), numticks=9))
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
    axis.set_minor_locator(NullLocator())


def _span(ax: Axes, low: float, high: float) -> None:
    low, high = min(low, 0.0), max(high, 0.0)
    room = 0.08 * (high - low) or 1.0
    ax.set_xlim(low - room, high + room)


def _handle(word: str, mark: Mark | str) -> Line2D | Patch:
    if isinstance(mark, Mark):
        return Line2D([], [], ls="none", marker=mark.shape, ms=6.5, color=mark.colour, label=word)
    return Patch(color=LIGHT[mark], label=word)
