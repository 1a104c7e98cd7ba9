"""Texts that end by repeating themselves."""

from __future__ import annotations

import doctest
import random

import pytest

from results import loops
from results.loops import ends_in_a_loop


def test_the_examples_of_the_docstring() -> None:
    assert doctest.testmod(loops).failed == 0


@pytest.mark.parametrize(
    ("text", "is_loop"),
    [
        ("", False),
        ("A short answer.", False),
        ("그 등대는 오래된 " + "바다를 바라보며 서 있습니다. " * 3, True),
        ("그 등대는 오래된 " + "바다를 바라보며 서 있습니다. " * 2, False),
        ("아" * 39, False),
        ("아" * 40, True),
        ("The first is red. " * 3 + "But the last one is blue.", False),  # it found a way out
        ("I see a door, " * 5 + "I see a", True),  # cut off within the piece
        ("2016년 12월 10일\n" * 3, True),
        ("2016년 12월 10일\n2017년 1월 5일\n2018년 3월 2일\n2019년 11월 30일\n2020년 4월 9일", False),
        ("이 장인은 " + "1980년생으로 " * 5 + "198", True),
        ("".join(f"{i}. It depends on the weather.\n" for i in range(8, 12)), True),
        ("| Station | Rain |\n|---|---|" + "---|" * 30, False),
        ("1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20", False),
        ("x" * 1999 + "y" * 1, False),
    ],
)
def test_what_is_a_loop(text: str, is_loop: bool) -> None:
    assert ends_in_a_loop(text) is is_loop


def test_against_trying_every_period() -> None:
    """Brute force on texts of few letters, where loops of all lengths occur."""
    chance = random.Random(0)

    def brute(text: str) -> bool:
        return any(
            text[-size:] == (text[-size:][-period:] * size)[-size:]
            for size in range(loops.LEAST, len(text) + 1)
            for period in range(1, (size + 1) // loops.TIMES + 1)
        )

    found = set()
    for _ in range(200):
        piece = "".join(chance.choices("ab", k=chance.randint(1, 25)))
        text = "".join(chance.choices("ab", k=20)) + piece * chance.randint(1, 5) + chance.choice(["", "a"])
        assert ends_in_a_loop(text) is brute(text), text
        found.add(brute(text))
    assert found == {True, False}
