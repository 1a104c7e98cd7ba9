"""What a page is made of, and what several of its sections are made with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from reports.claimed import Sentence
from reports.gathered import Gathered
from reports.palette import Mark
from reports.plots import Panel, Plot
from reports.shown import Column, Table, estimate, language, value, with_interval
from reports.words import Words


@dataclass(frozen=True)
class View:
    table: Table
    open: bool = False


@dataclass(frozen=True)
class Reader:
    """Data that the page unfolds on demand, each part gzip as base64, and the words it is shown with."""

    name: str
    """``duels`` or ``flips``: how the page's script shows an entry."""
    index: str
    chunks: Sequence[str]


@dataclass(frozen=True)
class Bar:
    """One part of a card's bar; ``start`` and ``width`` in hundredths of the widest bar."""

    role: str
    start: float
    width: float


@dataclass(frozen=True)
class Card:
    """What is to be known of one variant: a line that always shows, and facts to unfold."""

    title: str
    line: str
    facts: Sequence[tuple[str, str]]
    mark: Mark | None = None
    bars: Sequence[Bar] = ()
    bars_said: str = ""
    """What the bar shows, for who does not see it."""


@dataclass(frozen=True)
class Section:
    id: str
    title: str
    sentences: Sequence[Sentence] = ()
    paragraphs: Sequence[str] = ()
    plot: Plot | None = None
    tables: Sequence[View] = ()
    first: bool = False
    folded: Sequence[Sentence] = ()
    """Sentences to unfold, and the title under which they are folded."""
    folded_title: str = ""
    reader: Reader | None = None
    cards: Sequence[Card] = ()
    legend: Sequence[tuple[str, str]] = ()
    """Words and roles of the colours in the cards' bars."""
    terms: Sequence[tuple[str, str]] = ()
    """What the columns of its tables mean, of those that no section before it explains."""


def estimate_of(header: str, name: str, low: str, high: str, signed: bool = False) -> Column:
    """Like ``estimate``, where the bounds' columns have names of their own."""
    return Column(
        header,
        lambda row, missing: with_interval(getattr(row, name), getattr(row, low), getattr(row, high), missing, signed),
        metric=name,
    )


def forest_plot(
    name: str,
    title: str,
    rows: pd.DataFrame,
    column: str,
    label: str,
    panels: Callable[..., list[Panel]],
    found: Gathered,
    words: Words,
) -> Plot | None:
    """A forest of ``column`` with its bounds, and the noise floor in ``<column>_band`` where it is known."""
    ends = {f"{column}_{end}": end for end in ("low", "high", "band")}
    frame = rows[rows["in_plots"]].rename(columns={column: "value", **ends})
    frame = frame.dropna(subset=["value"])
    return Plot(name, title, panels(frame, found.marks, words, label)) if len(frame) else None


def key(found: Gathered, rows: pd.DataFrame) -> list[tuple[str, Mark | str]]:
    shown = set(rows["variant"])
    return [(label, mark) for label, mark in found.marks.items() if label in shown]


def contest_columns(words: Words, difference: str) -> tuple[Column, ...]:
    """Of a row that is one comparison of two variants; ``difference``: the word for which is taken from which."""
    return (
        Column(words["measure"], lambda row, _: words[row.measure], False),
        language(words["language"]),
        estimate(words[difference], "difference", signed=True),
        value(words["p_adjusted"], "p_adjusted", p_value),
        Column(words["outcome"], lambda row, _: words[row.outcome], False),
    )


def p_value(probability: float) -> str:
    return "<0.001" if probability < 0.001 else f"{probability:.3f}"
