"""Numbers as people read them. A missing number is a word, never 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pandas as pd

from reports.words import Words, tagged_name

MINUS = "−"


def is_missing(value: Any) -> bool:
    return value is None or bool(pd.isna(value))


def number(value: float, decimals: int | None = None, signed: bool = False) -> str:
    """Three significant digits unless ``decimals`` is given; a true minus sign.

    >>> number(1234.5), number(0.01234), number(-3.456, signed=True), number(2.5, signed=True)
    ('1,234', '0.0123', '−3.46', '+2.50')
    """
    if decimals is None:
        size = math.floor(math.log10(abs(value))) if value else 0
        decimals = min(max(2 - size, 0), 6)
    text = f"{value:+,.{decimals}f}" if signed else f"{value:,.{decimals}f}"
    return text.replace("-", MINUS)


def interval_decimals(value: float, low: Any, high: Any) -> int:
    """Decimals that show two digits of the half width, since more would be noise; at most three."""
    if is_missing(low) or is_missing(high) or high <= low:
        return 1 if abs(value) >= 10 else 2
    return min(max(1 - math.floor(math.log10((high - low) / 2)), 0), 3)


def with_interval(value: Any, low: Any, high: Any, missing: str, signed: bool = False) -> str:
    """``+15.8 [12.1, 19.5]``; the value alone where no interval is honest; ``missing`` where nothing is known."""
    if is_missing(value):
        return missing
    decimals = interval_decimals(value, low, high)
    text = number(value, decimals, signed)
    if is_missing(low) or is_missing(high):
        return text
    return f"{text} [{number(low, decimals)}, {number(high, decimals)}]"


def plus_minus(value: Any, low: Any, high: Any, missing: str, short: bool = False) -> str:
    """``15.8±3.7``: half the interval's width; ``16±4`` where ``short``; ``missing`` where nothing is known."""
    if is_missing(value):
        return missing
    decimals = min(interval_decimals(value, low, high), 1 if abs(value) >= 1 else 2)
    if short and abs(value) >= 10:
        decimals = 0
    if is_missing(low) or is_missing(high):
        return number(value, decimals)
    return f"{number(value, decimals)}±{number((high - low) / 2, decimals)}"


def percent(value: float) -> str:
    """``0.628`` as ``62.8%``."""
    return f"{100 * value:.1f}%"


def megabytes(value: float) -> str:
    """Bytes as decimal megabytes, one decimal below 100."""
    return number(value / 1e6, 0 if value >= 1e8 else 1)


Show = Callable[[Any, str], str]
"""How a row of the frame is shown, and which word stands for a missing number."""


@dataclass(frozen=True)
class Column:
    header: str
    show: Show
    numeric: bool = True
    metric: str = ""
    """What the column holds, for the page to explain where it first appears."""


@dataclass(frozen=True)
class Table:
    """A frame, whose CSV is exact, and the columns a page shows of it."""

    name: str
    title: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    words: Words

    def rows(self) -> list[list[tuple[str, bool]]]:
        """(text, is it a number) for every cell."""
        return [
            [(column.show(row, self._missing(row)), column.numeric) for column in self.columns]
            for row in (
                SimpleNamespace(**{str(k): v for k, v in record.items()}) for record in self.frame.to_dict("records")
            )
        ]

    def _missing(self, row: Any) -> str:
        status = getattr(row, "status", "ok")
        return self.words[status if status in ("failed", "skipped") else "not measured"]


def text(header: str, name: str) -> Column:
    """A column of words; a dash where there is none."""
    return Column(header, lambda row, _: "–" if is_missing(getattr(row, name)) else str(getattr(row, name)), False)


def language(header: str, name: str = "language") -> Column:
    """A column of languages by code and own name."""
    return Column(header, lambda row, _: tagged_name(str(getattr(row, name))), False)


def value(header: str, name: str, form: Callable[[float], str] = number) -> Column:
    """A column of numbers without intervals."""

    def show(row: Any, missing: str) -> str:
        return missing if is_missing(getattr(row, name)) else form(getattr(row, name))

    return Column(header, show, metric=name)


def estimate(header: str, name: str, signed: bool = False) -> Column:
    """A column of numbers with the bounds in ``<name>_low`` and ``<name>_high``."""

    def show(row: Any, missing: str) -> str:
        return with_interval(
            getattr(row, name), getattr(row, f"{name}_low"), getattr(row, f"{name}_high"), missing, signed
        )

    return Column(header, show, metric=name)


def share(header: str, name: str) -> Column:
    """A column of shares in percent with their bounds, such as ``38.1% [30.2, 46.0]``; bounds end at 0 and 100."""

    def show(row: Any, missing: str) -> str:
        at, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
        if is_missing(at):
            return missing
        if is_missing(low) or is_missing(high):
            return percent(at)
        return f"{percent(at)} [{100 * max(0.0, low):.1f}, {100 * min(1.0, high):.1f}]"

    return Column(header, show, metric=name)
