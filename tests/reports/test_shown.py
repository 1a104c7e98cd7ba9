"""Numbers as words: digits, signs, and the word for what is missing."""

from __future__ import annotations

import math

import pytest

from reports.shown import number, plus_minus, with_interval


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.00"), (1234.5, "1,234"), (0.01234, "0.0123"), (-3.456, "−3.46"), (1e-9, "0.000000")],
)
def test_number(value: float, shown: str) -> None:
    assert number(value) == shown


def test_interval_shows_two_digits_of_the_half_width() -> None:
    assert with_interval(15.81, 12.12, 19.5, "?", signed=True) == "+15.8 [12.1, 19.5]"
    assert with_interval(158.1, 121.2, 195.0, "?") == "158 [121, 195]"


def test_value_without_interval_stands_alone() -> None:
    assert with_interval(0.9, None, math.nan, "?") == "0.90"


@pytest.mark.parametrize("missing", [None, math.nan])
def test_missing_is_a_word(missing: float | None) -> None:
    assert with_interval(missing, None, None, "failed") == "failed"
    assert plus_minus(missing, None, None, "skipped") == "skipped"


def test_plus_minus() -> None:
    assert plus_minus(15.81, 12.12, 19.5, "?") == "15.8±3.7"
    assert plus_minus(15.81, 12.12, 19.5, "?", short=True) == "16±4"
    assert plus_minus(3.2, 2.1, 4.3, "?", short=True) == "3.2±1.1"
